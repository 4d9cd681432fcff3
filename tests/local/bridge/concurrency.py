"""How many executions there may be at a time: the account's pool, and what functions have reserved of it."""

from __future__ import annotations

import threading
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import lambda_svc
from ministack.services.cloudformation import provisioners

Answer = tuple[int, dict[str, str], bytes]

MINIMUM_UNRESERVED = 100
"""How much of the account's concurrency has to stay for functions without a reservation."""

AWS_LIMIT = 1_000
"""What an account may have at a time where a test does not limit it. ministack takes its own from the machine's
memory, so that users of a small machine were throttled."""

_reserved: set[tuple[str, str, str]] = set()
"""Account, Region and name of the functions that have had a reservation."""
_running: dict[tuple[str, str, str], int] = {}
_lock = threading.Lock()


def limit(most: int | None) -> None:
    """Limits all executions together; None is what AWS allows."""
    lambda_svc._ACCOUNT_CONCURRENCY_CAP = AWS_LIMIT if most is None else most


def _key(config: dict[str, Any]) -> tuple[str, str, str]:
    account, region = lambda_svc._account_region_from_function_config(config)
    return account, region, config.get("FunctionName", "?")


def _reservations(account: str, region: str) -> dict[tuple[str, str, str], int]:
    functions = lambda_svc._functions._data
    here = {key: functions.get(key, {}).get("concurrency") for key in _reserved if key[:2] == (account, region)}
    return {key: int(count) for key, count in here.items() if count is not None}


def acquire(record: dict[str, Any], config: dict[str, Any]) -> tuple[Any, str | None]:
    """A place for one execution, or whose limit leaves none: the function's own reservation, or the rest of the
    account's that all functions without one share."""
    key = _key(config)
    with _lock:
        reservations = _reservations(*key[:2])
        if (own := reservations.get(key)) is not None:
            if _running.get(key, 0) >= own:
                return None, "function"
        else:
            shared = sum(count for other, count in _running.items() if other not in reservations)
            if shared >= lambda_svc._ACCOUNT_CONCURRENCY_CAP - sum(reservations.values()):
                return None, "account"
        _running[key] = _running.get(key, 0) + 1
    return key, None


def release(key: tuple[str, str, str]) -> None:
    with _lock:
        left = _running.pop(key) - 1
        if left:
            _running[key] = left


def _reserve(name: str, count: int | None) -> None:
    func = lambda_svc._functions[name]
    with _lock:
        func["concurrency"] = count
        _reserved.add(_key(func["config"]))


def _put_function_concurrency(name: str, data: dict[str, Any]) -> Answer:
    if name not in lambda_svc._functions:
        return lambda_svc._get_function_concurrency(name)
    count = int(data.get("ReservedConcurrentExecutions") or 0)
    key = _key(lambda_svc._functions[name]["config"])
    most = lambda_svc._ACCOUNT_CONCURRENCY_CAP
    with _lock:
        others = sum(held for other, held in _reservations(*key[:2]).items() if other != key)
    if count and most - others - count < MINIMUM_UNRESERVED:
        return error_response_json(
            "InvalidParameterValueException",
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            f"below its minimum value of [{MINIMUM_UNRESERVED}].",
            400,
            {"Type": "User"},
            content_type="application/json",
        )
    _reserve(name, count)
    return json_response({"ReservedConcurrentExecutions": count})


def _delete_function_concurrency(name: str) -> Answer:
    if name not in lambda_svc._functions:
        return lambda_svc._get_function_concurrency(name)
    _reserve(name, None)
    return 204, {}, b""


def _by_template(name: str, properties: dict[str, Any]) -> None:
    """What a template says of a function, as CloudFormation puts it; a refusal fails the stack."""
    count = properties.get("ReservedConcurrentExecutions")
    if count is None:
        if name in lambda_svc._functions:
            _reserve(name, None)
        return
    status, _headers, body = _put_function_concurrency(name, {"ReservedConcurrentExecutions": count})
    if status >= 400:
        raise ValueError(body.decode())


def install() -> None:
    limit(None)
    lambda_svc._acquire_execution_slot = acquire
    lambda_svc._release_execution_slot = release
    lambda_svc._put_function_concurrency = _put_function_concurrency
    lambda_svc._delete_function_concurrency = _delete_function_concurrency
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    create, update = handlers["create"], handlers["update"]

    def created(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        made = create(logical_id, properties, stack)
        _by_template(made[0], properties)
        return made

    def updated(physical_id: str, old: dict[str, Any], new: dict[str, Any], *rest: Any, **more: Any) -> Any:
        made = update(physical_id, old, new, *rest, **more)
        _by_template(physical_id, new)
        return made

    handlers["create"], handlers["update"] = created, updated
