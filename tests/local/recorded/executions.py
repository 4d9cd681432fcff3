"""Executions of state machines and their histories: the calls behind `sfn-*.json`."""

from __future__ import annotations

import datetime
import itertools
import json
from collections.abc import Callable
from typing import Any

from invocations import played
from replay import ACCOUNT, REGION, Replay, Scenarios, until
from test_bridge import ROLE

CALLBACK = Scenarios("sfn-callback")
TASK = Scenarios("sfn-task-lambda")
NESTED = Scenarios("sfn-task-sfn")
WAIT = Scenarios("sfn-wait")
LIMITS = Scenarios("sfn-states-errors")
SUITES = [CALLBACK, TASK, NESTED, WAIT, LIMITS]

STATES = Any
_numbers = itertools.count()


def machine(r: Replay, states: STATES, **more: Any) -> str:
    definition = {"StartAt": next(iter(states)), "States": states, **more}
    client = r.client("stepfunctions")
    made = client.create_state_machine(
        name=f"{r.unique('machine')}-{next(_numbers)}", definition=json.dumps(definition), roleArn=ROLE
    )
    return str(made["stateMachineArn"])


def history(
    r: Replay, states: STATES, given: Any, meanwhile: Callable[[], Any] | None = None, ends: bool = True
) -> None:
    """Runs a state machine to its end, and takes its history."""
    client = r.client("stepfunctions")
    started = client.start_execution(stateMachineArn=machine(r, states), input=json.dumps(given))
    arn = started["executionArn"]
    if meanwhile is not None:
        meanwhile()
    if ends:
        until(lambda: client.describe_execution(executionArn=arn)["status"] != "RUNNING", "the execution ends")
    else:
        until(lambda: len(client.get_execution_history(executionArn=arn)["events"]) > 1, "the execution begins")
    r("get_execution_history", client.get_execution_history, executionArn=arn)
    if not ends:
        client.stop_execution(executionArn=arn)


# ── Waits ────────────────────────────────────────────────────────────────────────────────────


@WAIT.of("base_wait_seconds_path", *(f"base_wait_seconds_path[{each}]" for each in ("-1.5", "-1", "0", "1.5", "1")))
def seconds(r: Replay) -> None:
    given = {"input": {"waitSeconds": json.loads(r.parameter or "1")}}
    history(r, {"WaitState": {"Type": "Wait", "SecondsPath": "$.input.waitSeconds", "End": True}}, given)


def at(seconds: float, form: str = "%Y-%m-%dT%H:%M:%S") -> str:
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).strftime(form)


STARTS_AT = {"State_1": {"Type": "Wait", "TimestampPath": "$.start_at", "End": True}}


@WAIT.of(*(f"wait_timestamppath[{each}]" for each in (".000000Z", ".000000", ".00Z", "Z", "")))
def timestamps(r: Replay) -> None:
    history(r, STARTS_AT, {"start_at": at(0) + r.parameter})


@WAIT.of("timestamp_too_far_in_future_boundary[24855]", "timestamp_too_far_in_future_boundary[24856]")
def far(r: Replay) -> None:
    days = int(r.parameter)
    history(r, STARTS_AT, {"start_at": at(days * 86400 + 3600) + "Z"}, ends=days > 24855)


# ── Lambda tasks ─────────────────────────────────────────────────────────────────────────────

RAISES = 'def handler(event, context):\n    raise Exception("Some exception was raised.")\n'
CUSTOM = (
    "\n\n\nclass CustomException(Exception):\n    pass\n\n\ndef handler(event, context):\n    raise CustomException()\n"
)


def invokes(**more: Any) -> Any:
    parameters = {"FunctionName.$": "$.FunctionName", "Payload.$": "$.Payload"}
    return {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": parameters, **more}


def caught(by: str, then: str, **more: Any) -> Any:
    return {"Catch": [{"ErrorEquals": [by], "Next": then, **more}], "End": True}


@TASK.of("raise_exception")
def raise_exception(r: Replay) -> None:
    _client, name, _ = played(r, RAISES)
    history(r, {"Start": invokes(End=True)}, {"FunctionName": name, "Payload": None})


def handled(state: str, error: str, path: str | None) -> Any:
    """A task whose failure goes to a state that keeps what it is given."""
    passes = {"Type": "Pass", "End": True, **({"ResultPath": path} if path else {})}
    return {"Start": invokes(**caught(error, state)), state: passes}


@TASK.of("raise_exception_catch")
def raise_and_catch(r: Replay) -> None:
    _client, name, _ = played(r, RAISES)
    given = {"FunctionName": name, "Payload": None}
    history(r, handled("EndWithStateTaskFailedHandler", "States.TaskFailed", "$.task_failed_error"), given)


@TASK.of("raise_custom_exception")
def raise_custom(r: Replay) -> None:
    _client, name, _ = played(r, CUSTOM)
    states = {
        "InvokeLambda": invokes(**caught("CustomException", "ErrorMatched")),
        "ErrorMatched": {"Type": "Pass", "End": True},
    }
    history(r, states, {"FunctionName": name, "Payload": None})


@TASK.of(*(f"raise_exception_catch_output_path[{each}]" for each in ("$.Payload", "$.no.such.path", "None")))
def output_path(r: Replay) -> None:
    _client, name, _ = played(r, RAISES)
    path = {} if r.parameter == "None" else {"OutputPath": r.parameter}
    handler = {"Type": "Pass", "Parameters": {"InputValue.$": "$"}, "End": True}
    states = {
        "InvokeLambda": invokes(**path, **caught("States.ALL", "HandleGeneralError")),
        "HandleGeneralError": handler,
    }
    history(r, states, {"FunctionName": name, "Payload": {"payload_input_value_0": 0}})


@TASK.of("no_such_function")
def missing(r: Replay) -> None:
    history(r, {"Start": invokes(End=True)}, {"FunctionName": f"no_such_{r.unique()}", "Payload": None})


@TASK.of("no_such_function_catch")
def missing_and_caught(r: Replay) -> None:
    given = {"FunctionName": f"no_such_{r.unique()}", "Payload": None}
    history(r, handled("EndWithStateTaskFailedHandler", "States.TaskFailed", "$.task_failed_error"), given)


@TASK.of("invoke_timeout")
def slow(r: Replay) -> None:
    _client, name, _ = played(r, "import time\n\n\ndef handler(event, context):\n    time.sleep(8)\n")
    states = handled("EndWithHandler", "States.Timeout", "$.error")
    states["Start"]["TimeoutSeconds"] = 5
    history(r, states, {"FunctionName": name, "Payload": None})


@LIMITS.of(
    "service_task_lambada_catch_state_all_data_limit_exceeded_on_large_utf8_response",
    "service_task_lambada_data_limit_exceeded_on_large_utf8_response",
)
def large(r: Replay) -> None:
    _client, name, _ = played(r, 'def handler(event, context):\n    return "a" * (257 * 1024)\n')
    by, then = ("States.ALL", "HandleGeneralError")
    if "catch_state_all" not in r.name:
        by, then = ("States.DataLimitExceeded", "HandleDataLimitExceeded")
    states = {"InvokeLambda": invokes(**caught(by, then)), then: {"Type": "Pass", "End": True}}
    history(r, states, {"FunctionName": name, "Payload": None})


@LIMITS.of(
    "task_lambda_catch_state_all_data_limit_exceeded_on_large_utf8_response",
    "task_lambda_data_limit_exceeded_on_large_utf8_response",
)
def large_of_function(r: Replay) -> None:
    _client, name, _ = played(r, 'def handler(event, context):\n    return "a" * (257 * 1024)\n')
    by, then = ("States.ALL", "HandleGeneralError")
    if "catch_state_all" not in r.name:
        by, then = ("States.DataLimitExceeded", "HandleDataLimitExceeded")
    task = {"Type": "Task", "Resource": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}", **caught(by, then)}
    states = {"InvokeLambda": task, then: {"Type": "Pass", "End": True}}
    history(r, states, {"FunctionName": name, "Payload": None})


@NESTED.of("start_execution_no_such_arn")
def missing_machine(r: Replay) -> None:
    arn = machine(r, {"Done": {"Type": "Pass", "End": True}})
    parameters = {"StateMachineArn.$": "$.StateMachineArn", "Input.$": "$.Input", "Name.$": "$.Name"}
    task = {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution", "Parameters": parameters, "End": True}
    history(r, {"StartExecution": task}, {"StateMachineArn": f"{arn}-no", "Input": None, "Name": "TestStartTarget"})


# ── Tokens ───────────────────────────────────────────────────────────────────────────────────


class Queue:
    """A queue that carries tokens."""

    def __init__(self, r: Replay) -> None:
        self.sqs, self.states = r.client("sqs"), r.client("stepfunctions")
        self.url = self.sqs.create_queue(QueueName=r.unique("queue"))["QueueUrl"]

    def body(self) -> Any:
        """What the next message says."""
        asked = {"QueueUrl": self.url, "WaitTimeSeconds": 1}
        (message,) = until(lambda: self.sqs.receive_message(**asked).get("Messages"), "a message")
        self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return json.loads(message["Body"])

    def succeed(self, output: Callable[[Any], Any]) -> None:
        body = self.body()
        self.states.send_task_success(taskToken=body["TaskToken"], output=json.dumps(output(body)))

    def fail(self, **how: str) -> None:
        self.states.send_task_failure(taskToken=self.body()["TaskToken"], **how)


def waits(message: Any, **more: Any) -> Any:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {"QueueUrl.$": "$.QueueUrl", "MessageBody": message},
        **({"End": True} if "Next" not in more else {}),
        **more,
    }


MESSAGE = {"Message.$": "$.Message", "TaskToken.$": "$$.Task.Token"}
CONTEXT = {"Context.$": "$", "TaskToken.$": "$$.Task.Token"}


def given(queue: Queue, message: str = "test_message_txt") -> Any:
    return {"QueueUrl": queue.url, "Message": message}


@CALLBACK.of("sqs_wait_for_task_token")
def success(r: Replay) -> None:
    queue = Queue(r)
    states = {"SendMessageWithWait": waits(MESSAGE)}
    history(r, states, given(queue), lambda: queue.succeed(lambda body: body["Message"]))


@CALLBACK.of("sqs_wait_for_task_tok_with_heartbeat")
def heartbeat(r: Replay) -> None:
    queue = Queue(r)
    states = {"SendMessageWithWait": waits(MESSAGE, HeartbeatSeconds=60, TimeoutSeconds=600)}
    history(r, states, given(queue), lambda: queue.succeed(lambda body: body["Message"]))


@CALLBACK.of("multiple_heartbeat_notifications")
def heartbeats(r: Replay) -> None:
    queue = Queue(r)
    states = {"SendMessageWithWait": waits(MESSAGE, HeartbeatSecondsPath="$.HeartbeatSecondsPath", TimeoutSeconds=600)}

    def beats() -> None:
        body = queue.body()
        for _ in range(5):
            queue.states.send_task_heartbeat(taskToken=body["TaskToken"])
        queue.states.send_task_success(taskToken=body["TaskToken"], output=json.dumps(body))

    history(r, states, {**given(queue, "txt"), "HeartbeatSecondsPath": 120}, beats)


@CALLBACK.of("sqs_wait_for_task_token_call_chain")
def chain(r: Replay) -> None:
    queue = Queue(r)
    states = {
        "State1": waits(MESSAGE, ResultPath="$.State1Output", Next="State2"),
        "State2": waits(MESSAGE, ResultPath="$.State2Output"),
    }

    def both() -> None:
        for _ in range(2):
            queue.succeed(lambda body: body["Message"])

    history(r, states, given(queue, "HelloWorld"), both)


@CALLBACK.of("sqs_wait_for_task_token_no_token_parameter")
def no_token(r: Replay) -> None:
    queue = Queue(r)
    states = {"State1": waits({"Context.$": "$"}, TimeoutSeconds=5)}
    history(r, states, {"QueueUrl": queue.url})


@CALLBACK.of("sqs_wait_for_task_token_timeout")
def timeout(r: Replay) -> None:
    queue = Queue(r)
    history(r, {"SendMessageWithWaitAndTimeout": waits(MESSAGE, TimeoutSeconds=5)}, given(queue))


@CALLBACK.of("sqs_failure_in_wait_for_task_token")
def failure(r: Replay) -> None:
    queue = Queue(r)
    states = {"SendMessageWithWait": waits(MESSAGE)}
    history(r, states, given(queue), lambda: queue.fail(error="Failure error", cause="Failure cause"))


@CALLBACK.of("sqs_failure_in_wait_for_task_tok_no_error_field[SQS_WAIT_FOR_TASK_TOKEN_CATCH]")
def failure_without_error(r: Replay) -> None:
    queue = Queue(r)
    states = {
        "SendMessageWithWait": waits(
            CONTEXT, **caught("States.ALL", "CaughtStatesALL", ResultPath="$.states_all_error")
        ),
        "CaughtStatesALL": {"Type": "Pass", "End": True},
    }
    history(r, states, given(queue), queue.fail)


@CALLBACK.of("sns_publish_wait_for_task_token")
def published(r: Replay) -> None:
    queue, sns = Queue(r), r.client("sns")
    topic = sns.create_topic(Name=r.unique("topic"))["TopicArn"]
    sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue.url.rpartition('/')[2]}"
    )
    message = {"arg1.$": "$.body.arg1", "arg2.$": "$.body.arg2", "TaskToken.$": "$$.Task.Token"}
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sns:publish.waitForTaskToken",
        "Parameters": {"TopicArn.$": "$.TopicArn", "Message": message},
        "End": True,
    }

    def answered() -> None:
        body = queue.body()
        r.match("messages", [body])
        queue.states.send_task_success(taskToken=json.loads(body["Message"])["TaskToken"], output="{}")

    history(r, {"Publish": task}, {"TopicArn": topic, "body": {"arg1": "Hello", "arg2": "World"}}, answered)
