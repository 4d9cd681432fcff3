"""Resource policies of functions: one for each qualifier, and whether one lets a service invoke."""

from __future__ import annotations

import fnmatch
import json
import re
from typing import Any

from ministack.core.responses import error_response_json, json_response, new_uuid
from ministack.services import lambda_svc

Answer = tuple[int, dict[str, str], bytes]

MAX_POLICY = 20_480
"""Bytes of one qualifier's policy."""
_NO_POLICY = "The resource you requested does not exist."
_NONE_ASSOCIATED = "No policy is associated with the given resource."


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


_STALE = (
    "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest "
    "Revision Id"
)
_REVISIONS = "policy_revisions"


def _revision(function: dict[str, Any], arn: str, *, new: bool = False) -> str:
    """The revision of one qualifier's policy."""
    kept: dict[str, str] = function.setdefault(_REVISIONS, {})
    if new or arn not in kept:
        kept[arn] = new_uuid()
    return kept[arn]


def _missing(name: str, qualifier: str | None) -> Answer | None:
    """Why there is no function, version or alias that could have a policy."""
    function = lambda_svc._functions.get(name)
    arn = lambda_svc._policy_resource_arn(name, qualifier)
    if function is None:
        return _refuse("ResourceNotFoundException", f"Function not found: {arn}", 404)
    if not qualifier or qualifier in function["aliases"] or qualifier in function["versions"]:
        return None
    alias = re.fullmatch(r"(?!\d+$)[a-zA-Z0-9-_]+", qualifier)
    return _refuse(
        "ResourceNotFoundException", f"{'Cannot find alias arn' if alias else 'Function not found'}: {arn}", 404
    )


def _refuse_statement(data: dict[str, Any], qualifier: str | None) -> Answer | None:
    """What AWS refuses of a statement, whatever it is for."""
    for value, where, pattern in (
        (data.get("StatementId"), "statementId", "([a-zA-Z0-9-_]+)"),
        (qualifier, "qualifier", r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"),
    ):
        if value is not None and not re.fullmatch(pattern, value):
            return _refuse(
                "ValidationException",
                f"1 validation error detected: Value '{value}' at '{where}' failed to satisfy constraint: Member must "
                f"satisfy regular expression pattern: {pattern}",
                400,
            )
    if qualifier == "$LATEST":
        return _refuse(
            "InvalidParameterValueException", "We currently do not support adding policies for $LATEST.", 400
        )
    principal = data.get("Principal", "")
    if not re.fullmatch(r"\*|\d{12}|arn:.+|.+\.(amazonaws|amazon)\.com(\.cn)?", principal):
        message = "The provided principal was invalid. Please check the principal and try again."
        return _refuse("InvalidParameterValueException", message, 400)
    return None


def _add_permission(
    name: str, data: dict[str, Any], query: dict[str, Any] | None = None, path_qualifier: str | None = None
) -> Answer:
    """Statement ids are unique in a qualifier's policy, not in all of the function's."""
    qualifier = lambda_svc._qualifier_from_path_or_query(path_qualifier, query)
    if refused := _refuse_statement(data, qualifier) or _missing(name, qualifier):
        return refused
    function = lambda_svc._functions[name]
    arn = _arn(name, query, path_qualifier)
    sid = data.get("StatementId")
    theirs = statements(function, arn)
    if stale := _refuse_revision(function, arn, qualifier, theirs, data.get("RevisionId")):
        return stale
    if any(s.get("Sid") == sid for s in theirs):
        return _refuse(
            "ResourceConflictException",
            f"The statement id ({sid}) provided already exists. Please provide a new statement id, or remove the "
            "existing statement.",
            409,
        )
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
    _revision(function, arn, new=True)
    return json_response({"Statement": json.dumps(statement)}, 201, content_type="application/json")


def _refuse_revision(
    function: dict[str, Any], arn: str, qualifier: str | None, theirs: list[dict[str, Any]], asked: str | None
) -> Answer | None:
    """A revision that is given is the policy's; without a policy it is that of what it would be for."""
    if asked is None:
        return None
    if theirs:
        current = _revision(function, arn)
    else:
        alias, version = function["aliases"].get(qualifier), function["versions"].get(qualifier)
        current = (alias or (version or function)["config"]).get("RevisionId")
    return None if asked == current else _refuse("PreconditionFailedException", _STALE, 412)


def _remove_permission(
    name: str, sid: str, query: dict[str, Any] | None = None, path_qualifier: str | None = None
) -> Answer:
    """Without a qualifier, from the function's own policy alone."""
    qualifier = lambda_svc._qualifier_from_path_or_query(path_qualifier, query)
    arn = _arn(name, query, path_qualifier)
    function = lambda_svc._functions.get(name)
    if function is None:
        return _refuse("ResourceNotFoundException", f"No policy found for: {arn}", 404)
    if missing := _missing(name, qualifier):
        return missing
    theirs = statements(function, arn)
    if stale := _refuse_revision(
        function, arn, qualifier, theirs, lambda_svc._qp_first(query or {}, "RevisionId") or None
    ):
        return stale
    found = next((s for s in theirs if s.get("Sid") == sid), None)
    if found is None:
        what = f"Statement {sid} is not found in resource policy." if theirs else _NONE_ASSOCIATED
        return _refuse("ResourceNotFoundException", what, 404)
    function["policy"]["Statement"].remove(found)
    _revision(function, arn, new=True)
    return 204, {}, b""


def _get_policy(name: str, query: dict[str, Any] | None = None, path_qualifier: str | None = None) -> Answer:
    """Without a qualifier, the statements of the function itself."""
    arn = _arn(name, query, path_qualifier)
    function = lambda_svc._functions.get(name)
    kept = statements(function, arn) if function is not None else []
    if function is None or not kept:
        return _refuse("ResourceNotFoundException", _NO_POLICY, 404)
    policy = {**function["policy"], "Statement": kept}
    answer = {"Policy": json.dumps(policy), "RevisionId": _revision(function, arn)}
    return json_response(answer, content_type="application/json")


_original_add_permission: Any = None


def install() -> None:
    global _original_add_permission
    _original_add_permission = lambda_svc._add_permission
    lambda_svc._add_permission = _add_permission
    lambda_svc._remove_permission = _remove_permission
    lambda_svc._get_policy = _get_policy
