"""AWS's query protocol by a service's own model: a form's fields as values, and values as XML.

ministack reads and writes the fields that it knows of, one by one, and forgets the rest; by the
model nothing is forgotten.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

import botocore.session
from botocore.model import Shape

Field = Callable[[str], str]
"""A form's field by its name; empty when it is not there."""


@functools.cache
def shape(service: str, name: str) -> Shape:
    return botocore.session.get_session().get_service_model(service).shape_for(name)


def asked(service: str, action: str, field: Field) -> Any:
    """What a call asks for."""
    return read(shape(service, action + "Input"), field, "") or {}


def read(of: Shape, field: Field, prefix: str) -> Any:
    """What a form says at `prefix`, or None when it says nothing there. A number that is none is a ValueError."""
    if of.type_name == "structure":
        dot = "." if prefix else ""
        members = ((name, read(member, field, f"{prefix}{dot}{name}")) for name, member in of.members.items())
        return {name: value for name, value in members if value is not None} or None
    if of.type_name == "list":
        items: list[Any] = []
        while (item := read(of.member, field, f"{prefix}.member.{len(items) + 1}")) is not None:
            items.append(item)
        return items or None
    if of.type_name == "map":
        entries: dict[str, Any] = {}
        while key := field(f"{prefix}.entry.{len(entries) + 1}.key"):
            entries[key] = read(of.value, field, f"{prefix}.entry.{len(entries) + 1}.value")
        return entries or None
    text = field(prefix)
    if not text:
        return None
    if of.type_name in ("integer", "long"):
        return int(text)
    return text.lower() == "true" if of.type_name == "boolean" else text


def write(of: Shape, value: Any) -> str:
    """The XML of a value, in the order of the model; what the model does not know is left out."""
    if of.type_name == "structure":
        members = ((name, member) for name, member in of.members.items() if value.get(name) is not None)
        return "".join(f"<{name}>{write(member, value[name])}</{name}>" for name, member in members)
    if of.type_name == "list":
        return "".join(f"<member>{write(of.member, item)}</member>" for item in value)
    if of.type_name == "map":
        return "".join(
            f"<entry><key>{escape(key)}</key><value>{write(of.value, item)}</value></entry>"
            for key, item in value.items()
        )
    return str(value).lower() if isinstance(value, bool) else escape(str(value))
