"""A small HTTP/1.1 server on asyncio, for the gateway and for the Lambda Runtime API.

Why not ministack's own (hypercorn): a fault such as "the answer is lost" must cut the TCP
connection, and an ASGI application cannot reach it. It is also several times faster, which is
what makes a few hundred invocations a second possible on two cores.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

MAX_HEAD = 256 * 1024
_PHRASES = {status.value: status.phrase for status in HTTPStatus}

Header = tuple[bytes, bytes]


@dataclass(slots=True)
class Request:
    """One request, body included. Header names are lower case."""

    method: str
    target: str
    headers: list[Header]
    body: bytes

    def header(self, name: bytes, default: bytes = b"") -> bytes:
        for key, value in self.headers:
            if key == name:
                return value
        return default


class Drop(Exception):
    """Raised by a handler to cut the connection without an answer."""


@dataclass(slots=True)
class Response:
    status: int
    headers: list[Header]
    body: bytes = b""


Handler = Callable[[Request, "Connection"], Awaitable[Response | None]]
"""Answers a request; `None` when the handler has written its answer itself."""


class Connection(asyncio.Protocol):
    """One client connection: requests are answered one at a time, in order."""

    __slots__ = ("_buffer", "_busy", "_closing", "_handler", "_on_close", "_task", "lost", "own", "peer", "transport")

    def __init__(self, handler: Handler, on_close: Callable[[Connection], None] | None = None) -> None:
        self._handler = handler
        self._on_close = on_close
        self._buffer = bytearray()
        self._busy = False
        self._closing = False
        self.lost = False
        """Whether nothing gets through any more, in either direction."""
        self._task: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport | None = None
        self.peer: tuple[str, int] = ("127.0.0.1", 0)
        self.own: tuple[str, int] = ("127.0.0.1", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.peer = transport.get_extra_info("peername") or self.peer
        self.own = transport.get_extra_info("sockname") or self.own
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        if self._on_close is not None:
            self._on_close(self)

    def data_received(self, data: bytes) -> None:
        if self.lost:
            return
        self._buffer += data
        self._next()

    def eof_received(self) -> bool:
        self._closing = True
        # Keep the write side open while an answer is being made.
        return self._busy

    def cut(self) -> None:
        """Close now, unsent data included: what a client sees when a network path breaks."""
        self._closing = True
        if self.transport is not None:
            self.transport.abort()

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing() and not self.lost:
            self.transport.write(data)

    def _next(self) -> None:
        if self._busy:
            return
        try:
            request = self._parse()
        except ValueError:
            self.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            if self.transport is not None:
                self.transport.close()
            return
        if request is not None:
            self._busy = True
            self._task = asyncio.ensure_future(self._answer(request))

    async def _answer(self, request: Request) -> None:
        try:
            response = await self._handler(request, self)
        except Drop:
            self.cut()
            return
        except Exception as error:  # noqa: BLE001 - a handler's fault must not hang its client
            text = str(error).encode("utf-8", "replace")
            response = Response(500, [(b"content-type", b"text/plain")], text)
        if response is not None:
            self.write(encode(response, head=request.method == "HEAD"))
        self._busy = False
        if self.lost and not self._closing:
            # Not even closed: the client has to find out.
            return
        if self._closing or request.header(b"connection").lower() == b"close":
            if self.transport is not None:
                self.transport.close()
        else:
            self._next()

    def _parse(self) -> Request | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise ValueError("head too long")
            return None
        lines = bytes(self._buffer[:end]).split(b"\r\n")
        method, target, _version = lines[0].split(b" ", 2)
        headers: list[Header] = []
        length = 0
        chunked = False
        expects = False
        for line in lines[1:]:
            name, separator, value = line.partition(b":")
            if not separator:
                raise ValueError("bad header")
            name, value = name.strip().lower(), value.strip()
            headers.append((name, value))
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                chunked = b"chunked" in value.lower()
            elif name == b"expect":
                expects = value.lower() == b"100-continue"
        start = end + 4
        if chunked:
            body, stop = self._chunks(start)
        else:
            stop = start + length
            body = bytes(self._buffer[start:stop]) if len(self._buffer) >= stop else None
        if body is None:
            # Said once per arrival of data before the body is complete: harmless to repeat, but
            # clients send the body in one go after the first.
            if expects and len(self._buffer) == start:
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return None
        del self._buffer[:stop]
        return Request(method.decode("latin-1"), target.decode("latin-1"), headers, body)

    def _chunks(self, position: int) -> tuple[bytes | None, int]:
        parts: list[bytes] = []
        while True:
            line_end = self._buffer.find(b"\r\n", position)
            if line_end < 0:
                return None, 0
            size = int(bytes(self._buffer[position:line_end]).split(b";", 1)[0], 16)
            position = line_end + 2
            if size == 0:
                # Trailers, if any, end with an empty line.
                while True:
                    line_end = self._buffer.find(b"\r\n", position)
                    if line_end < 0:
                        return None, 0
                    if line_end == position:
                        return b"".join(parts), line_end + 2
                    position = line_end + 2
            if len(self._buffer) < position + size + 2:
                return None, 0
            parts.append(bytes(self._buffer[position : position + size]))
            position += size + 2


def encode(response: Response, *, head: bool = False) -> bytes:
    """The bytes of a whole response; a HEAD answer keeps its content-length and has no body."""
    out = [f"HTTP/1.1 {response.status} {_PHRASES.get(response.status, 'Status')}\r\n".encode()]
    measured = False
    for name, value in response.headers:
        lower = name.lower()
        measured = measured or lower == b"content-length"
        if lower != b"transfer-encoding":
            out.append(name + b": " + value + b"\r\n")
    if not measured and response.status not in (204, 304):
        out.append(f"content-length: {len(response.body)}\r\n".encode())
    out.append(b"\r\n")
    if not head and response.status not in (204, 304):
        out.append(response.body)
    return b"".join(out)


async def serve(handler: Handler, port: int, *, on_close: Callable[[Connection], None] | None = None) -> asyncio.Server:
    """Listen on loopback, and nowhere else."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Connection(handler, on_close), "127.0.0.1", port, backlog=512)
