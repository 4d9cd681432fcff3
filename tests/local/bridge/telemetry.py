"""What an invocation leaves behind: its metrics under each dimension set, and its log."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import cloudwatch_logs as logs
from ministack.services import lambda_svc

from . import cloudwatch

logger = logging.getLogger("bridge.telemetry")

LOG_STREAM_EVENTS_KEPT = 20_000

LISTENERS: list[Callable[[str, str, str, str, list[dict[str, Any]]], None]] = []
"""Who is told of lines as they are written: account, Region, log group, stream, and the events."""

LAGS: dict[str, float] = {}
"""Function -> how long after an invocation's end its metrics can be read, seconds. Not at all where it is not named."""


def publish(
    config: dict[str, Any],
    qualifier: str | None,
    started: float,
    duration_ms: float | None,
    *,
    error: bool,
    throttle: bool,
) -> None:
    """AWS/Lambda metrics of one invocation, under each dimension set that Lambda uses.

    They come when the invocation has ended, or later where `metrics/lag` says so, and belong to the minute in
    which it began.
    A throttled request counts in neither Invocations nor Errors. Errors and Throttles get their
    zeros, so a Sum over a minute with traffic has a point.
    """
    account, region = lambda_svc._account_region_from_function_config(config)
    name, version = config.get("FunctionName", "unknown"), config.get("Version", "$LATEST")
    function = ("FunctionName", name)
    sets: list[tuple[tuple[str, str], ...]] = [(function,)]
    if qualifier and qualifier != "$LATEST":
        resource = ("Resource", f"{name}:{qualifier}")
        sets.append((function, resource))
        if not qualifier.isdigit():
            sets.append((("ExecutedVersion", version), function, resource))
    if throttle:
        points = [("Throttles", 1.0, "Count")]
    else:
        points = [("Invocations", 1.0, "Count"), ("Errors", float(error), "Count"), ("Throttles", 0.0, "Count")]
        if duration_ms is not None:
            points.append(("Duration", round(duration_ms, 2), "Milliseconds"))

    def record() -> None:
        for dimensions in sets:
            for metric, value, unit in points:
                cloudwatch.record(
                    "AWS/Lambda", metric, value, dimensions, unit=unit, timestamp=started, account=account, region=region
                )

    lag = LAGS.get(name)
    if lag is None:
        record()
        return
    late = threading.Timer(lag, record)
    late.daemon = True
    late.start()


def log_group(config: dict[str, Any]) -> str:
    return (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config.get('FunctionName')}"


def log_text(
    config: dict[str, Any],
    version: str,
    request_id: str,
    lines: list[str],
    duration_ms: float,
    init_ms: float | None,
    failure: str,
    error_type: str = "",
) -> str:
    """What LogType=Tail shows: START, the function's own lines, END and REPORT; or the platform's events as JSON."""
    memory = int(config.get("MemorySize") or 128)
    restored = (config.get("SnapStart") or {}).get("ApplyOn") == "PublishedVersions" and version != "$LATEST"
    billed = int(-(-(duration_ms + (0.0 if restored else init_ms or 0.0)) // 1))
    told = [failure] if failure else []
    logging_config = config.get("LoggingConfig") or {}
    if logging_config.get("LogFormat") == "JSON":
        metrics: dict[str, Any] = {
            "durationMs": round(duration_ms, 3),
            "billedDurationMs": billed,
            "memorySizeMB": memory,
            "maxMemoryUsedMB": min(memory, 20),
        }
        if init_ms is not None:
            metrics["restoreDurationMs" if restored else "initDurationMs"] = round(init_ms, 3)
        status = _status(error_type) if failure else "success"
        start = {"type": "platform.start", "record": {"requestId": request_id, "version": version}}
        record: dict[str, Any] = {"requestId": request_id, "status": status, "metrics": metrics}
        if status == "error":
            record["errorType"] = error_type
        report = {"type": "platform.report", "record": record}
        # At the level WARN what went well is not reported.
        quiet = logging_config.get("SystemLogLevel") == "WARN"
        events = [[] if quiet else [json.dumps(start)], lines, told]
        events.append([] if quiet and not failure else [json.dumps(report)])
        return "".join(f"{line}\n" for part in events for line in part)
    text = (
        f"REPORT RequestId: {request_id}\tDuration: {duration_ms:.2f} ms\tBilled Duration: {billed} ms\t"
        f"Memory Size: {memory} MB\tMax Memory Used: {min(memory, 20)} MB\t"
    )
    if init_ms is not None and restored:
        text += f"Restore Duration: {init_ms:.2f} ms\tBilled Restore Duration: {int(-(-init_ms // 1))} ms\t"
    elif init_ms is not None:
        text += f"Init Duration: {init_ms:.2f} ms\t"
    if failure:
        status = _status(error_type)
        text += f"Status: {status}" + (f"\tError Type: {error_type}" if status == "error" else "")
    return (
        "\n".join(
            [f"START RequestId: {request_id} Version: {version}", *lines, *told, f"END RequestId: {request_id}", text]
        )
        + "\n"
    )


def _status(error_type: str) -> str:
    """What the platform says of an invocation that it ended itself."""
    return "timeout" if error_type == "Sandbox.Timedout" else "error"


def init_text(config: dict[str, Any], version: str) -> str:
    """What the log of an environment begins with: no part of LogType=Tail."""
    runtime = str(config.get("Runtime") or "provided.al2023").replace(".", ":", 1)
    logging_config = config.get("LoggingConfig") or {}
    if logging_config.get("LogFormat") != "JSON":
        return f"INIT_START Runtime Version: {runtime}.v1\tRuntime Version ARN: arn:aws:lambda:::runtime:0\n"
    if logging_config.get("SystemLogLevel") == "WARN":
        return ""
    record = {
        "initializationType": "on-demand",
        "phase": "init",
        "functionName": config.get("FunctionName"),
        "functionVersion": version,
        "runtimeVersion": f"{runtime}.v1",
    }
    return json.dumps({"type": "platform.initStart", "record": record}) + "\n"


def write_log(config: dict[str, Any], stream_name: str, text: str) -> None:
    """Into CloudWatch Logs, one stream per environment as on AWS (ministack made one per invocation)."""
    if not stream_name:
        return
    account, region = lambda_svc._account_region_from_function_config(config)
    now = int(time.time() * 1000)
    name = log_group(config)
    try:
        with request_scope(account, region):
            group = logs._log_groups.get(name)
            if group is None:
                group = {
                    "arn": logs._make_group_arn(name),
                    "creationTime": now,
                    "retentionInDays": None,
                    "tags": {},
                    "subscriptionFilters": {},
                    "streams": {},
                }
                logs._log_groups[name] = group
            stream = group["streams"].get(stream_name)
            if stream is None:
                stream = {
                    "events": [],
                    "uploadSequenceToken": "1",
                    "creationTime": now,
                    "firstEventTimestamp": None,
                    "lastEventTimestamp": None,
                    "lastIngestionTime": None,
                }
                group["streams"][stream_name] = stream
            events = stream["events"]
            lines = [{"timestamp": now, "message": line, "ingestionTime": now} for line in text.splitlines()]
            logs._append_log_events(stream, lines)
            for heard in LISTENERS:
                heard(account, region, name, stream_name, lines)
            if len(events) > LOG_STREAM_EVENTS_KEPT:
                del events[: LOG_STREAM_EVENTS_KEPT // 2]
    except Exception:
        logger.exception("the log of %s could not be written", name)
