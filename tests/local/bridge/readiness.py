"""Versions that cannot serve yet, or no more until they are woken; and what invocations of them get."""

from __future__ import annotations

import copy
import threading
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import lambda_svc

from . import control
from .routing import PUBLISHED

ACCOUNT, REGION = "000000000000", "us-east-1"

PENDING_SECONDS = 1.5
"""How long a version of a function with SnapStart or in a VPC is Pending after its publication. AWS takes minutes."""

_CODES = {"CodeArtifactUserPendingException": 409, "ResourceNotReadyException": 502, "SnapStartNotReadyException": 409}
"""What the first invocation of an idle version gets (images, VPC, SnapStart), with its status ((U) of the first)."""

_waking: dict[str, tuple[str, float]] = {}
"""What an invocation of a version that was made Inactive gets, and how long it is Pending then; by its ARN."""


def begins_pending(config: dict[str, Any]) -> bool:
    """Whether a version of this function is Pending when it is published."""
    snap = (config.get("SnapStart") or {}).get("ApplyOn") == "PublishedVersions"
    return snap or bool((config.get("VpcConfig") or {}).get("SubnetIds"))


def pend(config: dict[str, Any], seconds: float, code: str = "Creating") -> None:
    """Pending for so long, and then Active."""
    config.update(State="Pending", StateReason="The function is being created.", StateReasonCode=code)

    def active() -> None:
        if config.get("State") == "Pending":
            config.update(State="Active", StateReason="", StateReasonCode="")

    timer = threading.Timer(seconds, active)
    timer.daemon = True
    timer.start()


def refusal(config: dict[str, Any]) -> tuple[str, str, int] | None:
    """Code, message and status for an invocation of what cannot serve; an idle version wakes up by it."""
    state = config.get("State")
    if state == "Inactive":
        code, seconds = _waking.pop(str(config["FunctionArn"]), ("CodeArtifactUserPendingException", 1.0))
        pend(config, seconds, "Restoring")
        return code, "Lambda is initializing your function. It will be ready to invoke shortly.", _CODES[code]
    if state == "Pending" and (config.get("SnapStart") or {}).get("ApplyOn") == "PublishedVersions":
        return "SnapStartNotReadyException", "Lambda is initializing your function.", 409
    if state in ("Pending", "Failed"):
        message = "The operation cannot be performed at this time. The function is currently in the following state: "
        return "ResourceConflictException", message + str(state), 409
    return None


@control.route("POST", "versions/state")
def _set(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """Puts a version, or `$LATEST`, in a state."""
    wanted = dict(body)
    known = {"function", "version", "state", "seconds", "code", "reason", "reasonCode", "snapStart"}
    if unknown := set(wanted) - known:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    state = wanted.get("state", "Active")
    if state not in ("Active", "Inactive", "Pending", "Failed"):
        raise ValueError(f"no state {state}")
    code = wanted.get("code", "CodeArtifactUserPendingException")
    if code not in _CODES:
        raise ValueError(f"code must be one of {', '.join(_CODES)}")
    with request_scope(ACCOUNT, REGION):
        function = lambda_svc._functions[wanted["function"]]
    version = str(wanted.get("version", "$LATEST"))
    config = function["config"] if version == "$LATEST" else function["versions"][version]["config"]
    if wanted.get("snapStart"):
        # AWS has it for some managed runtimes only; what it does to versions does not depend on them.
        config["SnapStart"] = {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
    seconds = float(wanted.get("seconds", 1.0))
    if state == "Pending":
        pend(config, seconds)
    else:
        reason = wanted.get("reason", "The function is idle." if state == "Inactive" else "")
        reason_code = wanted.get("reasonCode", "Idle" if state == "Inactive" else "")
        config.update(State=state, StateReason=reason, StateReasonCode=reason_code)
    if state == "Inactive":
        _waking[str(config["FunctionArn"])] = (code, seconds)
    return {"state": config["State"]}


def source(function: dict[str, Any], version: str) -> dict[str, Any]:
    """The configuration that a version, or `$LATEST`, has; not a copy."""
    record = function["published"] if version == PUBLISHED else function["versions"].get(version, function)
    kept: dict[str, Any] = record["config"]
    return kept


@control.route("POST", "versions/published")
def _publish_latest(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """Gives a function the version that CloudFormation publishes of each of Managed Instances."""
    with request_scope(ACCOUNT, REGION):
        function = lambda_svc._functions[body["function"]]
    config = {**copy.deepcopy(function["config"]), "Version": PUBLISHED}
    config["FunctionArn"] = f"{function['config']['FunctionArn']}:{PUBLISHED}"
    function["published"] = {"config": config, "code_zip": function.get("code_zip")}
    return {"version": PUBLISHED}
