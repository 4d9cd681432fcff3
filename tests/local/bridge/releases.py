"""Which release a call belongs to, so that many can run at once and each meet faults of its own.

Tests name a release by a token that is in the names of all that it has: application, functions,
alarms, execution. A process serves one invocation at a time, so what a process calls belongs to
the release whose token is in the payload that it serves. A payload without a token, such as a
schedule's, tells nothing: there the request itself may name a release.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

_tokens: dict[str, bytes] = {}
_at_work: Counter[str] = Counter()
_lock = threading.Lock()


def named_in(*texts: bytes) -> str | None:
    """The token that is in one of the texts; the first text that has one tells."""
    if not _tokens:
        return None
    known = list(_tokens.items())
    for text in texts:
        for token, found in known:
            if found in text:
                return token
    return None


def add(token: str) -> None:
    if not token:
        raise ValueError("a token is not empty")
    with _lock:
        for other in _tokens:
            if other != token and (other in token or token in other):
                raise ValueError(f"{token} and {other} cannot be told apart")
        _tokens[token] = token.encode()


def drop(token: str) -> None:
    with _lock:
        _tokens.pop(token, None)


def begins(release: str | None) -> None:
    """An asynchronous invocation is at work, with the pauses between its attempts, until it `ends`."""
    with _lock:
        _at_work[release or ""] += 1


def ends(release: str | None) -> None:
    token = release or ""
    with _lock:
        _at_work[token] -= 1
        if not _at_work[token]:
            del _at_work[token]


def known() -> list[dict[str, Any]]:
    with _lock:
        return [{"token": token, "atWork": _at_work[token]} for token in ["", *_tokens]]
