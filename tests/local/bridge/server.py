"""Putting it together: import ministack, bridge it, listen."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from . import recorder as recording

_recorder: recording.Recorder | None = None
_moto: subprocess.Popen[bytes] | None = None


def prepare() -> Callable[[], None]:
    """Import and bridge; returns what ends every child process at once."""
    from . import alarm_kinds, alb_api, alb_traffic, api_exports, api_gateway, asynchronous, buckets, cloudwatch
    from . import concurrency, events, function_urls, functions, iam, keys, lambda_api, notifications, policies
    from . import connections, dns, limits, logs, scaling  # noqa: F401 - they only add to the gateway
    from . import answers, durable, histories, names, provisioned, route53_api, states, subscriptions

    for module in (
        buckets,
        cloudwatch,
        alarm_kinds,
        functions,
        concurrency,
        asynchronous,
        subscriptions,
        lambda_api,
        keys,
        provisioned,
        durable,
        policies,
        function_urls,
        states,
        histories,
        events,
        notifications,
        alb_api,
        alb_traffic,
        route53_api,
        api_gateway,
        api_exports,
        iam,
        answers,
        names,
    ):
        module.install()

    def stop() -> None:
        if _recorder is not None:
            _recorder.flush()
        functions.ENGINE.kill_all_now()
        if _moto is not None and _moto.poll() is None:
            _moto.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                _moto.wait(0.5)

    return stop


Fail = Callable[[str], NoReturn]


def run(
    port: int, moto_port: int | None, directory: Path, wait_scale: float, fail: Fail, ready: Callable[[], Any]
) -> None:
    asyncio.run(_serve(port, moto_port, directory, wait_scale, fail, ready))


async def _serve(
    port: int, moto_port: int | None, directory: Path, wait_scale: float, fail: Fail, ready: Callable[[], Any]
) -> None:
    global _recorder
    from . import cloudwatch, control, http1, recorder

    handler: http1.Handler = control.handle
    if folder := os.environ.get(recorder.FOLDER):
        _recorder = recorder.Recorder(Path(folder))
        handler = recorder.recording(handler, _recorder)
    try:
        server = await http1.serve(handler, port)
    except OSError as error:
        fail(f"port {port} cannot be used: {error.strerror}")
    await _start_ministack()
    cloudwatch.start_evaluating()
    if moto_port is not None and not await _start_moto(port, moto_port, directory, wait_scale):
        fail("moto did not start")
    # What is imported stays: the collector need not walk it again on each full pass.
    gc.collect()
    gc.freeze()
    ready()
    async with server:
        await server.serve_forever()


async def _start_ministack() -> None:
    """Its start-up events, without its server."""
    from ministack import app

    inbox: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    started: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "lifespan.startup.complete":
            started.set_result(None)
        elif message["type"] == "lifespan.startup.failed":
            started.set_exception(RuntimeError(message.get("message", "")))

    _keep.append(asyncio.ensure_future(app.app({"type": "lifespan"}, inbox.get, send)))
    await inbox.put({"type": "lifespan.startup"})
    await started


_keep: list[Any] = []


async def _start_moto(port: int, moto_port: int, directory: Path, wait_scale: float) -> bool:
    global _moto
    from . import control

    with open(directory / "moto.log", "ab") as log:
        # Its standard input is a pipe that closes with this process, however it ends: it then stops too.
        _moto = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("moto_server.py")),
                str(moto_port),
                str(port),
                str(wait_scale),
            ],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    for _ in range(300):
        try:
            _reader, writer = await asyncio.open_connection("127.0.0.1", moto_port)
        except OSError:
            if _moto.poll() is not None:
                break
            await asyncio.sleep(0.1)
            continue
        writer.close()
        control.moto_port = moto_port
        return True
    return False
