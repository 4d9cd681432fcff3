"""Resource policies of functions: one for each qualifier, and whether one lets a service invoke."""

from __future__ import annotations

import fnmatch
import json
from typing import Any

from ministack.core.responses import error_response_json, json_response, new_uuid
from ministack.services import lambda_svc

Answer = tuple[int, dict[str, str], bytes]

MAX_POLICY = 20_480
"""Bytes of one qualifier's policy."""
_NO_POLICY = "The resource you requested does not exist."


def may_invoke(arn: str, service: str, source: str) -> bool:
    """Whether `service` may invoke exactly this ARN (a function, version or alias) for `source`.

    A permission on the function does not cover its aliases, nor one on an alias the function.
    """
    base, _config, _name = lambda_svc._get_base_func_record_for_ref(arn)
    return base is not None and any(_allows(statement, service, source) for statement in statements(base, arn))


def statements(function: dict[str, Any], arn: str) -> list[dict[str, Any]]:
    """The policy of one qualifier: ministack keeps all qualifiers' statements in one list."""
    return [s for s in (function.get("policy") or {}).get("Statement", []) if s.get("Resource") == arn]


def forget(function: dict[str, Any], arn: str) -> None:
    """The policy of a qualifier goes with it."""
    function["policy"]["Statement"] = [s for s in function["policy"]["Statement"] if s.get("Resource") != arn]


def _allows(statement: dict[str, Any], service: str, source: str) -> bool:
    principal = statement.get("Principal")
    if (principal.get("Service") if isinstance(principal, dict) else principal) not in (service, "*"):
        return False
    wanted = next(
        (
            pattern
            for condition in (statement.get("Condition") or {}).values()
            for key, pattern in condition.items()
            if key.lower() == "aws:sourcearn"
        ),
        None,
    )
    if wanted is None:
        return True
    return any(fnmatch.fnmatchcase(source, str(p)) for p in (wanted if isinstance(wanted, list) else [wanted]))


def _refuse(code: str, message: str, status: int) -> Answer:
    return error_response_json(code, message, status, {"Type": "User"}, content_type="application/json")


def _arn(name: str, query: dict[str, Any] | None, path_qualifier: str | None) -> str:
    return str(lambda_svc._policy_resource_arn(name, lambda_svc._qualifier_from_path_or_query(path_qualifier, query)))


def _add_permission(
    name: str, data: dict[str, Any], query: dict[str, Any] | None = None, path_qualifier: str | None = None
) -> Answer:
    """Statement ids are unique in a qualifier's policy, not in all of the function's."""
    function = lambda_svc._functions.get(name)
    arn = _arn(name, query, path_qualifier)
    sid = data.get("StatementId")
    theirs = statements(function, arn) if function is not None else []
    if function is None or any(s.get("Sid") == sid for s in theirs):
        return _original_add_permission(name, data, query, path_qualifier)
    status, headers, body = _original_add_permission(name, {**data, "StatementId": new_uuid()}, query, path_qualifier)
    if status >= 400:
        return status, headers, body
    statement = function["policy"]["Statement"][-1]
    statement["Sid"] = sid
    size = len(json.dumps({**function["policy"], "Statement": [*theirs, statement]}, separators=(",", ":")))
    if size > MAX_POLICY:
        function["policy"]["Statement"].pop()
        message = f"The final policy size ({size}) is bigger than the limit ({MAX_POLICY})."
        return _refuse("PolicyLengthExceededException", message, 400)
    return json_response({"Statement": json.dumps(statement)}, 201, content_type="application/json")


def _remove_permission(
    name: str, sid: str, query: dict[str, Any] | None = None, path_qualifier: str | None = None
) -> Answer:
    """Without a qualifier, from the function's own policy alone."""
    function = lambda_svc._functions.get(name)
    if function is None:
        return _original_remove_permission(name, sid, query or {}, path_qualifier)
    theirs = statements(function, _arn(name, query, path_qualifier))
    found = next((s for s in theirs if s.get("Sid") == sid), None)
    if found is None:
        what = f"Statement {sid} is not found in resource policy." if theirs else _NO_POLICY
        return _refuse("ResourceNotFoundException", what, 404)
    function["policy"]["Statement"].remove(found)
    return 204, {}, b""


def _get_policy(name: str, query: dict[str, Any] | None = None, path_qualifier: str | None = None) -> Answer:
    """Without a qualifier, the statements of the function itself."""
    status, headers, body = _original_get_policy(name, query, path_qualifier)
    if status >= 400:
        return status, headers, body
    kept = statements(lambda_svc._functions[name], _arn(name, query, path_qualifier))
    if not kept:
        return _refuse("ResourceNotFoundException", _NO_POLICY, 404)
    answer = json.loads(body)
    policy = {**json.loads(answer["Policy"]), "Statement": kept}
    return json_response({**answer, "Policy": json.dumps(policy)}, content_type="application/json")


_original_add_permission: Any = None
_original_remove_permission: Any = None
_original_get_policy: Any = None


def install() -> None:
    global _original_add_permission, _original_remove_permission, _original_get_policy
    _original_add_permission = lambda_svc._add_permission
    _original_remove_permission = lambda_svc._remove_permission
    _original_get_policy = lambda_svc._get_policy
    lambda_svc._add_permission = _add_permission
    lambda_svc._remove_permission = _remove_permission
    lambda_svc._get_policy = _get_policy
