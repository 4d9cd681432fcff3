"""Answers CloudFormation for `Custom::CrossfadeRelease`: a stack's update waits for a release and fails with it.

CloudFormation's event starts an execution of the waiter (waiter.asl.json), which calls this function again: `step`
until an answer is fixed in the execution's state, then `answer`, which delivers it. The answer is decided once, and a
delivery that is repeated sends the same answer.
"""

import hashlib
import json
import os
import time
import urllib.request
from typing import Any

import boto3
from botocore.exceptions import ClientError

State = dict[str, Any]

# How long CloudFormation waits for an answer, seconds, if the resource sets no ServiceTimeout:
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requests.html
CLOUDFORMATION_SECONDS = 3600
# What is left of that time to stop the release and to answer.
MARGIN_SECONDS = 180
# An answer has at most 4096 bytes; the longest reason, in bytes, leaves room for the rest even if it is all escapes.
MAX_REASON = 1500
# The failed update is among the last events of its resource, and its waiter among the last of all.
MAX_WAITERS = 1000
MAX_EVENTS = 10
# How a release ends that has moved traffic, and has not returned it to blue.
LEFT_ON_GREEN = {"DeploymentHeld", "RollbackFailed"}

states = boto3.client("stepfunctions")
cloudformation = boto3.client("cloudformation")


class Refused(Exception):
    """A call or a property that is wrong, and stays wrong however often it is repeated."""


def handler(event: dict[str, Any], _context: object) -> State | None:
    """Routes an event of CloudFormation, or a task of the waiter."""
    match event.get("task"):
        case "step":
            return step(event["state"])
        case "answer":
            return deliver(event["state"]["event"], event["state"]["answer"])
        case "give-up":
            return give_up(event["state"])
        case None:
            return receive(event)
        case other:
            raise Refused(f'unknown task {other!r}; expected "step", "answer" or "give-up"')


def receive(event: dict[str, Any]) -> None:
    """Starts the waiter, which answers.

    Lambda repeats an event whose handler raises. The waiter's name is the same then, so no second one is started. Only a
    refusal, after which there is no waiter for certain, is answered here.
    """
    timeout = seconds(event["ResourceProperties"].get("ServiceTimeout"), CLOUDFORMATION_SECONDS)
    begun = time.time()
    state = {"event": event, "deadline": begun + timeout - min(MARGIN_SECONDS, timeout // 10)}
    try:
        start(os.environ["WAITER"], name_of(event), state)
    except Refused as refused:
        # No deletion of a stack is blocked by a waiter that is gone.
        done = event["RequestType"] == "Delete"
        deliver(event, succeeded(event) if done else failed(event, f"the waiter was not started: {refused}"))


def step(state: State) -> State:
    """Takes the next step of one event, and returns the waiter's state, with `answer` once that is known."""
    event = state["event"]
    phase = state.get("phase")
    try:
        if phase is None:
            return begin(state)
        execution = describe(state["execution"])
        if execution is None:
            return decided(state, failed(event, f"the execution is gone: {state['execution']}"))
        if execution["status"] == "RUNNING":
            return wait(state)
        if phase == "stopping":
            return stopped(state)
        ended = succeeded(event, execution) if execution["status"] == "SUCCEEDED" else failed(event, reason_of(execution))
        return decided(state, ended)
    except Refused as refused:
        # No deletion of a stack is blocked.
        done = event["RequestType"] == "Delete"
        return decided(state, succeeded(event) if done else failed(event, str(refused)))


def begin(state: State) -> State:
    """Starts what the event requires: a release, the rollback of one, or the stop of one."""
    event = state["event"]
    if event["RequestType"] == "Delete":
        # The alias stays as it is, or is deleted by the stack.
        release = release_of(event, event["ResourceProperties"])
        return stop(state, release, None) if is_running(release) else decided(state, succeeded(event))
    if event["RequestType"] == "Update" and is_rolling_back(event):
        release = release_of(event, event["OldResourceProperties"])
        if is_running(release):
            return stop(state, release, None)
        if not has_traffic(release):
            return decided(state, succeeded(event))
        request = {
            "action": "rollback",
            "application": json.loads(release["input"])["application"],
            "reason": f"the update of the stack {stack_name(event)} failed and rolls back",
        }
        execution = start(machine(), f"{name_of(event)}-undo", request)
    else:
        execution = start(machine(), name_of(event), request_of(event["ResourceProperties"]))
    return {**state, "phase": "running", "execution": execution}


def stopped(state: State) -> State:
    """Goes on after a release that was stopped has ended, which it may have done before by itself."""
    event = state["event"]
    if state["why"] is not None:
        return decided(state, failed(event, state["why"]))
    if event["RequestType"] == "Update":
        return begin({**state, "phase": None})
    return decided(state, succeeded(event))


def wait(state: State) -> State:
    """Stops the release if the stack no longer waits for it; otherwise leaves it running."""
    event = state["event"]
    if state["phase"] == "stopping" or event["RequestType"] == "Delete":
        return state
    late = time.time() >= state["deadline"]
    if is_undo(state):
        why = f"the rollback did not end before CloudFormation's timeout, and continues: {state['execution']}"
        return decided(state, failed(event, why)) if late else state
    if late:
        why = (
            "the release did not end before CloudFormation's timeout; it was stopped, and Crossfade returns its traffic "
            f"to blue: {state['execution']}"
        )
    elif is_rolling_back(event):
        why = f"the stack rolls back; the release was stopped, and Crossfade returns its traffic to blue: {state['execution']}"
    else:
        return state
    return stop(state, {"executionArn": state["execution"]}, why)


def give_up(state: State) -> State:
    """Decides for failure after an error that repeating did not cure, and stops the release if that is possible."""
    event = state["event"]
    execution = state.get("execution")
    failure = state.get("failure", {})
    why = f"the waiter failed: {failure.get('Error')}: {failure.get('Cause')}"
    if execution and not is_undo(state):
        try:
            stop(state, {"executionArn": execution}, why)
            why = f"the release was stopped, and Crossfade returns its traffic to blue: {execution}; {why}"
        except (Refused, ClientError) as error:
            why = f"the release may still be running: {execution}; it was not stopped: {error}; {why}"
    return decided(state, failed(event, why))


def stop(state: State, release: dict[str, Any], why: str | None) -> State:
    """Stops a release. Crossfade returns the traffic of a stopped release to blue."""
    arn = release["executionArn"]
    call(states.stop_execution, executionArn=arn, error="StackNoLongerWaits", cause=why or "the stack rolls back")
    return {**state, "phase": "stopping", "execution": arn, "why": why}


def release_of(event: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the release that the last event with these properties started, as Step Functions describes it.

    The waiter and its release have one name, which begins with the same letters for all events of a resource. Their
    properties are compared, as an event that did not reach its waiter has left none.
    """
    own, seen = name_of(event), 0
    pages = states.get_paginator("list_executions").paginate(
        stateMachineArn=os.environ["WAITER"], PaginationConfig={"MaxItems": MAX_WAITERS}
    )
    for page in pages:
        for waiter in page["executions"]:
            if waiter["name"] == own or not waiter["name"].startswith(resource_of(event)):
                continue
            seen += 1
            if seen > MAX_EVENTS:
                return None
            described = describe(waiter["executionArn"])
            if described is None:
                continue
            earlier = json.loads(described["input"])["event"]
            if earlier["RequestType"] != "Delete" and earlier["ResourceProperties"] == properties:
                return describe(execution_arn(machine(), waiter["name"]))
    return None


def is_running(release: dict[str, Any] | None) -> bool:
    """Returns whether a release is in flight."""
    return release is not None and release["status"] == "RUNNING"


def has_traffic(release: dict[str, Any] | None) -> bool:
    """Returns whether a release that has ended left traffic on green: all of it, or a part in a hold."""
    if release is None:
        return False
    return outcome_of(release).get("deploymentStatus") == "SUCCESSFUL" or release.get("error") in LEFT_ON_GREEN


def is_undo(state: State) -> bool:
    """Returns whether the waiter waits for a rollback, which is never stopped."""
    return state["execution"].endswith("-undo")


def is_rolling_back(event: dict[str, Any]) -> bool:
    """Returns whether the stack is on its way back to the state before this operation, also after a cancellation."""
    stacks = call(cloudformation.describe_stacks, StackName=event["StackId"])["Stacks"]
    return "ROLLBACK" in stacks[0]["StackStatus"]


def request_of(properties: dict[str, Any]) -> dict[str, Any]:
    """Reads the property Request.

    CloudFormation makes text of all numbers in a custom resource's properties, so a request is given as JSON text.
    """
    text = properties.get("Request")
    if not isinstance(text, str):
        raise Refused("the property Request is missing or is not text; expected a request as JSON text")
    try:
        request = json.loads(text)
    except ValueError as error:
        raise Refused(f"the property Request is not JSON: {error}") from None
    if not isinstance(request, dict) or request.get("action", "release") != "release":
        raise Refused('the property Request is not a release; expected a JSON object without an "action"')
    return request


# ── Step Functions ─────────────────────────────────────────────────────────────────────────────


def machine() -> str:
    """Returns the ARN of Crossfade's state machine."""
    return os.environ["DEPLOYMENT_STATE_MACHINE"]


def execution_arn(state_machine: str, name: str) -> str:
    """Returns the ARN of an execution by its name."""
    return state_machine.replace(":stateMachine:", ":execution:") + f":{name}"


def resource_of(event: dict[str, Any]) -> str:
    """Returns what the names of all executions of one resource begin with."""
    identity = f"{event['StackId']} {event['LogicalResourceId']}"
    return f"cfn-{hashlib.sha256(identity.encode()).hexdigest()[:16]}-"


def name_of(event: dict[str, Any]) -> str:
    """Returns the name of an event's executions: the same whenever the event is delivered again."""
    return resource_of(event) + event["RequestId"]


def start(state_machine: str, name: str, given: dict[str, Any]) -> str:
    """Starts an execution, or finds the one that this call has started before, and returns its ARN."""
    try:
        return call(states.start_execution, stateMachineArn=state_machine, name=name, input=json.dumps(given))["executionArn"]
    except ClientError as error:
        # It has this name, and has ended already, or began with another deadline.
        if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
            raise
        return execution_arn(state_machine, name)


def describe(arn: str) -> dict[str, Any] | None:
    """Returns an execution, or None if there is none of this name."""
    try:
        return call(states.describe_execution, executionArn=arn)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
            raise
        return None


# Errors that repeating a call may cure, or that say something about the execution's name.
PASSING = {"ExecutionAlreadyExists", "ExecutionDoesNotExist", "ExecutionLimitExceeded", "RequestTimeout", "ServiceUnavailable"}


def call(operation: Any, **given: Any) -> dict[str, Any]:
    """Makes a call, and raises Refused for an error that repeating it does not cure."""
    try:
        return operation(**given)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        if status >= 500 or code in PASSING or "Throttl" in code or "Expired" in code:
            raise
        raise Refused(str(error)) from None


def outcome_of(execution: dict[str, Any]) -> dict[str, Any]:
    """Returns the release's outcome: the execution's output, or its Cause if it failed."""
    try:
        outcome = json.loads(execution.get("output") or execution.get("cause") or "{}")
    except ValueError:
        return {}
    return outcome if isinstance(outcome, dict) else {}


def reason_of(execution: dict[str, Any]) -> str:
    """Returns why an execution did not succeed, as an event of the stack shows it."""
    outcome = outcome_of(execution)
    why = outcome.get("reason") or execution.get("cause") or "no cause is given"
    said = ": ".join(str(part) for part in (outcome.get("deploymentStatus"), execution.get("error"), why) if part)
    return f"{execution['status']}: {said} ({execution['executionArn']})"


# ── The answer ─────────────────────────────────────────────────────────────────────────────────


def decided(state: State, answer: dict[str, Any]) -> State:
    """Returns the state with the answer fixed in it."""
    return {**state, "answer": answer}


def succeeded(event: dict[str, Any], execution: dict[str, Any] | None = None) -> dict[str, Any]:
    """Returns the answer that lets the stack go on, with what Fn::GetAtt reads."""
    data = {}
    if execution:
        outcome = outcome_of(execution)
        data = {
            "Execution": execution["executionArn"],
            "DeploymentStatus": outcome.get("deploymentStatus", ""),
            "Reason": clipped(str(outcome.get("reason", ""))),
        }
    return {**addressed(event), "Status": "SUCCESS", "Data": data}


def failed(event: dict[str, Any], why: str) -> dict[str, Any]:
    """Returns the answer that fails the resource, and with it the stack's operation."""
    return {**addressed(event), "Status": "FAILED", "Reason": clipped(why)}


def clipped(text: str) -> str:
    """Returns text that is short enough for an answer."""
    return text.encode()[:MAX_REASON].decode(errors="ignore")


def addressed(event: dict[str, Any]) -> dict[str, Any]:
    """Returns what every answer repeats of its event. The physical id never changes, so nothing is ever replaced."""
    names = ("StackId", "RequestId", "LogicalResourceId")
    physical = event.get("PhysicalResourceId") or resource_of(event).rstrip("-")
    return {**{name: event[name] for name in names}, "PhysicalResourceId": physical}


def deliver(event: dict[str, Any], answer: dict[str, Any]) -> None:
    """Sends an answer to CloudFormation. The signed URL takes no Content-Type."""
    body = json.dumps(answer, ensure_ascii=False).encode()
    request = urllib.request.Request(event["ResponseURL"], data=body, method="PUT", headers={"Content-Type": ""})
    with urllib.request.urlopen(request, timeout=10) as response:
        logged = {"event": "answered", "status": answer["Status"], "request": answer["RequestId"], "http": response.status}
    print(json.dumps(logged))


def stack_name(event: dict[str, Any]) -> str:
    """Returns the stack's name from its ARN."""
    return event["StackId"].split("/")[1]


def seconds(text: Any, default: int) -> int:
    """Reads a number of seconds from text, as CloudFormation passes it."""
    try:
        return int(text)
    except (TypeError, ValueError):
        return default
