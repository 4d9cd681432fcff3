"""Log alarms, PromQL alarms and warm-up: the kinds of alarm that ministack does not have.

None of them evaluates by itself: there are no scheduled queries here and no PromQL. A test sets their state with
SetAlarmState, and the rest with the control API.
"""

from __future__ import annotations

import json
import time
from typing import Any

from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import cloudwatch as cw
from ministack.services import eventbridge

from . import cloudwatch, control, wire

ACCOUNT, REGION = "000000000000", "us-east-1"

_IS_LOG = "_is_log"
_EVENTS = "_events"
_MUTED = "_muted"


def is_warming(alarm: dict[str, Any]) -> bool:
    """Whether the alarm is not evaluated yet."""
    warm_up = alarm.get("WarmUpConfiguration")
    minutes = int((warm_up or {}).get("WarmUpPeriodDurationInMinutes") or 0)
    return time.time() < float(alarm["AlarmConfigurationUpdatedTimestamp"]) + 60 * minutes


def finish_metric_alarm(alarm: dict[str, Any], data: dict[str, Any], is_new: bool) -> None:
    """What PutMetricAlarm makes of a PromQL alarm and of a warm-up."""
    if data.get("EvaluationCriteria"):
        for field in _NOT_OF_PROMQL:
            alarm.pop(field, None)
        if is_new:
            # "For PromQL alarms, the alarm state is instead immediately set to OK."
            alarm["StateValue"] = "OK"
    if data.get("WarmUpConfiguration"):
        alarm["StateValue"] = "INSUFFICIENT_DATA"


_NOT_OF_PROMQL = (
    "MetricName",
    "Namespace",
    "Statistic",
    "Period",
    "ExtendedStatistic",
    "Threshold",
    "ComparisonOperator",
    "EvaluationPeriods",
    "DatapointsToAlarm",
    "TreatMissingData",
)
_LOG_FIELDS = ("AlarmDescription", "ScheduledQueryConfiguration", "QueryResultsToEvaluate", "QueryResultsToAlarm",
               "Threshold", "ComparisonOperator", "TreatMissingData", "ActionLogLineCount", "ActionLogLineRoleArn",
               "WarmUpConfiguration")
_REQUIRED = ("AlarmName", "ScheduledQueryConfiguration", "QueryResultsToEvaluate", "QueryResultsToAlarm", "Threshold",
             "ComparisonOperator")


def _put_log_alarm(data: dict[str, Any]) -> dict[str, Any]:
    missing = [field for field in _REQUIRED if data.get(field) is None]
    if missing:
        raise cloudwatch.Refused("ValidationError", f"The parameter {missing[0]} is required.")
    name, now = data["AlarmName"], time.time()
    before = cw._alarms.get(name)
    if before is not None and not before.get(_IS_LOG):
        raise cloudwatch.Refused("ValidationError", f"An alarm of another type has the name {name}.")
    alarm: dict[str, Any] = {field: data[field] for field in _LOG_FIELDS if data.get(field) is not None}
    alarm.update(
        {
            "AlarmName": name,
            "AlarmArn": f"arn:aws:cloudwatch:{get_region()}:{get_account_id()}:alarm:{name}",
            "ActionsEnabled": data.get("ActionsEnabled", True),
            "OKActions": data.get("OKActions") or [],
            "AlarmActions": data.get("AlarmActions") or [],
            "InsufficientDataActions": data.get("InsufficientDataActions") or [],
            "AlarmConfigurationUpdatedTimestamp": now,
            "StateValue": "INSUFFICIENT_DATA",
            "StateReason": "Unchecked: Initial alarm creation",
            "StateUpdatedTimestamp": now,
            "StateTransitionedTimestamp": now,
            _IS_LOG: True,
        }
    )
    if before is not None:
        for field in ("StateValue", "StateReason", "StateUpdatedTimestamp", "StateTransitionedTimestamp"):
            alarm[field] = before[field]
    cw._alarms[name] = alarm
    return {}


def split(types: list[str], answer: dict[str, Any]) -> dict[str, Any]:
    """DescribeAlarms' answer with log alarms in a list of their own, and of the types that were asked for."""
    listed = answer.get("MetricAlarms") or []
    answer["MetricAlarms"] = [one for one in listed if not one.get(_IS_LOG)] if "MetricAlarm" in types else []
    if "LogAlarm" in types:
        answer["LogAlarms"] = [one for one in listed if one.get(_IS_LOG)]
    return answer


def event_type(alarm: dict[str, Any]) -> str | None:
    """The detail-type of the alarm's event; None where it sends none. A log alarm's is (U): see the control API."""
    told = alarm.get(_EVENTS, "CloudWatch Alarm State Change")
    return None if told == "none" else str(told)


def mute_detail(alarm: dict[str, Any]) -> dict[str, Any]:
    """What the event of an alarm says whose actions a mute rule holds back."""
    if not alarm.get(_MUTED):
        return {}
    rule = f"arn:aws:cloudwatch:{get_region()}:{get_account_id()}:alarm-mute-rule:quiet"
    return {"muteDetail": {"mutedBy": rule, "muteWindowStart": cloudwatch._stamp(time.time())}}


@control.route("POST", "alarms")
def _set(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """What nothing but time or an error of its own brings an alarm to."""
    wanted = dict(body)
    known = {"name", "evaluationState", "changedSecondsAgo", "events", "muted", "contributor", "noReason"}
    if unknown := set(wanted) - known:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    with request_scope(ACCOUNT, REGION):
        alarm = cw._alarms.get(str(wanted["name"]))
        if alarm is None:
            raise ValueError(f"there is no alarm {wanted['name']}")
        if "evaluationState" in wanted:
            alarm["EvaluationState"] = wanted["evaluationState"]
        if "changedSecondsAgo" in wanted:
            alarm["AlarmConfigurationUpdatedTimestamp"] = time.time() - float(wanted["changedSecondsAgo"])
        if "events" in wanted:
            alarm[_EVENTS] = wanted["events"]
        if "muted" in wanted:
            alarm[_MUTED] = wanted["muted"]
        if "noReason" in wanted:
            alarm["_no_reason"] = wanted["noReason"]
        if "contributor" in wanted:
            _tell_contributor(alarm, str(wanted["contributor"]))
    return {"name": alarm["AlarmName"], "state": alarm["StateValue"]}


def _tell_contributor(alarm: dict[str, Any], state: str) -> None:
    detail = {
        "alarmName": alarm["AlarmName"],
        "alarmContributor": {"id": "6d442278dba546f6", "attributes": {"Resource": "live"}},
        "state": {"value": state, "reason": "over", "timestamp": cloudwatch._stamp(time.time())},
        "configuration": {},
    }
    eventbridge._put_events(
        {
            "Entries": [
                {
                    "Source": "aws.cloudwatch",
                    "DetailType": "CloudWatch Alarm Contributor State Change",
                    "Detail": json.dumps(detail),
                    "Resources": [alarm["AlarmArn"]],
                }
            ]
        },
        allow_aws_source=True,
    )


async def _handle_request(method: str, path: str, headers: dict[str, str], body: bytes, query_params: Any) -> Any:
    _, action, _ = wire.identify(method, path, headers, dict(query_params or {}), body, "monitoring")
    if action != "PutLogAlarm":
        return await _original(method, path, headers, body, query_params)
    is_cbor = "cbor" in headers.get("content-type", "")
    try:
        answer = _put_log_alarm(wire.decode(body, headers))
    except cloudwatch.Refused as refused:
        return cw._error(refused.code, refused.message, refused.status, use_json=not is_cbor, use_cbor=is_cbor)
    return cw._cbor_ok(answer) if is_cbor else cw._json_ok(answer)


_original: Any = None


def install() -> None:
    global _original
    _original = cw.handle_request
    cw.handle_request = _handle_request
