"""Running functions: the Lambda Runtime API on asyncio, warm environments, weights, metrics.

ministack runs one thread and one HTTP server per environment, sends every invocation of an alias
to its primary version, and counts metrics by function name only. Here all environments share one
event loop on a thread of its own (so a slow request elsewhere does not hold functions up, nor
they it), the version is drawn by weight at each invocation, and each invocation is recorded under
the dimension sets that Lambda publishes.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import hashlib
import itertools
import json
import logging
import os
import signal
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ministack.core import lambda_runtime
from ministack.core.arn import parse_arn
from ministack.core.concurrency import run_reentrant
from ministack.services import lambda_svc

from . import releases, telemetry
from .environment import Environment, StartFailed
from .routing import ROUTE, routed

logger = logging.getLogger("bridge.functions")

IDLE_SECONDS = 60.0
IDLE_KEPT = int(os.environ.get("CROSSFADE_LOCAL_IDLE", "120"))
"""How many idle processes are kept; more where many releases go on at once, or they start processes all the time."""
INVOCATIONS_KEPT = 100_000

Result = dict[str, Any]

caller_of_key: dict[str, str] = {"motostates": "states"}
"""Access key id given to a function's process -> the function's name. moto's state machines have one too."""

process_of_key: dict[str, Environment] = {}
"""The same key -> the process that has it, while it lives."""


# ── All of them ──────────────────────────────────────────────────────────────────────────────


def _camel(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(part.title() for part in rest)


@dataclass(slots=True)
class Took:
    """What an invocation took, by the clock and of a CPU, milliseconds. The start is of a cold one only."""

    cold: bool = False
    init_ms: float = 0.0
    """From the start of the process until it asked for an event."""
    duration_ms: float = 0.0
    init_cpu_ms: float = 0.0
    cpu_ms: float = 0.0


@dataclass(slots=True)
class Ran:
    """One invocation, as GET /_local/invocations gives it."""

    seq: int
    time: float
    """When it was asked for, seconds since 1970."""
    function: str
    version: str
    cold: bool
    init_ms: float
    duration_ms: float
    init_cpu_ms: float
    cpu_ms: float
    memory_mb: int
    error: bool
    release: str | None
    """The token of the release that its event names."""


class Engine:
    """Environments by version, on one loop and thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.processes: set[int] = set()
        self._pools: dict[str, list[Environment]] = {}
        self._thread = threading.Thread(target=self._run, daemon=True, name="bridge-functions")
        self._thread.start()
        self.invocations = 0
        self._ran: deque[Ran] = deque(maxlen=INVOCATIONS_KEPT)

    def invoked(self, since: int, name: str | None, release: str | None) -> list[dict[str, Any]]:
        """The invocations after the one of that number, in the order of their ends."""
        newest = list(itertools.takewhile(lambda ran: ran.seq > since, reversed(self._ran.copy())))
        found = [
            asdict(ran)
            for ran in reversed(newest)
            if name in (None, ran.function) and release in (None, ran.release)
        ]
        return [{_camel(field): value for field, value in ran.items()} for ran in found]

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(8, "bridge-functions-io"))
        self.loop.call_later(5, self._reap_idle)
        self.loop.run_forever()

    @staticmethod
    def identity(account: str, name: str, process: Environment) -> dict[str, str]:
        """Credentials that tell, in every call a process makes, which process of which function made it.

        The access key id is in each request's Authorization header whatever the SDK, so nothing
        can be lost; the application id in the user agent is for people who read the log.
        """
        from ministack.services import sts

        key = "LOCL" + uuid.uuid4().hex[:16].upper()
        # ministack finds the account of a key that is not an account number here.
        # Not by its own entry, which walks over all sessions that ever were.
        sts._sessions[key] = session(account, name)
        caller_of_key[key] = name
        process_of_key[key] = process
        process.access_key = key
        return {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_SESSION_TOKEN": "local",
            "AWS_SDK_UA_APP_ID": name[:50],
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def submit(self, record: dict[str, Any], payload: bytes, service: str) -> concurrent.futures.Future[Result]:
        return asyncio.run_coroutine_threadsafe(self.run(record, payload, service), self.loop)

    async def run(self, record: dict[str, Any], payload: bytes, service: str = "") -> Result:
        """Run one invocation of a `provided.*` function, with its metrics and its log."""
        config = record["config"]
        name, version = config.get("FunctionName", "unknown"), config.get("Version", "$LATEST")
        started = time.time()
        request_id = str(uuid.uuid4())
        slot, limit = lambda_svc._acquire_execution_slot(record, config)
        if slot is None:
            telemetry.publish(config, record.get(ROUTE), started, None, error=False, throttle=True)
            reason = (
                "ReservedFunctionConcurrentInvocationLimitExceeded"
                if limit == "function"
                else "ConcurrentInvocationLimitExceeded"
            )
            return lambda_svc._throttle_response(reason_code=reason, msg="Rate Exceeded.")
        try:
            result = await self._run_in_environment(record, config, payload, request_id, version)
        finally:
            lambda_svc._release_execution_slot(slot)
        telemetry.publish(
            config, record.get(ROUTE), started, result["duration_ms"], error=bool(result.get("error")), throttle=False
        )
        self.invocations += 1
        took: Took = result.pop("took", Took())
        self._ran.append(
            Ran(self.invocations, started, name, version, **asdict(took), memory_mb=int(config.get("MemorySize") or 128),
                error=bool(result.get("error")), release=releases.named_in(payload))
        )
        logger.debug("%s:%s ran in %.1f ms for %s", name, version, result["duration_ms"], service or "a caller")
        return result

    async def _run_in_environment(
        self, record: dict[str, Any], config: dict[str, Any], payload: bytes, request_id: str, version: str
    ) -> Result:
        if not record.get("code_zip"):
            return {
                "body": {"errorType": "Runtime.InvalidEntrypoint", "errorMessage": "no code"},
                "error": True,
                "duration_ms": 0.0,
                "log": "",
            }
        key = environment_key(config)
        environment = next((e for e in self._pools.get(key, ()) if not e.busy and not e.doomed and not e.dead), None)
        cold = environment is None
        error_type, message = "", ""
        kind, body = "", b""
        began = time.monotonic()
        if environment is None:
            environment = Environment(key, config, record["code_zip"], self)
            self._pools.setdefault(key, []).append(environment)
            try:
                await environment.start()
            except StartFailed as failure:
                error_type, message = failure.error_type, failure.message.replace("{id}", request_id)
                environment.kill()
            began = time.monotonic()
        environment.busy = True
        cpu_ms = environment.cpu_ms()
        if not error_type:
            trace = lambda_svc._xray_trace_id_for_invocation(config) or ""
            kind, body = await environment.invoke(request_id, payload, config.get("FunctionArn", ""), trace)
            if kind == "timeout":
                timeout = float(config.get("Timeout") or 3)
                error_type = "Sandbox.Timedout"
                message = f"RequestId: {request_id} Error: Task timed out after {timeout:.2f} seconds"
                environment.kill()
            elif kind == "exit":
                error_type = "Runtime.ExitError"
                message = environment.exit_message().replace("{id}", request_id)
                environment.kill()
        duration_ms = (time.monotonic() - began) * 1000
        took = Took(
            cold,
            environment.init_ms if cold else 0.0,
            duration_ms,
            environment.init_cpu_ms if cold else 0.0,
            max(0.0, environment.cpu_ms() - cpu_ms),
        )
        environment.last_used = time.monotonic()
        environment.busy = False
        if environment.doomed and not environment.dead:
            environment.kill()
        log = telemetry.log_text(
            config,
            version,
            request_id,
            environment.take_lines(),
            duration_ms,
            environment.init_ms if cold and not error_type.startswith("Runtime.InvalidE") else None,
            message,
            error_type,
        )
        begins = telemetry.init_text(config, version) if cold else ""
        telemetry.write_log(config, environment.stream, begins + log)
        if error_type:
            return {
                "body": {"errorType": error_type, "errorMessage": message},
                "error": True,
                "log": log,
                "duration_ms": duration_ms,
                "took": took,
            }
        if kind == "error":
            try:
                told = json.loads(body)
            except ValueError:
                told = {"errorType": "Runtime.Unknown", "errorMessage": body.decode("utf-8", "replace")}
            return {"body": told, "error": True, "log": log, "duration_ms": duration_ms, "took": took}
        if len(body) > 6 * 1024 * 1024:
            return {
                "body": {
                    "errorType": "Function.ResponseSizeTooLarge",
                    "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
                },
                "error": True,
                "log": log,
                "duration_ms": duration_ms,
                "took": took,
            }
        return {"raw": body, "log": log, "duration_ms": duration_ms, "took": took}

    def forget(self, environment: Environment) -> None:
        process_of_key.pop(environment.access_key, None)
        pool = self._pools.get(environment.key)
        if pool is not None and environment in pool:
            pool.remove(environment)
            if not pool:
                del self._pools[environment.key]

    def invalidate(self, chosen: Callable[[Environment], bool]) -> None:
        """Stop environments; one that is at work finishes first."""

        def on_loop() -> None:
            for environment in [e for pool in list(self._pools.values()) for e in pool if chosen(e)]:
                if environment.busy:
                    environment.doomed = True
                else:
                    environment.kill()

        self.loop.call_soon_threadsafe(on_loop)

    def _reap_idle(self) -> None:
        self.loop.call_later(5, self._reap_idle)
        now = time.monotonic()
        idle = sorted((e for pool in self._pools.values() for e in pool if not e.busy), key=lambda e: e.last_used)
        for index, environment in enumerate(idle):
            if now - environment.last_used > IDLE_SECONDS or len(idle) - index > IDLE_KEPT:
                environment.kill()

    def kill_all_now(self) -> None:
        """For the end of the server, from a signal handler: no loop, no lock, a short wait at most."""
        pids = list(self.processes)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        # Collected, so that nothing of them is left in the process table where no init does that.
        end = time.monotonic() + 0.5
        for pid in pids:
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(pid, os.WNOHANG) == (0, 0) and time.monotonic() < end:
                    time.sleep(0.005)


def environment_key(config: dict[str, Any]) -> str:
    """What must be equal for two invocations to share an environment."""
    account, region = lambda_svc._account_region_from_function_config(config)
    fixed = json.dumps(
        [
            config.get("CodeSha256"),
            config.get("Environment"),
            config.get("Timeout"),
            config.get("MemorySize"),
            config.get("Role"),
        ],
        sort_keys=True,
    )
    digest = hashlib.sha256(fixed.encode()).hexdigest()[:16]
    return f"{account}:{region}:{config.get('FunctionName')}:{config.get('Version', '$LATEST')}:{digest}"


ENGINE: Engine


def session(account: str, name: str) -> dict[str, Any]:
    """What ministack keeps of a function's credentials."""
    return {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{name}",
        "UserId": name,
        "SecretAccessKey": "local",
        "SessionToken": "local",
        "Expiration": time.time() + 10 * 365 * 86400,
    }


# ── ministack's seams ────────────────────────────────────────────────────────────────────────


def is_ours(config: dict[str, Any]) -> bool:
    return str(config.get("Runtime", "")).startswith("provided") and config.get("PackageType", "Zip") == "Zip"


def to_ministack(result: Result) -> Result:
    """The shape ministack's callers expect: a parsed body."""
    if "raw" in result:
        try:
            result["body"] = json.loads(result["raw"]) if result["raw"] else None
        except ValueError:
            result["body"] = result["raw"].decode("utf-8", "replace")
    return result


def _execute_function(func: dict[str, Any], event: Any) -> Result:
    """Every invocation that does not come over HTTP passes here, on a thread of its own."""
    config = func.get("config") or func
    if ROUTE not in func:
        func = {**func, "config": config, ROUTE: None}
    if is_ours(config):
        result = to_ministack(ENGINE.submit(func, json.dumps(event).encode(), "ministack").result())
        _tell(config, result)
        return result
    started = time.time()
    result = _original_execute_function(func, event)
    _tell(config, result)
    if not result.get("throttle"):
        telemetry.publish(
            config,
            func.get(ROUTE),
            started,
            (time.time() - started) * 1000,
            error=bool(result.get("error")),
            throttle=False,
        )
    return result


def _tell(config: dict[str, Any], result: Result) -> None:
    told = INVOKED.get()
    if told is not None:
        failed, throttled = bool(result.get("error")), bool(result.get("throttle"))
        told.append(Invoked(config.get("Version", "$LATEST"), result.get("body"), failed, throttled))


def _get_func_record_for_ref(function_ref: str) -> tuple[Any, Any, str]:
    """ministack resolves a function reference here before it runs it: the place for the weights."""
    record, config, name = _original_get_func_record_for_ref(function_ref)
    if record is None or config is None:
        return record, config, name
    _, qualifier = lambda_svc._resolve_name_and_qualifier(function_ref)
    base, _, _ = lambda_svc._get_base_func_record_for_ref(function_ref)
    drawn, _version = routed(base, qualifier)
    if drawn is None:
        return None, None, name
    return drawn, drawn["config"], name


def _invalidate_worker(
    func_name: str, qualifier: str | None = None, account: str | None = None, region: str | None = None
) -> None:
    _original_invalidate_worker(func_name, qualifier=qualifier, account=account, region=region)

    def chosen(environment: Environment) -> bool:
        its_account, its_region, name, version, _digest = environment.key.rsplit(":", 4)
        return (
            name == func_name
            and qualifier in (None, version)
            and account in (None, its_account)
            and region in (None, its_region)
        )

    ENGINE.invalidate(chosen)


@dataclass(frozen=True, slots=True)
class Invoked:
    """What became of a synchronous invocation by another service."""

    version: str
    body: Any
    failed: bool
    throttled: bool


INVOKED: contextvars.ContextVar[list[Invoked] | None] = contextvars.ContextVar("invoked", default=None)
"""Where a service that has ministack invoke functions is told what they did."""


def exists(arn: str) -> bool:
    return bool(lambda_svc._get_func_record_for_ref(arn)[0])


async def invoke(arn: str, event: Any, service: str) -> Invoked | None:
    """Run a function by its ARN, qualifier and weights included; None when there is no such function."""
    spec = parse_arn(arn)
    record, config, _name = lambda_svc._get_func_record_for_ref_in_scope(
        arn, account_id=spec.account_id, region=spec.region
    )
    if record is None or config is None:
        return None
    if is_ours(config):
        result = await asyncio.wrap_future(ENGINE.submit(record, json.dumps(event).encode(), service))
    else:
        result = await run_reentrant(lambda_svc._execute_function_with_config_scope, record, event)
    body = to_ministack(result).get("body")
    return Invoked(config.get("Version", "$LATEST"), body, bool(result.get("error")), bool(result.get("throttle")))


_original_execute_function: Any = None
_original_get_func_record_for_ref: Any = None
_original_invalidate_worker: Any = None


def install() -> None:
    global ENGINE, _original_execute_function, _original_get_func_record_for_ref, _original_invalidate_worker
    ENGINE = Engine()
    _original_execute_function = lambda_svc._execute_function
    _original_get_func_record_for_ref = lambda_svc._get_func_record_for_ref
    _original_invalidate_worker = lambda_svc.invalidate_worker
    lambda_svc._execute_function = _execute_function
    lambda_svc._get_func_record_for_ref = _get_func_record_for_ref
    lambda_svc.invalidate_worker = _invalidate_worker
    lambda_runtime.invalidate_worker = _invalidate_worker
    # Counted in `publish`, once and for all callers.
    lambda_svc._emit_lambda_metrics = lambda *args, **kwargs: None
