"""What invocations leave behind: searches CloudWatch Logs, has metrics come late, and makes a past."""

from __future__ import annotations

import time
from typing import Any

from ministack.services import cloudwatch_logs as logs

from . import cloudwatch, control, function_urls, telemetry


@control.route("POST", "logs")
def _search(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """Lines of the log groups whose names begin with `prefix` that contain any of some texts; how many there are."""
    groups = {name: group for name, group in list(logs._log_groups.items()) if name.startswith(body["prefix"])}
    lines = [
        (name, event["message"])
        for name, group in groups.items()
        for stream in list(group["streams"].values())
        for event in list(stream["events"])
    ]
    wanted = [text for text in body["contains"] if text]
    found = [{"group": name, "line": line} for name, line in lines if any(text in line for text in wanted)]
    return {"lines": len(lines), "groups": sorted(groups), "found": found}


@control.route("POST", "metrics/lag")
def _set_lag(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """Has a function's metrics come so many seconds after its invocations end; null: at once."""
    name, seconds = str(body["functionName"]), body["seconds"]
    if seconds is None:
        telemetry.LAGS.pop(name, None)
    else:
        telemetry.LAGS[name] = float(seconds)
    return {"lags": dict(telemetry.LAGS)}


@control.route("POST", "metrics/past")
def _add_past(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """Has Lambda counted so many requests through an alias in each of the last minutes, none of which failed."""
    name = str(body["functionName"])
    dimensions = (("FunctionName", name), ("Resource", f"{name}:{body['alias']}"))
    now = time.time()
    for minute in range(1, int(body["minutes"]) + 1):
        for metric, value in (("Invocations", float(body["requests"])), ("Errors", 0.0)):
            cloudwatch.record(
                "AWS/Lambda",
                metric,
                value,
                dimensions,
                unit="Count",
                timestamp=now - 60 * minute,
            )
    return {}


@control.route("POST", "function-urls/metrics")
def _set_url_metrics(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """Whether the URLs of a function are counted by version."""
    function_urls.BY_VERSION[str(body["functionName"])] = bool(body["byVersion"])
    return {"byVersion": dict(function_urls.BY_VERSION)}
