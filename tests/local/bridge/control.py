"""The gateway: who called what, faults on demand, and the control API under `/_local/`."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from ministack import app as ministack_app
from ministack.core.responses import set_request_account_id, set_request_region
from ministack.core.router import detect_service, extract_access_key_id, extract_region

from . import function_urls, functions, http1, releases, transactions, wire

logger = logging.getLogger("bridge.control")

CALLS_KEPT = 200_000
KINDS = (
    "throttle",
    "error500",
    "access-denied",
    "drop-before",
    "drop-after",
    "silence",
    "kill-before",
    "kill-after",
    "refuse",
    "transaction-conflict",
    "transaction-throttled",
)
_UNANSWERED_BEFORE = ("silence", "drop-before", "kill-before")
_UNANSWERED_AFTER = ("drop-after", "kill-after")
_ANSWERED = ("late", "stop-before", "stop-after", "stop-late", "hold")
"""What leaves the call as it is: it is made late, or its release's execution is stopped right before, right
after, or right before and the call is made late; or a transaction takes long."""
CALL_KINDS = (*KINDS, *_ANSWERED)
STATE_KINDS = ("stop", "time-out", "task-time-out", "schedule", "clock")
"""What can happen as a state is entered: action EnterState of service states, about the state's name."""
EVENT_KINDS = ("lose", "double", "late", "again", "clock")
"""What can happen to an event: action Deliver of service events, about its detail-type."""


# ── Calls ────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Call:
    """One AWS API call, as GET /_local/calls gives it."""

    seq: int
    time: float
    service: str
    action: str
    caller: str | None
    status: int
    resource: str | None
    error: str | None
    asked: dict[str, Any] | None = None
    """What a write to Lambda's control plane asked for."""
    release: str | None = None
    """The token of the release that it belongs to."""
    served: bool = False
    """Whether the invocation that made it tells so, and not only the request."""
    seconds: float = 0.0
    """From the request to the answer."""


class CallLog:
    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=CALLS_KEPT)
        self._of_release: dict[str, list[Call]] = {}
        self._lock = threading.Lock()
        self.last = 0

    def add(
        self,
        at: float,
        service: str,
        action: str,
        caller: str | None,
        status: int,
        resource: str | None,
        error: str | None,
        asked: dict[str, Any] | None = None,
        release: str | None = None,
        served: bool = False,
    ) -> None:
        with self._lock:
            self.last += 1
            took = max(0.0, time.time() - at)
            call = Call(self.last, at, service, action, caller, status, resource, error, asked, release, served, took)
            self._calls.append(call)
            if release is not None:
                self._of_release.setdefault(release, []).append(call)

    def since(self, seq: int, caller: str | None, release: str | None = None) -> list[dict[str, Any]]:
        with self._lock:
            # Of a release whatever the length of the log.
            calls = self._calls if release is None else self._of_release.get(release, [])
            newest = list(itertools.takewhile(lambda c: c.seq > seq, reversed(calls)))
        # dataclasses.asdict() copies deeply, which costs more than all else here.
        return [
            {name: getattr(call, name) for name in Call.__slots__}
            for call in reversed(newest)
            if caller is None or call.caller == caller
        ]

    def forget(self, release: str) -> None:
        with self._lock:
            self._of_release.pop(release, None)


CALLS = CallLog()


# ── Faults ───────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Fault:
    """What to do to the calls that match; None matches any."""

    id: int
    kind: str
    service: str | None = None
    action: str | None = None
    caller: str | None = None
    resource: str | None = None
    release: str | None = None
    times: int | None = 1
    skip: int = 0
    seconds: float = 30.0
    status: int = 400
    code: str = ""
    message: str = ""
    seen: int = 0
    hits: int = 0


class Faults:
    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, data: dict[str, Any]) -> int:
        of_call = {"EnterState": STATE_KINDS, "Deliver": EVENT_KINDS}
        kinds = of_call.get(data.get("action", ""), CALL_KINDS)
        if data.get("kind") not in kinds:
            raise ValueError(f"kind must be one of {', '.join(kinds)}")
        refused = {"status", "code", "message"} if data["kind"] == "refuse" else set()
        known = {"kind", "service", "action", "caller", "resource", "release", "times", "skip", "seconds"} | refused
        if unknown := set(data) - known:
            raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
        if refused and not data.get("code"):
            raise ValueError("refuse takes the code that is answered")
        fields = {k: v for k, v in data.items() if v is not None}
        if "service" in fields:
            fields["service"] = wire.canonical(fields["service"])
        if "times" in data and data["times"] is None:
            fields["times"] = None
        fault = Fault(id=next(self._ids), **fields)
        with self._lock:
            self._faults.append(fault)
        return fault.id

    def clear(self, number: int | None = None) -> None:
        with self._lock:
            self._faults = [f for f in self._faults if number is not None and f.id != number]

    def listed(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(f) for f in self._faults]

    def take(
        self,
        service: str,
        action: str,
        caller: str | None,
        resource: str | None,
        release: str | None,
        kinds: tuple[str, ...] = CALL_KINDS,
    ) -> Fault | None:
        """The fault this call meets, counted; the first that matches and is not used up.

        `release` is that of the invocation that makes the call."""
        if not self._faults:
            return None
        with self._lock:
            for fault in self._faults:
                # One that matches every call is not meant for what is none.
                if fault.kind not in kinds or (kinds is not CALL_KINDS and fault.action is None):
                    continue
                if fault.kind in transactions.KINDS and (
                    service != "dynamodb" or action not in transactions.KINDS[fault.kind]
                ):
                    continue
                if fault.service not in (None, service) or fault.action not in (None, action):
                    continue
                if fault.caller not in (None, caller) or fault.release not in (None, release):
                    continue
                if fault.resource is not None and not _is_about(resource, fault.resource):
                    continue
                fault.seen += 1
                if fault.seen <= fault.skip or (fault.times is not None and fault.hits >= fault.times):
                    continue
                fault.hits += 1
                return fault
        return None


def _is_about(resource: str | None, wanted: str) -> bool:
    return resource is not None and (resource == wanted or re.split(r"[:/]", resource)[-1] == wanted)


FAULTS = Faults()


@dataclass(slots=True)
class InternalCall:
    """A call that a service makes itself, without HTTP."""

    fault: str | None = None
    lose_answer: bool = False
    error: str | None = None
    status: int = 200

    def failed(self, error: str, status: int) -> None:
        self.error, self.status = error, status


@contextmanager
def internal_call(
    caller: str, service: str, action: str, resource: str | None, said: bytes = b""
) -> Iterator[InternalCall]:
    """Count a service's own call; its fault, if one was asked for, is for the block to act out.

    `said` is what it sends."""
    service = wire.canonical(service)
    at = time.time()
    call = InternalCall()
    release = releases.named_in(said)
    fault = FAULTS.take(service, action, caller, resource, release)
    if fault is not None and fault.kind in _ANSWERED:
        time.sleep(fault.seconds if fault.kind == "late" else 0)
    elif fault is not None:
        if fault.kind == "silence":
            time.sleep(fault.seconds)
        if fault.kind in _UNANSWERED_AFTER:
            call.lose_answer = True
        else:
            call.fault = fault.kind
            call.error, call.status = fault.kind, 0
    try:
        yield call
    finally:
        CALLS.add(
            at, service, action, caller, call.status, resource, call.error, release=release, served=release is not None
        )


# ── Every HTTP request ───────────────────────────────────────────────────────────────────────

Local = Callable[[str, str, dict[str, str], Any], Any]
ROUTES: dict[tuple[str, str], Local] = {}
"""(method, path under /_local/) -> a function of (method, path, query, body), which answers with JSON.

A coroutine function is awaited where all requests are served, and must not block."""


STOP: Callable[[str], None] = lambda release: None
"""Stops what runs of a release; `states` puts it here."""

SCHEDULE: Callable[[], None] = lambda: None
"""Fires all schedules; `events` puts it here."""


LIMIT: Callable[[str, str, str, dict[str, str]], http1.Response | None] = lambda *call: None
"""The answer to a call (service, action, access key id, headers) that is one too many; `limits` puts it here."""

SERVICES: dict[str, Callable[[str, Any], http1.Response]] = {}
"""Services that ministack does not have: by the first part of `X-Amz-Target`, from an operation and its input."""

REFUSED: Callable[..., http1.Response | None] = lambda *call: None
"""The answer to a call that its caller's role does not allow; `iam` puts it here."""


WATCHED: Callable[[http1.Connection], Any] = lambda connection: nullcontext()
"""What is around each call while its answer is made; `connections` puts it here."""


async def handle(request: http1.Request, connection: http1.Connection) -> http1.Response | None:
    parts = urlsplit(request.target)
    if parts.path.startswith("/_local/"):
        return await _local(request, parts.path, parts.query)
    with WATCHED(connection):
        return await _called(request, connection, parts)


async def _called(request: http1.Request, connection: http1.Connection, parts: SplitResult) -> http1.Response | None:
    headers = _headers(request)
    query = parse_qs(parts.query, keep_blank_values=True)
    path = unquote(parts.path)
    at = time.time()
    if path.startswith("/_") or request.method == "OPTIONS" or function_urls.is_one(headers.get("host", "")):
        return await _through_ministack(request, connection, path, parts)
    service, action, resource = wire.identify(
        request.method, path, headers, query, request.body, detect_service(request.method, path, headers, query)
    )
    key = extract_access_key_id(headers, query)
    caller = functions.caller_of_key.get(key)
    asked = wire.asked(request.method, path, query, service, action, request.body)
    process = functions.process_of_key.get(key)
    serving = process.release if process is not None else None
    release = serving or releases.named_in(request.target.encode(), request.body)
    owner = (release, serving is not None)
    fault = FAULTS.take(service, action, caller, resource, serving)
    stops_after, held = False, 0.0
    if fault is not None and fault.kind in _ANSWERED:
        if fault.kind in ("stop-before", "stop-late"):
            await asyncio.to_thread(STOP, serving or "")
        if fault.kind in ("late", "stop-late"):
            await asyncio.sleep(fault.seconds)
        stops_after = fault.kind == "stop-after"
        held = fault.seconds if fault.kind == "hold" else 0.0
        fault = None
    if fault is not None:
        if fault.kind == "silence":
            await asyncio.sleep(fault.seconds)
        if fault.kind == "kill-before" and process is not None:
            await asyncio.to_thread(process.crash)
        if fault.kind in _UNANSWERED_BEFORE:
            CALLS.add(at, service, action, caller, 0, resource, fault.kind, asked, *owner)
            raise http1.Drop
        if fault.kind not in _UNANSWERED_AFTER:
            if fault.kind in transactions.KINDS:
                answer = transactions.refusal(fault.kind, action, request.body, headers)
            elif fault.kind == "refuse":
                answer = wire.refused(service, fault.status, fault.code, fault.message, headers)
            else:
                answer = wire.refusal(fault.kind, service, headers)
            error = wire.error_of(answer, service)
            CALLS.add(at, service, action, caller, answer.status, resource, error, asked, *owner)
            return answer
    answer = REFUSED(service, action, key, request, path, headers, query) or LIMIT(service, action, key, headers)
    if answer is not None:
        pass
    elif action == "Invoke" and service == "lambda" and request.method == "POST":
        answer = await _invoke(parts.path, headers, query, request.body, key)
    elif (serve := SERVICES.get(headers.get("x-amz-target", "").partition(".")[0])) is not None:
        answer = serve(action, wire.decode(request.body, headers))
    else:
        with transactions.hold(service, action, request.body, headers) as answer:
            if answer is None:
                answer = await _through_ministack(request, connection, path, parts)
                await asyncio.sleep(held)
        if (
            service == "states"
            and moto_port is not None
            and answer is not None
            and answer.status == 400
            and wire.error_of(answer, service) in _UNKNOWN_HERE
        ):
            answer = await asyncio.to_thread(_ask_moto, request) or answer
    if stops_after:
        await asyncio.to_thread(STOP, serving or "")
    if fault is not None:
        # What the service did, though its caller is never told.
        status = answer.status if answer is not None else 200
        CALLS.add(at, service, action, caller, status, resource, fault.kind, asked, *owner)
        if fault.kind == "kill-after" and process is not None:
            await asyncio.to_thread(process.crash)
        raise http1.Drop
    status = answer.status if answer is not None else 200
    CALLS.add(
        at,
        service,
        action,
        caller,
        status,
        resource,
        wire.error_of(answer, service) if answer is not None and status >= 400 else _function_error(answer),
        asked,
        *owner,
    )
    return answer


def _function_error(answer: http1.Response | None) -> str | None:
    """How the function failed that Lambda invoked all the same."""
    headers = answer.headers if answer is not None else ()
    return next((value.decode("latin-1") for name, value in headers if name.lower() == b"x-amz-function-error"), None)


moto_port: int | None = None
"""Where moto listens: what ministack does not know of an execution or a token, moto may."""

_UNKNOWN_HERE = ("ExecutionDoesNotExist", "StateMachineDoesNotExist", "InvalidToken", "TaskDoesNotExist")


def _ask_moto(request: http1.Request) -> http1.Response | None:
    connection = http.client.HTTPConnection("127.0.0.1", moto_port, timeout=30)
    try:
        connection.request(
            request.method,
            request.target,
            request.body,
            {
                k.decode("latin-1"): v.decode("latin-1")
                for k, v in request.headers
                if k not in (b"content-length", b"transfer-encoding", b"connection", b"expect")
            },
        )
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    kept = [
        (k.encode("latin-1"), v.encode("latin-1"))
        for k, v in answer.getheaders()
        if k.lower() not in ("content-length", "connection", "transfer-encoding")
    ]
    return http1.Response(answer.status, kept, body)


def _headers(request: http1.Request) -> dict[str, str]:
    out: dict[str, str] = {}
    for name, value in request.headers:
        key = name.decode("latin-1")
        text = value.decode("utf-8", "replace")
        out[key] = f"{out[key]}, {text}" if key in out else text
    return out


async def _invoke(
    path: str, headers: dict[str, str], query: dict[str, list[str]], body: bytes, key: str
) -> http1.Response:
    """Straight to the functions: ministack's general path costs more than the invocation."""
    from ministack.services import lambda_svc

    set_request_account_id(key)
    set_request_region(extract_region(headers, query))
    status, answer_headers, answer = await lambda_svc.handle_request("POST", path, headers, body, query)
    identity = wire.new_request_id()
    out = [(k.encode("latin-1"), str(v).encode("latin-1")) for k, v in answer_headers.items()]
    return http1.Response(status, [*out, (b"x-amzn-requestid", identity.encode())], answer)


async def _through_ministack(
    request: http1.Request, connection: http1.Connection, path: str, parts: Any
) -> http1.Response | None:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": path,
        "raw_path": parts.path.encode("latin-1"),
        "query_string": parts.query.encode("latin-1"),
        "headers": request.headers,
        "client": connection.peer,
        "server": ("127.0.0.1", 0),
        "root_path": "",
    }
    received = False
    started: dict[str, Any] = {}
    chunks: list[bytes] = []
    streaming = False
    chunked = False

    async def receive() -> dict[str, Any]:
        nonlocal received
        if received:
            await asyncio.sleep(3600)
        received = True
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal streaming, chunked
        if message["type"] == "http.response.start":
            started.update(message)
            return
        if message["type"] != "http.response.body":
            return
        data, more = message.get("body", b""), message.get("more_body", False)
        if more and not streaming:
            streaming = True
            headers = list(started.get("headers", []))
            chunked = not any(name.lower() == b"content-length" for name, _ in headers)
            head = http1.encode(http1.Response(started["status"], [*headers, (b"content-length", b"-1")]), head=True)
            extra = b"transfer-encoding: chunked\r\n" if chunked else b""
            connection.write(head.replace(b"content-length: -1\r\n", extra))
        if not streaming:
            chunks.append(data)
        elif data:
            connection.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
        if streaming and not more and chunked:
            connection.write(b"0\r\n\r\n")

    await ministack_app.app(scope, receive, send)
    if streaming:
        return None
    if not started:
        raise http1.Drop
    return http1.Response(started["status"], list(started.get("headers", [])), b"".join(chunks))


# ── /_local/ ─────────────────────────────────────────────────────────────────────────────────


async def _local(request: http1.Request, path: str, query: str) -> http1.Response:
    asked = {k: v[-1] for k, v in parse_qs(query, keep_blank_values=True).items()}
    route = ROUTES.get((request.method, path.removeprefix("/_local/").rstrip("/")))
    if route is None:
        return _json(404, {"error": f"no {request.method} {path}"})
    try:
        data = json.loads(request.body) if request.body else None
        if asyncio.iscoroutinefunction(route):
            answer = await route(request.method, path, asked, data)
        else:
            # On a thread: a route may run what calls back into this server.
            answer = await asyncio.to_thread(route, request.method, path, asked, data)
    except (ValueError, KeyError, TypeError) as error:
        return _json(400, {"error": f"{type(error).__name__}: {error}"})
    return _json(200, answer)


def _json(status: int, data: Any) -> http1.Response:
    return http1.Response(status, [(b"content-type", b"application/json")], json.dumps(data).encode())


def route(method: str, path: str) -> Callable[[Local], Local]:
    def add(function: Local) -> Local:
        ROUTES[method, path] = function
        return function

    return add


@route("GET", "health")
def _health(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    return {
        "status": "ok",
        "calls": CALLS.last,
        "invocations": functions.ENGINE.invocations,
        "processes": len(functions.ENGINE.processes),
        "threads": threading.active_count(),
    }


@route("GET", "calls")
def _calls(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    found = CALLS.since(int(query.get("since") or 0), query.get("function") or None, query.get("release") or None)
    return {"seq": CALLS.last, "calls": found}


@route("POST", "releases")
def _add_release(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    releases.add(str(body["token"]))
    return {}


@route("GET", "releases")
def _list_releases(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    return {"releases": releases.known()}


FORGET: list[Callable[[str], None]] = [releases.drop, CALLS.forget]
"""What is done with the token of a release that is to be forgotten; other modules add to it."""


@route("DELETE", "releases")
def _drop_release(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    for forget in FORGET:
        forget(query["token"])
    return {}


@route("GET", "invocations")
def _invocations(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    """What functions ran, each with its time by the clock and by the CPU."""
    since, name, release = int(query.get("since") or 0), query.get("function") or None, query.get("release") or None
    found = functions.ENGINE.invoked(since, name, release)
    return {"seq": functions.ENGINE.invocations, "invocations": found}


@route("POST", "faults")
def _add_fault(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    return {"id": FAULTS.add(dict(body or {}))}


@route("DELETE", "faults")
def _clear_faults(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    FAULTS.clear(int(query["id"]) if "id" in query else None)
    return {}


@route("GET", "faults")
def _list_faults(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    return {"faults": FAULTS.listed()}
