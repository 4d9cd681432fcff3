"""Checks every recorded call against botocore's service models, and by rules that models do not carry.

    python tests/models [target/models/*.calls]

The records are written by the local AWS, see `tests/local/bridge/recorder.py`. Violations that
`accepted.json` lists are the model's own faults; all others, and listed ones that do not occur, end
it with exit code 1.
"""

from __future__ import annotations

import json
import multiprocessing
import pickle
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import calls
import rules
import shapes
from calls import Recorded

HERE = Path(__file__).resolve().parent


@dataclass
class Found:
    """What was checked, and what is wrong: by operation, place and what, with one example each."""

    requests: Counter[str] = field(default_factory=Counter)
    """By the caller: `product` for functions, `others` for the command line, tests and tools."""
    answers: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, what: str, example: str, count: int = 1) -> None:
        before, first = self.wrong.get(what, (0, example))
        self.wrong[what] = (before + count, first)

    def join(self, other: Found) -> None:
        self.requests += other.requests
        self.answers += other.answers
        self.operations += other.operations
        self.left_out += other.left_out
        for what, (count, example) in other.wrong.items():
            self.add(what, example, count)


def check(recorded: Recorded, found: Found) -> None:
    """Checks one call and its answer."""
    service = calls.service_of(recorded)
    if service is None:
        found.left_out["requests to S3, which only tests and tools make"] += 1
        return
    found.requests["product" if recorded.caller else "others"] += 1
    example = f"{recorded.caller or 'a tool'}: {recorded.method} {recorded.target[:200]} {recorded.body[:2000]!r}"
    try:
        call = calls.request(service, recorded)
    except calls.Unreadable as why:
        found.add(f"{service} request: {why}", example)
        return
    name = f"{service}.{call.operation.name}"
    found.operations[name] += 1

    def of_request(where: str, what: str) -> None:
        found.add(f"{name} request {where}: {_plain(what)}", f"{what}; {example}")

    for parameter in call.unknown:
        of_request(parameter, "unknown query parameter")
    _parts(call.operation.input_shape, call.parts, of_request)
    try:
        for what in rules.broken(service, call.operation.name, call.values()):
            of_request("", what)
    except (AttributeError, TypeError, ValueError) as why:
        of_request("", f"its rules could not be checked: {why}")
    if recorded.answer is None:
        return
    found.answers += 1
    status, _headers, body = recorded.answer
    example = f"{status} {body[:2000]!r} to {example}"

    def of_answer(where: str, what: str) -> None:
        found.add(f"{name} answer {where}: {_plain(what)}", f"{what}; {example}")

    try:
        shape, parts = calls.answer(call, recorded)
    except calls.Unreadable as why:
        of_answer("", str(why))
        return
    if shape is not None and (parts or status < 400):
        _parts(shape, parts, of_answer)


def _parts(shape: Any, parts: list[tuple[shapes.Wire, Any]], report: shapes.Report) -> None:
    """The members of one structure, of which each part is written in its own way."""
    members = calls.members(shape)
    whole = {}
    for _wire, part in parts:
        if not isinstance(part, dict):
            report("", f"wrong type: {type(part).__name__} instead of a structure")
            continue
        whole.update(part)
    named = {shapes.wire_name(name, member): member for name, member in members.items()}
    for wire, part in parts:
        for key, value in part.items() if isinstance(part, dict) else ():
            if key in named and value is not None:
                shapes.check(named[key], value, wire, key, report)
    for key in whole:
        if key not in named and key not in ("__type", "message", "Message"):
            report(key, "unknown member")
    for name in shape.required_members if shape is not None else ():
        if whole.get(shapes.wire_name(name, members[name])) is None:
            report(name, "required member is missing")


def _plain(what: str) -> str:
    """Without the values, so that the same violation is counted as one."""
    return shapes.without_values(what)


def read(paths: list[Path], share: int, of: int) -> Iterator[Recorded]:
    """Every `of`th record."""
    for path in paths:
        with open(path, "rb") as file:
            nth = 0
            while True:
                try:
                    entry = pickle.load(file)
                except EOFError:
                    break
                except pickle.UnpicklingError:
                    # The process was ended in the middle of its last record.
                    break
                if nth % of == share:
                    yield Recorded(*entry)
                nth += 1


def _share(arguments: tuple[list[Path], int, int]) -> Found:
    found = Found()
    for recorded in read(*arguments):
        check(recorded, found)
    return found


def verdict(found: Found, accepted: dict[str, str]) -> tuple[list[str], list[str]]:
    """What is wrong and not accepted, and what is accepted and not found; in what is accepted, `*` is any text."""
    patterns = {text: re.compile(".*".join(map(re.escape, text.split("*")))) for text in accepted}
    wrong = [what for what in found.wrong if not any(pattern.fullmatch(what) for pattern in patterns.values())]
    stale = [text for text, pattern in patterns.items() if not any(map(pattern.fullmatch, found.wrong))]
    return sorted(wrong), sorted(stale)


def main(paths: list[Path]) -> int:
    paths = [path for path in paths if path.exists()]
    if not paths:
        print("models: no calls are recorded: run tests/all.sh e2e first")
        return 1
    processes = multiprocessing.cpu_count()
    found = Found()
    with multiprocessing.Pool(processes) as pool:
        for part in pool.imap_unordered(_share, [(paths, share, processes) for share in range(processes)]):
            found.join(part)
    accepted: dict[str, str] = json.loads((HERE / "accepted.json").read_text())
    wrong, stale = verdict(found, accepted)
    for what in wrong:
        count, example = found.wrong[what]
        print(f"models: {what} ({count} times)\n    {example[:3000]}")
    for what in stale:
        print(f"models: accepted, but does not occur: {what}")
    for what, count in found.left_out.items():
        print(f"models: not checked: {count} {what}")
    violations = sum(found.wrong[what][0] for what in wrong)
    listed = sum(count for count, _example in found.wrong.values()) - violations
    print(
        f"models: {len(found.operations)} operations; {found.requests['product']} requests by the functions, "
        f"{found.requests['others']} by the command line, tests and tools; {listed} times what a model itself has wrong "
        f"({len(accepted)} listed)"
    )
    print(f"models: {found.requests.total()} requests, {found.answers} answers, {violations} violations")
    return 1 if wrong or stale else 0
