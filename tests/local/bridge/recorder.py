"""Records every call and its answer as they are sent, for `tests/models` to check; off by default.

`CROSSFADE_LOCAL_CALLS` names the folder. A record is a pickled tuple, see `Recorder.add`.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import time
from pathlib import Path

from . import function_urls, functions, http1

FOLDER = "CROSSFADE_LOCAL_CALLS"

LONGEST = 64 * 1024
"""Code and objects longer than this are left out: models say nothing about their bytes."""

_CODE = re.compile(rb'("ZipFile"\s*:\s*")[^"]*')


class Recorder:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = open(folder / f"{os.getpid()}-{time.time_ns()}.calls", "wb", buffering=1 << 20)
        self._written = time.monotonic()

    def add(self, request: http1.Request, answer: http1.Response | None) -> None:
        """(caller, method, target, headers, body, None or (status, headers, body)).

        `caller` is the function that calls, None for the command line, tests and tools."""
        signed = request.header(b"authorization")
        if not signed:
            return
        key = signed.partition(b"Credential=")[2].partition(b"/")[0].decode("latin-1")
        service = signed.split(b"/", 4)[3] if signed.count(b"/") >= 4 else b""
        told = None if answer is None else (answer.status, answer.headers, _shortened(answer.body, service))
        body = _shortened(request.body, service)
        entry = (functions.caller_of_key.get(key), request.method, request.target, request.headers, body, told)
        pickle.dump(entry, self._file, pickle.HIGHEST_PROTOCOL)
        if time.monotonic() - self._written > 1:
            self.flush()

    def flush(self) -> None:
        # The signal that ends the process may come in the middle of a write.
        with contextlib.suppress(RuntimeError):
            self._file.flush()
        self._written = time.monotonic()


def _shortened(body: bytes, service: bytes) -> bytes:
    if len(body) <= LONGEST:
        return body
    return b"" if service == b"s3" else _CODE.sub(rb"\1UEsDBA==", body)


def recording(handler: http1.Handler, recorder: Recorder) -> http1.Handler:
    """The same handler, with what it is asked and answers recorded."""

    async def handle(request: http1.Request, connection: http1.Connection) -> http1.Response | None:
        answer = None
        try:
            answer = await handler(request, connection)
            return answer
        finally:
            host = request.header(b"host").decode("latin-1")
            if not request.target.startswith("/_") and not function_urls.is_one(host):
                recorder.add(request, answer)

    return handle
