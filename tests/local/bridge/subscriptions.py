"""CloudWatch Logs' subscription filters: two a log group, patterns, and deliveries as AWS makes them.

A delivery has lines of one stream, gzipped, comes seconds later to the function asynchronously, at least once and
in no sure order. `logs/deliveries` of the control API says how late, how many twice, and how many not at all.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import gzip
import itertools
import json
import operator
import random
import re
import threading
import time
from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json, get_region, json_response, request_scope
from ministack.services import cloudwatch_logs as logs
from ministack.services import lambda_svc

from . import asynchronous, control, functions, policies, telemetry
from .routing import ROUTE

SLOTS = 2
LONGEST_PATTERN = 1024
BATCH_SECONDS = 0.2
"""For how long lines of a stream are gathered."""


class Deliveries:
    """How they come: seconds from a line to its delivery, and shares from 0 to 1."""

    least_seconds = 0.5
    most_seconds = 2.0
    twice = 0.05
    lost = 0.0
    lost_of: set[str] = set()
    """Log groups of which nothing is ever delivered."""


_waiting: dict[tuple[str, str, str, str], list[dict[str, Any]]] = {}
_lock = threading.Lock()
_ids = itertools.count(1)
_delivered: list[dict[str, Any]] = []


@control.route("POST", "logs/deliveries")
def _set(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """Sets how deliveries come, and returns those that were made: filter, stream and how late, no line."""
    if "lost_of" in body:
        Deliveries.lost_of.add(str(body["lost_of"]))
    for name in ("least_seconds", "most_seconds", "twice", "lost"):
        if name in body:
            setattr(Deliveries, name, float(body[name]))
    return {"delivered": list(_delivered)}


@control.route("POST", "logs/filters")
def _filters(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """The subscription filters of all log groups whose names begin with `prefix`."""
    found = [
        {"group": name, "filter": each}
        for name, group in list(logs._log_groups.items())
        if name.startswith(body.get("prefix", ""))
        for each in list(group.get("subscriptionFilters") or {})
    ]
    return {"filters": found}


# ── Patterns ─────────────────────────────────────────────────────────────────────────────────


class InvalidPattern(Exception):
    """A pattern that CloudWatch Logs refuses."""


Matcher = Callable[[str], bool]


@functools.cache
def matcher(pattern: str) -> Matcher:
    """What a pattern matches: terms of text, or a condition on fields of JSON."""
    if len(pattern) > LONGEST_PATTERN:
        raise InvalidPattern("Filter pattern is too long")
    pattern = pattern.strip()
    if pattern.startswith("{"):
        return _Condition(pattern).matcher()
    # Of fields between spaces only those without conditions are here: every line has them.
    if re.fullmatch(r"\[\s*((\w+|\.\.\.)\s*(,\s*(\w+|\.\.\.)\s*)*)?\]", pattern):
        return lambda line: True
    return _terms(pattern)


def _terms(pattern: str) -> Matcher:
    found = re.findall(r'([?-]?)(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))', pattern)
    rest = re.sub(r'([?-]?)(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))', "", pattern)
    if rest.strip():
        raise InvalidPattern("Invalid filter pattern")
    terms = [(sign, re.sub(r"\\(.)", r"\1", quoted) if quoted else plain) for sign, quoted, plain in found]
    wanted = [term for sign, term in terms if sign == ""]
    any_of = [term for sign, term in terms if sign == "?"]
    without = [term for sign, term in terms if sign == "-"]
    for term in (plain for _sign, _quoted, plain in found):
        if term and not re.fullmatch(r"[A-Za-z0-9_]+", term):
            raise InvalidPattern(f"term {term} has to be in quotes")

    def matches(line: str) -> bool:
        return (
            all(term in line for term in wanted)
            # With a term that all need, those with a question mark do not count.
            and (bool(wanted) or not any_of or any(term in line for term in any_of))
            and not any(term in line for term in without)
        )

    return matches


_TOKEN = re.compile(r'\s*(\(|\)|&&|\|\||!=|>=|<=|=|>|<|"(?:[^"\\]|\\.)*"|\$(?:\.[A-Za-z0-9_-]+|\[\d+\])+|-?[0-9.]+)')
_COMPARE = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}


class _Condition:
    def __init__(self, pattern: str) -> None:
        if not pattern.endswith("}"):
            raise InvalidPattern("Invalid filter pattern: no closing brace")
        text, at, self.tokens = pattern[1:-1].strip(), 0, list[str]()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise InvalidPattern(f"Invalid character in filter pattern at {text[at:at + 10]!r}")
            self.tokens.append(found[1])
            at = found.end()
        self.at = 0

    def matcher(self) -> Matcher:
        condition = self._either()
        if self.at != len(self.tokens):
            raise InvalidPattern("Invalid filter pattern")

        def matches(line: str) -> bool:
            try:
                told = json.loads(line)
            except ValueError:
                return False
            return isinstance(told, dict) and condition(told)

        return matches

    def _next(self) -> str:
        if self.at == len(self.tokens):
            raise InvalidPattern("Invalid filter pattern: it ends early")
        self.at += 1
        return self.tokens[self.at - 1]

    def _has(self, word: str) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at] == word:
            self.at += 1
            return True
        return False

    def _either(self) -> Callable[[Any], bool]:
        parts = [self._both()]
        while self._has("||"):
            parts.append(self._both())
        return lambda told: any(part(told) for part in parts)

    def _both(self) -> Callable[[Any], bool]:
        parts = [self._one()]
        while self._has("&&"):
            parts.append(self._one())
        return lambda told: all(part(told) for part in parts)

    def _one(self) -> Callable[[Any], bool]:
        if self._has("("):
            inner = self._either()
            if not self._has(")"):
                raise InvalidPattern("Invalid filter pattern: no closing parenthesis")
            return inner
        field, sign, wanted = self._next(), self._next(), self._next()
        if not field.startswith("$"):
            raise InvalidPattern(f"Invalid filter pattern: {field} is no field")
        if sign in _COMPARE:
            number, compare = float(wanted), _COMPARE[sign]

            def compares(told: Any) -> bool:
                value = _value(told, field)
                return isinstance(value, (int, float)) and not isinstance(value, bool) and compare(value, number)

            return compares
        if sign not in ("=", "!="):
            raise InvalidPattern(f"Invalid filter pattern: {sign} is no comparison")
        if wanted.startswith('"'):
            text = re.escape(re.sub(r"\\(.)", r"\1", wanted[1:-1])).replace(r"\*", ".*")
            same = lambda value: isinstance(value, str) and re.fullmatch(text, value, re.DOTALL) is not None  # noqa: E731
        else:
            equal = float(wanted)
            same = lambda value: isinstance(value, (int, float)) and value == equal  # noqa: E731
        if sign == "=":
            return lambda told: same(_value(told, field))
        # A field that is not there is not unequal either.
        return lambda told: _value(told, field) is not None and not same(_value(told, field))


def _value(told: Any, field: str) -> Any:
    for name, index in re.findall(r"\.([A-Za-z0-9_-]+)|\[(\d+)\]", field):
        if name:
            told = told.get(name) if isinstance(told, dict) else None
        else:
            told = told[int(index)] if isinstance(told, list) and int(index) < len(told) else None
    return told


# ── The API ──────────────────────────────────────────────────────────────────────────────────


def _put(data: dict[str, Any]) -> Any:
    group = logs._log_groups.get(data.get("logGroupName"))
    if group is not None:
        others = set(group["subscriptionFilters"]) - {data.get("filterName")}
        if group.get("logGroupClass") not in (None, "STANDARD"):
            return error_response_json(
                "InvalidOperationException", "Subscription filters are not supported for this log group class.", 400
            )
        if len(others) >= SLOTS:
            return error_response_json("LimitExceededException", "Resource limit exceeded.", 400)
        try:
            matcher(data.get("filterPattern", ""))
        except (InvalidPattern, ValueError) as error:
            return error_response_json("InvalidParameterException", str(error), 400)
        source = logs._make_group_arn(data["logGroupName"]).removesuffix(":*") + ":*"
        arn = data.get("destinationArn", "")
        principals = ("logs.amazonaws.com", f"logs.{get_region()}.amazonaws.com")
        if not any(policies.may_invoke(arn, principal, source) for principal in principals):
            return error_response_json(
                "InvalidParameterException",
                "Could not execute the lambda function. Make sure you have given CloudWatch Logs permission to execute "
                "your function.",
                400,
            )
    return _original_put(data)


# ── Deliveries ───────────────────────────────────────────────────────────────────────────────


def offer(account: str, region: str, name: str, stream: str, events: list[dict[str, Any]]) -> None:
    """Lines that were just written: what filters let through is delivered later."""
    filters = (logs._log_groups.get(name) or {}).get("subscriptionFilters") or {}
    for each in list(filters.values()):
        if f":function:{name.removeprefix('/aws/lambda/')}" in each["destinationArn"]:
            continue
        matches = matcher(each["filterPattern"])
        for event in events:
            if not matches(event["message"]):
                continue
            line = {"id": f"{next(_ids):056d}", "timestamp": event["timestamp"], "message": event["message"]}
            with _lock:
                waiting = _waiting.setdefault((name, stream, each["filterName"], each["destinationArn"]), [])
                waiting.append(line)
                is_first = len(waiting) == 1
            if is_first:
                key = (name, stream, each["filterName"], each["destinationArn"])
                asyncio.run_coroutine_threadsafe(_deliver(account, region, key), functions.ENGINE.loop)


async def _deliver(account: str, region: str, key: tuple[str, str, str, str]) -> None:
    name, stream, filter_name, destination = key
    began = time.monotonic()
    await asyncio.sleep(BATCH_SECONDS)
    with _lock:
        lines = _waiting.pop(key, [])
    if name in Deliveries.lost_of or random.random() < Deliveries.lost:
        return
    await asyncio.sleep(random.uniform(Deliveries.least_seconds, Deliveries.most_seconds))
    payload = {
        "messageType": "DATA_MESSAGE",
        "owner": account,
        "logGroup": name,
        "logStream": stream,
        "subscriptionFilters": [filter_name],
        "logEvents": lines,
    }
    event = {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(payload).encode())).decode()}}
    with request_scope(account, region):
        record = lambda_svc._functions.get(destination.split(":function:")[-1].split(":")[0])
    if record is None:
        return
    times = 2 if random.random() < Deliveries.twice else 1
    _delivered.append(
        {"filter": filter_name, "stream": stream, "lines": len(lines), "times": times,
         "seconds": round(time.monotonic() - began, 3)}
    )
    for _ in range(times):
        asyncio.ensure_future(asynchronous.run({**record, ROUTE: None}, json.dumps(event).encode()))


_original_put: Any = None


def install() -> None:
    global _original_put
    _original_put = logs._put_subscription_filter
    logs._put_subscription_filter = _put
    telemetry.LISTENERS.append(offer)
    # Delivered here, late and in batches, and not at once.
    logs._fanout_to_subscription_filters = lambda *_args: None
