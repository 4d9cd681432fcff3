"""Checks a value against a shape of botocore's service models."""

from __future__ import annotations

import base64
import binascii
import datetime
import functools
from collections.abc import Callable
from typing import Any, Literal

import regex
from botocore.model import ListShape, MapShape, Shape, StructureShape

Wire = Literal["json", "cbor", "text"]
"""How values are written: `text` is what forms, XML, headers and paths have."""

Report = Callable[[str, str], None]
"""Takes where a violation is, and what it is."""


def check(shape: Shape, value: Any, wire: Wire, where: str, report: Report) -> None:
    """Reports what of the value the shape does not allow."""
    if isinstance(shape, StructureShape):
        _structure(shape, value, wire, where, report)
    elif isinstance(shape, ListShape):
        if not isinstance(value, list):
            report(where, f"wrong type: {_kind(value)} instead of a list")
            return
        _bounds(shape, len(value), "members", where, report)
        for item in value:
            check(shape.member, item, wire, f"{where}[]", report)
    elif isinstance(shape, MapShape):
        if not isinstance(value, dict):
            report(where, f"wrong type: {_kind(value)} instead of a map")
            return
        _bounds(shape, len(value), "entries", where, report)
        for key, item in value.items():
            check(shape.key, key, "text", f"{where}{{key}}", report)
            check(shape.value, item, wire, f"{where}{{}}", report)
    else:
        _scalar(shape, value, wire, where, report)


def _structure(shape: StructureShape, value: Any, wire: Wire, where: str, report: Report) -> None:
    if shape.metadata.get("document"):
        return
    if not isinstance(value, dict):
        report(where, f"wrong type: {_kind(value)} instead of a structure")
        return
    members = {wire_name(name, member): (name, member) for name, member in shape.members.items()}
    for key, item in value.items():
        if key in ("__type",) and where.count(".") == 0:
            continue
        if key not in members:
            report(f"{where}.{key}", "unknown member")
        elif item is not None:
            check(members[key][1], item, wire, f"{where}.{members[key][0]}", report)
    present = {members[key][0] for key, item in value.items() if key in members and item is not None}
    for name in shape.required_members:
        if name not in present:
            report(f"{where}.{name}", "required member is missing")
    if shape.is_tagged_union and len(present) != 1:
        report(where, f"{len(present)} members of a union; exactly one is wanted")


def wire_name(name: str, member: Shape) -> str:
    """The name that a member has on the wire."""
    return str(member.serialization.get("name", name))


def _scalar(shape: Shape, value: Any, wire: Wire, where: str, report: Report) -> None:
    kind = shape.type_name
    if kind == "string":
        if not isinstance(value, str):
            report(where, f"wrong type: {_kind(value)} instead of a string")
            return
        if shape.metadata.get("enum") and value not in shape.metadata["enum"]:
            report(where, f"{value!r} is none of the enum's values")
        _bounds(shape, len(value), "characters", where, report)
        _pattern(shape, value, where, report)
    elif kind == "blob":
        if wire == "cbor" or isinstance(value, bytes):
            size = len(value) if isinstance(value, bytes) else -1
        else:
            size = _decoded(value)
        if size < 0:
            report(where, f"wrong type: {_kind(value)} instead of a blob")
        else:
            _bounds(shape, size, "bytes", where, report)
    elif kind == "boolean":
        if value not in ("true", "false") if wire == "text" else not isinstance(value, bool):
            report(where, f"wrong type: {_kind(value)} instead of a boolean")
    elif kind in ("integer", "long"):
        number = _whole(value, wire)
        if number is None:
            report(where, f"wrong type: {_kind(value)} instead of a whole number")
        elif kind == "integer" and not -(2**31) <= number < 2**31:
            report(where, f"{number} does not fit into 32 bits")
        else:
            _bounds(shape, number, "", where, report)
    elif kind in ("float", "double"):
        number = _number(value, wire)
        if number is None:
            report(where, f"wrong type: {_kind(value)} instead of a number")
        else:
            _bounds(shape, number, "", where, report)
    elif kind == "timestamp":
        _timestamp(shape, value, wire, where, report)


def _timestamp(shape: Shape, value: Any, wire: Wire, where: str, report: Report) -> None:
    form = shape.serialization.get("timestampFormat")
    if isinstance(value, datetime.datetime):
        right = wire == "cbor"
    elif isinstance(value, bool):
        right = False
    elif isinstance(value, (int, float)):
        right = form in (None, "unixTimestamp") and wire != "text"
    elif form == "unixTimestamp":
        right = _number(value, "text") is not None
    else:
        right = isinstance(value, str) and (wire == "text" or form is not None) and bool(_TIME.fullmatch(value))
    if not right:
        report(where, f"wrong type: {_kind(value)} {value!r} is no timestamp as it is written here")


_TIME = regex.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)|[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT"
)


def _whole(value: Any, wire: Wire) -> int | None:
    if wire == "text":
        return int(value) if isinstance(value, str) and regex.fullmatch(r"[+-]?\d+", value) else None
    if isinstance(value, bool):
        return None
    return int(value) if isinstance(value, int) or (isinstance(value, float) and value.is_integer()) else None


def _number(value: Any, wire: Wire) -> float | None:
    if wire == "text" or value in ("NaN", "Infinity", "-Infinity"):
        try:
            return float(value)
        except (TypeError, ValueError):
            return None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _decoded(value: Any) -> int:
    try:
        return len(base64.b64decode(value, validate=True)) if isinstance(value, str) else -1
    except binascii.Error:
        return -1


def _bounds(shape: Shape, size: float, of: str, where: str, report: Report) -> None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        report(where, f"{size} {of} are fewer than {least}".replace("  ", " "))
    if most is not None and size > most:
        report(where, f"{size} {of} are more than {most}".replace("  ", " "))


def _pattern(shape: Shape, value: str, where: str, report: Report) -> None:
    text = shape.metadata.get("pattern")
    if not text:
        return
    pattern = _compiled(text)
    if pattern is not None and not pattern.fullmatch(value):
        report(where, f"{value!r} does not match {text}")


@functools.cache
def _compiled(text: str) -> regex.Pattern[str] | None:
    try:
        return regex.compile(text, regex.DOTALL if text.startswith("^.*") else 0)
    except regex.error:
        return None


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__


def without_values(what: str) -> str:
    """A violation without what it quotes and counts; the values of enums are few."""
    if "enum" in what:
        return what
    what = regex.sub(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", "…", what, count=1)
    return regex.sub(r"^-?\d+(\.\d+)?", "N", what)
