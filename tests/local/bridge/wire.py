"""Reading a request as an AWS call, and refusing it as that service would."""

from __future__ import annotations

import functools
import gzip
import json
import re
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import botocore
import cbor2
from ministack.services import route53

from . import http1, query_protocol

_CANONICAL = {
    "monitoring": "cloudwatch",
    "stepfunctions": "states",
    "sfn": "states",
    "eventbridge": "events",
    "elasticloadbalancing": "elbv2",
    "elasticloadbalancingv2": "elbv2",
    "alb": "elbv2",
    "cloudwatchlogs": "logs",
}
_MODELS = {
    "lambda": "lambda",
    "apigateway": "apigateway",
    "apigatewayv2": "apigatewayv2",
    "route53": "route53",
    "s3": "s3",
    "scheduler": "scheduler",
}
_RESOURCE_FIELDS = (
    "FunctionName",
    "TableName",
    "TopicArn",
    "TargetArn",
    "QueueUrl",
    "executionArn",
    "stateMachineArn",
    "AlarmName",
    "RuleName",
    "Rule",
    "Name",
    "StackName",
    "logGroupName",
    "LoadBalancerArn",
    "ListenerArn",
    "RuleArn",
    "TargetGroupArn",
    "resourceArn",
)


def canonical(service: str) -> str:
    return _CANONICAL.get(service, service)


def new_request_id() -> str:
    return str(uuid.uuid4())


def identify(
    method: str, path: str, headers: dict[str, str], query: dict[str, list[str]], body: bytes, detected: str
) -> tuple[str, str, str | None]:
    """Service, action and, as far as can be told, what it is about."""
    service = canonical(detected)
    target = headers.get("x-amz-target", "")
    if "/operation/" in path:
        action = path.rsplit("/", 1)[-1]
        return service, action, _resource(decode(body, headers))
    if "." in target:
        return service, target.rsplit(".", 1)[-1], _resource(decode(body, headers))
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        form = {k: v[-1] for k, v in parse_qs(body.decode("utf-8", "replace")).items()}
        return service, form.get("Action", ""), _resource(form)
    if "Action" in query:
        return service, query["Action"][-1], _resource({k: v[-1] for k, v in query.items()})
    return _rest(service, method, path, query)


def asked(
    method: str, path: str, query: dict[str, list[str]], service: str, action: str, body: bytes
) -> dict[str, Any] | None:
    """What a write to a front door asks for: of Lambda with its path and query, and without code."""
    if len(body) > 65536:
        return None
    try:
        if service == "elbv2" and not action.startswith("Describe"):
            form = parse_qs(body.decode())
            return dict(query_protocol.asked(service, action, lambda name: form.get(name, [""])[-1]))
        if service == "route53" and action == "ChangeResourceRecordSets":
            changes = ElementTree.fromstring(body).findall(".//{*}Change")
            return {"changes": [_asked_change(change) for change in changes]}
        if service != "lambda" or method == "GET" or action.startswith("Invoke"):
            return None
        data = json.loads(body) if body else {}
    except Exception:  # noqa: BLE001 - what cannot be read asks for nothing; the service will say what is wrong
        return None
    said = {k: v for k, v in data.items() if k not in ("ZipFile", "Code")}
    return {"path": path, "query": {k: v[-1] for k, v in query.items()}, **said}


def _asked_change(change: ElementTree.Element) -> dict[str, Any]:
    described = route53._find(change, "ResourceRecordSet")
    return {"Action": route53._text(change, "Action"), **route53._parse_record_set(described)}


def decode(body: bytes, headers: dict[str, str], limit: int | None = 65536) -> Any:
    """What a body in JSON or CBOR says; nothing when it is longer than anybody wants to know."""
    if limit is not None and len(body) > limit:
        return {}
    try:
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if "cbor" in headers.get("content-type", ""):
            return cbor2.loads(body)
        return json.loads(body) if body else {}
    except Exception:  # noqa: BLE001 - an unreadable body has no resource; the service will say what is wrong
        return {}


def _resource(data: Any) -> str | None:
    if not isinstance(data, dict):
        return None
    for field in _RESOURCE_FIELDS:
        if isinstance(data.get(field), str):
            return str(data[field])
    names = data.get("AlarmNames")
    if isinstance(names, list) and names:
        return str(names[0])
    for item in data.get("TransactItems") or ():
        for part in item.values():
            if isinstance(part, dict) and "TableName" in part:
                return str(part["TableName"])
    for item in data.get("MetricDataQueries") or ():
        for dimension in ((item.get("MetricStat") or {}).get("Metric") or {}).get("Dimensions") or ():
            if dimension.get("Name") == "FunctionName":
                return str(dimension.get("Value"))
    return None


def _rest(service: str, method: str, path: str, query: dict[str, list[str]]) -> tuple[str, str, str | None]:
    parts = [p for p in path.split("/") if p]
    resource: str | None = parts[0] if service == "s3" and parts else (parts[-1] if parts else None)
    if service == "route53" and len(parts) > 2:
        resource = parts[2]
    if service == "lambda" and "functions" in parts:
        after = parts[parts.index("functions") + 1 :]
        resource = _function_name(after[0]) if after else None
    model = _MODELS.get(service)
    action = f"{method} {path}"
    if service == "apigateway" and path.startswith("/v2/"):
        model = "apigatewayv2"
    if model is not None:
        for http_method, pattern, required, name in _operations(model):
            if http_method == method and pattern.fullmatch(path) and all(r in query for r in required):
                action = name
                break
    return service, action, resource


def _function_name(reference: str) -> str:
    match = re.fullmatch(r"(?:arn:[^:]+:lambda:[^:]*:[^:]*:function:)?([^:]+)(?::.*)?", reference)
    return match[1] if match else reference


@functools.cache
def _operations(model: str) -> list[tuple[str, re.Pattern[str], tuple[str, ...], str]]:
    """Method and path of each operation, from botocore's copy of the service's model; longest first."""
    base = Path(botocore.__file__).parent / "data" / model
    version = sorted(p.name for p in base.iterdir())[-1]
    file = base / version / "service-2.json"
    raw = file.read_bytes() if file.exists() else gzip.decompress(file.with_name("service-2.json.gz").read_bytes())
    found = []
    for name, operation in json.loads(raw)["operations"].items():
        uri, _, wanted = operation["http"]["requestUri"].partition("?")
        pattern = re.sub(r"\\\{[^}]+\\\+\\\}", ".+", re.escape(uri))
        pattern = re.sub(r"\\\{[^}]+\\\}", "[^/]+", pattern).rstrip("/") + "/?"
        required = tuple(item.partition("=")[0] for item in wanted.split("&") if item)
        found.append((operation["http"]["method"], re.compile(pattern), required, name))
    return sorted(found, key=lambda o: (-len(o[2]), -len(o[1].pattern)))


# ── Refusals ─────────────────────────────────────────────────────────────────────────────────

# service: kind -> (status, code). What each service really says, from the service models.
_THROTTLE = {
    "lambda": (429, "TooManyRequestsException"),
    "dynamodb": (400, "ProvisionedThroughputExceededException"),
    "cloudwatch": (400, "Throttling"),
    "states": (400, "ThrottlingException"),
    "events": (400, "ThrottlingException"),
    "sns": (429, "Throttled"),
    "sqs": (403, "RequestThrottled"),
    "s3": (503, "SlowDown"),
    "route53": (400, "Throttling"),
    "elbv2": (400, "Throttling"),
    "apigateway": (429, "TooManyRequestsException"),
    "logs": (400, "ThrottlingException"),
    "sts": (400, "Throttling"),
}
_DENIED = {
    "lambda": (403, "AccessDeniedException"),
    "cloudwatch": (403, "AccessDenied"),
    "sns": (403, "AuthorizationError"),
    "sqs": (403, "AccessDenied"),
    "s3": (403, "AccessDenied"),
    "route53": (403, "AccessDenied"),
    "elbv2": (403, "AccessDenied"),
    "sts": (403, "AccessDenied"),
    "apigateway": (403, "AccessDeniedException"),
}
_BROKEN = {
    "lambda": (500, "ServiceException"),
    "dynamodb": (500, "InternalServerError"),
    "cloudwatch": (500, "InternalServiceFault"),
    "sns": (500, "InternalError"),
    "s3": (500, "InternalError"),
    "events": (500, "InternalException"),
}
_XML_SERVICES = {"s3", "route53"}


def refusal(kind: str, service: str, headers: dict[str, str], why: str | None = None) -> http1.Response:
    """The service's own words for a throttle, a denial (`why`) or a failure of its own."""
    if kind == "throttle":
        status, code = _THROTTLE.get(service, (400, "ThrottlingException"))
        message = "Rate exceeded"
    elif kind == "access-denied":
        status, code = _DENIED.get(service, (400, "AccessDeniedException"))
        message = why or "User is not authorized to perform this action"
    else:
        status, code = _BROKEN.get(service, (500, "InternalFailure"))
        message = "An internal error occurred."
    return refused(service, status, code, message, headers)


def refused(service: str, status: int, code: str, message: str, headers: dict[str, str]) -> http1.Response:
    """An error in the form that the service gives it."""
    identity = new_request_id()
    common = [(b"x-amzn-requestid", identity.encode())]
    content_type = headers.get("content-type", "")
    if "cbor" in content_type or "cbor" in headers.get("smithy-protocol", ""):
        body = cbor2.dumps({"__type": f"com.amazonaws.{service}#{code}", "message": message})
        fault = "Sender" if status < 500 else "Receiver"
        return http1.Response(
            status,
            [
                *common,
                (b"content-type", b"application/cbor"),
                (b"smithy-protocol", b"rpc-v2-cbor"),
                (b"x-amzn-query-error", f"{code};{fault}".encode()),
            ],
            body,
        )
    if service in _XML_SERVICES or content_type.startswith("application/x-www-form-urlencoded"):
        message = escape(message)
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        text = (
            f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{identity}</RequestId></Error>"
            if service == "s3"
            else f"<ErrorResponse>{error}<RequestId>{identity}</RequestId></ErrorResponse>"
        )
        return http1.Response(status, [*common, (b"content-type", b"text/xml")], text.encode())
    rest = service in ("lambda", "apigateway", "scheduler")
    data: dict[str, str] = {"message": message, "Message": message} if rest else {"__type": code, "message": message}
    if service == "lambda":
        data = {"Type": "User", "message": message}
        if status == 429:
            data["Reason"] = "CallerRateLimitExceeded"
    kept = b"application/json" if rest else b"application/x-amz-json-1.0"
    return http1.Response(
        status, [*common, (b"content-type", kept), (b"x-amzn-errortype", code.encode())], json.dumps(data).encode()
    )


def error_of(answer: http1.Response, service: str) -> str | None:
    """The error's name in an answer, for the log of calls."""
    for name, value in answer.headers:
        if name.lower() == b"x-amzn-errortype":
            return value.decode("latin-1").split(":")[0].rsplit("#", 1)[-1]
    head = answer.body[:4096]
    if match := re.search(rb"<Code>([^<]+)</Code>", head):
        return match[1].decode("latin-1")
    try:
        data: Any = json.loads(answer.body) if head[:1] == b"{" else cbor2.loads(answer.body)
        return str(data.get("__type", "")).rsplit("#", 1)[-1] or None
    except Exception:  # noqa: BLE001 - an answer without a name
        return None
