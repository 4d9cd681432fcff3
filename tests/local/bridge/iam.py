"""IAM: what the functions and state machines of stacks do is what their roles allow, and is written down.

A call by a function's process is held against the policies of the function's role as they are
deployed, and so is what Step Functions and Lambda do with a role themselves. ministack evaluates
policies; which action and which resource a call takes is said in `iam_actions`. Callers that have no
role here, such as the tests themselves, may do anything.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region, set_request_account_id
from ministack.services import iam, lambda_svc
from ministack.services import stepfunctions as sfn
from ministack.services.cloudformation import provisioners

from . import control, functions, http1, iam_actions, states, wire
from .iam_actions import Call, Check, Unknown

EXAMPLES_KEPT = 3
LOG_DELIVERY = (
    "CreateLogDelivery",
    "GetLogDelivery",
    "UpdateLogDelivery",
    "DeleteLogDelivery",
    "ListLogDeliveries",
    "PutResourcePolicy",
    "DescribeResourcePolicies",
    "DescribeLogGroups",
)
"""What Step Functions wants of the role of a state machine that has a log. All of it takes no resource."""


# ── Roles and their policies ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Granted:
    """A statement of a role."""

    policy: str
    index: int
    statement: iam_evaluator.ParsedStatement


_parsed: dict[str, list[iam_evaluator.ParsedStatement]] = {}


def _statements(role: dict[str, Any]) -> list[Granted]:
    documents = [(name, document) for name, document in (role.get("InlinePolicies") or {}).items()]
    account = get_account_id()
    for arn in role.get("AttachedPolicies") or ():
        document = iam_evaluator._resolve_managed_policy_document(arn, account)
        documents.append((arn, document if isinstance(document, str) else json.dumps(document or {})))
    found = []
    for name, document in documents:
        if document not in _parsed:
            _parsed[document] = iam_evaluator.parse_policy_document(document)
        found += [Granted(name, index, statement) for index, statement in enumerate(_parsed[document])]
    return found


def _role(arn: str | None) -> dict[str, Any] | None:
    """A role that is there. The sample functions of tests name one that is not."""
    role: dict[str, Any] | None = iam._roles.get(str(arn).rsplit("/", 1)[-1])
    return role


def _role_of_function(name: str) -> dict[str, Any] | None:
    function = lambda_svc._functions.get(name)
    return _role(function["config"].get("Role")) if function else None


def _allowing(granted: list[Granted], principal: str, check: Check) -> tuple[Granted, str] | None:
    """The statement, and the pattern in it, that allows; nothing when none does, or one denies."""
    context = iam_evaluator.EvalContext(
        principal_arn=principal,
        principal_type="AssumedRole",
        principal_account=get_account_id(),
        action=check.action,
        resource_arn=check.resource,
        region=get_region(),
        service_context={name.lower(): value for name, value in check.context.items()},
    )
    for one in granted:
        if one.statement.effect == "Deny" and iam_evaluator._first_match(context, [one.statement], "Deny"):
            return None
    for one in granted:
        if iam_evaluator._first_match(context, [one.statement], "Allow"):
            patterns = one.statement.resources
            matched = (p for p in patterns if iam_evaluator.fnmatch_iam_cs(check.resource, p))
            return one, next(matched, "")
    return None


# ── What was done ────────────────────────────────────────────────────────────────────────────


@dataclass
class Used:
    """How often something was done, and to what, for example."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        self.count += 1
        if len(self.examples) < EXAMPLES_KEPT and example not in self.examples:
            self.examples.append(example)


_lock = threading.Lock()
_used: dict[tuple[str, str, str, int, str, str], Used] = {}
"""(role, action, policy, index of the statement, its Sid, pattern) -> what for."""
_refused: dict[tuple[str, str, str], Used] = {}
"""(role, action or operation, why) -> on what."""


class Denied(PermissionError):
    """A role does not allow it."""

    def __init__(self, principal: str, action: str, resource: str) -> None:
        self.action = action
        super().__init__(
            f"User: {principal} is not authorized to perform: {action} on resource: {resource} "
            f"because no identity-based policy allows the {action} action"
        )


def authorise(role: dict[str, Any], session: str, needed: Iterable[Check], recorded: bool = True) -> None:
    """Raises `Denied` unless a role allows all of it; writes down which statements did."""
    name = role["RoleName"]
    principal = f"arn:aws:sts::{get_account_id()}:assumed-role/{name}/{session}"
    granted = _statements(role)
    for check in needed:
        found = _allowing(granted, principal, check)
        if found is None:
            if recorded:
                with _lock:
                    _refused.setdefault((name, check.action, "not granted"), Used()).add(check.resource)
            raise Denied(principal, check.action, check.resource)
        one, pattern = found
        if recorded:
            key = (name, check.action, one.policy, one.index, one.statement.sid, pattern)
            with _lock:
                _used.setdefault(key, Used()).add(check.resource)


def _unknown(role: dict[str, Any], session: str, why: Unknown, recorded: bool) -> Denied:
    if recorded:
        with _lock:
            _refused.setdefault((role["RoleName"], str(why), "unknown"), Used()).add("")
    principal = f"arn:aws:sts::{get_account_id()}:assumed-role/{role['RoleName']}/{session}"
    return Denied(principal, str(why), "what the local AWS does not know; see iam_actions.py")


# ── Calls over HTTP ──────────────────────────────────────────────────────────────────────────

_borrowed: dict[str, str] = {}
"""Access key id of a test that acts as a function -> that function's name. What it does is not written down."""


def refused(
    service: str,
    operation: str,
    key: str,
    request: http1.Request,
    path: str,
    headers: dict[str, str],
    query: dict[str, list[str]],
) -> http1.Response | None:
    """The service's own answer to a call that its caller's role does not allow; None to all others."""
    recorded = key in functions.caller_of_key
    name = functions.caller_of_key.get(key) or _borrowed.get(key)
    if name is None or (service, operation) == ("sts", "GetCallerIdentity"):
        return None
    set_request_account_id(key)
    role = _role_of_function(name)
    if role is None:
        return None
    call = Call(
        service=service,
        operation=operation,
        method=request.method,
        path=path,
        query=query,
        data=_data(request.body, headers, query),
        account=get_account_id(),
        region=get_region(),
    )
    try:
        try:
            needed = iam_actions.checks(call)
        except Unknown as why:
            raise _unknown(role, name, why, recorded) from None
        authorise(role, name, needed, recorded)
    except Denied as denied:
        if denied.action == "kms:CreateGrant":
            # Lambda's words, as users quote them.
            message = (
                "Lambda was unable to configure access to your environment variables because the KMS key is invalid "
                "for CreateGrant. Please check your KMS key settings. KMS Exception: AccessDeniedException KMS "
                f"Message: {denied}"
            )
            return wire.refused(service, 400, "InvalidParameterValueException", message, headers)
        return wire.refusal("access-denied", service, headers, str(denied))
    return None


def _data(body: bytes, headers: dict[str, str], query: dict[str, list[str]]) -> dict[str, Any]:
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
    data = wire.decode(body, headers, limit=None)
    return data if isinstance(data, dict) else {}


# ── What services do with a role themselves ──────────────────────────────────────────────────


def of_machine(machine_arn: str | None, service: str, operation: str, data: dict[str, Any]) -> None:
    """A state machine's own call. Raises `Denied`."""
    machine = sfn._state_machines.get(machine_arn)
    role = _role(machine["roleArn"]) if machine else None
    if machine is None or role is None:
        return
    path = ""
    if service == "lambda":
        path = f"/2015-03-31/functions/{data['FunctionName']}/invocations"
    call = Call(service, operation, "POST", path, {}, data, get_account_id(), get_region())
    try:
        needed = iam_actions.checks(call)
    except Unknown as why:
        raise _unknown(role, machine["name"], why, True) from None
    authorise(role, machine["name"], needed)


def _on_failure(target: str, name: str, event: Any, result: Any) -> None:
    """Lambda sends what failed to its destination with the function's role."""
    role = _role_of_function(name)
    if role is not None:
        call = Call("sqs", "SendMessage", "POST", "", {}, {"QueueArn": target}, get_account_id(), get_region())
        if ":sns:" in target:
            call = Call("sns", "Publish", "POST", "", {}, {"TopicArn": target}, get_account_id(), get_region())
        try:
            authorise(role, name, iam_actions.checks(call))
        except Denied:
            return
    _original_on_failure(target, name, event, result)


def _create_machine(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
    """Step Functions asks whether it may deliver a state machine's log when the machine is made."""
    logging = props.get("LoggingConfiguration") or {}
    role = _role(props.get("RoleArn"))
    if role is not None and (logging.get("Level") or logging.get("level") or "OFF") != "OFF":
        try:
            authorise(role, logical_id, [Check(f"logs:{name}", iam_actions.ANY) for name in LOG_DELIVERY])
        except Denied:
            message = "The state machine IAM Role is not authorized to access the Log Destination"
            raise ValueError(f"AccessDeniedException: {message}") from None
    return _original_create_machine(logical_id, props, stack_name)


# ── Control ──────────────────────────────────────────────────────────────────────────────────


def _made_by(role: str) -> tuple[str, str]:
    """The stack and the logical id: CloudFormation puts the one before the other and something of its own behind."""
    match = re.fullmatch(r"(.+)-([A-Za-z0-9]+)-[A-Za-z0-9]+", role)
    return (match[1], match[2]) if match else ("", role)


def _roles() -> list[dict[str, Any]]:
    holders: dict[str, list[str]] = {}
    for name, function in list(lambda_svc._functions.items()):
        holders.setdefault(str(function["config"].get("Role")).rsplit("/", 1)[-1], []).append(name)
    for machine in list(sfn._state_machines.values()):
        holders.setdefault(str(machine.get("roleArn")).rsplit("/", 1)[-1], []).append(machine["name"])
    return [
        {
            "role": name,
            "stack": _made_by(name)[0],
            "logicalId": _made_by(name)[1],
            "holders": holders[name],
            "policies": {policy: json.loads(document) for policy, document in role["InlinePolicies"].items()},
            "managed": list(role.get("AttachedPolicies") or ()),
        }
        for name, role in list(iam._roles.items())
        if name in holders
    ]


@control.route("GET", "iam")
def _show(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    with _lock:
        used = [
            {
                "role": role,
                "action": action,
                "policy": policy,
                "statement": index,
                "sid": sid,
                "pattern": pattern,
                "count": found.count,
                "examples": list(found.examples),
            }
            for (role, action, policy, index, sid, pattern), found in sorted(_used.items())
        ]
        refused = [
            {"role": role, "action": action, "why": why, "count": found.count, "resources": list(found.examples)}
            for (role, action, why), found in sorted(_refused.items())
        ]
    return {"roles": _roles(), "used": used, "refused": refused}


@control.route("DELETE", "iam")
def _forget(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    with _lock:
        _used.clear()
        _refused.clear()
    return {}


@control.route("GET", "iam/credentials")
def _borrow(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """What a test needs to act as a function does."""
    from ministack.services import sts

    name = asked["function"]
    if _role_of_function(name) is None:
        raise ValueError(f"{name} is no function with a role")
    if "process" in asked:
        key = next((key for key in functions.process_of_key if functions.caller_of_key.get(key) == name), None)
        if key is None:
            raise ValueError(f"{name} has no process")
        return {"accessKeyId": key, "secretAccessKey": "local", "sessionToken": "local"}
    account = get_account_id()
    key = "LOCB" + hashlib.sha256(f"{account}/{name}".encode()).hexdigest()[:16].upper()
    if key not in _borrowed:
        sts.register_session(key, functions.session(account, name))
        _borrowed[key] = name
    return {"accessKeyId": key, "secretAccessKey": "local", "sessionToken": "local"}


_original_on_failure: Any = None
_original_create_machine: Any = None


def install() -> None:
    global _original_on_failure, _original_create_machine
    _original_on_failure = lambda_svc._route_async_failure
    lambda_svc._route_async_failure = _on_failure
    handlers = provisioners._RESOURCE_HANDLERS["AWS::StepFunctions::StateMachine"]
    _original_create_machine = handlers["create"]
    handlers["create"] = _create_machine
    iam_actions.authorization()
    iam_actions.machines_of_token = states.machines_of_token
    control.REFUSED = refused
    states.AUTHORISE = of_machine
