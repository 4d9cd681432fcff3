"""Reads requests and answers as they were sent, by the service's model: all of botocore's protocols."""

from __future__ import annotations

import functools
import gzip
import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import botocore.session
import cbor2
import shapes
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from shapes import wire_name

SERVICES = {
    "lambda": "lambda",
    "dynamodb": "dynamodb",
    "states": "stepfunctions",
    "events": "events",
    "monitoring": "cloudwatch",
    "logs": "logs",
    "sns": "sns",
    "sqs": "sqs",
    "sts": "sts",
    "cloudformation": "cloudformation",
    "route53": "route53",
    "elasticloadbalancing": "elbv2",
    "apigateway": "apigateway",
    "iam": "iam",
    "ecr": "ecr",
    "kms": "kms",
    "scheduler": "scheduler",
    "application-autoscaling": "application-autoscaling",
}
"""The name that a request is signed for, and botocore's."""

COMMON_ERRORS = {
    "AccessDenied": 403,
    "AccessDeniedException": (400, 403),
    "AuthorizationError": 403,
    "ExpiredToken": 400,
    "InternalFailure": 500,
    "InternalServerError": 500,
    "InternalError": 500,
    "InternalServiceFault": 500,
    "InternalException": 500,
    "InvalidAction": 400,
    "InvalidParameterValue": 400,
    "MissingAuthenticationToken": 403,
    "RequestThrottled": 403,
    "SerializationException": 400,
    "ServiceUnavailable": 503,
    "Throttling": 400,
    "Throttled": 429,
    "ThrottlingException": 400,
    "UnrecognizedClientException": 400,
    "ValidationError": 400,
    "ValidationException": 400,
}
"""Errors that services have in common, which most operations do not list."""


class Unreadable(Exception):
    """Why a request or an answer is none of the service's."""


@dataclass
class Call:
    """A request that has been read: the service, its operation, and the parts of the input by how they are written."""

    service: str
    operation: OperationModel
    parts: list[tuple[shapes.Wire, dict[str, Any]]]
    """Members by their names on the wire."""
    unknown: list[str]
    """Query parameters that the operation does not have."""

    def values(self) -> dict[str, Any]:
        """All members of the input, by their names in the model."""
        named = {wire_name(name, member): name for name, member in members(self.operation.input_shape).items()}
        return {named.get(key, key): value for _wire, part in self.parts for key, value in part.items()}


def members(shape: Shape | None) -> dict[str, Shape]:
    return dict(shape.members) if isinstance(shape, StructureShape) else {}


@functools.cache
def model(service: str) -> ServiceModel:
    return _session().get_service_model(service)


@functools.cache
def _session() -> Any:
    return botocore.session.get_session()


class Recorded(NamedTuple):
    """A call as `tests/local/bridge/recorder.py` records it."""

    caller: str | None
    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    answer: tuple[int, list[tuple[bytes, bytes]], bytes] | None


def service_of(recorded: Recorded) -> str | None:
    """botocore's name of the service that the request is signed for; None for S3, whose paths have no model here."""
    signed = _header(recorded.headers, "authorization").split("/")
    name = SERVICES.get(signed[3]) if len(signed) > 4 else None
    return "apigatewayv2" if name == "apigateway" and recorded.target.startswith("/v2/") else name


def request(service: str, recorded: Recorded) -> Call:
    """Reads a request."""
    headers = {name.decode("latin-1").lower(): value.decode("utf-8", "replace") for name, value in recorded.headers}
    body = gzip.decompress(recorded.body) if headers.get("content-encoding") == "gzip" else recorded.body
    the = model(service)
    url = urlsplit(recorded.target)
    if (target := headers.get("x-amz-target")) is not None:
        prefix, _, action = target.rpartition(".")
        if prefix != the.metadata.get("targetPrefix"):
            raise Unreadable(f"the target prefix is {prefix}, not {the.metadata.get('targetPrefix')}")
        wanted = f"application/x-amz-json-{the.metadata.get('jsonVersion')}"
        if headers.get("content-type") != wanted:
            raise Unreadable(f"the content type is {headers.get('content-type')}, not {wanted}")
        return Call(service, _operation(the, action), [("json", _json(body))], [])
    if "/operation/" in url.path:
        if headers.get("smithy-protocol") != "rpc-v2-cbor" or headers.get("content-type") != "application/cbor":
            raise Unreadable("it is CBOR by its path only")
        return Call(service, _operation(the, url.path.rsplit("/", 1)[-1]), [("cbor", cbor2.loads(body))], [])
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        form = {key: values[-1] for key, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        operation = _operation(the, form.pop("Action", ""))
        if (version := form.pop("Version", None)) != the.api_version:
            raise Unreadable(f"the API's version is {version}, not {the.api_version}")
        return Call(service, operation, [("text", _of_form(operation.input_shape, _tree(form)))], [])
    return _rest(service, recorded.method, url.path, parse_qs(url.query, keep_blank_values=True), headers, body)


def _operation(the: ServiceModel, name: str) -> OperationModel:
    if name not in the.operation_names:
        raise Unreadable(f"no operation {name!r}")
    return the.operation_model(name)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body) if body else {}
    except ValueError as error:
        raise Unreadable(f"the body is no JSON: {error}") from None


# ── Forms ────────────────────────────────────────────────────────────────────────────────────


def _tree(form: dict[str, str]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for key, value in form.items():
        *above, last = key.split(".")
        node = root
        for part in above:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise Unreadable(f"{key} is a value and has members")
        node[last] = value
    return root


def _of_form(shape: Shape | None, node: Any) -> Any:
    """The value that a part of a form's tree writes, as far as it has the shape."""
    if isinstance(shape, StructureShape) and isinstance(node, dict):
        found: dict[str, Any] = {}
        taken = set()
        for name, member in shape.members.items():
            key = wire_name(name, member)
            flattened = member.serialization.get("flattened")
            if flattened and isinstance(member, ListShape):
                key = member.member.serialization.get("name", key)
            if key in node:
                taken.add(key)
                found[wire_name(name, member)] = _of_form(member, node[key])
        return {**found, **{key: value for key, value in node.items() if key not in taken}}
    if isinstance(shape, ListShape):
        inner = (
            node
            if shape.serialization.get("flattened")
            else _only(shape.member.serialization.get("name", "member"), node)
        )
        if inner in ("", {}, None):
            return []
        if isinstance(inner, dict) and all(key.isdigit() for key in inner):
            if sorted(map(int, inner)) != list(range(1, len(inner) + 1)):
                raise Unreadable(f"a list has the indices {', '.join(inner)}")
            return [_of_form(shape.member, inner[key]) for key in sorted(inner, key=int)]
        return node
    if isinstance(shape, MapShape):
        inner = node if shape.serialization.get("flattened") else _only("entry", node)
        if isinstance(inner, dict) and all(isinstance(pair, dict) for pair in inner.values()):
            key, value = shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")
            return {pair.get(key): _of_form(shape.value, pair.get(value)) for pair in inner.values()}
        return node
    return node


def _only(name: str, node: Any) -> Any:
    return node[name] if isinstance(node, dict) and set(node) == {name} else node


# ── Paths ────────────────────────────────────────────────────────────────────────────────────


@functools.cache
def _routes(service: str) -> list[tuple[str, re.Pattern[str], dict[str, str], str]]:
    """Method, path, parameters that are always there, and operation; the most particular first."""
    found = []
    the = model(service)
    for name in the.operation_names:
        http = the.operation_model(name).http
        uri, _, always = http["requestUri"].partition("?")
        pattern = re.sub(r"\\\{([^}]+?)\\\+\\\}", r"(?P<\1>.+)", re.escape(uri))
        pattern = re.sub(r"\\\{([^}]+?)\\\}", r"(?P<\1>[^/]+)", pattern)
        pattern = re.sub(r"\(\?P<([^>]+)>", lambda match: f"(?P<{re.sub(r'[^a-zA-Z0-9]', '_', match[1])}>", pattern)
        required = dict(part.partition("=")[::2] for part in always.split("&") if part)
        found.append((http["method"], re.compile(pattern.rstrip("/") + "/?"), required, name))
    return sorted(found, key=lambda route: (-len(route[2]), route[1].pattern.count("(?P"), -len(route[1].pattern)))


def _rest(
    service: str, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
) -> Call:
    for wanted, pattern, always, name in _routes(service):
        match = pattern.fullmatch(path) if wanted == method else None
        if match and all(key in query for key in always):
            break
    else:
        raise Unreadable(f"no operation is {method} {path}")
    operation = model(service).operation_model(name)
    labels = {key: unquote(value) for key, value in match.groupdict().items()}
    text: dict[str, Any] = {}
    rest = {key: values for key, values in query.items() if key not in always}
    rest.pop("x-id", None)
    of_input = members(operation.input_shape)
    for name, member in of_input.items():
        place, key = member.serialization.get("location"), wire_name(name, member)
        if place == "uri":
            found = labels.get(re.sub(r"[^a-zA-Z0-9]", "_", key))
            if found is not None:
                text[key] = found
        elif place == "querystring" and key in rest:
            values = rest.pop(key)
            text[key] = values if isinstance(member, ListShape) else values[-1]
        elif place == "header" and key.lower() in headers:
            text[key] = headers[key.lower()]
    for name, member in of_input.items():
        if member.serialization.get("location") == "querystring" and isinstance(member, MapShape) and rest:
            text[wire_name(name, member)] = {key: values[-1] for key, values in rest.items()}
            rest = {}
    parts: list[tuple[shapes.Wire, dict[str, Any]]] = [("text", text)]
    payload = operation.input_shape.serialization.get("payload") if operation.input_shape else None
    xml = model(service).metadata["protocol"] == "rest-xml"
    if payload is not None:
        member = of_input[payload]
        key = wire_name(payload, member)
        if body and isinstance(member, StructureShape):
            parts.append(("text", {key: _of_xml(member, _xml(body))}) if xml else ("json", {key: _json(body)}))
        elif body:
            parts.append(("json", {key: body}))
    elif body:
        parts.append(("text", _of_xml(operation.input_shape, _xml(body))) if xml else ("json", _json(body)))
    return Call(service, operation, parts, sorted(rest))


# ── XML ──────────────────────────────────────────────────────────────────────────────────────


def _xml(body: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise Unreadable(f"the body is no XML: {error}") from None


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _of_xml(shape: Shape | None, element: ElementTree.Element) -> Any:
    """The value that an element writes."""
    if isinstance(shape, StructureShape):
        found: dict[str, Any] = {}
        known = set()
        for name, member in shape.members.items():
            if member.serialization.get("location"):
                continue
            key = wire_name(name, member)
            tag = key
            if member.serialization.get("xmlAttribute"):
                attribute = key.rpartition(":")[2]
                value = next((v for k, v in element.attrib.items() if k.rpartition("}")[2] == attribute), None)
                if value is not None:
                    found[key] = value
                continue
            flattened = isinstance(member, ListShape) and member.serialization.get("flattened")
            if flattened:
                tag = member.member.serialization.get("name", key)
            known.add(tag)
            children = [child for child in element if _tag(child) == tag]
            if flattened and children:
                found[key] = [_of_xml(member.member, child) for child in children]
            elif isinstance(member, MapShape) and member.serialization.get("flattened") and children:
                found[key] = _pairs(member, children)
            elif children:
                found[key] = _of_xml(member, children[0])
        return {**found, **{_tag(child): child.text for child in element if _tag(child) not in known}}
    if isinstance(shape, ListShape):
        wanted = shape.member.serialization.get("name", "member")
        if any(_tag(child) != wanted for child in element):
            raise Unreadable(f"{_tag(element)} is a list of {wanted} and has {', '.join(map(_tag, element))}")
        return [_of_xml(shape.member, child) for child in element]
    if isinstance(shape, MapShape):
        return _pairs(shape, list(element))
    return element.text or ""


def _pairs(shape: MapShape, entries: list[ElementTree.Element]) -> dict[str, Any]:
    key, value = shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")
    found = {}
    for entry in entries:
        parts = {_tag(child): child for child in entry}
        if key not in parts or value not in parts:
            raise Unreadable(f"an entry of a map has {', '.join(parts)}")
        found[parts[key].text or ""] = _of_xml(shape.value, parts[value])
    return found


# ── Answers ──────────────────────────────────────────────────────────────────────────────────


def _header(headers: list[tuple[bytes, bytes]], name: str) -> str:
    return next((v.decode("utf-8", "replace") for k, v in headers if k.lower() == name.encode()), "")


def answer(call: Call, recorded: Recorded) -> tuple[Shape | None, list[tuple[shapes.Wire, Any]]]:
    """The shape that an answer must have, and its parts."""
    assert recorded.answer is not None
    status, headers, body = recorded.answer
    operation = call.operation
    kind = _kind(recorded)
    if status >= 400:
        code, said = _error(kind, headers, body)
        return _error_shape(operation, status, code), [] if said is None else [("json", said)]
    wanted = operation.http.get("responseCode")
    if (
        wanted
        and kind == "rest"
        and status != wanted
        and not (operation.name == "Invoke" and status in (200, 202, 204))
    ):
        raise Unreadable(f"the status is {status}, not {wanted}")
    shape = operation.output_shape
    if kind == "cbor":
        return shape, [("cbor", cbor2.loads(body) if body else {})]
    if kind == "json":
        return shape, [("json", _json(body))]
    if kind == "query":
        root = _xml(body)
        if _tag(root) != f"{operation.name}Response":
            raise Unreadable(f"the answer is a {_tag(root)}")
        wrapper = shape.serialization.get("resultWrapper") if shape is not None else None
        inner = root if wrapper is None else next((child for child in root if _tag(child) == wrapper), None)
        if shape is not None and inner is None:
            raise Unreadable(f"there is no {wrapper}")
        return shape, [("text", _of_xml(shape, inner))] if shape is not None and inner is not None else []
    return shape, _rest_answer(call.service, shape, headers, body)


def _kind(recorded: Recorded) -> str:
    if _header(recorded.headers, "x-amz-target"):
        return "json"
    if "/operation/" in recorded.target:
        return "cbor"
    form = _header(recorded.headers, "content-type").startswith("application/x-www-form-urlencoded")
    return "query" if form else "rest"


def _rest_answer(
    service: str, shape: Shape | None, headers: list[tuple[bytes, bytes]], body: bytes
) -> list[tuple[shapes.Wire, Any]]:
    of_output = members(shape)
    text = {}
    for name, member in of_output.items():
        if member.serialization.get("location") == "header" and (
            found := _header(headers, wire_name(name, member).lower())
        ):
            text[wire_name(name, member)] = found
        elif member.serialization.get("location") == "statusCode":
            text[wire_name(name, member)] = "200"
    parts: list[tuple[shapes.Wire, Any]] = [("text", text)]
    payload = shape.serialization.get("payload") if shape is not None else None
    xml = model(service).metadata["protocol"] == "rest-xml"
    if payload is not None:
        member = of_output[payload]
        if isinstance(member, StructureShape) and body:
            read = _of_xml(member, _xml(body)) if xml else _json(body)
            parts.append(("text" if xml else "json", {wire_name(payload, member): read}))
        elif body:
            parts.append(("json", {wire_name(payload, member): body}))
    elif shape is not None and body:
        parts.append(("text", _of_xml(shape, _xml(body))) if xml else ("json", _json(body)))
    return parts


def _error(kind: str, headers: list[tuple[bytes, bytes]], body: bytes) -> tuple[str, Any]:
    """The code of an error, and its members where they can be checked."""
    if compatible := _header(headers, "x-amzn-query-error"):
        return compatible.partition(";")[0], None
    if kind in ("json", "cbor"):
        said = cbor2.loads(body) if kind == "cbor" else _json(body)
        code = str(said.get("__type") or _header(headers, "x-amzn-errortype"))
        return code.rpartition("#")[2].partition(":")[0], said
    if named := _header(headers, "x-amzn-errortype"):
        return named.partition(":")[0].rpartition("#")[2], _json(body)
    code = next((e.text or "" for e in _xml(body).iter() if _tag(e) == "Code"), "") if body[:1] == b"<" else ""
    return code, None


def _error_shape(operation: OperationModel, status: int, code: str) -> Shape | None:
    for shape in operation.error_shapes:
        error = shape.metadata.get("error", {})
        if code in (shape.name, error.get("code")):
            wanted = error.get("httpStatusCode")
            if wanted and status != wanted:
                raise Unreadable(f"{code} has the status {status}, not {wanted}")
            return shape
    wanted = COMMON_ERRORS.get(code)
    if wanted is None:
        raise Unreadable(f"{code!r} ({status}) is no error of the operation")
    if status not in (wanted if isinstance(wanted, tuple) else (wanted,)):
        raise Unreadable(f"{code} has the status {status}, not {wanted}")
    return None
