"""Step Functions: time limits, tokens, stops and their events, as AWS has them.

The interpreter of states (Pass, Choice, JSONPath, intrinsics) stays ministack's. What is replaced
is what surrounds a state: how an execution runs and ends, how a task is tried, and how long
anything may wait. Each execution has a `Control`; whatever waits, waits on it, so a stop or a
timeout is seen at once and nothing of a dead execution runs on.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import os
import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import datetime, timedelta
from typing import Any

from ministack.core.responses import error_response_json, get_account_id, get_region, json_response, new_uuid, request_scope
from ministack.services import eventbridge, lambda_svc
from ministack.services import stepfunctions as sfn

from . import control, releases

logger = logging.getLogger("bridge.states")

MAX_PAYLOAD = 262_144
MAX_HISTORY = 25_000
_UNCATCHABLE = {"States.Runtime"}
_TOKEN_PREFIX = "AQB"

Answer = tuple[int, dict[str, str], bytes]


class Ended(BaseException):
    """The execution was stopped or timed out: unwind without retries, catchers or events."""


class Control:
    """What may end one execution from outside."""

    def __init__(self, execution: dict[str, Any]) -> None:
        self.execution = execution
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.tokens: set[str] = set()
        self.hurry: float | None = None
        """How long the first try of the next task may take, where a fault says so; not scaled."""
        arn = execution["executionArn"]
        self.scale = next((scale for part, scale in _scales.items() if part in arn), None)
        """How long its waits are, where a test has said so; else they are as all others."""

    def check(self) -> None:
        if self.ended.is_set():
            raise Ended

    def sleep(self, seconds: float) -> None:
        if self.ended.wait(max(0.0, seconds)):
            raise Ended


_controls: dict[str, Control] = {}
_current: contextvars.ContextVar[Control | None] = contextvars.ContextVar("execution_control", default=None)
_machine: contextvars.ContextVar[str | None] = contextvars.ContextVar("state_machine", default=None)
"""The state machine whose task makes calls: it is by its role that they are allowed."""

AUTHORISE: Callable[[str | None, str, str, dict[str, Any]], None] = lambda machine, service, action, data: None
"""Raises when the machine's role does not allow a call; `iam` puts it here."""


_scales: dict[str, float] = {}
"""A part of an execution's ARN -> how long the waits of executions so named are, a share of what they say."""


def wait_scale() -> float:
    control_ = _current.get()
    if control_ is not None and control_.scale is not None:
        return control_.scale
    return float(sfn._SFN_WAIT_SCALE)


# ── Starting, stopping, ending ───────────────────────────────────────────────────────────────


FORBIDDEN = set("<>{}[]?*\"#%\\^|~`$&,;:/")
"""What no execution's name has, beside white space and what is not shown."""


SETTLES_AT_ONCE = "CROSSFADE_LOCAL_SETTLES" in os.environ
"""Whether a release that does not say when metrics have settled takes them as they come: waits are scaled here, and
minutes of metrics are not, so that a scaled bake of the default would end before any minute is judged."""


def _settling(data: dict[str, Any]) -> dict[str, Any]:
    if not SETTLES_AT_ONCE:
        return data
    try:
        request = json.loads(data.get("input", "{}"))
    except (TypeError, ValueError):
        return data
    if not isinstance(request, dict) or "functions" not in request:
        return data
    analysis = request.get("analysis", {})
    if not isinstance(analysis, dict) or "settleSeconds" in analysis:
        return data
    request["analysis"] = {**analysis, "settleSeconds": 0}
    return {**data, "input": json.dumps(request)}


def _start_execution(data: dict[str, Any]) -> Answer:
    """The same name again: the same input while it runs is the same execution, all else is refused."""
    data = _settling(data)
    asked = str(data.get("stateMachineArn", "")).split("#", 1)[0]
    base = sfn._resolve_state_machine_arn(asked)
    name = data.get("name")
    text = data.get("input", "{}")
    try:
        json.loads(text)
    except (TypeError, ValueError):
        return error_response_json("InvalidExecutionInput", "Invalid State Machine Execution Input: not JSON", 400)
    if len(text.encode()) > MAX_PAYLOAD:
        return error_response_json(
            "ValidationException",
            "1 validation error detected: Value at 'input' failed to satisfy constraint: "
            f"Member must have length less than or equal to {MAX_PAYLOAD}",
            400,
        )
    if base is not None and name:
        if not 1 <= len(name) <= 80 or any(c.isspace() or not c.isprintable() or c in FORBIDDEN for c in name):
            return error_response_json("InvalidName", f"Invalid Name: '{name}'", 400)
        machine = sfn._state_machines[base]
        arn = f"arn:aws:states:{get_region()}:{get_account_id()}:execution:{machine['name']}:{name}"
        existing = sfn._executions.get(arn)
        if existing is not None:
            if existing["status"] == "RUNNING" and existing["input"] == text:
                return json_response({"executionArn": arn, "startDate": existing["startDate"]})
            return error_response_json("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'", 400)
    return _original_start_execution(data)


def _stop_execution(data: dict[str, Any]) -> Answer:
    arn = data.get("executionArn")
    execution = sfn._executions.get(arn)
    if not execution:
        return error_response_json("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'", 400)
    # Stopping what has ended is no error on AWS: it answers with the end it had.
    _end(execution, "ABORTED", data.get("error"), data.get("cause"))
    return json_response({"stopDate": execution["stopDate"]})


def _end(
    execution: dict[str, Any],
    status: str,
    error: str | None = None,
    cause: str | None = None,
    output: str | None = None,
) -> bool:
    """The one place where an execution ends: only the first end counts, and it is told once."""
    control_ = _controls.get(execution["executionArn"])
    lock = control_.lock if control_ is not None else _ending
    with lock:
        if execution["status"] != "RUNNING":
            return False
        execution["status"] = status
        execution["stopDate"] = sfn.now_iso()
        if output is not None:
            execution["output"] = output
        if status in ("FAILED", "ABORTED"):
            execution["error"], execution["cause"] = error, cause
        kind, field = {
            "SUCCEEDED": ("ExecutionSucceeded", "executionSucceededEventDetails"),
            "FAILED": ("ExecutionFailed", "executionFailedEventDetails"),
            "ABORTED": ("ExecutionAborted", "executionAbortedEventDetails"),
            "TIMED_OUT": ("ExecutionTimedOut", "executionTimedOutEventDetails"),
        }[status]
        details = (
            {"output": output}
            if status == "SUCCEEDED"
            else {k: v for k, v in (("error", error), ("cause", cause)) if v is not None}
        )
        sfn._add_event(execution, kind, {field: details})
    if control_ is not None:
        control_.ended.set()
        for token in list(control_.tokens):
            sfn._task_tokens.pop(token, None)
    _emit_status(execution)
    return True


_ending = threading.Lock()


def _fail_execution(execution: dict[str, Any], error: str, cause: str) -> None:
    _end(execution, "FAILED", error, cause)


def _emit_status(execution: dict[str, Any]) -> None:
    if execution.get("sync"):
        return
    status = execution["status"]
    ended_badly = status in ("FAILED", "TIMED_OUT", "ABORTED")
    detail: dict[str, Any] = {
        "executionArn": execution["executionArn"],
        "stateMachineArn": execution["stateMachineArn"],
        "name": execution["name"],
        "status": status,
        "startDate": sfn._iso_to_epoch_ms(execution.get("startDate")),
        "stopDate": sfn._iso_to_epoch_ms(execution.get("stopDate")),
        "input": execution.get("input"),
        "inputDetails": {"included": True},
        "output": execution.get("output") if status == "SUCCEEDED" else None,
        "outputDetails": {"included": True} if status == "SUCCEEDED" else None,
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
        "redriveCount": 0,
        "redriveDate": None,
        "redriveStatus": "REDRIVABLE" if ended_badly else "NOT_REDRIVABLE",
        "redriveStatusReason": None if ended_badly else f"Execution is {status} and cannot be redriven",
        "error": execution.get("error") if status in ("FAILED", "ABORTED") else None,
        "cause": execution.get("cause") if status in ("FAILED", "ABORTED") else None,
    }
    if len(json.dumps(detail["input"])) + len(json.dumps(detail["output"])) > sfn._STATUS_EVENT_PAYLOAD_CAP:
        detail["input"], detail["inputDetails"] = None, {"included": False}
        if detail["output"] is not None:
            detail["output"], detail["outputDetails"] = None, {"included": False}
    try:
        eventbridge._put_events(
            {
                "Entries": [
                    {
                        "Source": "aws.states",
                        "DetailType": "Step Functions Execution Status Change",
                        "Detail": json.dumps(detail),
                        "Resources": [execution["executionArn"]],
                    }
                ]
            },
            allow_aws_source=True,
        )
    except Exception:
        logger.exception("the status of %s could not be told", execution["executionArn"])


def _run_execution(arn: str) -> None:
    execution = sfn._executions.get(arn)
    if not execution:
        return
    control_ = Control(execution)
    _controls[arn] = control_
    _current.set(control_)
    if execution["status"] != "RUNNING":
        _controls.pop(arn, None)
        return
    timer: threading.Timer | None = None
    try:
        machine = sfn._state_machines.get(execution["stateMachineArn"])
        if not machine:
            _fail_execution(execution, "StateMachineDeleted", "State machine no longer exists")
            return
        definition = json.loads(machine["definition"])
        limit = definition.get("TimeoutSeconds")
        if limit:
            timer = threading.Timer(
                float(limit) * wait_scale(), contextvars.copy_context().run, args=(_end, execution, "TIMED_OUT")
            )
            timer.daemon = True
            timer.start()
        output = _walk(definition, machine, execution, control_)
        text = json.dumps(output)
        if len(text.encode()) > MAX_PAYLOAD:
            raise sfn._ExecutionError(
                "States.DataLimitExceeded",
                "The state/task returned a result with a size exceeding the maximum number of bytes service limit.",
            )
        _end(execution, "SUCCEEDED", output=text)
    except Ended:
        pass
    except sfn._ExecutionError as error:
        _fail_execution(execution, error.error, error.cause)
    except Exception as error:
        logger.exception("execution %s", arn)
        _fail_execution(execution, "States.Runtime", str(error))
    finally:
        if timer is not None:
            timer.cancel()
        _controls.pop(arn, None)


_HANDLERS_WITH_EXECUTION = ("Task", "Parallel", "Map")


def _walk(definition: dict[str, Any], machine: dict[str, Any], execution: dict[str, Any], control_: Control) -> Any:
    states = definition["States"]
    name: str | None = definition["StartAt"]
    data = json.loads(execution["input"])
    context: dict[str, Any] = {
        "QueryLanguage": definition.get("QueryLanguage", "JSONPath"),
        "Execution": {
            "Id": execution["executionArn"],
            "Input": data,
            "Name": execution["name"],
            "RoleArn": machine.get("roleArn"),
            "StartTime": execution["startDate"],
            "RedriveCount": 0,
        },
        "StateMachine": {"Id": execution["stateMachineArn"], "Name": machine["name"]},
        "variables": {},
    }
    while name:
        control_.check()
        state = states.get(name)
        if state is None:
            raise sfn._ExecutionError("States.Runtime", f"State '{name}' not found in definition")
        kind = state["Type"]
        context["State"] = {"Name": name, "EnteredTime": sfn.now_iso(), "RetryCount": 0}
        if len(execution["events"]) >= MAX_HISTORY - 1:
            raise sfn._ExecutionError(
                "States.Runtime", f"The execution reached the maximum number of history events ({MAX_HISTORY})."
            )
        sfn._add_event(
            execution, f"{kind}StateEntered", {"stateEnteredEventDetails": {"name": name, "input": json.dumps(data)}}
        )
        _entered(name, execution, context, control_)
        control_.check()
        if kind == "Succeed":
            data = sfn._apply_output_path(state, sfn._apply_input_path(state, data, context), context)
            following = None
        elif kind == "Fail":
            raise sfn._ExecutionError(*sfn._fail_state_error(state, data, context))
        else:
            handler = getattr(sfn, f"_execute_{kind.lower()}", None)
            if handler is None:
                raise sfn._ExecutionError("States.Runtime", f"Unknown state type: {kind}")
            data, following = (
                handler(state, data, execution, context)
                if kind in _HANDLERS_WITH_EXECUTION
                else handler(state, data, context)
            )
        control_.check()
        text = json.dumps(data)
        if len(text.encode()) > MAX_PAYLOAD:
            raise sfn._ExecutionError(
                "States.DataLimitExceeded",
                f"The state/task '{name}' returned a result with a size exceeding the maximum "
                "number of bytes service limit.",
            )
        sfn._add_event(execution, f"{kind}StateExited", {"stateExitedEventDetails": {"name": name, "output": text}})
        name = following
    return data


def _entered(name: str, execution: dict[str, Any], context: dict[str, Any], control_: Control) -> None:
    """What happens at this very moment, where a fault says so."""
    control_.hurry = None
    release = releases.named_in(str(execution["name"]).encode())
    for kind in control.STATE_KINDS:
        fault = control.FAULTS.take("states", "EnterState", "states", name, release, (kind,))
        if fault is None:
            continue
        if kind == "stop":
            _end(execution, "ABORTED")
        elif kind == "time-out":
            _end(execution, "TIMED_OUT")
        elif kind == "task-time-out":
            control_.hurry = fault.seconds
        elif kind == "schedule":
            control.SCHEDULE()
        else:
            context["State"]["EnteredTime"] = shifted(context["State"]["EnteredTime"], fault.seconds)


def shifted(stamp: str, seconds: float) -> str:
    """A time stamp of a clock that is off by so many seconds."""
    at = datetime.fromisoformat(stamp.replace("Z", "+00:00")) + timedelta(seconds=seconds)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _stop_release(token: str) -> None:
    """Stops the executions of a release."""
    with request_scope(os.environ["MINISTACK_ACCOUNT_ID"], os.environ["MINISTACK_REGION"]):
        for execution in list(sfn._executions.values()):
            if token and token in execution["name"]:
                _end(execution, "ABORTED")


def _scaled_sleep(seconds: float) -> None:
    control_ = _current.get()
    if control_ is None:
        time.sleep(max(0.0, seconds * wait_scale()))
    else:
        control_.sleep(seconds * wait_scale())


# ── Tasks ────────────────────────────────────────────────────────────────────────────────────


def _limit(state: dict[str, Any], field: str, data: Any, context: dict[str, Any]) -> float | None:
    """TimeoutSeconds or HeartbeatSeconds: a number, a path to one, or a JSONata expression."""
    value = state.get(field)
    if f"{field}Path" in state:
        value = sfn._resolve_path_or_ctx(state[f"{field}Path"], data, context)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            raise sfn._ExecutionError(
                "States.Runtime",
                f"The value of {field}Path {state[f'{field}Path']} must be a positive integer, "
                f"but was: {json.dumps(value)}",
            )
    elif isinstance(value, str):
        value = sfn._jsonata_state_field(state, field, "number", data, context)
    return None if value is None else float(value)


def _execute_task(state: dict[str, Any], data: Any, execution: dict[str, Any], context: dict[str, Any]) -> Any:
    resource = state.get("Resource", "")
    jsonata = sfn._state_query_language(state, context) == "JSONata"
    waits = ".waitForTaskToken" in resource
    counts: dict[int, int] = {}
    control_ = _current.get() or Control(execution)
    _machine.set(execution["stateMachineArn"])
    # Branches of a Parallel share ministack's context: a token or a count must not leak between them.
    context = {**context, "State": {**context["State"]}}
    tell = (
        _LambdaEvents(execution, resource)
        if resource.startswith("arn:aws:lambda:")
        else _TaskEvents(execution, resource)
    )
    while True:
        control_.check()
        context["State"]["RetryCount"] = sum(counts.values())
        if waits:
            # Each attempt has a token of its own.
            context["Task"] = {"Token": _new_token(execution["stateMachineArn"])}
        try:
            limit = _limit(state, "TimeoutSeconds", data, context)
            hurry, control_.hurry = control_.hurry, None
            if hurry is not None:
                limit = hurry / wait_scale() if waits else hurry
            if jsonata:
                arguments = sfn._apply_jsonata_arguments(state, data, context)
            else:
                arguments = sfn._apply_parameters(state, sfn._apply_input_path(state, data, context), context)
            heartbeat = _limit(state, "HeartbeatSeconds", data, context) if waits else None
            tell.scheduled(arguments, limit, heartbeat)
            if waits:
                result = _wait_for_token(resource, arguments, context["Task"]["Token"], limit, heartbeat, control_, tell)
            elif ":activity:" in resource or limit is None:
                result = sfn._invoke_resource(resource, arguments)
            else:
                result = _within(limit, resource, arguments, control_)
            control_.check()
            text = json.dumps(result)
            if len(text.encode()) > MAX_PAYLOAD:
                raise sfn._ExecutionError(
                    "States.DataLimitExceeded",
                    f"The state/task '{_named(resource)}' returned a result with a size exceeding the "
                    "maximum number of bytes service limit.",
                )
            tell.succeeded(text)
            if jsonata:
                output = sfn._apply_jsonata_output(state, data, context, result=result, default=result)
                sfn._apply_state_assign(state, data, context, result=result)
            else:
                output = sfn._apply_result_path(state, data, sfn._apply_result_selector(state, result))
                output = sfn._apply_output_path(state, output, context)
            return output, sfn._next_or_end(state)
        except sfn._ExecutionError as error:
            control_.check()
            timed_out = error.error in ("States.Timeout", "States.HeartbeatTimeout")
            tell.failed("States.Timeout" if timed_out else error.error, error.cause, timed_out)
            if error.error in _UNCATCHABLE:
                raise
            known_as = _known_as(error.error, [*state.get("Retry", []), *state.get("Catch", [])])
            retrier, index = sfn._find_matching_retrier(state.get("Retry", []), known_as, counts)
            if retrier is not None:
                count = counts.get(index, 0)
                wait = float(retrier.get("IntervalSeconds", 1)) * float(retrier.get("BackoffRate", 2.0)) ** count
                if retrier.get("MaxDelaySeconds"):
                    wait = min(wait, float(retrier["MaxDelaySeconds"]))
                if retrier.get("JitterStrategy") == "FULL":
                    wait = random.uniform(0, wait)
                _scaled_sleep(min(wait, 60.0))
                counts[index] = count + 1
                continue
            catcher = sfn._find_matching_catcher(state.get("Catch", []), known_as)
            if catcher is None:
                raise
            told = {"Error": "States.Timeout" if timed_out else error.error, "Cause": error.cause}
            output = sfn._apply_catcher(catcher, data, context, "JSONata" if jsonata else "JSONPath", told)
            return output, catcher["Next"]
        finally:
            if waits:
                context.pop("Task", None)


def _known_as(error: str, rules: list[dict[str, Any]]) -> str:
    """A missed heartbeat is caught by its own name where one is listed, else as a timeout."""
    listed = {name for rule in rules for name in rule.get("ErrorEquals", [])}
    if error == "States.HeartbeatTimeout" and error not in listed:
        return "States.Timeout"
    return error


class _TaskEvents:
    """History of a task through a service integration."""

    def __init__(self, execution: dict[str, Any], resource: str) -> None:
        self.execution = execution
        kind, self.action = resource.split(":")[-2:]
        self.about = {"resourceType": kind, "resource": self.action}

    def add(self, event: str, details: dict[str, Any]) -> None:
        field = event[0].lower() + event[1:] + "EventDetails"
        sfn._add_event(self.execution, event, {field: details})

    def scheduled(self, arguments: Any, limit: float | None, heartbeat: float | None) -> None:
        limits = {"timeoutInSeconds": limit, "heartbeatInSeconds": heartbeat}
        told = {name: int(seconds) for name, seconds in limits.items() if seconds is not None}
        about = {**self.about, "region": get_region(), "parameters": json.dumps(arguments), **told}
        self.add("TaskScheduled", about)
        self.add("TaskStarted", self.about)

    def submitted(self, output: str) -> None:
        self.add("TaskSubmitted", {**self.about, "output": output})

    def succeeded(self, output: str) -> None:
        self.add("TaskSucceeded", {**self.about, "output": output})

    def failed(self, error: str, cause: str, timed_out: bool) -> None:
        self.add("TaskTimedOut" if timed_out else "TaskFailed", {**self.about, "error": error, "cause": cause})


class _LambdaEvents(_TaskEvents):
    """History of a task whose resource is a function itself."""

    def __init__(self, execution: dict[str, Any], resource: str) -> None:
        super().__init__(execution, resource)
        self.arn = resource

    def scheduled(self, arguments: Any, limit: float | None, heartbeat: float | None) -> None:
        self.add("LambdaFunctionScheduled", {"resource": self.arn, "input": json.dumps(arguments)})
        sfn._add_event(self.execution, "LambdaFunctionStarted")

    def succeeded(self, output: str) -> None:
        self.add("LambdaFunctionSucceeded", {"output": output})

    def failed(self, error: str, cause: str, timed_out: bool) -> None:
        self.add("LambdaFunctionTimedOut" if timed_out else "LambdaFunctionFailed", {"error": error, "cause": cause})


def _run_sub_machine(states: Any, start_at: Any, data: Any, execution: Any, context: dict[str, Any]) -> Any:
    """A branch with a context of its own."""
    return _original_run_sub_machine(states, start_at, data, execution, {**context})


def _within(limit: float, resource: str, arguments: Any, control_: Control) -> Any:
    """A task under TimeoutSeconds: abandoned, not stopped, when it takes longer."""
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bridge-task")
    future = pool.submit(contextvars.copy_context().run, sfn._invoke_resource, resource, arguments)
    pool.shutdown(wait=False)
    try:
        return future.result(timeout=limit)
    except FutureTimeout:
        raise sfn._ExecutionError("States.Timeout", "") from None


# ── Paths ────────────────────────────────────────────────────────────────────────────────────


def _is_there(path: str, data: Any) -> bool:
    """Whether a plain path leads to something, null included. Of others ministack decides."""
    for part in path.removeprefix("$.").split("."):
        if not part.isidentifier():
            return True
        if not isinstance(data, dict) or part not in data:
            return False
        data = data[part]
    return True


def _resolve_params_obj(template: Any, data: Any, ctx: Any = None) -> Any:
    """A path that leads nowhere fails the execution; ministack takes null for what is not there."""
    for field, path in template.items() if isinstance(template, dict) else ():
        if field.endswith(".$") and str(path).startswith("$.") and not _is_there(str(path), data):
            raise sfn._ExecutionError(
                "States.Runtime",
                f"The JSONPath '{path}' specified for the field '{field}' could not be found in the input "
                f"'{json.dumps(data)}'",
            )
    return _original_resolve_params_obj(template, data, ctx)


# ── Task tokens ──────────────────────────────────────────────────────────────────────────────

_seen_tokens: dict[str, str] = {}
"""Every token that was ever handed out -> its state machine."""


def _new_token(machine: str) -> str:
    token = _TOKEN_PREFIX + (new_uuid() + new_uuid()).replace("-", "")
    _seen_tokens[token] = machine
    return token


def machines_of_token(token: str, account: str) -> list[str]:
    """A token's state machine. What is not ours is moto's, whose machines are copies of those here."""
    known = _seen_tokens.get(token)
    if known is not None:
        return [known]
    waiting = (arn for arn, made in list(sfn._state_machines.items()) if ".waitForTaskToken" in made["definition"])
    return [arn for arn in waiting if arn.split(":")[4] == account][:1]


def _wait_for_token(
    resource: str,
    arguments: Any,
    token: str,
    limit: float | None,
    heartbeat: float | None,
    control_: Control,
    tell: _TaskEvents,
) -> Any:
    """Hand the token out, then wait for its answer. Limits are shortened like Wait states are,
    so that a day's hold can be tested."""
    answered = threading.Event()
    info: dict[str, Any] = {"event": answered, "result": None, "error": None, "heartbeat": None, "beats": 0}
    sfn._task_tokens[token] = info
    control_.tokens.add(token)
    try:
        # A failing call fails the task at once; what it returns is ignored.
        result = sfn._invoke_resource(resource.replace(".waitForTaskToken", ""), arguments)
        tell.submitted(json.dumps(result))
        deadline = None if limit is None else time.monotonic() + limit * wait_scale()
        beats = 0
        beat_deadline = None if heartbeat is None else time.monotonic() + heartbeat * wait_scale()
        while not answered.is_set():
            control_.check()
            now = time.monotonic()
            if info["beats"] != beats and heartbeat is not None:
                beats, beat_deadline = info["beats"], now + heartbeat * wait_scale()
            if deadline is not None and now >= deadline:
                raise sfn._ExecutionError("States.Timeout", "")
            if beat_deadline is not None and now >= beat_deadline:
                raise sfn._ExecutionError("States.HeartbeatTimeout", "")
            waits = [at - now for at in (deadline, beat_deadline) if at is not None]
            answered.wait(max(0.001, min([0.05, *waits])))
    finally:
        sfn._task_tokens.pop(token, None)
        control_.tokens.discard(token)
    control_.check()
    if info["error"] is not None:
        raise sfn._ExecutionError(info["error"].get("Error"), info["error"].get("Cause"))
    return json.loads(info["result"])


def _token_info(token: Any) -> tuple[dict[str, Any] | None, Answer | None]:
    info = sfn._task_tokens.get(token)
    if info is not None and not info["event"].is_set():
        return info, None
    if token in _seen_tokens or info is not None:
        return None, error_response_json("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'", 400)
    return None, error_response_json("InvalidToken", "Invalid Token: 'Invalid token'", 400)


def _send_task_success(data: dict[str, Any]) -> Answer:
    output = data.get("output")
    try:
        json.loads(str(output))
    except ValueError:
        return error_response_json("InvalidOutput", "Invalid Output: not JSON", 400)
    with _answering:
        info, refused = _token_info(data.get("taskToken"))
        if info is None:
            return refused  # type: ignore[return-value]
        info["result"] = output
        info["event"].set()
    return json_response({})


def _send_task_failure(data: dict[str, Any]) -> Answer:
    with _answering:
        info, refused = _token_info(data.get("taskToken"))
        if info is None:
            return refused  # type: ignore[return-value]
        info["error"] = {"Error": data.get("error"), "Cause": data.get("cause")}
        info["event"].set()
    return json_response({})


def _send_task_heartbeat(data: dict[str, Any]) -> Answer:
    with _answering:
        info, refused = _token_info(data.get("taskToken"))
        if info is None:
            return refused  # type: ignore[return-value]
        info["beats"] = info.get("beats", 0) + 1
    return json_response({})


_answering = threading.Lock()


# ── Calls a state machine makes ──────────────────────────────────────────────────────────────


def _call_lambda(reference: str, event: Any) -> Any:
    return _invoke_lambda(reference, event)[0]


def _invoke_lambda(reference: str, event: Any) -> tuple[Any, str]:
    """A function's parsed answer and the version that ran; its failure as the task error it becomes."""
    record, config, name = lambda_svc._get_func_record_for_ref(reference)
    said = json.dumps(event).encode()
    with control.internal_call("states", "lambda", "Invoke", name, said) as call:
        if record is None or config is None:
            call.failed("ResourceNotFoundException", 404)
            raise sfn._ExecutionError(
                "Lambda.ResourceNotFoundException",
                _sdk_words(f"Function not found: {_arn_of(reference)}", 404, "ResourceNotFoundException"),
            )
        if call.fault is not None:
            raise sfn._ExecutionError(*_fault_as_task_error(call.fault))
        _authorised(call, "Lambda.AWSLambdaException", "lambda", "Invoke", {"FunctionName": reference})
        if len(said) > MAX_PAYLOAD:
            raise sfn._ExecutionError("States.DataLimitExceeded", "The payload is too large.")
        result = lambda_svc._execute_function_with_config_scope(
            lambda_svc._execution_record_for_config(record, config), event
        )
        if result.get("throttle"):
            call.failed("TooManyRequestsException", 429)
            raise sfn._ExecutionError(
                "Lambda.TooManyRequestsException", _sdk_words("Rate Exceeded.", 429, "TooManyRequestsException")
            )
        body = result.get("body")
        if result.get("error"):
            call.error = str(body.get("errorType")) if isinstance(body, dict) else "Lambda.Unknown"
            if isinstance(body, dict):
                raise sfn._ExecutionError(body.get("errorType") or "Lambda.Unknown", json.dumps(body))
            raise sfn._ExecutionError("Lambda.Unknown", str(body))
        if call.lose_answer:
            raise sfn._ExecutionError("Lambda.SdkClientException", "Unable to execute HTTP request: connection reset")
        return body, config.get("Version", "$LATEST")


def _authorised(call: control.InternalCall, error: str, service: str, action: str, data: dict[str, Any]) -> None:
    """Fails the task when the state machine's role does not allow the call."""
    try:
        AUTHORISE(_machine.get(), service, action, data)
    except PermissionError as denied:
        call.failed("AccessDeniedException", 403)
        raise sfn._ExecutionError(error, str(denied)) from None


def _fault_as_task_error(kind: str) -> tuple[str, str]:
    return {
        "throttle": (
            "Lambda.TooManyRequestsException",
            _sdk_words("Rate exceeded", 429, "TooManyRequestsException"),
        ),
        "access-denied": (
            "Lambda.AccessDeniedException",
            _sdk_words("not authorized", 403, "AccessDeniedException"),
        ),
        "error500": ("Lambda.ServiceException", _sdk_words("Internal error", 500, "ServiceException")),
    }.get(kind, ("Lambda.SdkClientException", "Unable to execute HTTP request"))


def _named(resource: str) -> str:
    """A task's resource as AWS names it in errors: an integration by its service."""
    return resource.split(":")[5] if resource.startswith("arn:aws:states:::") else resource


def _sdk_words(message: str, status: int, code: str) -> str:
    """A service's error as the SDK tells it that Step Functions calls services with."""
    return (
        f"{message} (Service: AWSLambda; Status Code: {status}; Error Code: {code}; Request ID: {uuid.uuid4()}; "
        "Proxy: null)"
    )


def _arn_of(reference: str) -> str:
    """A function's ARN with a qualifier."""
    arn = reference if reference.startswith("arn:") else lambda_svc._func_arn(reference)
    return arn if arn.count(":") > 6 else f"{arn}:$LATEST"


def _invoke_resource(resource: str, arguments: Any) -> Any:
    """As ministack's, with the optimised Lambda integration's whole answer and every call counted."""
    if "states:::lambda:invoke" in resource:
        reference = sfn._resolve_lambda_function_ref(arguments.get("FunctionName", ""), optimized=True)
        if arguments.get("Qualifier") and ":" not in reference.removeprefix("arn:"):
            reference = f"{reference}:{arguments['Qualifier']}"
        body, version = _invoke_lambda(reference, arguments.get("Payload", {}))
        return {
            "ExecutedVersion": version,
            "Payload": body,
            "SdkHttpMetadata": {"HttpStatusCode": 200, "AllHttpHeaders": {}, "HttpHeaders": {}},
            "SdkResponseMetadata": {"RequestId": new_uuid()},
            "StatusCode": 200,
        }
    if not resource.startswith("arn:aws:states:::"):
        return _original_invoke_resource(resource, arguments)
    parts = resource.split(":")
    service, action = (parts[6], parts[7]) if len(parts) > 7 and parts[5] == "aws-sdk" else (parts[5], parts[6])
    action = action.split(".")[0]
    named = arguments if isinstance(arguments, dict) else {}
    about = next(
        (str(named[k]) for k in ("TopicArn", "TableName", "QueueUrl", "FunctionName", "StateMachineArn") if k in named),
        None,
    )
    said = json.dumps(arguments).encode()
    with control.internal_call("states", service, action[:1].upper() + action[1:], about, said) as call:
        if call.fault is not None:
            name = {"throttle": "ThrottlingException", "access-denied": "AccessDeniedException"}.get(
                call.fault, "SdkClientException"
            )
            raise sfn._ExecutionError(f"{_prefix(service)}.{name}", "injected fault")
        given = {name[:1].lower() + name[1:] if service == "states" else name: v for name, v in named.items()}
        _authorised(call, f"{_prefix(service)}.AccessDeniedException", service, action[:1].upper() + action[1:], given)
        try:
            answer = _original_invoke_resource(resource, arguments)
        except sfn._ExecutionError as error:
            call.failed(error.error, 400)
            if "." in error.error:
                raise
            # An SDK's exception, of the service that was called.
            name = f"{_prefix(service)}.{error.error.removesuffix('Exception')}Exception"
            raise sfn._ExecutionError(name, error.cause) from error
        if call.lose_answer:
            raise sfn._ExecutionError(f"{_prefix(service)}.SdkClientException", "Unable to execute HTTP request")
        return answer


def _prefix(service: str) -> str:
    """What the names of a service's errors begin with."""
    return {"sns": "SNS", "dynamodb": "DynamoDB", "sqs": "SQS", "states": "StepFunctions"}.get(
        service, service.capitalize()
    )


# ── Control ──────────────────────────────────────────────────────────────────────────────────


@control.route("GET", "executions/wait")
async def _wait_for(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    """Answers when an execution has ended and its event is on its way, or has entered a state so often;
    else after `seconds`."""
    state, nth = query.get("state"), int(query.get("nth") or 1)
    until = time.monotonic() + float(query.get("seconds") or 30)
    with request_scope(os.environ["MINISTACK_ACCOUNT_ID"], os.environ["MINISTACK_REGION"]):
        execution = sfn._executions.get(query["arn"])
    if execution is None:
        raise ValueError(f"there is no execution {query['arn']}")
    events, seen, entered = execution["events"], 0, 0
    while True:
        status = execution["status"]
        while seen < len(events):
            entered += (events[seen].get("stateEnteredEventDetails") or {}).get("name") == state
            seen += 1
        reached = state is not None and entered >= nth
        over = status != "RUNNING" and query["arn"] not in _controls
        if over or reached or time.monotonic() >= until:
            return {"status": status, "reached": reached}
        await asyncio.sleep(0.05)


@control.route("POST", "waits")
def _set_scale(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    """Has the waits of executions whose ARN contains `execution` last so much of what they say; null: as all."""
    part, scale = str(body["execution"]), body["scale"]
    if not part:
        raise ValueError("execution is not empty")
    if scale is None:
        _scales.pop(part, None)
    else:
        _scales[part] = float(scale)
    return {"scales": dict(_scales)}


def _forget(token: str) -> None:
    """The executions of a release, which have most of what is kept of it, unless they still run."""
    with request_scope(os.environ["MINISTACK_ACCOUNT_ID"], os.environ["MINISTACK_REGION"]):
        for arn, execution in list(sfn._executions.items()):
            if token in execution["name"] and execution["status"] != "RUNNING":
                sfn._executions.pop(arn, None)


control.FORGET.append(_forget)
control.STOP = _stop_release

_original_start_execution: Any = None
_original_resolve_params_obj: Any = None
_original_invoke_resource: Any = None
_original_run_sub_machine: Any = None


def install() -> None:
    global _original_start_execution, _original_invoke_resource, _original_run_sub_machine
    global _original_resolve_params_obj
    _original_resolve_params_obj = sfn._resolve_params_obj
    _original_run_sub_machine = sfn._run_sub_machine
    _original_start_execution = sfn._start_execution
    _original_invoke_resource = sfn._invoke_resource
    for replacement in (
        _start_execution,
        _stop_execution,
        _fail_execution,
        _run_execution,
        _scaled_sleep,
        _execute_task,
        _send_task_success,
        _send_task_failure,
        _send_task_heartbeat,
        _call_lambda,
        _invoke_resource,
        _run_sub_machine,
        _resolve_params_obj,
    ):
        assert hasattr(sfn, replacement.__name__), f"ministack no longer has {replacement.__name__}"
        setattr(sfn, replacement.__name__, replacement)
    sfn._emit_execution_status_event = _emit_status
    usual_hook = threading.excepthook

    def hook(args: Any) -> None:
        # A branch of a stopped execution unwinds by `Ended`: no news.
        if args.exc_type is not Ended:
            usual_hook(args)

    threading.excepthook = hook
