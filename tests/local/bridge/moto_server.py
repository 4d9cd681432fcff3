"""moto's Step Functions as a second opinion: its own interpreter, everything else from ministack.

Run as a process: `moto_server.py PORT MINISTACK_PORT WAIT_SCALE`. It ends when its standard input
does. moto 5.2.5 is corrected here as ministack is elsewhere: waits, retries, token and execution
timeouts are scaled alike, its clients are made once, and executions tell their status to the
event bus.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import urllib.request
import uuid
from typing import Any


def main() -> None:
    port, ministack_port, scale = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    os.environ["MOTO_PORT"] = str(ministack_port)
    # It compares a Wait's timestamp, which is in UTC, with the host's local time.
    os.environ["TZ"] = "UTC"
    time.tzset()
    os.environ["MOTO_ACCOUNT_ID"] = os.environ.get("MINISTACK_ACCOUNT_ID", "000000000000")

    def watch_stdin() -> None:
        while os.read(0, 4096):
            pass
        os._exit(0)

    threading.Thread(target=watch_stdin, daemon=True).start()

    from moto.core.config import default_user_config

    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    _make_clients_once(ministack_port)
    _scale_waits(scale)
    _name_executions()
    _end_at_once()
    _tell_status(ministack_port)
    _format_with_escapes()
    _start_executions()

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    run_simple("127.0.0.1", port, DomainDispatcherApplication(create_backend_app), threaded=True)


def _make_clients_once(ministack_port: int) -> None:
    """moto builds a boto3 client for every task, which costs more than the task."""
    import boto3
    from botocore.config import Config
    from moto.stepfunctions.parser.asl.utils import boto_client

    clients: dict[tuple[str, str], Any] = {}
    lock = threading.Lock()

    def client_for(region: str, service: str, state_credentials: Any = None) -> Any:
        with lock:
            if (region, service) not in clients:
                clients[region, service] = boto3.client(
                    service,
                    region_name=region,
                    endpoint_url=f"http://127.0.0.1:{ministack_port}",
                    aws_access_key_id="motostates",
                    aws_secret_access_key="local",
                    config=Config(
                        parameter_validation=False,
                        retries={"max_attempts": 0, "total_max_attempts": 1},
                        connect_timeout=10,
                        read_timeout=1000,
                        max_pool_connections=100,
                    ),
                )
            return clients[region, service]

    # Before the modules that take it by name are imported.
    boto_client.boto_client_for = client_for


def _scale_waits(scale: float) -> None:
    from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
    from moto.stepfunctions.parser.asl.component.program.program import Program
    from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
    from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction

    def wait_interval(self: Any, env: Any, wait_seconds: float) -> None:
        end = time.monotonic() + wait_seconds * scale
        while env.is_running() and (left := end - time.monotonic()) > 0:
            # The event is set and cleared at once: a wake-up may be missed, so look again now and then.
            env.program_state_event.wait(min(left, 0.05))

    WaitFunction._wait_interval = wait_interval

    class ScaledTime:
        @staticmethod
        def sleep(seconds: float) -> None:
            time.sleep(seconds * scale)

    retrier_decl.time = ScaledTime

    class Scaled:
        """A Timeout or Heartbeat whose seconds come out shorter."""

        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def eval(self, env: Any) -> None:
            self.inner.eval(env=env)
            env.stack.append(env.stack.pop() * scale)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    usual = ExecutionState._evaluate_with_timeout

    def evaluate_with_timeout(self: Any, env: Any) -> None:
        resource = getattr(self, "resource", None)
        waits = getattr(resource, "condition", None) == ResourceCondition.WaitForTaskToken
        if waits and not isinstance(self.timeout, Scaled):
            self.timeout = Scaled(self.timeout)
            if self.heartbeat:
                self.heartbeat = Scaled(self.heartbeat)
        usual(self, env)

    ExecutionState._evaluate_with_timeout = evaluate_with_timeout
    usual_eval = Program.eval

    def program_eval(self: Any, env: Any) -> None:
        limit = self.timeout_seconds
        if limit is not None and not getattr(self, "_is_scaled", False):
            limit.timeout_seconds *= scale
            self._is_scaled = True
        usual_eval(self, env)

    Program.eval = program_eval


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _name_executions() -> None:
    """Without a name moto calls an execution "None", and the next one collides with it."""
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend

    usual = StepFunctionsParserBackend.start_execution

    def start_execution(self: Any, state_machine_arn: str, name: str | None = None, *args: Any, **more: Any) -> Any:
        return usual(self, state_machine_arn, name or str(uuid.uuid4()), *args, **more)

    StepFunctionsParserBackend.start_execution = start_execution


def _end_at_once() -> None:
    """Stopping releases whoever waits for a token, and a token is good for one answer."""
    from moto.stepfunctions.parser.api import InvalidToken, TaskTimedOut
    from moto.stepfunctions.parser.asl.eval.callback.callback import CallbackPoolManager
    from moto.stepfunctions.parser.asl.eval.environment import Environment
    from moto.stepfunctions.parser.asl.eval.states import ContextObject
    from moto.stepfunctions.parser.backend.execution import Execution
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend
    from moto.stepfunctions.responses import StepFunctionResponse

    issued: set[str] = set()
    usual_token, usual_notify, usual_stop = ContextObject.update_task_token, CallbackPoolManager.notify, Execution.stop

    def update_task_token(self: Any) -> str:
        token = usual_token(self)
        issued.add(token)
        return token

    def notify(self: Any, callback_id: str, outcome: Any) -> bool:
        endpoint = self.get(callback_id)
        if endpoint is not None and endpoint._notify_event.is_set():
            raise TaskTimedOut("Task Timed Out: 'Provided task does not exist anymore'")
        return usual_notify(self, callback_id, outcome)

    asked = threading.local()
    usual_answer = StepFunctionResponse.stop_execution

    def stop_execution(self: Any) -> Any:
        """moto reads neither the error nor the cause of a stop."""
        asked.error, asked.cause = self._get_param("error"), self._get_param("cause")
        return usual_answer(self)

    def stop(self: Any, stop_date: Any, **_ignored: Any) -> None:
        usual_stop(self, stop_date=stop_date, error=getattr(asked, "error", None), cause=getattr(asked, "cause", None))
        for endpoint in list(self.exec_worker.env.callback_pool_manager._pool.values()):
            endpoint.interrupt_all()

    def guarded(usual: Any) -> Any:
        def send(self: Any, task_token: str, *args: Any, **more: Any) -> Any:
            try:
                return usual(self, task_token, *args, **more)
            except InvalidToken:
                if task_token not in issued:
                    raise
                raise TaskTimedOut("Task Timed Out: 'Provided task does not exist anymore'") from None

        return send

    def only_while_running(usual: Any) -> Any:
        def end(self: Any, *args: Any, **more: Any) -> None:
            if self.is_running():
                usual(self, *args, **more)

        return end

    # The first end counts: what a stopped task then reports must not make it FAILED.
    for name in ("set_error", "set_timed_out"):
        setattr(Environment, name, only_while_running(getattr(Environment, name)))
    # moto declares this error without its name.
    TaskTimedOut.TYPE = "TaskTimedOut"
    ContextObject.update_task_token = update_task_token
    CallbackPoolManager.notify = notify
    Execution.stop = stop
    StepFunctionResponse.stop_execution = stop_execution
    for name in ("send_task_success", "send_task_failure", "send_task_heartbeat"):
        setattr(StepFunctionsParserBackend, name, guarded(getattr(StepFunctionsParserBackend, name)))


def _format_with_escapes() -> None:
    """States.Format takes `\\{` for a brace; moto hands its text to Python's own format."""
    from moto.stepfunctions.parser.asl.component.intrinsic.function.statesfunction.generic.string_format import (
        StringFormat)

    def eval_body(self: Any, env: Any) -> None:
        self.argument_list.eval(env=env)
        text, *values = env.stack.pop()
        shown = iter(values)
        out, at = [], 0
        while at < len(text):
            if text[at] == "\\" and at + 1 < len(text):
                out.append(text[at + 1])
                at += 2
            elif text.startswith("{}", at):
                out.append(self._to_str_repr(next(shown)))
                at += 2
            else:
                out.append(text[at])
                at += 1
        env.stack.append("".join(out))

    StringFormat._eval_body = eval_body


def _start_executions() -> None:
    """`states:startExecution` with the names that a definition has: moto hands them to boto3 as they are."""
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sfn import (
        StateTaskServiceSfn)

    usual = StateTaskServiceSfn._eval_service_task

    def eval_service_task(self: Any, env: Any, normalised_parameters: dict[str, Any], **more: Any) -> None:
        named = {name[:1].lower() + name[1:]: value for name, value in normalised_parameters.items()}
        usual(self, env=env, normalised_parameters=named, **more)
        said = {name[:1].upper() + name[1:]: value for name, value in env.stack.pop().items()}
        if "StartDate" in said:
            said["StartDate"] = said["StartDate"].timestamp()
        env.stack.append(said)

    StateTaskServiceSfn._eval_service_task = eval_service_task


def _tell_status(ministack_port: int) -> None:
    """ "Step Functions Execution Status Change" onto ministack's bus: moto sends no events."""
    from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution

    def milliseconds(moment: Any) -> int | None:
        return int(moment.timestamp() * 1000) if moment is not None else None

    def tell(execution: Any) -> None:
        status = execution.exec_status.value
        succeeded, bad = status == "SUCCEEDED", status in ("FAILED", "ABORTED", "TIMED_OUT")
        detail = {
            "executionArn": execution.exec_arn,
            "stateMachineArn": execution.state_machine.arn,
            "name": execution.name,
            "status": status,
            "startDate": milliseconds(execution.start_date),
            "stopDate": milliseconds(execution.stop_date),
            "input": _text(execution.input_data),
            "inputDetails": {"included": True},
            "output": _text(execution.output) if succeeded else None,
            "outputDetails": {"included": True} if succeeded else None,
            "stateMachineVersionArn": None,
            "stateMachineAliasArn": None,
            "redriveCount": 0,
            "redriveDate": None,
            "redriveStatus": "REDRIVABLE" if bad else "NOT_REDRIVABLE",
            "redriveStatusReason": None,
            "error": execution.error if bad else None,
            "cause": execution.cause if bad else None,
        }
        event = {
            "source": "aws.states",
            "detail-type": "Step Functions Execution Status Change",
            "resources": [execution.exec_arn],
            "detail": detail,
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{ministack_port}/_local/events",
            json.dumps(event).encode(),
            {"content-type": "application/json"},
        )
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except OSError as error:
            print(f"status of {execution.exec_arn} could not be told: {error}", file=sys.stderr, flush=True)

    usual_start, usual_terminated = Execution.start, BaseExecutionWorkerCommunication.terminated

    def start(self: Any) -> None:
        usual_start(self)
        tell(self)

    def terminated(self: Any) -> None:
        usual_terminated(self)
        state = self.execution.exec_worker.env.program_state()
        if self.execution.exec_status.value == "ABORTED":
            self.execution.error, self.execution.cause = state.error, state.cause
        tell(self.execution)

    Execution.start = start
    BaseExecutionWorkerCommunication.terminated = terminated


if __name__ == "__main__":
    main()
