"""One function process with its Lambda Runtime API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

from ministack.services import lambda_svc

from . import http1, releases, telemetry

if TYPE_CHECKING:
    from .functions import Engine

INIT_SECONDS = 10.0
LOG_LINES_KEPT = 2_000


class Environment:
    """One function process and its Runtime API endpoint. Lives on the functions' loop."""

    def __init__(self, key: str, config: dict[str, Any], code_zip: bytes, engine: Engine) -> None:
        self.key = key
        self.name = config.get("FunctionName", "unknown")
        self.version = config.get("Version", "$LATEST")
        self.config = config
        self.code_zip = code_zip
        self.engine = engine
        self.busy = True
        self.doomed = False
        self.dead = False
        self.last_used = time.monotonic()
        self.init_ms = 0.0
        self.init_cpu_ms = 0.0
        self.cold = True
        self.lines: deque[str] = deque(maxlen=LOG_LINES_KEPT)
        self._process: subprocess.Popen[bytes] | None = None
        self._server: asyncio.Server | None = None
        self._poll: asyncio.Future[http1.Response] | None = None
        self._ready = engine.loop.create_future()
        self._answer: asyncio.Future[tuple[str, bytes]] | None = None
        self._request_id = ""
        self._queued: tuple[str, bytes, str, int, str] | None = None
        self._output = -1
        self._partial = b""
        self.stream = ""
        self.access_key = ""
        self.release: str | None = None
        """Of which release the invocation is that it serves."""

    async def start(self) -> None:
        """Start the process; returns when it asks for its first event."""
        began = time.monotonic()
        code_dir = await self.engine.loop.run_in_executor(None, lambda_svc._provided_runtime_code_dir, self.code_zip)
        bootstrap = os.path.join(code_dir, "bootstrap")
        if not os.access(bootstrap, os.X_OK):
            raise StartFailed(
                "Runtime.InvalidEntrypoint",
                "RequestId: {id} Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
            )
        self._server = await http1.serve(self._serve, 0, on_close=self._connection_closed)
        port = self._server.sockets[0].getsockname()[1]
        account, region = lambda_svc._account_region_from_function_config(self.config)
        # A clean environment: nothing of the host's may reach a function, on AWS it does not either.
        variables = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "LAMBDA_TASK_ROOT": code_dir,
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "_HANDLER": self.config.get("Handler") or "bootstrap",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_VERSION": self.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.config.get("MemorySize") or 128),
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
            "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
            **((self.config.get("Environment") or {}).get("Variables") or {}),
            **self.engine.identity(account, self.name, self),
        }
        # In a group that functions may share, the stream names the function.
        named = self.name if (self.config.get("LoggingConfig") or {}).get("LogGroup") else ""
        self.stream = time.strftime("%Y/%m/%d/", time.gmtime()) + f"{named}[{self.version}]{uuid.uuid4().hex}"
        variables["AWS_LAMBDA_LOG_STREAM_NAME"] = self.stream
        variables["AWS_LAMBDA_LOG_GROUP_NAME"] = telemetry.log_group(self.config)
        variables["AWS_LAMBDA_LOG_FORMAT"] = (self.config.get("LoggingConfig") or {}).get("LogFormat") or "Text"
        variables["AWS_LAMBDA_INITIALIZATION_TYPE"] = "on-demand"
        reader, writer = os.pipe()

        def spawn() -> None:
            # Under ministack's lock: no fork may overlap the writing of another function's code.
            with lambda_svc._provided_code_lock:
                self._process = subprocess.Popen(
                    [bootstrap],
                    cwd=code_dir,
                    env=variables,
                    stdin=subprocess.DEVNULL,
                    stdout=writer,
                    stderr=writer,
                    start_new_session=True,
                )
            self.engine.processes.add(self._process.pid)

        try:
            # Off the loop, which serves all others: on a busy machine the child is long in coming.
            await self.engine.loop.run_in_executor(None, spawn)
        except OSError as error:
            os.close(reader)
            raise StartFailed(
                "Runtime.InvalidEntrypoint", f"RequestId: {{id}} Error: fork/exec /var/task/bootstrap: {error.strerror}"
            ) from error
        finally:
            os.close(writer)
        self._output = reader
        os.set_blocking(reader, False)
        self.engine.loop.add_reader(reader, self._read_output)
        # A slow init is not a failure: AWS runs it again under the function's timeout.
        limit = INIT_SECONDS + float(self.config.get("Timeout") or 3)
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), limit)
        except asyncio.TimeoutError:
            raise StartFailed(
                "Sandbox.Timedout", f"RequestId: {{id}} Error: Task timed out after {limit:.2f} seconds"
            ) from None
        self.init_ms = (time.monotonic() - began) * 1000
        self.init_cpu_ms = self.cpu_ms()

    def cpu_ms(self) -> float:
        """What the process has had of a CPU so far; 0 once it is gone."""
        if self._process is None:
            return 0.0
        try:
            # The CPU clock of another process, as clock_getcpuclockid(3) makes its number.
            return time.clock_gettime((~self._process.pid << 3) | 2) * 1000
        except OSError:
            return 0.0

    async def invoke(self, request_id: str, payload: bytes, arn: str, trace: str) -> tuple[str, bytes]:
        """One event through the process: ("response" or "error", body), or ("exit"/"timeout", b"")."""
        timeout = float(self.config.get("Timeout") or 3)
        self._request_id = request_id
        self.release = releases.named_in(payload)
        self._answer = self.engine.loop.create_future()
        self._queued = (request_id, payload, arn, int((time.time() + timeout) * 1000), trace)
        self._hand_out()
        try:
            return await asyncio.wait_for(self._answer, timeout)
        except asyncio.TimeoutError:
            return "timeout", b""
        finally:
            self._answer = None
            self._request_id = ""
            self.release = None
            self._drain_output()

    # What the process asks of the Runtime API.

    async def _serve(self, request: http1.Request, connection: http1.Connection) -> http1.Response:
        path = request.target
        if path.endswith("/invocation/next"):
            if not self._ready.done():
                self._ready.set_result(None)
            self._poll = self.engine.loop.create_future()
            self._hand_out()
            return await self._poll
        if path.endswith("/init/error"):
            if not self._ready.done():
                self._ready.set_exception(_failure_from(request.body))
            return http1.Response(202, [], b"{}")
        parts = path.rstrip("/").split("/")
        if len(parts) >= 2 and parts[-1] in ("response", "error"):
            if self._answer is None or self._answer.done() or parts[-2] != self._request_id:
                return http1.Response(
                    400,
                    [(b"content-type", b"application/json")],
                    b'{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}',
                )
            self._answer.set_result((parts[-1], request.body))
            return http1.Response(202, [(b"content-type", b"application/json")], b'{"status":"OK"}')
        return http1.Response(404, [])

    def _hand_out(self) -> None:
        if self._poll is None or self._poll.done() or self._queued is None:
            return
        request_id, payload, arn, deadline, trace = self._queued
        self._queued = None
        headers = [
            (b"content-type", b"application/json"),
            (b"lambda-runtime-aws-request-id", request_id.encode()),
            (b"lambda-runtime-deadline-ms", str(deadline).encode()),
            (b"lambda-runtime-invoked-function-arn", arn.encode()),
        ]
        if trace:
            headers.append((b"lambda-runtime-trace-id", trace.encode()))
        self._poll.set_result(http1.Response(200, headers, payload))

    def _connection_closed(self, connection: http1.Connection) -> None:
        """Nothing to do: the end of the process shows on its output pipe."""

    # What the process writes, and its end.

    def _read_output(self) -> None:
        self._drain_output()

    def _drain_output(self) -> None:
        while self._output >= 0:
            try:
                data = os.read(self._output, 65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.engine.loop.remove_reader(self._output)
                os.close(self._output)
                self._output = -1
                self._ended()
                return
            *whole, self._partial = (self._partial + data).split(b"\n")
            self.lines.extend(line.decode("utf-8", "replace") for line in whole)

    def _ended(self) -> None:
        self.dead = True
        if self._partial:
            self.lines.append(self._partial.decode("utf-8", "replace"))
            self._partial = b""
        if not self._ready.done():
            self._ready.set_exception(StartFailed("Runtime.ExitError", self.exit_message()))
            self._ready.exception()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(("exit", b""))
        self.engine.forget(self)

    def exit_message(self) -> str:
        code = self._process.poll() if self._process is not None else None
        if code is None and self._process is not None:
            try:
                code = self._process.wait(0.2)
            except subprocess.TimeoutExpired:
                code = 0
        if not code:
            return "RequestId: {id} Error: Runtime exited without providing a reason"
        if code < 0:
            named = (signal.strsignal(-code) or str(-code)).lower()
            return f"RequestId: {{id}} Error: Runtime exited with error: signal: {named}"
        return f"RequestId: {{id}} Error: Runtime exited with error: exit status {code}"

    def take_lines(self) -> list[str]:
        lines = list(self.lines)
        self.lines.clear()
        return lines

    def kill(self) -> None:
        """Stop the process now; its connections and endpoint go with it."""
        self.doomed = True
        if self._process is not None and self._process.poll() is None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self._server is not None:
            self._server.close()
        self.engine.forget(self)
        if self._process is not None:
            process = self._process
            self.engine.loop.run_in_executor(None, self._reap, process)

    def crash(self) -> None:
        """The process dies of itself, whatever it is doing; returns when it is dead. For any thread."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # Left for those who wait for it: they are told how it ended.
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            return
        self.engine.processes.discard(process.pid)


class StartFailed(Exception):
    """The environment did not come up. `{id}` in the message stands for the request's id."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type, self.message = error_type, message


def _failure_from(body: bytes) -> StartFailed:
    try:
        told = json.loads(body)
        return StartFailed(str(told.get("errorType", "Runtime.InitError")), str(told.get("errorMessage", "")))
    except (ValueError, AttributeError):
        return StartFailed("Runtime.InitError", body.decode("utf-8", "replace"))
