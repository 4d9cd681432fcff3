"""What networks do to connections without traffic: they forget them, and tell neither end.

A NAT gateway does so after 350 seconds. Off at first. What keeps a connection is a keep-alive probe of the client's
kernel: whether it is going to send one in time is in /proc/net/tcp.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from . import control, http1, states

_KEEP_ALIVE = "02"
"""The kind of timer that /proc/net/tcp shows of a connection that is probed when idle."""


@dataclass
class Idle:
    seconds: float | None = None
    """After how long a connection is forgotten, in AWS's seconds: shorter by the scale of waits."""
    kept: int = 0
    lost: int = 0


IDLE = Idle()


def next_probe(client: tuple[str, int], server: tuple[str, int]) -> float | None:
    """In how many seconds the client's kernel probes this connection; None when it does not.

    Both ends name it: a port of the client's may belong to connections to other servers as well.
    """
    ends = [_as_in_table(client), _as_in_table(server)]
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table:
            fields = line.split()
            if fields[1:3] == ends:
                kind, _, ticks = fields[5].partition(":")
                return int(ticks, 16) / os.sysconf("SC_CLK_TCK") if kind == _KEEP_ALIVE else None
    return None


def _as_in_table(address: tuple[str, int]) -> str:
    return f"{struct.unpack('<I', socket.inet_aton(address[0]))[0]:08X}:{address[1]:04X}"


@contextmanager
def watched(connection: http1.Connection) -> Iterator[None]:
    """While an answer is made on it, a connection may be forgotten."""
    if IDLE.seconds is None:
        yield
        return
    watch = asyncio.ensure_future(_watch(connection, IDLE.seconds))
    try:
        yield
    finally:
        watch.cancel()


async def _watch(connection: http1.Connection, limit: float) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(limit * states.wait_scale())
        # The kernel's clock is not scaled: a probe that is due within the limit on AWS would have been sent.
        due = await asyncio.to_thread(next_probe, connection.peer, connection.own)
        if due is None or due + time.monotonic() - began > limit:
            IDLE.lost += 1
            connection.lost = True
            return
        IDLE.kept += 1
        began = time.monotonic()


@control.route("POST", "connections")
def _set(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    if unknown := set(body) - {"idleSeconds"}:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    seconds = body["idleSeconds"]
    IDLE.seconds = None if seconds is None else float(seconds)
    IDLE.kept = IDLE.lost = 0
    return {}


@control.route("GET", "connections")
def _show(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    return {"idleSeconds": IDLE.seconds, "kept": IDLE.kept, "lost": IDLE.lost}


control.WATCHED = watched
