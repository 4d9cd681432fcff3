"""What a load balancer does with requests: rules, weights, Lambda targets, and its metrics."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from ministack.core.arn import parse_arn
from ministack.core.responses import request_scope
from ministack.services import alb

from . import alb_api, cloudwatch, control, functions, policies, states

STICKY_COOKIE = "AWSALBTG"
MAX_BODY = 1024 * 1024
"""Bytes of a Lambda target's request and of its answer."""


@dataclass
class Served:
    """What became of a request."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    ruleArn: str | None = None  # noqa: N815 - as the control API tells it
    targetGroupArn: str | None = None  # noqa: N815
    target: str | None = None
    executedVersion: str | None = None  # noqa: N815
    reason: str | None = None
    """Why the load balancer could not use a target's answer, as its access log has it."""
    cookies: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class Behaviour:
    """How the targets of a group that is no Lambda group answer."""

    errorRatePercent: float = 0.0  # noqa: N815
    latencyMs: float = 5.0  # noqa: N815
    slowRatePercent: float = 0.0  # noqa: N815
    slowMs: float = 0.0  # noqa: N815
    statusCode: int = 200  # noqa: N815
    errorStatusCode: int = 500  # noqa: N815


_behaviours: dict[str, Behaviour] = {}
"""By target group."""


@dataclass
class Request:
    method: str = "GET"
    path: str = "/"
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    body: str = ""
    cookies: dict[str, str] = field(default_factory=dict)


# ── From listener to target ──────────────────────────────────────────────────────────────────


async def serve(listener: str, request: Request) -> Served:
    """A request to a listener. Its sender is taken for somebody who has signed in."""
    began = time.monotonic()
    headers = {name.lower(): value for name, value in request.headers.items()}
    query = {name: [value] for name, value in request.query.items()}
    rule = next(
        r
        for r in alb_api.rules(listener)
        if r["IsDefault"]
        or all(alb._match_condition(c, request.method, request.path, headers, query) for c in r["Conditions"])
    )
    last = max(rule["Actions"], key=lambda action: int(action.get("Order", 1)))
    if last["Type"] == "forward":
        served = await forward(last, request)
    else:
        status, answered, body = await alb._execute_action(last, request.method, request.path, headers, b"", query)
        served = Served(status, answered, body.decode())
    served.ruleArn = rule["RuleArn"]
    served.seconds = time.monotonic() - began
    return served


async def forward(action: alb_api.Action, request: Request) -> Served:
    """A forward action: draw a group by weight, have one of its targets answer, and count it."""
    groups = alb_api.groups(action)
    sticky = action.get("ForwardConfig", {}).get("TargetGroupStickinessConfig", {})
    chosen = _stuck(request, groups) if sticky.get("Enabled") else None
    if chosen is None:
        weights = [int(group["Weight"]) for group in groups]
        if not any(weights):
            return _refused(groups[0]["TargetGroupArn"], 503, None)
        chosen = random.choices([group["TargetGroupArn"] for group in groups], weights)[0]
    targets = alb._targets.get(chosen, [])
    if not targets:
        return _refused(chosen, 503, None)
    # Where none is healthy, all are asked.
    target = random.choice([t for t in targets if alb_api.health(chosen, t)["State"] == "healthy"] or targets)
    began = time.monotonic()
    if alb._tgs[chosen]["TargetType"] == "lambda":
        served = await _from_function(chosen, target["Id"], request)
    else:
        served = await _from_behaviour(chosen, target["Id"])
    if served.reason is None:
        _count(chosen, "TargetResponseTime", time.monotonic() - began, unit="Seconds")
        _count(chosen, f"HTTPCode_Target_{served.status // 100}XX_Count")
    _count(chosen, "RequestCount")
    if sticky.get("Enabled"):
        cookie = _cookie(chosen, float(sticky["DurationSeconds"]))
        # The second is for requests from other origins.
        served.cookies.update({STICKY_COOKIE: cookie, f"{STICKY_COOKIE}CORS": cookie})
    return served


def _cookie(group: str, seconds: float) -> str:
    """What a client keeps to a group by. Cookies live as much shorter as waits are."""
    until = time.time() + seconds * states.wait_scale()
    return base64.b64encode(json.dumps([group, until]).encode()).decode()


def _stuck(request: Request, groups: list[dict[str, Any]]) -> str | None:
    """The group that a client keeps to, whatever the weights have become, and whether or not it has targets."""
    try:
        group, until = json.loads(base64.b64decode(request.cookies[STICKY_COOKIE]))
    except (KeyError, ValueError):
        return None
    offered = any(g["TargetGroupArn"] == group for g in groups)
    return str(group) if offered and until > time.time() else None


async def _from_function(group: str, arn: str, request: Request) -> Served:
    event = {
        "requestContext": {"elb": {"targetGroupArn": group}},
        "httpMethod": request.method,
        "path": request.path,
        "queryStringParameters": request.query,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "body": request.body,
        "isBase64Encoded": False,
    }
    if not policies.may_invoke(arn, alb_api.PRINCIPAL, group):
        return _function_failed(group, arn, "LambdaAccessDenied")
    if len(request.body.encode()) > MAX_BODY:
        return _function_failed(group, arn, "LambdaRequestTooLarge", status=413)
    done = await functions.invoke(arn, event, "elasticloadbalancing")
    if done is None:
        return _function_failed(group, arn, "LambdaAccessDenied")
    version = done.version
    if done.throttled:
        return _function_failed(group, arn, "LambdaThrottling", version)
    if done.failed:
        return _function_failed(group, arn, "LambdaUnhandled", version)
    answer = done.body if isinstance(done.body, dict) else {}
    if not isinstance(answer.get("statusCode"), int):
        return _function_failed(group, arn, "LambdaInvalidResponse", version)
    body = str(answer.get("body") or "")
    if len(body) > MAX_BODY:
        return _function_failed(group, arn, "LambdaResponseTooLarge", version)
    headers = {str(k): str(v) for k, v in (answer.get("headers") or {}).items()}
    return Served(answer["statusCode"], headers, body, None, group, arn, version)


def _function_failed(group: str, arn: str, reason: str, version: str | None = None, status: int = 502) -> Served:
    """The load balancer answers in the function's place. That is an error of its own in the metrics."""
    _count(group, "LambdaUserError")
    served = _refused(group, status, reason)
    served.target, served.executedVersion = arn, version
    return served


def _refused(group: str, status: int, reason: str | None) -> Served:
    metrics = [f"HTTPCode_ELB_{status // 100}XX_Count"]
    if status >= 500:
        metrics.append(f"HTTPCode_ELB_{status}_Count")
    for metric in metrics:
        _count(group, metric, per_group=False)
    return Served(status, {"Server": "awselb/2.0"}, targetGroupArn=group, reason=reason)


async def _from_behaviour(group: str, target: str) -> Served:
    told = _behaviours.get(group, Behaviour())
    slow = random.random() * 100 < told.slowRatePercent
    await asyncio.sleep((told.latencyMs + (told.slowMs if slow else 0.0)) / 1000)
    failed = random.random() * 100 < told.errorRatePercent
    status = told.errorStatusCode if failed else told.statusCode
    name = alb._tgs[group]["TargetGroupName"]
    return Served(status, {}, json.dumps({"version": name}), None, group, target)


def _count(group: str, metric: str, value: float = 1.0, *, unit: str = "Count", per_group: bool = True) -> None:
    """One metric of the load balancer that the group belongs to: for all of it, and for the group in it."""
    spec = parse_arn(group)
    for arn in alb_api.load_balancers(group):
        load_balancer = ("LoadBalancer", parse_arn(arn).resource.removeprefix("loadbalancer/"))
        sets = [(load_balancer,)]
        if per_group:
            sets.append((load_balancer, ("TargetGroup", spec.resource)))
        for dimensions in sets:
            cloudwatch.record(
                "AWS/ApplicationELB",
                metric,
                value,
                dimensions,
                unit=unit,
                account=spec.account_id,
                region=spec.region,
            )


# ── Control ──────────────────────────────────────────────────────────────────────────────────


@control.route("POST", "alb/request")
async def _request(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """One request to a listener, by its ARN, or by a load balancer's DNS name (and port, 80 when not said)."""
    known = {"method", "path", "headers", "query", "body", "cookies"}
    if unknown := set(body) - known - {"listenerArn", "host", "port"}:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    request = Request(**{name: value for name, value in body.items() if name in known})
    listener = body.get("listenerArn") or listener_of(body["host"], int(body.get("port") or 80))
    with request_scope(parse_arn(listener).account_id, parse_arn(listener).region):
        if listener not in alb._listeners:
            raise ValueError(f"no listener {listener}")
        return asdict(await serve(listener, request))


@control.route("POST", "alb/cookie")
def _earlier_visit(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """The cookies of a client that a group served before, which it keeps to for so long."""
    group = body["targetGroupArn"]
    if group not in alb._tgs:
        raise ValueError(f"no target group {group}")
    return {STICKY_COOKIE: _cookie(group, float(body["seconds"]))}


def listener_of(host: str, port: int) -> str:
    """The ARN of the listener behind a load balancer's DNS name."""
    load_balancer = alb.find_lb_for_host(host)
    if load_balancer is None:
        raise ValueError(f"no load balancer is called {host}")
    listeners = alb_api.listeners(load_balancer["LoadBalancerArn"])
    found = next((x["ListenerArn"] for x in listeners if x.get("Port") == port), None)
    if found is None:
        raise ValueError(f"{host} does not listen on port {port}")
    return str(found)


@control.route("POST", "targets/behaviour")
def _behave(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """How the targets of an `ip` or `instance` group answer from now on."""
    settings = dict(body)
    group = settings.pop("targetGroupArn")
    _behaviours[group] = Behaviour(**settings)
    return {}


# ── ministack's own data plane ───────────────────────────────────────────────────────────────


async def _execute_action(
    action: alb_api.Action,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query: dict[str, Any],
    raw_query: str | None = None,
    raw_path: str | None = None,
) -> tuple[int, dict[str, Any], Any]:
    """Forwarding of requests that come by HTTP (`/_alb/NAME/...`); `ip` targets are really asked there."""
    groups = alb_api.groups(action)
    if any(alb._tgs.get(g["TargetGroupArn"], {}).get("TargetType") != "lambda" for g in groups):
        weights = [int(g["Weight"]) for g in groups]
        drawn = random.choices(groups, weights)[0] if any(weights) else groups[0]
        action, groups = {"Type": "forward", "TargetGroupArn": drawn["TargetGroupArn"]}, []
    if not groups:
        whole = (action, method, path, headers, body, query, raw_query, raw_path)
        return await _original_execute_action(*whole)  # type: ignore[no-any-return]
    single = {name: value[-1] if isinstance(value, list) else value for name, value in query.items()}
    request = Request(method, path, headers, single, body.decode("utf-8", "replace") if body else "")
    request.cookies = alb._oidc_parse_cookies(headers)
    served = await forward(action, request)
    # One header each: the target's own, and the load balancer's.
    own = [value for name, value in served.headers.items() if name.lower() == "set-cookie"]
    out: dict[str, Any] = {name: value for name, value in served.headers.items() if name.lower() != "set-cookie"}
    if cookies := [*own, *(f"{name}={value}; Path=/" for name, value in served.cookies.items())]:
        out["Set-Cookie"] = cookies
    return served.status, out, served.body.encode()


_original_execute_action: Any = None


def install() -> None:
    global _original_execute_action
    _original_execute_action = alb._execute_action
    alb._execute_action = _execute_action
