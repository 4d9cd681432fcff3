"""The Lambda API's own rules: aliases with weights, versions, revisions, states, invocation."""

from __future__ import annotations

import asyncio
import base64
import contextvars
import copy
import json
import os
import re
import threading
import time
from typing import Any
from urllib.parse import unquote

from ministack.core.concurrency import run_reentrant
from ministack.core.responses import error_response_json, get_account_id, get_region, json_response, new_uuid
from ministack.services import lambda_svc

from . import asynchronous, control, functions, lambda_answers, policies, readiness, routing, states
from .routing import PUBLISHED, routed

Answer = tuple[int, dict[str, str], bytes]

SETTLE_SECONDS = float(os.environ.get("CROSSFADE_LOCAL_SETTLE") or 0.3)
"""How long an update stays InProgress. AWS takes a second or more; waiters poll once a second."""

MAX_PAYLOAD = 6 * 1024 * 1024
_ALIAS_NAME = re.compile(r"(?!^[0-9]+$)[a-zA-Z0-9\-_]{1,128}$")
_VOLATILE = {
    "RevisionId",
    "LastModified",
    "Version",
    "FunctionArn",
    "State",
    "StateReason",
    "StateReasonCode",
    "LastUpdateStatus",
    "LastUpdateStatusReason",
    "LastUpdateStatusReasonCode",
    "MasterArn",
}
_STALE = (
    "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to "
    "retrieve the latest Revision Id"
)


def _refuse(code: str, message: str, status: int = 400) -> Answer:
    return error_response_json(code, message, status, {"Type": "User"}, content_type="application/json")


def _no_function(name: str, qualifier: str = "") -> Answer:
    arn = lambda_svc._func_arn(name) + (f":{qualifier}" if qualifier else "")
    return _refuse("ResourceNotFoundException", f"Function not found: {arn}", 404)


# ── Aliases ──────────────────────────────────────────────────────────────────────────────────


def _refuse_alias(name: str, func: dict[str, Any], version: str, weights: dict[str, Any] | None) -> Answer | None:
    """Why this alias cannot be: each rule with AWS's own words."""
    if weights:
        if len(weights) > 1:
            return _refuse(
                "InvalidParameterValueException", "Number of items in AdditionalVersionWeights cannot be greater than 1"
            )
        ((extra, weight),) = weights.items()
        shown = f"{{{extra}={float(weight) if isinstance(weight, int) else weight}}}"
        where = "'routingConfig.additionalVersionWeights'"
        if not re.fullmatch(r"[0-9]+", extra):
            return _refuse(
                "ValidationException",
                f"1 validation error detected: Value '{shown}' at {where} failed to satisfy constraint: Map "
                "keys must satisfy constraint: [Member must have length less than or equal to 1024, Member "
                "must have length greater than or equal to 1, Member must satisfy regular expression "
                "pattern: [0-9]+, Member must not be null]",
            )
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0.0 <= weight <= 1.0:
            return _refuse(
                "ValidationException",
                f"1 validation error detected: Value '{shown}' at {where} failed to satisfy constraint: Map "
                "value must satisfy constraint: [Member must have value less than or equal to 1.0, Member "
                "must have value greater than or equal to 0.0, Member must not be null]",
            )
        if version in ("$LATEST", PUBLISHED):
            return _refuse(
                "InvalidParameterValueException",
                f"{version} is not supported for an alias pointing to more than 1 version",
            )
        if extra == version:
            return _refuse(
                "InvalidParameterValueException",
                f"Invalid function version {extra}. Function version {extra} is already included in "
                "routing configuration.",
            )
    for wanted in [version, *(weights or ())]:
        known = func["versions"].get(wanted) or (func.get("published") if wanted == PUBLISHED else None)
        if wanted != "$LATEST" and known is None:
            return _no_function(name, wanted)
        if known is not None and known["config"].get("State") == "Failed":
            # The words are those of other operations on it (U).
            return _refuse(
                "ResourceConflictException",
                "The operation cannot be performed at this time. The function is currently in the following state: "
                "Failed",
                409,
            )
    for extra in weights or ():
        one, other = func["versions"][version]["config"], func["versions"][extra]["config"]
        if one.get("Role") != other.get("Role"):
            return _refuse(
                "InvalidParameterValueException",
                "The execution role of all function versions in an alias's routing configuration must be the same.",
            )
        if (one.get("DeadLetterConfig") or {}) != (other.get("DeadLetterConfig") or {}):
            return _refuse(
                "InvalidParameterValueException",
                "The dead letter queue configuration of all function versions in an alias's routing "
                "configuration must be the same.",
            )
    return None


def _weights(config: Any) -> dict[str, Any]:
    return dict((config or {}).get("AdditionalVersionWeights") or {})


def _create_alias(name: str, data: dict[str, Any]) -> Answer:
    func = lambda_svc._functions.get(name)
    if func is None:
        return _no_function(name, data.get("FunctionVersion", ""))
    alias_name = data.get("Name", "")
    if not _ALIAS_NAME.fullmatch(alias_name):
        return _refuse(
            "ValidationException",
            f"1 validation error detected: Value '{alias_name}' at 'name' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)",
        )
    arn = f"{lambda_svc._func_arn(name)}:{alias_name}"
    if alias_name in func["aliases"]:
        return _refuse("ResourceConflictException", f"Alias already exists: {arn}", 409)
    version = data.get("FunctionVersion") or "$LATEST"
    weights = _weights(data.get("RoutingConfig"))
    if refused := _refuse_alias(name, func, version, weights):
        return refused
    alias = {
        "AliasArn": arn,
        "Name": alias_name,
        "FunctionVersion": version,
        "Description": data.get("Description") or "",
        "RevisionId": new_uuid(),
    }
    if weights:
        alias["RoutingConfig"] = {"AdditionalVersionWeights": weights}
    func["aliases"][alias_name] = alias
    return json_response(alias, 201, content_type="application/json")


def _get_alias(name: str, alias_name: str) -> Answer:
    func = lambda_svc._functions.get(name)
    if func is None:
        return _no_function(name)
    alias = func["aliases"].get(alias_name)
    if alias is None:
        return _no_alias(name, alias_name)
    return json_response(alias, content_type="application/json")


def _no_alias(name: str, alias_name: str) -> Answer:
    return _refuse(
        "ResourceNotFoundException", f"Cannot find alias arn: {lambda_svc._func_arn(name)}:{alias_name}", 404
    )


@lambda_svc._serialized_revision_update(alias=True)
def _update_alias(name: str, alias_name: str, data: dict[str, Any]) -> Answer:
    func = lambda_svc._functions.get(name)
    if func is None:
        return _no_function(name)
    alias = func["aliases"].get(alias_name)
    if alias is None:
        return _no_alias(name, alias_name)
    if refused := _check_revision(alias, data):
        return refused
    version = data.get("FunctionVersion") or alias["FunctionVersion"]
    weights = _weights(alias.get("RoutingConfig"))
    asked = data.get("RoutingConfig")
    # Absent, or present without its map: the weights stay as they are.
    if asked is not None and asked.get("AdditionalVersionWeights") is not None:
        weights = _weights(asked)
    if refused := _refuse_alias(name, func, version, weights):
        return refused
    changed = {**alias, "FunctionVersion": version, "RevisionId": new_uuid()}
    if data.get("Description") is not None:
        changed["Description"] = data["Description"]
    changed.pop("RoutingConfig", None)
    if weights:
        changed["RoutingConfig"] = {"AdditionalVersionWeights": weights}
    routing.updated(alias)
    # One assignment: an invocation sees the old routing or the new, never half of each.
    func["aliases"][alias_name] = changed
    return json_response(changed, content_type="application/json")


@control.route("POST", "aliases")
def _set_lag(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    if unknown := set(body) - {"lagSeconds"}:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    routing.lag_seconds = float(body["lagSeconds"]) * states.wait_scale()
    return {}


def _delete_alias(name: str, alias_name: str) -> Answer:
    func = lambda_svc._functions.get(name)
    if func is None:
        return _no_function(name)
    if func["aliases"].pop(alias_name, None) is not None:
        policies.forget(func, f"{lambda_svc._func_arn(name)}:{alias_name}")
    return 204, {}, b""


def _list_aliases(name: str, query: dict[str, Any]) -> Answer:
    func = lambda_svc._functions.get(name)
    if func is None:
        return _no_function(name)
    version = lambda_svc._qp_first(query, "FunctionVersion")
    aliases = [
        a
        for a in sorted(func["aliases"].values(), key=lambda a: a["Name"])
        if not version or a["FunctionVersion"] == version
    ]
    return _page("Aliases", aliases, query, "Name")


def _list_versions(name: str, query: dict[str, Any]) -> Answer:
    func = lambda_svc._functions.get(name)
    if func is None:
        return _no_function(name)
    published = [func["published"]["config"]] if "published" in func else []
    numbered = [func["versions"][v]["config"] for v in sorted(func["versions"], key=int)]
    configs = [func["config"], *published, *numbered]
    bare = [{k: v for k, v in c.items() if not k.startswith(("State", "LastUpdateStatus"))} for c in configs]
    return _page("Versions", bare, query, "Version")


def _page(field: str, items: list[dict[str, Any]], query: dict[str, Any], identity: str) -> Answer:
    """At most 50 a page, whatever MaxItems says."""
    size = min(50, int(lambda_svc._qp_first(query, "MaxItems") or 50))
    marker = lambda_svc._qp_first(query, "Marker")
    start = next((i + 1 for i, item in enumerate(items) if item[identity] == marker), 0) if marker else 0
    page = items[start : start + size]
    answer: dict[str, Any] = {field: page}
    if start + size < len(items):
        answer["NextMarker"] = page[-1][identity]
    return json_response(answer, content_type="application/json")


# ── Versions and updates ─────────────────────────────────────────────────────────────────────


def _check_revision(current: dict[str, Any], data: dict[str, Any]) -> Answer | None:
    if data.get("RevisionId") is not None and data["RevisionId"] != current.get("RevisionId"):
        return _refuse("PreconditionFailedException", _STALE, 412)
    return None


_over_http: contextvars.ContextVar[bool] = contextvars.ContextVar("lambda_over_http", default=False)
"""CloudFormation waits between its own steps; ministack's does not, so only API callers are refused."""


def _busy(name: str, func: dict[str, Any]) -> Answer | None:
    if not _over_http.get():
        return None
    config = func["config"]
    arn = lambda_svc._func_arn(name)
    if config.get("LastUpdateStatus") == "InProgress" and config.get("State") != "Pending":
        return _refuse(
            "ResourceConflictException",
            f"The operation cannot be performed at this time. An update is in progress for resource: {arn}",
            409,
        )
    if config.get("State") == "Pending":
        return _refuse(
            "ResourceConflictException",
            "The operation cannot be performed at this time. The function is currently in the following state: Pending",
            409,
        )
    return None


def _fingerprint(func: dict[str, Any]) -> str:
    """What makes a version differ from the one before: its code and configuration, nothing that moves by itself."""
    return json.dumps({k: v for k, v in func["config"].items() if k not in _VOLATILE}, sort_keys=True, default=str)


@lambda_svc._serialized_revision_update()
def _publish_version(name: str, data: dict[str, Any]) -> Answer:
    func = lambda_svc._functions.get(name)
    if func is None:
        return _no_function(name)
    if refused := _busy(name, func):
        return refused
    if refused := _check_revision(func["config"], data):
        return refused
    asked, current = data.get("CodeSha256"), lambda_answers.function(func["config"]).get("CodeSha256")
    if asked and asked != current:
        return _refuse(
            "InvalidParameterValueException",
            f"CodeSHA256 ({asked}) is different from current CodeSHA256 in $LATEST ({current}). Please try "
            "again with the CodeSHA256 in $LATEST.",
        )
    version, created = _publish(name, func, data.get("Description"))
    if created:
        func["config"]["RevisionId"] = new_uuid()
    return json_response(version["config"], 201, content_type="application/json")


def _publish(
    name: str, func: dict[str, Any], description: str | None, *, pending: bool = False
) -> tuple[dict[str, Any], bool]:
    latest = max(func["versions"], key=int, default=None)
    print_now = _fingerprint(func)
    if latest is not None:
        before = func["versions"][latest]
        # One that was published with the function's creation has no fingerprint yet.
        if before.get("fingerprint", _fingerprint(before)) == print_now:
            return before, False
    number = func["next_version"]
    func["next_version"] = number + 1
    config = copy.deepcopy(func["config"])
    config.update(Version=str(number), FunctionArn=f"{lambda_svc._func_arn(name)}:{number}", RevisionId=new_uuid())
    if description:
        config["Description"] = description
    if pending:
        config.update(
            State="Pending",
            StateReason="The function is being created.",
            StateReasonCode="Creating",
            LastUpdateStatus="Successful",
        )
    elif config.get("State") == "Inactive":
        # Of an idle $LATEST (U).
        config.update(LastUpdateStatus="Successful")
    else:
        config.update(State="Active", LastUpdateStatus="Successful")
        if readiness.begins_pending(config):
            readiness.pend(config, readiness.PENDING_SECONDS)
    record = {"config": config, "code_zip": func.get("code_zip"), "fingerprint": print_now}
    func["versions"][str(number)] = record
    return record, True


def _create_function(data: dict[str, Any]) -> Answer:
    """What is published at once has an ARN and a revision of its own."""
    answer = _original_create_function(data)
    func = lambda_svc._functions.get(data.get("FunctionName", ""))
    if answer[0] < 400 and data.get("Publish") and func is not None:
        for number, version in func["versions"].items():
            arn = f"{lambda_svc._func_arn(data['FunctionName'])}:{number}"
            version["config"].update(FunctionArn=arn, RevisionId=new_uuid())
    return answer


@lambda_svc._serialized_revision_update()
def _update_code(name: str, data: dict[str, Any]) -> Answer:
    func = lambda_svc._functions.get(name)
    if func is None:
        return _no_function(name)
    if refused := _busy(name, func):
        return refused
    if refused := _check_revision(func["config"], data):
        return refused
    sources = [("ZipFile" in data), ("S3Bucket" in data or "S3Key" in data), ("ImageUri" in data)]
    if func["config"].get("PackageType") == "Image" and "ImageUri" not in data:
        return _refuse(
            "InvalidParameterValueException", "Please provide ImageUri when updating a function with packageType Image."
        )
    if sum(sources) != 1:
        return _refuse(
            "InvalidParameterValueException",
            "Please provide exactly one of the following code sources: ZipFile, S3Bucket and S3Key, ImageUri.",
        )
    if data.get("DryRun"):
        return json_response({**func["config"]}, content_type="application/json")
    if (
        "S3Bucket" in data
        and lambda_svc._fetch_code_from_s3(
            data["S3Bucket"], data.get("S3Key", ""), version_id=data.get("S3ObjectVersion")
        )
        is None
    ):
        return _refuse(
            "InvalidParameterValueException",
            "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key "
            "does not exist.",
        )
    idle = {k: v for k, v in func["config"].items() if k.startswith("State")}
    idle = idle if idle.get("State") == "Inactive" else {}
    status, headers, body = _original_update_code(name, {k: v for k, v in data.items() if k != "Publish"})
    if status >= 400:
        return status, headers, body
    # The function keeps serving while it is updated: its State stays Active, and Inactive where it is idle.
    if not idle:
        func["config"].update(State="Active", StateReason="", StateReasonCode="")
    else:
        func["config"].update(idle)
    if data.get("Publish"):
        version, _ = _publish(name, func, data.get("Description"), pending=True)
        return json_response(version["config"], content_type="application/json")
    return json_response(func["config"], content_type="application/json")


@lambda_svc._serialized_revision_update()
def _update_config(name: str, data: dict[str, Any]) -> Answer:
    func = lambda_svc._functions.get(name)
    if func is None:
        return _no_function(name)
    if refused := _busy(name, func):
        return refused
    if refused := _check_revision(func["config"], data):
        return refused
    status, headers, body = _original_update_config(name, data)
    if status >= 400:
        return status, headers, body
    func["config"].update(State="Active", StateReason="", StateReasonCode="")
    return json_response(func["config"], content_type="application/json")


def _schedule_state_transition(name: str, delay: float) -> None:
    """InProgress -> Successful, with a new RevisionId, as AWS gives one at that moment."""

    def settle() -> None:
        time.sleep(SETTLE_SECONDS)
        func = lambda_svc._functions.get(name)
        if not func:
            return
        for config in [func["config"], *(v["config"] for v in list(func["versions"].values()))]:
            if config.get("State") not in ("Pending",) and config.get("LastUpdateStatus") != "InProgress":
                continue
            if config.get("Version") != "$LATEST" and readiness.begins_pending(config):
                continue
            if config.get("State") != "Inactive":
                config.update(State="Active", StateReason="", StateReasonCode="")
            config.update(
                RevisionId=new_uuid(),
                LastUpdateStatus="Successful",
                LastUpdateStatusReason="",
                LastUpdateStatusReasonCode="",
            )

    threading.Thread(target=contextvars.copy_context().run, args=(settle,), daemon=True).start()


def _delete_function(name: str, query: dict[str, Any], path_qualifier: str | None = None) -> Answer:
    func = lambda_svc._functions.get(name)
    qualifier = lambda_svc._qualifier_from_path_or_query(path_qualifier, query)
    if func is None:
        return _no_function(name)
    if not qualifier:
        return _original_delete_function(name, query, path_qualifier)
    if qualifier == "$LATEST":
        return _refuse(
            "InvalidParameterValueException", "$LATEST version cannot be deleted without deleting the function."
        )
    if not qualifier.isdigit():
        return _refuse(
            "InvalidParameterValueException",
            "Deletion of aliases is not currently supported via the DeleteFunction API.",
        )
    holders = [
        alias["Name"]
        for alias in func["aliases"].values()
        if alias["FunctionVersion"] == qualifier or qualifier in _weights(alias.get("RoutingConfig"))
    ]
    if holders:
        return _refuse(
            "ResourceConflictException",
            f"Unable to delete version because the following aliases reference it: [{', '.join(holders)}]",
            409,
        )
    if func["versions"].pop(qualifier, None) is not None:
        policies.forget(func, f"{lambda_svc._func_arn(name)}:{qualifier}")
        lambda_svc.invalidate_worker(name, qualifier=qualifier, account=get_account_id(), region=get_region())
    return 204, {}, b""


# ── Invocation ───────────────────────────────────────────────────────────────────────────────


async def _invoke(reference: str, body: bytes, headers: dict[str, str], query: dict[str, Any]) -> Answer:
    name, path_qualifier = lambda_svc._resolve_request_scoped_name_and_qualifier(reference)
    qualifier = path_qualifier or lambda_svc._qp_first(query, "Qualifier") or None
    func = lambda_svc._functions.get(name)
    record, version = routed(func, qualifier)
    if func is None or record is None:
        return _no_function(name, qualifier or "$LATEST")
    if not_ready := readiness.refusal(readiness.source(func, version)):
        return _refuse(*not_ready)
    tenant, isolates = headers.get("x-amz-tenant-id"), bool(record["config"].get("TenancyConfig"))
    if isolates and not tenant:
        return _refuse(
            "InvalidParameterValueException",
            "The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request and "
            "try again.",
        )
    if tenant and not isolates:
        return _refuse(
            "InvalidParameterValueException",
            "The invoked function is not enabled with tenancy configuration. Remove the tenant ID from your request "
            "and try again.",
        )
    if len(body) > MAX_PAYLOAD:
        return _refuse(
            "RequestTooLargeException",
            f"Request must be smaller than {MAX_PAYLOAD} bytes for the InvokeFunction operation",
            413,
        )
    payload = body or b"{}"
    try:
        event = json.loads(payload)
    except ValueError:
        return _refuse("InvalidRequestContentException", "Could not parse request body into json")
    kind = headers.get("x-amz-invocation-type") or "RequestResponse"
    answer = {"Content-Type": "application/json", "X-Amz-Executed-Version": version}
    if kind == "DryRun":
        return 204, {"X-Amz-Executed-Version": version}, b""
    if kind == "Event":
        if functions.is_ours(record["config"]):
            asyncio.run_coroutine_threadsafe(asynchronous.run(record, payload), functions.ENGINE.loop)
        else:
            lambda_svc.invoke_async_with_retry(record, event)
        return 202, {}, b""
    if functions.is_ours(record["config"]):
        result = await asyncio.wrap_future(functions.ENGINE.submit(record, payload, "http"))
    else:
        result = await run_reentrant(lambda_svc._execute_function_with_config_scope, record, event)
    if result.get("throttle"):
        told = {key: value for key, value in (result.get("body") or {}).items() if key != "retryAfterSeconds"}
        return (
            429,
            {"Content-Type": "application/json", "x-amzn-ErrorType": "TooManyRequestsException"},
            json.dumps({**told, "Type": "User"}).encode(),
        )
    if (headers.get("x-amz-log-type") or "").lower() == "tail":
        answer["X-Amz-Log-Result"] = base64.b64encode(result.get("log", "").encode()[-4096:]).decode()
    if result.get("error"):
        answer["X-Amz-Function-Error"] = "Unhandled"
        return 200, answer, json.dumps(result.get("body")).encode()
    if "raw" in result:
        return 200, answer, result["raw"] or b"null"
    return 200, answer, json.dumps(result.get("body")).encode()


async def _handle_request(method: str, path: str, headers: dict[str, str], body: bytes, query_params: Any) -> Answer:
    parts = path.split("/")
    if method == "POST" and len(parts) == 5 and parts[2] == "functions" and parts[4] == "invocations":
        answer = await _invoke(unquote(parts[3]), body, headers, query_params)
        return lambda_answers.as_told(path, None, answer) if answer[0] >= 400 else answer
    _over_http.set(True)
    if refused := _refuse_qualifier(path, query_params):
        return lambda_answers.as_told(path, None, refused)
    answer = await _original_handle_request(method, path, headers, body, query_params)
    return lambda_answers.as_told(path, _asked_about(path, query_params), answer)


def _qualifiers(path: str, query: Any) -> tuple[str | None, str | None]:
    """The qualifiers that the path and the query name."""
    parts = path.split("/")
    if len(parts) < 4 or parts[2] != "functions":
        return None, None
    _name, qualifier = lambda_svc._resolve_request_scoped_name_and_qualifier(unquote(parts[3]))
    return qualifier or None, lambda_svc._qp_first(query, "Qualifier") or None


def _asked_about(path: str, query: Any) -> str | None:
    in_path, in_query = _qualifiers(path, query)
    return in_path or in_query


def _refuse_qualifier(path: str, query: Any) -> Answer | None:
    in_path, in_query = _qualifiers(path, query)
    if in_path and in_query and in_path != in_query:
        return _refuse(
            "InvalidParameterValueException",
            "The derived qualifier from the function name does not match the specified qualifier.",
        )
    return None


_original_handle_request: Any = None
_original_create_function: Any = None
_original_update_code: Any = None
_original_update_config: Any = None
_original_delete_function: Any = None


def install() -> None:
    global _original_create_function, _original_handle_request, _original_update_code, _original_update_config, _original_delete_function
    _original_handle_request = lambda_svc.handle_request
    _original_create_function = lambda_svc._create_function
    _original_update_code = lambda_svc._update_code
    _original_update_config = lambda_svc._update_config
    _original_delete_function = lambda_svc._delete_function
    for replacement in (
        _create_alias,
        _get_alias,
        _update_alias,
        _delete_alias,
        _list_aliases,
        _list_versions,
        _check_revision,
        _publish_version,
        _create_function,
        _update_code,
        _update_config,
        _schedule_state_transition,
        _delete_function,
    ):
        name = getattr(replacement, "__wrapped__", replacement).__name__
        assert hasattr(lambda_svc, name), f"ministack no longer has {name}"
        setattr(lambda_svc, name, replacement)
    lambda_svc.handle_request = _handle_request
