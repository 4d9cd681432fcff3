"""Provisioned concurrency: its states, what is refused, and the weights that Lambda itself puts on an alias.

An alias that has it and moves to another version keeps the former one serving: Lambda adds a weight of 1.0 on that,
lowers it, and takes it off when the new version is READY. Where the new version's initialisation fails, the weight
stays, and the alias is not moved any more until the weight is cleared.
"""

from __future__ import annotations

import os
import re
import threading
from typing import Any
from urllib.parse import unquote

from ministack.core.responses import json_response, new_uuid, request_scope
from ministack.services import lambda_svc

from . import control, lambda_answers
from .lambda_api import Answer, _no_alias, _no_function, _refuse, _weights

ACCOUNT, REGION = "000000000000", "us-east-1"

SECONDS = 90 * float(os.environ.get("SFN_WAIT_SCALE") or 1)
"""How long an allocation takes: AWS takes a minute or two, and waits are shorter here."""

UNRESERVED = 100
"""What AWS leaves to functions without a reservation."""

_LIMIT_UNRESERVED = (
    "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum "
    f"value of [{UNRESERVED}]."
)
_NOT_PUBLISHED = "The function resource provided must be an alias or a published version."

_next: dict[str, dict[str, Any]] = {}
"""By function: how its next allocations go; set by the control API."""


def _configs(func: dict[str, Any]) -> dict[str, dict[str, Any]]:
    configs: dict[str, dict[str, Any]] = func.setdefault("provisioned_concurrency", {})
    return configs


def _shown(config: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in config.items() if not k.startswith("_")}


def _missing(name: str, qualifier: str | None, unpublished: str = _NOT_PUBLISHED) -> Answer | None:
    """Why there is nothing to configure under a qualifier."""
    func, named = lambda_svc._functions.get(name), qualifier or "$LATEST"
    if named == "$LATEST":
        return _no_function(name) if func is None else _refuse("InvalidParameterValueException", unpublished)
    if named.isdigit():
        return _no_function(name, named) if func is None or named not in func["versions"] else None
    return _no_alias(name, named) if func is None or named not in func["aliases"] else None


def _get(name: str, qualifier: str | None) -> Answer:
    if missing := _missing(name, qualifier):
        return missing
    config = _configs(lambda_svc._functions[name]).get(str(qualifier))
    if config is None:
        return _refuse(
            "ProvisionedConcurrencyConfigNotFoundException",
            "No Provisioned Concurrency Config found for this function",
            404,
        )
    return json_response(_shown(config), content_type="application/json")


def _list(name: str) -> Answer:
    func = lambda_svc._functions.get(name)
    if func is None:
        return _no_function(name)
    listed = [
        {"FunctionArn": f"{lambda_svc._func_arn(name)}:{qualifier}", **_shown(config)}
        for qualifier, config in sorted(_configs(func).items())
    ]
    return json_response({"ProvisionedConcurrencyConfigs": listed}, content_type="application/json")


def _put(name: str, qualifier: str | None, data: dict[str, Any]) -> Answer:
    wanted = int(data.get("ProvisionedConcurrentExecutions") or 0)
    if wanted < 1:
        return _refuse(
            "ValidationException",
            f"1 validation error detected: Value '{wanted}' at 'provisionedConcurrentExecutions' failed to satisfy "
            "constraint: Member must have value greater than or equal to 1",
        )
    unpublished = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
    if missing := _missing(name, qualifier, unpublished):
        return missing
    func = lambda_svc._functions[name]
    configs, named = _configs(func), str(qualifier)
    if named.isdigit():
        # Only an alias's own version counts, not the additional one (U).
        if any(func["aliases"][one]["FunctionVersion"] == named for one in configs if one in func["aliases"]):
            return _refuse("ResourceConflictException", "Version is pointed by a Provisioned Concurrency alias", 409)
    else:
        alias = func["aliases"][named]
        if _weights(alias.get("RoutingConfig")):
            return _refuse(
                "InvalidParameterValueException", "Alias with weights can not be used with Provisioned Concurrency"
            )
        if alias["FunctionVersion"] in configs:
            return _conflict()
    if refused := _no_room(func, named, wanted):
        return refused
    config = {
        "RequestedProvisionedConcurrentExecutions": wanted,
        "AvailableProvisionedConcurrentExecutions": 0,
        "AllocatedProvisionedConcurrentExecutions": 0,
        "Status": "IN_PROGRESS",
        "LastModified": lambda_svc._now_iso(),
    }
    configs[named] = config
    _allocate(name, func, named)
    return json_response(_shown(config), 202, content_type="application/json")


def _conflict() -> Answer:
    return _refuse(
        "ResourceConflictException",
        "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version",
        409,
    )


def _total(func: dict[str, Any], without: str = "") -> int:
    configs = _configs(func).items()
    return sum(int(one["RequestedProvisionedConcurrentExecutions"]) for key, one in configs if key != without)


def _no_room(func: dict[str, Any], named: str, wanted: int) -> Answer | None:
    reserved = func.get("concurrency")
    if reserved is not None:
        if _total(func, named) + wanted > int(reserved):
            return _refuse(
                "InvalidParameterValueException",
                "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for "
                "function",
            )
        return None
    everyone = [lambda_svc._functions[one] for one in lambda_svc._functions.keys()]
    taken = sum(int(one["concurrency"]) for one in everyone if one.get("concurrency"))
    taken += sum(_total(one, named if one is func else "") for one in everyone if one.get("concurrency") is None)
    free = lambda_svc._ACCOUNT_CONCURRENCY_CAP - taken
    if wanted > free:
        return _refuse(
            "InvalidParameterValueException",
            f"Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [{free}].",
        )
    return _refuse("InvalidParameterValueException", _LIMIT_UNRESERVED) if free - wanted < UNRESERVED else None


def _delete(name: str, qualifier: str | None) -> Answer:
    if missing := _missing(name, qualifier):
        return missing
    _configs(lambda_svc._functions[name]).pop(str(qualifier), None)
    return 204, {}, b""


def _allocate(name: str, func: dict[str, Any], named: str) -> None:
    """READY or FAILED after a while."""
    config = _configs(func)[named]
    how = _next.get(name, {})
    turn = config["_turn"] = object()

    def end() -> None:
        if _configs(func).get(named) is not config or config["_turn"] is not turn:
            return
        wanted = config["RequestedProvisionedConcurrentExecutions"]
        if how.get("fail"):
            config.update(Status="FAILED", StatusReason=how["fail"])
            wanted = 0
        else:
            config.update(Status="READY")
        config.update(
            AvailableProvisionedConcurrentExecutions=wanted, AllocatedProvisionedConcurrentExecutions=wanted
        )

    _after(float(how.get("seconds", SECONDS)), end)


def _after(seconds: float, do: Any) -> None:
    timer = threading.Timer(seconds, do)
    timer.daemon = True
    timer.start()


# ── What Lambda does to an alias that has it ─────────────────────────────────────────────────


def _update_alias(name: str, alias_name: str, data: dict[str, Any]) -> Answer:
    func = lambda_svc._functions.get(name)
    before = (func or {}).get("aliases", {}).get(alias_name)
    config = _configs(func).get(alias_name) if func else None
    if before is None or config is None:
        answer: Answer = _original_update_alias(name, alias_name, data)
        return answer
    former, version = before["FunctionVersion"], data.get("FunctionVersion") or before["FunctionVersion"]
    if version != former:
        if version in _configs(func):
            return _conflict()
        left = _by_lambda(func).get(alias_name) is before
        if (left and (config["Status"] == "FAILED" or _next.get(name, {}).get("refuse"))) or _weights(
            data.get("RoutingConfig")
        ):
            # Whether an update that clears them at the same time is taken is (U).
            return _refuse("InvalidParameterValueException", "Invalid alias configuration for Provisioned Concurrency")
    answer = _original_update_alias(name, alias_name, data)
    if answer[0] == 200 and version != former:
        _hand_over(name, func, alias_name, former)
    return answer


def _hand_over(name: str, func: dict[str, Any], alias_name: str, former: str) -> None:
    """The former version serves until the new one has what the alias is to have. UpdateAlias's answer does not tell
    of it; each change gives the alias another revision (U)."""
    config = _configs(func)[alias_name]
    config.pop("StatusReason", None)
    config.update(Status="IN_PROGRESS")
    _allocate(name, func, alias_name)
    how = _next.get(name, {})
    if how.get("weights") is False:
        return
    seconds = float(how.get("seconds", SECONDS))
    mine = _weigh(func, alias_name, func["aliases"][alias_name], former, 1.0)

    def lower() -> None:
        nonlocal mine
        if not how.get("fail") and func["aliases"].get(alias_name) is mine:
            mine = _weigh(func, alias_name, mine, former, 0.5)

    def clear() -> None:
        if not how.get("fail") and func["aliases"].get(alias_name) is mine:
            _weigh(func, alias_name, mine, former, 0.0)

    _after(seconds / 2, lower)
    _after(seconds, clear)


def _weigh(func: dict[str, Any], alias_name: str, alias: dict[str, Any], former: str, share: float) -> dict[str, Any]:
    changed = {k: v for k, v in alias.items() if k != "RoutingConfig"}
    changed["RevisionId"] = new_uuid()
    if share:
        changed["RoutingConfig"] = {"AdditionalVersionWeights": {former: share}}
    func["aliases"][alias_name] = changed
    _by_lambda(func)[alias_name] = changed if share else None
    return changed


def _by_lambda(func: dict[str, Any]) -> dict[str, Any]:
    """The aliases as Lambda has left them with a weight of its own, by name."""
    left: dict[str, Any] = func.setdefault("weights_by_lambda", {})
    return left


def _delete_alias(name: str, alias_name: str) -> Answer:
    if func := lambda_svc._functions.get(name):
        _configs(func).pop(alias_name, None)
    answer: Answer = _original_delete_alias(name, alias_name)
    return answer


def _put_function_concurrency(name: str, data: dict[str, Any]) -> Answer:
    func = lambda_svc._functions.get(name)
    total = _total(func) if func else 0
    value = int(data.get("ReservedConcurrentExecutions") or 0)
    if total > value:
        return _refuse(
            "InvalidParameterValueException",
            f" ReservedConcurrentExecutions  {value} should not be lower than function's total provisioned concurrency "
            f"[{total}].",
        )
    answer: Answer = _original_put_function_concurrency(name, data)
    return answer


async def _handle_request(method: str, path: str, headers: dict[str, str], body: bytes, query_params: Any) -> Answer:
    match = re.search(r"/functions/([^/]+)/provisioned-concurrency", path)
    if match and method == "GET" and lambda_svc._qp_first(query_params, "List") == "ALL":
        name, _ = lambda_svc._resolve_request_scoped_name_and_qualifier(unquote(match[1]))
        return lambda_answers.as_told(path, None, _list(name))
    answer: Answer = await _original_handle_request(method, path, headers, body, query_params)
    return answer


# ── Control ──────────────────────────────────────────────────────────────────────────────────


@control.route("POST", "provisioned")
def _set(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """How a function's next allocations go: `seconds`, `fail` (the reason, or null), `weights` (false: Lambda puts
    none on the alias), `refuse` (an alias with Lambda's weights is not moved while IN_PROGRESS either)."""
    wanted = dict(body)
    name = str(wanted.pop("function"))
    if unknown := set(wanted) - {"seconds", "fail", "weights", "refuse"}:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    with request_scope(ACCOUNT, REGION):
        if name not in lambda_svc._functions:
            raise ValueError(f"there is no function {name}")
    _next[name] = wanted
    return {}


_original_update_alias: Any = None
_original_delete_alias: Any = None
_original_put_function_concurrency: Any = None
_original_handle_request: Any = None


def install() -> None:
    """After `lambda_api`, whose rules of aliases hold too."""
    global _original_update_alias, _original_delete_alias, _original_handle_request
    global _original_put_function_concurrency
    _original_update_alias, _original_delete_alias = lambda_svc._update_alias, lambda_svc._delete_alias
    _original_handle_request = lambda_svc.handle_request
    _original_put_function_concurrency = lambda_svc._put_function_concurrency
    for name, replacement in (
        ("_get_provisioned_concurrency", _get),
        ("_put_provisioned_concurrency", _put),
        ("_delete_provisioned_concurrency", _delete),
        ("_update_alias", _update_alias),
        ("_delete_alias", _delete_alias),
        ("_put_function_concurrency", _put_function_concurrency),
        ("handle_request", _handle_request),
    ):
        assert hasattr(lambda_svc, name), f"ministack no longer has {name}"
        setattr(lambda_svc, name, replacement)
