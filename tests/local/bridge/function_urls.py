"""Function URLs: who may call one, what their configuration answers, and their metrics. Serving them is ministack's."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import lambda_svc

from . import cloudwatch, functions, policies

Answer = tuple[int, dict[str, str], bytes]


def is_one(host: str) -> bool:
    """Whether a request's host is a function URL's, under any domain."""
    labels = host.split(".")
    return len(labels) > 2 and labels[1] == "lambda-url"


def _allowed(arn: str) -> bool:
    """Whether anybody may: since October 2025 that takes two statements, for the URL and for the function."""
    base, _config, _name = lambda_svc._get_base_func_record_for_ref(arn)
    if base is None:
        return False
    found = {
        statement.get("Action")
        for statement in policies.statements(base, arn)
        if statement.get("Principal") in ("*", {"AWS": "*"})
        and (
            _condition(statement, "lambda:FunctionUrlAuthType") == "NONE"
            or _condition(statement, "lambda:InvokedViaFunctionUrl") == "true"
        )
    }
    return found >= {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}


def _condition(statement: dict[str, Any], key: str) -> Any:
    conditions = (statement.get("Condition") or {}).values()
    return next((block[key] for block in conditions if key in block), None)


async def _handle(
    url_id: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
    resolved: Any = None,
    source_ip: str | None = None,
) -> Answer:
    resolved = resolved or lambda_svc.resolve_function_url(url_id)
    began = time.time()
    told: list[functions.Invoked] = []
    answer = await _answered(url_id, method, path, headers, body, query_params, told, resolved, source_ip)
    if resolved is not None:
        _count(resolved, answer[0], began, told[-1].version if told else None)
    return answer


async def _answered(
    url_id: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
    told: list[functions.Invoked],
    resolved: Any,
    source_ip: str | None,
) -> Answer:
    if resolved is not None:
        account, region, name, qualifier, config = resolved
        arn = f"arn:aws:lambda:{region}:{account}:function:{name}" + (f":{qualifier}" if qualifier else "")
        if config.get("AuthType") == "NONE" and not _allowed(arn):
            denied = {"Content-Type": "application/json", "x-amzn-ErrorType": "AccessDeniedException"}
            return 403, denied, json.dumps({"Message": _FORBIDDEN}).encode()
    token = functions.INVOKED.set(told)
    try:
        answer: Answer = await _original(
            url_id, method, path, headers, body, query_params, resolved=resolved, source_ip=source_ip
        )
    finally:
        functions.INVOKED.reset(token)
    if any(invoked.failed for invoked in told):
        return 502, {**answer[1], "Content-Type": "application/json"}, b"Internal Server Error"
    return answer


_FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)


# ── Their metrics ────────────────────────────────────────────────────────────────────────────

BY_VERSION: dict[str, bool] = {}
"""Function -> whether its URLs are counted by version too; they are where it is not named."""


def _count(resolved: Any, status: int, began: float, version: str | None) -> None:
    """AWS/Lambda: UrlRequestCount, Url4xxCount, Url5xxCount and UrlRequestLatency by FunctionName, Resource and
    ExecutedVersion (https://docs.aws.amazon.com/lambda/latest/dg/urls-monitoring.html). Which dimensions come together
    is not documented: they are taken to come as the invocations' own do, and the errors with their zeros (U)."""
    account, region, name, qualifier, _config = resolved
    function, resource = ("FunctionName", name), ("Resource", f"{name}:{qualifier or '$LATEST'}")
    sets: list[tuple[tuple[str, str], ...]] = [(function,), (function, resource)]
    if version and BY_VERSION.get(name, True):
        sets.append((("ExecutedVersion", version), function, resource))
    points = [
        ("UrlRequestCount", 1.0, "Count"),
        ("Url4xxCount", float(400 <= status < 500), "Count"),
        ("Url5xxCount", float(status >= 500), "Count"),
        ("UrlRequestLatency", round((time.time() - began) * 1000, 2), "Milliseconds"),
    ]
    for dimensions in sets:
        for metric, value, unit in points:
            cloudwatch.record(
                "AWS/Lambda", metric, value, dimensions, unit=unit, timestamp=began, account=account, region=region
            )


# ── Their configuration ──────────────────────────────────────────────────────────────────────

_QUALIFIER = r"((?!^\d+$)^[0-9a-zA-Z-_]+$)"
_MISSING = {verb: "Function does not exist" for verb in ("create", "update")}
_NO_CONFIG = "The resource you requested does not exist."


def _refused(verb: str, name: str, qualifier: str | None) -> Answer | None:
    """Why there is no URL to create, get, update or delete."""
    if qualifier and not re.fullmatch(_QUALIFIER, qualifier):
        return error_response_json(
            "ValidationException",
            f"1 validation error detected: Value '{qualifier}' at 'qualifier' failed to satisfy constraint: Member must "
            f"satisfy regular expression pattern: {_QUALIFIER}",
            400,
        )
    function = lambda_svc._functions.get(name)
    if function is None or (qualifier and qualifier not in function["aliases"]):
        return error_response_json("ResourceNotFoundException", _MISSING.get(verb, _NO_CONFIG), 404)
    exists = lambda_svc._url_config_key(name, qualifier) in lambda_svc._function_urls
    if verb != "create" and not exists:
        return error_response_json("ResourceNotFoundException", _NO_CONFIG, 404)
    if verb == "create" and exists:
        return error_response_json(
            "ResourceConflictException",
            f"Failed to create function url config for [functionArn = {_arn(name, qualifier)}]. Error message:  "
            "FunctionUrlConfig exists for this Lambda function",
            409,
        )
    return None


def _arn(name: str, qualifier: str | None) -> str:
    return str(lambda_svc._func_arn(name)) + (f":{qualifier}" if qualifier else "")


def _told(answer: Answer, name: str, qualifier: str | None, asked: dict[str, Any], *absent: str) -> Answer:
    """An alias's URL has the alias's ARN. The mode is told once it was asked for, and always by GetFunctionUrlConfig."""
    status, headers, body = answer
    if status >= 400:
        return answer
    key = lambda_svc._url_config_key(name, qualifier)
    lambda_svc._function_urls[key]["FunctionArn"] = _arn(name, qualifier)
    told = {**json.loads(body), "FunctionArn": _arn(name, qualifier)}
    if "InvokeMode" in asked:
        _mode_is_asked.add(told["FunctionUrl"])
    if told["FunctionUrl"] not in _mode_is_asked:
        del told["InvokeMode"]
    told = {key: value for key, value in told.items() if key not in absent}
    return json_response(told, status, content_type="application/json")


def _create(name: str, data: dict[str, Any], qualifier: str | None) -> Answer:
    answer = _refused("create", name, qualifier) or _originals["create"](name, data, qualifier)
    return _told(answer, name, qualifier, data, "LastModifiedTime")


def _update(name: str, data: dict[str, Any], qualifier: str | None) -> Answer:
    answer = _refused("update", name, qualifier) or _originals["update"](name, data, qualifier)
    return _told(answer, name, qualifier, data)


def _get(name: str, qualifier: str | None) -> Answer:
    answer: Answer = _refused("get", name, qualifier) or _originals["get"](name, qualifier)
    return answer


def _delete(name: str, qualifier: str | None) -> Answer:
    answer: Answer = _refused("delete", name, qualifier) or _originals["delete"](name, qualifier)
    return answer


_mode_is_asked: set[str] = set()
_original: Any = None
_originals: dict[str, Any] = {}


def install() -> None:
    global _original
    _original = lambda_svc.handle_function_url_request
    lambda_svc.handle_function_url_request = _handle
    for verb, replacement in (("create", _create), ("get", _get), ("update", _update), ("delete", _delete)):
        _originals[verb] = getattr(lambda_svc, f"_{verb}_function_url_config")
        setattr(lambda_svc, f"_{verb}_function_url_config", replacement)
