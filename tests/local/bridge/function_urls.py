"""Function URLs: who may call one. That ministack serves them at all is tested, and left as it is."""

from __future__ import annotations

from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import lambda_svc

from . import policies

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
    if resolved is not None:
        account, region, name, qualifier, config = resolved
        arn = f"arn:aws:lambda:{region}:{account}:function:{name}" + (f":{qualifier}" if qualifier else "")
        if config.get("AuthType") == "NONE" and not _allowed(arn):
            return error_response_json("AccessDeniedException", "Forbidden", 403)
    return await _original(
        url_id, method, path, headers, body, query_params, resolved=resolved, source_ip=source_ip
    )


_original: Any = None


def install() -> None:
    global _original
    _original = lambda_svc.handle_function_url_request
    lambda_svc.handle_function_url_request = _handle
