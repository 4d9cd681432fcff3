"""CloudWatch: metrics by their exact dimensions, metric math, alarms that fire, and their events.

Replaces ministack's point lists by `metrics.Store`, its alarm evaluation by one that honours
dimensions, periods, M-of-N and missing data, and emits "CloudWatch Alarm State Change".
"""

from __future__ import annotations

import contextvars
import json
import logging
import re
import threading
import time
from datetime import datetime, timezone
from typing import Any
from xml.sax.saxutils import escape

from ministack.core.responses import get_account_id, get_region, new_uuid, request_scope
from ministack.services import cloudwatch as cw
from ministack.services import eventbridge
from ministack.services.cloudformation import provisioners

from . import alarm_kinds, metric_math
from .metrics import Key, Store, dimensions_of, statistic, statistic_is_known

logger = logging.getLogger("bridge.cloudwatch")

STORE = Store()

EVALUATE_EVERY_SECONDS = 0.5
SET_STATE_HOLD_SECONDS = 10.0
"""How long SetAlarmState stands before data may overrule it: AWS evaluates once a period."""

MANAGED_FIELDS = (
    "Metrics",
    "EvaluateLowSampleCountPercentile",
    "ThresholdMetricId",
    "EvaluationCriteria",
    "EvaluationInterval",
    "WarmUpConfiguration",
)
_SET_AT = "_set_at"
_SET_BY_HAND = "_set_by_hand"
_last_state: dict[tuple[str, str, str], dict[str, Any]] = {}


# ── Storing ──────────────────────────────────────────────────────────────────────────────────


def record(
    namespace: str,
    name: str,
    value: float,
    dimensions: tuple[tuple[str, str], ...],
    *,
    unit: str,
    timestamp: float | None = None,
    account: str | None = None,
    region: str | None = None,
) -> None:
    key = (account or get_account_id(), region or get_region(), namespace, name, dimensions)
    STORE.record(key, timestamp or time.time(), value, unit=unit)


def _record_metric(
    namespace: str, metric_name: str, value: float, unit: str = "None", dimensions: dict[str, str] | None = None
) -> None:
    """ministack's entry point for its own services' metrics."""
    record(namespace, metric_name, float(value), tuple(sorted((dimensions or {}).items())), unit=unit)


def _put_metric_data(data: dict[str, Any]) -> dict[str, Any]:
    namespace = data.get("Namespace", "")
    for datum in data.get("MetricData") or []:
        key = _key(namespace, datum.get("MetricName", ""), datum.get("Dimensions"))
        at = cw._parse_ts(datum.get("Timestamp")) or time.time()
        unit = datum.get("Unit", "None")
        if datum.get("Values"):
            counts = datum.get("Counts") or [1.0] * len(datum["Values"])
            for value, count in zip(datum["Values"], counts):
                STORE.record(key, at, float(value), float(count), unit)
        elif datum.get("StatisticValues"):
            STORE.record_set(key, at, {k: float(v) for k, v in datum["StatisticValues"].items()}, unit)
        else:
            STORE.record(key, at, float(datum.get("Value") or 0), unit=unit)
    return {}


def _key(namespace: str, name: str, dimensions: Any) -> Key:
    return (get_account_id(), get_region(), namespace, name, dimensions_of(dimensions))


# ── Reading ──────────────────────────────────────────────────────────────────────────────────


class Refused(Exception):
    """An error answer: code, message, status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def _list_metrics(data: dict[str, Any]) -> dict[str, Any]:
    found = []
    for key, _unit in STORE.keys(get_account_id(), get_region()):
        _, _, namespace, name, dimensions = key
        if data.get("Namespace") not in (None, "", namespace) or data.get("MetricName") not in (None, "", name):
            continue
        has = dict(dimensions)
        wanted = data.get("Dimensions") or []
        if all(w.get("Name") in has and w.get("Value") in (None, "", has[w["Name"]]) for w in wanted):
            found.append(
                {
                    "Namespace": namespace,
                    "MetricName": name,
                    "Dimensions": [{"Name": n, "Value": v} for n, v in dimensions],
                }
            )
    return {"Metrics": found}


def _get_metric_statistics(data: dict[str, Any]) -> dict[str, Any]:
    period = int(data.get("Period") or 60)
    start, end = cw._parse_ts(data.get("StartTime")) or 0.0, cw._parse_ts(data.get("EndTime")) or time.time()
    key = _key(data.get("Namespace", ""), data.get("MetricName", ""), data.get("Dimensions"))
    origin = _floor(start, 60 if period >= 60 else period)
    points = []
    for at, bucket in sorted(STORE.periods(key, origin, end, period, origin).items()):
        point: dict[str, Any] = {"Timestamp": float(at), "Unit": STORE.unit(key)}
        for name in data.get("Statistics") or []:
            point[name] = statistic(bucket, name)
        extended = {
            name: value
            for name in data.get("ExtendedStatistics") or []
            if (value := statistic(bucket, name)) is not None
        }
        if extended:
            point["ExtendedStatistics"] = extended
        points.append(point)
    return {"Label": data.get("MetricName"), "Datapoints": points}


def _floor(at: float, step: int) -> int:
    return int(at // step * step)


def _get_metric_data(data: dict[str, Any]) -> dict[str, Any]:
    queries = data.get("MetricDataQueries") or []
    if not 0 < len(queries) <= 500:
        raise Refused("ValidationError", "The collection MetricDataQueries must contain 1 to 500 queries.")
    start, end = cw._parse_ts(data.get("StartTime")), cw._parse_ts(data.get("EndTime"))
    if start is None or end is None or start >= end:
        raise Refused("ValidationError", "The parameter StartTime must be less than the parameter EndTime.")
    newest_first = data.get("ScanBy", "TimestampDescending") != "TimestampAscending"
    results = []
    for query, series in evaluate_queries(queries, start, end):
        if _is_false(query.get("ReturnData")):
            continue
        stamps = sorted(series, reverse=newest_first)
        results.append(
            {
                "Id": query.get("Id", ""),
                "Label": query.get("Label") or _label(query),
                "Timestamps": [float(at) for at in stamps],
                "Values": [series[at] for at in stamps],
                "StatusCode": "Complete",
            }
        )
    return {"MetricDataResults": results, "Messages": []}


def _is_false(value: Any) -> bool:
    return value is False or value == "false"


def _label(query: dict[str, Any]) -> str:
    metric = (query.get("MetricStat") or {}).get("Metric") or {}
    return metric.get("MetricName") or query.get("Id", "")


def evaluate_queries(
    queries: list[dict[str, Any]], start: float, end: float, origin: int | None = None
) -> list[tuple[dict[str, Any], metric_math.Series]]:
    """Every query's series, expressions included, in the order asked."""
    named: dict[str, metric_math.Series] = {}
    period = 60
    for query in queries:
        stat = query.get("MetricStat")
        if not stat:
            continue
        period = int(stat.get("Period") or 60)
        name = stat.get("Stat") or "Average"
        if not statistic_is_known(name):
            raise Refused("ValidationError", f"The value {name} for parameter Stat is not supported.")
        metric = stat.get("Metric") or {}
        key = _key(metric.get("Namespace", ""), metric.get("MetricName", ""), metric.get("Dimensions"))
        base = origin if origin is not None else _floor(start, 60 if period >= 60 else period)
        first = base if origin is None else start
        named[query.get("Id", "")] = {
            at: value
            for at, bucket in STORE.periods(key, first, end, period, base).items()
            if (value := statistic(bucket, name)) is not None
        }
    waiting = [q for q in queries if q.get("Expression")]
    several: dict[str, list[metric_math.Series]] = {}
    # An expression may name another: compute what can be computed until nothing is left.
    while waiting:
        unknown = {q.get("Id", "") for q in waiting}
        ready = [q for q in waiting if not _names_in(q["Expression"]) & (unknown - {q.get("Id", "")})]
        if not ready:
            raise Refused("ValidationError", "The expressions refer to each other in a circle.")
        for query in ready:
            try:
                found = metric_math.evaluate(query["Expression"], named, int(query.get("Period") or period))
            except metric_math.MathError as error:
                raise Refused("ValidationError", str(error)) from error
            several[query.get("Id", "")] = found
            if len(found) == 1:
                named[query.get("Id", "")] = found[0]
        waiting = [q for q in waiting if q not in ready]
    out = []
    for query in queries:
        identity = query.get("Id", "")
        for series in several.get(identity) or [named.get(identity, {})]:
            out.append((query, series))
    return out


def _names_in(expression: str) -> set[str]:
    return set(re.findall(r"[a-z][A-Za-z0-9_]*", expression))


# ── Alarms ───────────────────────────────────────────────────────────────────────────────────

_BREACHES = {
    "GreaterThanOrEqualToThreshold": lambda v, t: v >= t,
    "GreaterThanThreshold": lambda v, t: v > t,
    "LessThanThreshold": lambda v, t: v < t,
    "LessThanOrEqualToThreshold": lambda v, t: v <= t,
}


def _put_metric_alarm(data: dict[str, Any]) -> dict[str, Any]:
    name = data.get("AlarmName", "")
    metrics = data.get("Metrics")
    if metrics:
        shown = [q for q in metrics if not _is_false(q.get("ReturnData"))]
        if len(shown) != 1:
            raise Refused("ValidationError", "Exactly one element of the metrics list should return data.")
    elif not data.get("MetricName") and not data.get("EvaluationCriteria"):
        raise Refused("ValidationError", "Either MetricName or Metrics must be given.")
    before = cw._alarms.get(name)
    _call(cw._put_metric_alarm_of_ministack, data)
    alarm = cw._alarms[name]
    for field in MANAGED_FIELDS:
        if data.get(field) is not None:
            alarm[field] = data[field]
    if metrics:
        for field in ("MetricName", "Namespace", "Statistic", "Period", "ExtendedStatistic"):
            alarm.pop(field, None)
    elif data.get("ExtendedStatistic"):
        alarm.pop("Statistic", None)
    alarm_kinds.finish_metric_alarm(alarm, data, before is None)
    for field in ("AlarmDescription", "TreatMissingData"):
        if not data.get(field):
            alarm.pop(field, None)
    now = time.time()
    alarm["AlarmConfigurationUpdatedTimestamp"] = now
    if before is None:
        alarm["StateUpdatedTimestamp"] = alarm["StateTransitionedTimestamp"] = now
    else:
        for field in ("StateReasonData", "StateTransitionedTimestamp", _SET_AT, _SET_BY_HAND):
            if field in before:
                alarm[field] = before[field]
    return {}


def _cloudformation_put_metric_alarm(alarm: dict[str, Any]) -> None:
    before = cw._alarms.get(alarm["AlarmName"])
    _original_cloudformation_put(alarm)
    now = time.time()
    alarm.setdefault("StateTransitionedTimestamp", now)
    if before is not None:
        for field in (
            "StateValue",
            "StateReason",
            "StateReasonData",
            "StateUpdatedTimestamp",
            "StateTransitionedTimestamp",
            _SET_AT,
            _SET_BY_HAND,
        ):
            if field in before:
                alarm[field] = before[field]


def _set_alarm_state(data: dict[str, Any]) -> dict[str, Any]:
    name = data.get("AlarmName", "")
    state = data.get("StateValue", "")
    if state not in ("OK", "ALARM", "INSUFFICIENT_DATA"):
        raise Refused(
            "ValidationError",
            f"1 validation error detected: Value '{state}' at 'stateValue' failed to "
            "satisfy constraint: Member must satisfy enum value set: [INSUFFICIENT_DATA, ALARM, OK]",
        )
    alarm = cw._alarms.get(name)
    if alarm is not None:
        # Set before the change is told: the evaluating thread must not undo it in between.
        alarm[_SET_AT], alarm[_SET_BY_HAND] = time.time(), True
        if not data.get("StateReasonData"):
            alarm.pop("StateReasonData", None)
    _call(cw._set_alarm_state_of_ministack, data)
    return {}


def _describe_alarms(data: dict[str, Any]) -> dict[str, Any]:
    types = data.get("AlarmTypes") or ["MetricAlarm"]
    # Log alarms are kept beside metric alarms.
    answer = _call(cw._describe_alarms_of_ministack, {**data, "AlarmTypes": [*types, "MetricAlarm"]})
    answer = alarm_kinds.split(types, answer)
    for listed in (answer["MetricAlarms"], answer.get("CompositeAlarms") or [], answer.get("LogAlarms") or []):
        listed[:] = [{k: v for k, v in alarm.items() if not k.startswith("_") and v is not None} for alarm in listed]
    return answer


_CROSSED = {
    "GreaterThanThreshold": "greater than",
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}


def _reason(state: str, operator: str, points: list[float], threshold: float, now: float) -> str:
    """Why an alarm changes its state, in AWS's words."""
    one = len(points) == 1
    if state == "INSUFFICIENT_DATA" or not points:
        return f"Insufficient Data: {len(points)} datapoint{'' if one else 's'} {'was' if one else 'were'} unknown."
    at = time.strftime("%d/%m/%y %H:%M:%S", time.gmtime(now))
    shown = ", ".join(f"{point} ({at})" for point in map(float, points))
    crossed = _CROSSED.get(operator, "outside of")
    verb = ("was " if one else "were ") + ("" if state == "ALARM" else "not ")
    return (
        f"Threshold Crossed: {len(points)} datapoint{'' if one else 's'} [{shown}] {verb}{crossed} the threshold "
        f"({threshold})."
    )


def _evaluate_alarm(alarm: dict[str, Any]) -> None:
    """Compute one alarm's state now and move it there if it differs."""
    now = time.time()
    queries = alarm.get("Metrics")
    if not queries and not alarm.get("MetricName"):
        return
    if alarm_kinds.is_warming(alarm):
        return
    needed = int(alarm.get("EvaluationPeriods") or 1)
    if queries:
        periods = [int((q.get("MetricStat") or {}).get("Period") or q.get("Period") or 0) for q in queries]
        period = max(periods) or 60
        shown = next((q for q in queries if not _is_false(q.get("ReturnData"))), queries[-1])
    else:
        period = int(alarm.get("Period") or 60)
        stat = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
        shown = {
            "Id": "m1",
            "MetricStat": {
                "Metric": {
                    "Namespace": alarm.get("Namespace"),
                    "MetricName": alarm["MetricName"],
                    "Dimensions": alarm.get("Dimensions") or [],
                },
                "Period": period,
                "Stat": stat,
            },
        }
        queries = [shown]
    current = _floor(now, period)
    # One period more than needed: CloudWatch prefers an older real point to a missing one.
    start = current - needed * period
    series = next(s for q, s in evaluate_queries(queries, start, current + period, origin=current) if q is shown)
    real = [series[at] for at in sorted(series, reverse=True)]

    state = _state_of(alarm, real, needed)
    if alarm.get(_SET_BY_HAND):
        if not real or now - alarm.get(_SET_AT, 0.0) < SET_STATE_HOLD_SECONDS:
            return
        alarm.pop(_SET_BY_HAND, None)
    if state is None or state == alarm["StateValue"]:
        return
    threshold = float(alarm.get("Threshold") or 0)
    reason = _reason(state, str(alarm.get("ComparisonOperator")), real[:needed], threshold, now)
    moment = _stamp(now)
    reason_data = {
        "version": "1.0",
        "queryDate": moment,
        "startDate": _stamp(start),
        "period": period,
        "recentDatapoints": real[:needed][::-1],
        "threshold": threshold,
    }
    if "MetricName" in alarm:
        reason_data["statistic"] = alarm.get("ExtendedStatistic") or alarm.get("Statistic")
    old = alarm["StateValue"]
    alarm["StateValue"], alarm["StateReason"] = state, reason
    alarm["StateReasonData"] = json.dumps(reason_data, separators=(",", ":"))
    alarm["StateUpdatedTimestamp"] = now
    cw._record_history(alarm["AlarmName"], old, state, reason, reason_data=reason_data)
    cw._dispatch_alarm_actions(alarm, old, state, reason)
    cw._evaluate_parent_alarms(alarm)


def _state_of(alarm: dict[str, Any], real: list[float], needed: int) -> str | None:
    """ALARM, OK or INSUFFICIENT_DATA; None to keep the present state (newest values first)."""
    breaches = _BREACHES.get(alarm.get("ComparisonOperator") or "", lambda v, t: False)
    threshold = float(alarm.get("Threshold") or 0)
    to_alarm = int(alarm.get("DatapointsToAlarm") or needed)
    missing = max(0, needed - len(real))
    bad = sum(1 for value in real[:needed] if breaches(value, threshold))
    treat = alarm.get("TreatMissingData") or "missing"
    if missing and treat == "ignore":
        return "ALARM" if bad >= to_alarm else None
    if treat == "breaching":
        bad += missing
    elif treat == "missing" and missing:
        if not real:
            return "INSUFFICIENT_DATA"
        # Only what exists is judged: with fewer points than wanted, all of them must breach.
        to_alarm = min(to_alarm, len(real))
    return "ALARM" if bad >= to_alarm else "OK"


def _evaluate_all_scopes() -> None:
    for (account, region, _name), alarm in list(cw._alarms._data.items()):
        with request_scope(account, region):
            try:
                _evaluate_alarm(alarm)
            except Refused as refused:
                logger.debug("alarm %s: %s", alarm.get("AlarmName"), refused)
            except Exception:
                logger.exception("alarm %s could not be evaluated", alarm.get("AlarmName"))


def start_evaluating() -> None:
    def loop() -> None:
        while True:
            time.sleep(EVALUATE_EVERY_SECONDS)
            _evaluate_all_scopes()

    # An empty context: the scope comes from each alarm's own key.
    threading.Thread(target=contextvars.Context().run, args=(loop,), daemon=True, name="bridge-alarms").start()


# ── Events ───────────────────────────────────────────────────────────────────────────────────


def _stamp(epoch: float) -> str:
    """`2019-10-02T17:04:40.989+0000`: no colon in the offset, as CloudWatch writes it in events."""
    at = datetime.fromtimestamp(epoch, tz=timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}+0000"


def _record_history(
    alarm_name: str,
    old_state: str,
    new_state: str,
    reason: str,
    alarm_type: str = "MetricAlarm",
    reason_data: Any = None,
) -> None:
    """Every transition passes here, so here the event is told."""
    _original_record_history(alarm_name, old_state, new_state, reason, alarm_type, reason_data)
    alarm = cw._alarms.get(alarm_name) or cw._composite_alarms.get(alarm_name)
    if alarm is None or old_state == new_state:
        return
    now = time.time()
    alarm["StateUpdatedTimestamp"] = alarm["StateTransitionedTimestamp"] = now
    emit_state_change(alarm, old_state, now)


def emit_state_change(alarm: dict[str, Any], old_state: str, now: float) -> None:
    identity = (get_account_id(), get_region(), alarm["AlarmName"])
    detail_type = alarm_kinds.event_type(alarm)
    if detail_type is None:
        return
    state = {"reason": alarm.get("StateReason", ""), "timestamp": _stamp(now), "value": alarm["StateValue"]}
    if alarm.get("_no_reason") == "null":
        state["reason"] = None
    elif alarm.get("_no_reason"):
        del state["reason"]
    if alarm.get("StateReasonData"):
        state["reasonData"] = alarm["StateReasonData"]
    previous = _last_state.get(identity)
    if previous is None or previous["value"] != old_state:
        previous = {
            "reason": "Unchecked: Initial alarm creation",
            "value": old_state,
            "timestamp": _stamp(alarm.get("AlarmConfigurationUpdatedTimestamp") or now),
        }
    _last_state[identity] = state
    configuration: dict[str, Any] = {}
    if alarm.get("AlarmDescription"):
        configuration["description"] = alarm["AlarmDescription"]
    if "AlarmRule" in alarm:
        configuration["alarmRule"] = alarm["AlarmRule"]
    else:
        configuration["metrics"] = _event_metrics(alarm)
    detail = {
        "alarmName": alarm["AlarmName"],
        "configuration": configuration,
        "previousState": previous,
        "state": state,
        **alarm_kinds.mute_detail(alarm),
    }
    eventbridge._put_events(
        {
            "Entries": [
                {
                    "Source": "aws.cloudwatch",
                    "DetailType": detail_type,
                    "Detail": json.dumps(detail),
                    "Resources": [alarm["AlarmArn"]],
                }
            ]
        },
        allow_aws_source=True,
    )


def _event_metrics(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    if not alarm.get("Metrics"):
        return [
            {
                "id": new_uuid(),
                "metricStat": {
                    "metric": {
                        "dimensions": {d["Name"]: d["Value"] for d in alarm.get("Dimensions") or []},
                        "name": alarm.get("MetricName"),
                        "namespace": alarm.get("Namespace"),
                    },
                    "period": alarm.get("Period"),
                    "stat": alarm.get("ExtendedStatistic") or alarm.get("Statistic"),
                },
                "returnData": True,
            }
        ]
    out = []
    for query in alarm["Metrics"]:
        item: dict[str, Any] = {"id": query.get("Id")}
        if query.get("Expression"):
            item["expression"] = query["Expression"]
        else:
            stat = query["MetricStat"]
            metric = stat.get("Metric") or {}
            item["metricStat"] = {
                "metric": {
                    "dimensions": {d["Name"]: d["Value"] for d in metric.get("Dimensions") or []},
                    "name": metric.get("MetricName"),
                    "namespace": metric.get("Namespace"),
                },
                "period": stat.get("Period"),
                "stat": stat.get("Stat"),
            }
        if query.get("Label"):
            item["label"] = query["Label"]
        item["returnData"] = not _is_false(query.get("ReturnData"))
        out.append(item)
    return out


# ── Protocols ────────────────────────────────────────────────────────────────────────────────

ACTIONS = {
    "PutMetricData": _put_metric_data,
    "ListMetrics": _list_metrics,
    "GetMetricStatistics": _get_metric_statistics,
    "GetMetricData": _get_metric_data,
    "PutMetricAlarm": _put_metric_alarm,
    "SetAlarmState": _set_alarm_state,
    "DescribeAlarms": _describe_alarms,
}


def _call(handler: Any, data: dict[str, Any]) -> dict[str, Any]:
    """Run one of ministack's handlers as if asked in JSON; its error answer becomes `Refused`."""
    status, _headers, body = handler({}, data, False, True)
    answer = json.loads(body) if body else {}
    if status >= 400:
        raise Refused(answer.get("__type", "InternalFailure"), answer.get("message", ""), status)
    return answer


def _handler(action: str) -> Any:
    def handle(params: dict[str, Any], data: dict[str, Any], is_cbor: bool, is_json: bool = False) -> Any:
        query = not (is_cbor or is_json)
        if query:
            data = _from_query(params)
        try:
            answer = ACTIONS[action](data)
        except Refused as refused:
            return cw._error(refused.code, refused.message, refused.status, use_json=is_json, use_cbor=is_cbor)
        if query:
            return cw._xml(200, f"{action}Response", f"<{action}Result>{_to_xml(answer)}</{action}Result>")
        return cw._cbor_ok(_tagged(answer)) if is_cbor else cw._json_ok(answer)

    return handle


def _tagged(value: Any, key: str = "") -> Any:
    """Timestamps as CBOR tag 1: the Rust client refuses a bare number."""
    if isinstance(value, dict):
        return {k: _tagged(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_tagged(v, key[:-1] if key.endswith("Timestamps") else "") for v in value]
    if key.endswith("Timestamp") and isinstance(value, (int, float)) and not isinstance(value, bool):
        return cw._cbor_timestamp(float(value))
    return value


def _from_query(params: dict[str, Any]) -> dict[str, Any]:
    """`A.member.1.B=x` as `{"A": [{"B": "x"}]}`."""
    root: dict[str, Any] = {}
    for name in params:
        if name in ("Action", "Version"):
            continue
        value: Any = cw._p(params, name)
        if name == "ActionsEnabled":  # Any other client's answer has it as a boolean.
            value = value == "true"
        node = root
        parts = name.split(".")
        for part in parts[:-1]:
            node = node.setdefault(part, {})
        node[parts[-1]] = value
    return _lists(root)


def _lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if set(node) == {"member"}:
        members = node["member"]
        return [_lists(members[index]) for index in sorted(members, key=int)]
    return {key: _lists(value) for key, value in node.items()}


def _to_xml(value: Any, key: str = "") -> str:
    if isinstance(value, dict):
        return "".join(f"<{k}>{_to_xml(v, k)}</{k}>" for k, v in value.items() if v is not None)
    if isinstance(value, list):
        return "".join(f"<member>{_to_xml(item, key[:-1])}</member>" for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if key.endswith("Timestamp") and isinstance(value, (int, float)):
        return cw._ts_iso(value)
    return escape(str(value))


def install() -> None:
    global _original_record_history, _original_cloudformation_put
    _original_record_history = cw._record_history
    _original_cloudformation_put = cw.cloudformation_put_metric_alarm
    cw._put_metric_alarm_of_ministack = cw._put_metric_alarm
    cw._set_alarm_state_of_ministack = cw._set_alarm_state
    cw._describe_alarms_of_ministack = cw._describe_alarms
    for action in ACTIONS:
        # ministack looks its handlers up by name at each request.
        name = "_" + "".join("_" + c.lower() if c.isupper() else c for c in action).lstrip("_")
        assert hasattr(cw, name), f"ministack no longer has {name}"
        setattr(cw, name, _handler(action))
    cw._record_history = _record_history
    cw.cloudformation_put_metric_alarm = _cloudformation_put_metric_alarm
    cw.record_metric = _record_metric
    cw._evict_old_metrics = lambda: None
    cw._evaluate_alarm = lambda alarm: None
    cw._evaluate_all_alarms = lambda: None
    original_alarm_record = provisioners._cw_metric_alarm_record

    def alarm_record(name: str, props: dict[str, Any]) -> dict[str, Any]:
        """ministack refuses metric math in a template's alarm: give it a plain one, then put the math back."""
        metrics = props.get("Metrics")
        if not metrics:
            return original_alarm_record(name, props)
        plain = {k: v for k, v in props.items() if k != "Metrics"}
        alarm = original_alarm_record(name, {**plain, "MetricName": "-", "Namespace": "-"})
        for field in ("MetricName", "Namespace", "Statistic", "Period", "ExtendedStatistic"):
            alarm.pop(field, None)
        return {**alarm, "Metrics": metrics}

    provisioners._cw_metric_alarm_record = alarm_record
    original_reset = cw.reset

    def reset() -> None:
        original_reset()
        STORE.clear()
        _last_state.clear()

    cw.reset = reset


_original_record_history: Any = None
_original_cloudformation_put: Any = None
