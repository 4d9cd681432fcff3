"""Durable executions: a running one is made by hand, for the sample function makes none.

ListDurableExecutionsByFunction filters by the times that SDKs send: ISO 8601, which ministack does not read.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import lambda_durable, lambda_svc

from . import control


@control.route("POST", "durable/executions")
def _run(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """Starts a durable execution of a version, which runs until it is stopped."""
    with request_scope(get_account_id(), get_region()):
        name, version = str(body["functionName"]), str(body["version"])
        function = lambda_svc._functions.get(name)
        if function is None or version not in function["versions"]:
            raise ValueError(f"there is no version {version} of {name}")
        if "DurableConfig" not in function["versions"][version]["config"]:
            raise ValueError(f"version {version} of {name} has no DurableConfig")
        made = lambda_durable.create_execution_for_invoke(lambda_svc._func_arn(name), version, "{}")
    return {"durableExecutionArn": made["DurableExecutionArn"]}


def _list(function_name: str, query_params: dict[str, Any], lookup: Any) -> Any:
    read = {
        name: [str(datetime.fromisoformat(str(value[0] if isinstance(value, list) else value)).timestamp())]
        for name, value in query_params.items()
        if name in ("StartedAfter", "StartedBefore")
    }
    return _original_list(function_name, {**query_params, **read}, lookup)


_original_list: Any = None


def install() -> None:
    global _original_list
    _original_list = lambda_durable.handle_list_by_function
    lambda_durable.handle_list_by_function = _list
