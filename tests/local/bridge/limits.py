"""How many calls a second an account may make, where a test asks for AWS's limits.

Off at first: most tests run side by side in one account, and would meet each other's limits.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from ministack.core.responses import get_account_id, set_request_account_id

from . import concurrency, control, http1, states, wire

AWS = {
    "lambdaControlPlanePerSecond": 15.0,
    "lambdaGetFunctionPerSecond": 100.0,
    "lambdaGetPolicyPerSecond": 15.0,
    "route53PerSecond": 5.0,
    "apiGatewayPerSecond": 10.0,
    "createDeploymentPerSecond": 0.2,
}
"""What AWS allows. Lambda's, Route 53's and API Gateway's developer guides, on quotas."""

_HISTORY_EVENTS: int = states.MAX_HISTORY
"""How many events an execution may have."""

_limits: dict[str, float] = {}
_burst: float | None = None
_throttled: dict[str, int] = {}
_lock = threading.Lock()


@dataclass
class Bucket:
    """Tokens that come back evenly. It begins full, with a second's worth unless told otherwise."""

    rate: float
    size: float
    tokens: float
    at: float

    def take(self, now: float) -> bool:
        self.tokens = min(self.size, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


_buckets: dict[tuple[str, str], Bucket] = {}
"""By account and limit."""


def limit_of(service: str, action: str) -> str | None:
    """The limit that a call counts against."""
    if service == "route53":
        return "route53PerSecond"
    if service == "apigateway":
        return "createDeploymentPerSecond" if action == "CreateDeployment" else "apiGatewayPerSecond"
    if service != "lambda" or action.startswith("Invoke"):
        return None
    own = {"GetFunction": "lambdaGetFunctionPerSecond", "GetPolicy": "lambdaGetPolicyPerSecond"}
    return own.get(action, "lambdaControlPlanePerSecond")


def refused(service: str, action: str, key: str, headers: dict[str, str]) -> http1.Response | None:
    """AWS's answer to a call that is one too many; None to one that may pass. `key`: its access key id."""
    limit = limit_of(service, action) if _limits else None
    if limit is None or limit not in _limits:
        return None
    set_request_account_id(key)
    with _lock:
        rate, now = _limits[limit], time.monotonic()
        size = max(1.0, _burst if _burst is not None else rate)
        bucket = _buckets.setdefault((get_account_id(), limit), Bucket(rate, size, size, now))
        if bucket.take(now):
            return None
        _throttled[limit] = _throttled.get(limit, 0) + 1
    return wire.refusal("throttle", service, headers)


@control.route("POST", "limits")
def _set(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """Changes the limits that are named; null takes one off, `"aws"` is what AWS allows."""
    global _burst
    wanted = dict(body)
    if "concurrentExecutions" in wanted:
        most = wanted.pop("concurrentExecutions")
        concurrency.limit(None if most is None else int(most))
    if "historyEvents" in wanted:
        events = wanted.pop("historyEvents")
        states.MAX_HISTORY = _HISTORY_EVENTS if events is None else int(events)
    if unknown := set(wanted) - set(AWS) - {"burst"}:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    with _lock:
        if "burst" in wanted:
            burst = wanted.pop("burst")
            _burst = float(burst) if burst is not None else None
        if "lambdaControlPlanePerSecond" in wanted:
            # The two that have buckets of their own come with it.
            both = ("lambdaGetFunctionPerSecond", "lambdaGetPolicyPerSecond")
            value = None if wanted["lambdaControlPlanePerSecond"] is None else "aws"
            wanted = {**dict.fromkeys(both, value), **wanted}
        for limit, rate in wanted.items():
            if rate is None:
                _limits.pop(limit, None)
            else:
                _limits[limit] = AWS[limit] if rate == "aws" else float(rate)
        _buckets.clear()
        _throttled.clear()
    return _show(method, path, asked, body)


@control.route("GET", "limits")
def _show(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    with _lock:
        return {"limits": dict(_limits), "burst": _burst, "throttled": dict(_throttled)}


@control.route("DELETE", "limits")
def _clear(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    global _burst
    concurrency.limit(None)
    states.MAX_HISTORY = _HISTORY_EVENTS
    with _lock:
        _burst = None
        for each in (_limits, _buckets, _throttled):
            each.clear()
    return {}


control.LIMIT = refused
