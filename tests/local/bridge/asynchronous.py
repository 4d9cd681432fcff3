"""Asynchronous invocations: the queue before a function, and how often and when it is tried again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Coroutine
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import lambda_svc

from . import functions, releases, states
from .routing import ROUTE

FAILED_SECONDS = (60.0, 120.0)
"""How long an event waits after the function has failed on it, the first time and the second."""

THROTTLED_SECONDS = (1.0, 300.0)
"""How long an event waits that there was no room for: at first, then twice as long each time up to the second."""

AGE_SECONDS = 21_600
"""How old an event becomes at most, where the function's configuration says nothing."""


def run(record: dict[str, Any], payload: bytes) -> Coroutine[Any, Any, None]:
    """An `Event` invocation: until it succeeds, has failed too often, or is too old; then the DLQ or destination.

    It counts as at work from the call on, and not only once the loop has come to it."""
    release = releases.named_in(payload)
    releases.begins(release)
    return _run(record, payload, release)


async def _run(record: dict[str, Any], payload: bytes, release: str | None) -> None:
    try:
        await _attempts(record, payload)
    finally:
        releases.ends(release)


async def _attempts(record: dict[str, Any], payload: bytes) -> None:
    settings = record.get("event_invoke_config") or (record.get("event_invoke_configs") or {}).get("$LATEST") or {}
    retries = settings.get("MaximumRetryAttempts")
    left = 2 if retries is None else int(retries)
    scale = states.wait_scale()
    expires = time.monotonic() + float(settings.get("MaximumEventAgeInSeconds") or AGE_SECONDS) * scale
    failed, throttled = 0, 0
    while True:
        result = await functions.ENGINE.run(record, payload, "event")
        if not result.get("error"):
            return
        if result.get("throttle"):
            if _never_runs(record["config"]):
                break
            # No attempt: the event goes back to the queue.
            first, most = THROTTLED_SECONDS
            pause = min(first * 2**throttled, most)
            throttled += 1
        else:
            if failed == left:
                break
            pause = FAILED_SECONDS[min(failed, 1)]
            failed += 1
        if time.monotonic() + pause * scale > expires:
            break
        await asyncio.sleep(pause * scale)
    config = record["config"]
    target = ((settings.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination") or (
        config.get("DeadLetterConfig") or {}
    ).get("TargetArn")
    if target:
        account, region = lambda_svc._account_region_from_function_config(config)
        with request_scope(account, region):
            lambda_svc._route_async_failure(
                target, config.get("FunctionName", ""), json.loads(payload or b"null"), functions.to_ministack(result)
            )


def _never_runs(config: dict[str, Any]) -> bool:
    """Whether a function has a reserved concurrency of 0: its events are given up at once."""
    with request_scope(*lambda_svc._account_region_from_function_config(config)):
        return (lambda_svc._functions.get(config.get("FunctionName")) or {}).get("concurrency") == 0


def _invoke_async_with_retry(func: dict[str, Any], event: Any) -> None:
    config = func.get("config") or func
    if not functions.is_ours(config):
        _original_invoke_async_with_retry(func, event)
        return
    record = func if ROUTE in func else {**func, "config": config, ROUTE: None}
    asyncio.run_coroutine_threadsafe(run(record, json.dumps(event).encode()), functions.ENGINE.loop)


_original_invoke_async_with_retry: Any = None


def install() -> None:
    global _original_invoke_async_with_retry
    _original_invoke_async_with_retry = lambda_svc.invoke_async_with_retry
    lambda_svc.invoke_async_with_retry = _invoke_async_with_retry
