"""The events of executions' histories member by member, and waits that cannot be."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Any

from ministack.services import stepfunctions as sfn

from . import states

_OFFSET_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")
LONGEST_WAIT = 2**31
"""Seconds: 24,855 days are recorded to be waited for, and 24,856 to fail at once."""


def _add_event(execution: dict[str, Any], event_type: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
    """An event follows the one before it, the first state none; what was given and came out was not truncated."""
    event: dict[str, Any] = _original_add_event(execution, event_type, details)
    for each in (execution["events"][0], event):
        if "previousEventId" not in each:
            each["previousEventId"] = each["id"] - 1 if each["id"] > 2 else 0
            each.update({name: _complete(detail) for name, detail in each.items() if isinstance(detail, dict)})
    return event


def _complete(detail: dict[str, Any]) -> dict[str, Any]:
    told = {key: value for key, value in detail.items() if (key, value) != ("cause", "")}
    return {**told, **{f"{key}Details": {"truncated": False} for key in ("input", "output") if key in told}}


def _execute_wait(state: dict[str, Any], raw: Any, context: dict[str, Any] | None = None) -> Any:
    given = sfn._apply_input_path(state, raw, context) if "SecondsPath" in state or "TimestampPath" in state else None
    if "SecondsPath" in state:
        path, seconds = state["SecondsPath"], sfn._resolve_path(state["SecondsPath"], given)
        if isinstance(seconds, bool) or not isinstance(seconds, int):
            _refuse(f"The SecondsPath parameter cannot be parsed as a long value: {path} == {seconds}")
        if seconds < 0:
            _refuse(f"The SecondsPath parameter references a negative value: {path} == {seconds}")
    if "TimestampPath" in state:
        path, stamp = state["TimestampPath"], sfn._resolve_path(state["TimestampPath"], given)
        if not isinstance(stamp, str) or not _OFFSET_DATE_TIME.fullmatch(stamp):
            _refuse(
                "The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format "
                f"string: {path} == {stamp}"
            )
        whole = re.sub(r"\.\d+", "", stamp).replace("Z", "+00:00")
        if datetime.fromisoformat(whole).timestamp() - time.time() > LONGEST_WAIT:
            _refuse("Wait state delay is too long.")
    return _original_execute_wait(state, raw, context)


def _refuse(why: str) -> None:
    control = states._current.get()
    assert control is not None
    entered = [e for e in control.execution["events"] if e["type"] == "WaitStateEntered"][-1]
    name = entered["stateEnteredEventDetails"]["name"]
    where = f"An error occurred while executing the state '{name}' (entered at the event id #{entered['id']})."
    raise sfn._ExecutionError("States.Runtime", f"{where} {why}")


_original_add_event: Any = None
_original_execute_wait: Any = None


def install() -> None:
    global _original_add_event, _original_execute_wait
    _original_add_event, _original_execute_wait = sfn._add_event, sfn._execute_wait
    sfn._add_event = _add_event
    sfn._execute_wait = _execute_wait
