"""EventBridge: deliveries that can be lost, doubled or late, events as AWS's own, schedules at once."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import json
import logging
import os
import threading
import time
from typing import Any

from ministack.core.arn import ArnParseError, parse_arn
from ministack.core.responses import new_uuid, request_scope
from ministack.services import eventbridge as eb
from ministack.services import lambda_svc, sqs

from . import asynchronous, cloudwatch, control, functions, policies, releases

logger = logging.getLogger("bridge.events")


# ── What happens to deliveries ───────────────────────────────────────────────────────────────

_rules: list[dict[str, Any]] = []
_ids = itertools.count(1)
_lock = threading.Lock()


def _fate(event: dict[str, Any]) -> tuple[int, float]:
    """How many times an event is delivered, and after how many seconds."""
    if not _rules:
        return 1, 0.0
    try:
        detail = json.loads(event.get("Detail") or "{}")
    except ValueError:
        detail = {}
    with _lock:
        for rule in _rules:
            if rule.get("detailType") not in (None, event.get("DetailType")):
                continue
            if not _matches(detail, rule.get("match") or {}):
                continue
            if rule["left"] is not None:
                if rule["left"] <= 0:
                    continue
                rule["left"] -= 1
            rule["hits"] += 1
            if rule["do"] == "drop":
                return 0, 0.0
            if rule["do"] == "duplicate":
                return int(rule.get("count") or 2), 0.0
            return 1, float(rule.get("seconds") or 0)
    return 1, 0.0


def _matches(detail: Any, wanted: dict[str, Any]) -> bool:
    """Equal fields of the event's detail; a path may be given with dots."""
    for path, value in wanted.items():
        found = detail
        for part in path.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if isinstance(value, dict):
            if not _matches(found or {}, value):
                return False
        elif found != value:
            return False
    return True


def _dispatch_event(event: dict[str, Any], view: Any = None) -> None:
    count, delay = _fate(event)
    release = releases.named_in(str(event.get("Detail")).encode())
    fault = control.FAULTS.take("events", "Deliver", "events", event.get("DetailType"), release, control.EVENT_KINDS)
    if fault is not None:
        if fault.kind == "clock":
            event = {**event, "Time": int(event["Time"] + fault.seconds)}
            view = eb._pattern_event_view(event)
        elif fault.kind == "late":
            delay += fault.seconds
        elif fault.kind == "again":
            _dispatch_later(fault.seconds, event, view)
        else:
            count = {"lose": 0, "double": 2}[fault.kind]
    for _ in range(count):
        if delay:
            _dispatch_later(delay, event, view)
        else:
            _original_dispatch_event(event, view)


def _dispatch_later(seconds: float, event: dict[str, Any], view: Any) -> None:
    """An event on its way is at work for its release."""
    release = releases.named_in(str(event.get("Detail")).encode())
    releases.begins(release)

    def deliver() -> None:
        try:
            _original_dispatch_event(event, view)
        finally:
            releases.ends(release)

    timer = threading.Timer(seconds, contextvars.copy_context().run, args=(deliver,))
    timer.daemon = True
    timer.start()


# ── Lambda targets ───────────────────────────────────────────────────────────────────────────


def _invoke_target(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
    """A target that cannot be delivered to goes to its dead-letter queue, as EventBridge does."""
    arn = target.get("Arn", "")
    if ":lambda:" in arn:
        record, _config, _name = lambda_svc._get_func_record_for_ref(arn)
        why = None if record is not None else ("RESOURCE_NOT_FOUND", "The target function does not exist.")
        if why is None and not policies.may_invoke(arn, "events.amazonaws.com", rule.get("Arn", "")):
            why = ("NO_PERMISSIONS", "The function's policy does not allow this rule to invoke it.")
        if why is not None:
            logger.warning("EventBridge: %s: %s %s", rule.get("Name"), arn, why[1])
            _dead_letter(target, event, rule, view, *why)
            return
    dimensions = (("RuleName", rule.get("Name", "")),)
    cloudwatch.record("AWS/Events", "Invocations", 1.0, dimensions, unit="Count", timestamp=time.time())
    _original_invoke_target(target, event, rule, view)


def _dead_letter(
    target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any, code: str, message: str
) -> None:
    arn = (target.get("DeadLetterConfig") or {}).get("Arn")
    if not arn:
        return
    queue = sqs._queue_by_arn(arn)
    if queue is None:
        return
    view = view or eb._pattern_event_view(event)
    body = json.dumps(view.event_with_detail())
    try:
        spec = parse_arn(arn)
    except ArnParseError:
        return
    eb._dispatch_to_sqs(spec, body)
    queue["messages"][-1]["message_attributes"] = {
        name: {"DataType": "String", "StringValue": value}
        for name, value in (
            ("ERROR_CODE", code),
            ("ERROR_MESSAGE", message),
            ("RULE_ARN", rule.get("Arn", "")),
            ("TARGET_ARN", target.get("Arn", "")),
        )
    }


def _dispatch_to_lambda(arn: str, payload: str) -> None:
    """EventBridge invokes asynchronously: a function error is tried again twice, then dead-lettered."""
    record, config, name = lambda_svc._get_func_record_for_ref(arn)
    if record is None or config is None:
        return
    with control.internal_call("events", "lambda", "Invoke", name, payload.encode()) as call:
        if call.fault is not None:
            return
        if functions.is_ours(config):
            asyncio.run_coroutine_threadsafe(
                asynchronous.run(record, payload.encode()), functions.ENGINE.loop
            )
        else:
            lambda_svc.invoke_async_with_retry(record, json.loads(payload))


# ── Control ──────────────────────────────────────────────────────────────────────────────────


def _account_and_region(query: dict[str, str]) -> tuple[str, str]:
    return (
        query.get("account") or os.environ["MINISTACK_ACCOUNT_ID"],
        query.get("region") or os.environ["MINISTACK_REGION"],
    )


@control.route("POST", "events/rules")
def _add_rule(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    if body.get("do") not in ("drop", "duplicate", "delay"):
        raise ValueError("do must be drop, duplicate or delay")
    # `count` says how many events are lost or late; for a duplicate, how often each is delivered.
    left = body.get("times", body.get("count") if body["do"] != "duplicate" else None)
    rule = {**body, "id": next(_ids), "left": left, "hits": 0}
    with _lock:
        _rules.append(rule)
    return {"id": rule["id"]}


@control.route("GET", "events/rules")
def _list_rules(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    return {"rules": _rules}


@control.route("DELETE", "events/rules")
def _clear_rules(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    with _lock:
        _rules.clear()
    return {}


@control.route("POST", "events")
def _put_event(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    """An event as AWS itself would send it, `aws.*` sources included, to the bus that the query names.

    Its own account and Region may be others: a bus also carries what is forwarded to it.
    """
    account, region = _account_and_region(query)
    detail = body.get("detail", {})
    with request_scope(account, region):
        record = {
            "EventId": body.get("id") or new_uuid(),
            "Source": body["source"],
            "DetailType": body["detail-type"],
            "Detail": detail if isinstance(detail, str) else json.dumps(detail),
            "EventBusName": "default",
            "Time": eb._coerce_timestamp(body["time"]) if body.get("time") else int(time.time()),
            "Resources": body.get("resources") or [],
            "Account": body.get("account") or account,
            "Region": body.get("region") or region,
        }
        _dispatch_event(record, eb._pattern_event_view(record))
    return {"id": record["EventId"]}


@control.route("POST", "schedules/run")
def _run_schedule(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    """Fire the targets of scheduled rules now, by name or the beginning of it."""
    account, region = _account_and_region(query)
    prefix = body["rule"]
    fired = []
    with request_scope(account, region):
        for key, rule in list(eb._rules.items()):
            if not rule.get("ScheduleExpression") or not rule.get("Name", "").startswith(prefix):
                continue
            event = {
                "EventId": new_uuid(),
                "Source": "aws.events",
                "DetailType": "Scheduled Event",
                "Detail": "{}",
                "EventBusName": rule.get("EventBusName", "default"),
                "Time": int(time.time()),
                "Resources": [rule.get("Arn", "")],
                "Account": account,
                "Region": region,
            }
            view = eb._pattern_event_view(event)
            for target in eb._targets.get(key, []):
                _invoke_target(target, event, rule, view)
            fired.append(rule["Name"])
    if not fired:
        raise ValueError(f"no scheduled rule is named {prefix}*")
    return {"rules": fired}


def _fire_schedules() -> None:
    _run_schedule("", "", {}, {"rule": ""})


control.SCHEDULE = _fire_schedules

_original_dispatch_event: Any = None
_original_invoke_target: Any = None


def install() -> None:
    global _original_dispatch_event, _original_invoke_target
    _original_dispatch_event = eb._dispatch_event
    _original_invoke_target = eb._invoke_target
    eb._dispatch_event = _dispatch_event
    eb._invoke_target = _invoke_target
    eb._dispatch_to_lambda = _dispatch_to_lambda
