"""API Gateway: exports of what a stage serves, which is not what is defined at the moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.services import apigateway as v2
from ministack.services import apigateway_v1 as v1

from . import api_gateway

Answer = tuple[int, dict[str, str], bytes]
_original: dict[str, Callable[..., Any]] = {}


def _get_export_v1(api: str, stage: str, kind: str, headers: dict[str, str], query: Any) -> Answer:
    found = v1._stages_v1.get(api, {}).get(stage) or {}
    with api_gateway.calling(api, found.get("deploymentId")):
        answer: Answer = _original["v1"](api, stage, kind, headers, query)
    return answer


async def _handle_v2(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Answer:
    parts = [part for part in path.split("/") if part]
    if method == "GET" and len(parts) == 5 and parts[:2] == ["v2", "apis"] and parts[3] == "exports":
        return _export_v2(parts[2], parts[4], {name: _one(value) for name, value in query.items()})
    answer: Answer = await _original["v2"](method, path, headers, body, query)
    return answer


def _one(value: Any) -> str:
    return str(value[0] if isinstance(value, list) else value)


def _export_v2(api: str, specification: str, query: dict[str, str]) -> Answer:
    if api not in v2._apis:
        return v2._apigw_error("NotFoundException", f"Invalid API identifier specified {api}", 404)
    if specification != "OAS30" or query.get("outputType") != "JSON":
        return v2._apigw_error("BadRequestException", "only OAS30 as JSON is bridged", 400)
    stage, extended = query.get("stageName"), query.get("includeExtensions", "true") == "true"
    if stage is None:
        document = _document(api, extended)
    else:
        found = v2._stages.get(api, {}).get(stage)
        if found is None or not found.get("deploymentId"):
            return v2._apigw_error("NotFoundException", f"Unable to find Stage by name {stage}", 404)
        with api_gateway.calling(api, found["deploymentId"]):
            document = _document(api, extended)
    return 200, {"Content-Type": "application/json"}, json.dumps(document).encode()


def _document(api: str, extended: bool) -> dict[str, Any]:
    """Routes by path and method; `$default` is a path of its own."""
    paths: dict[str, dict[str, Any]] = {}
    schemes: dict[str, Any] = {}
    authorizers = v2._authorizers.get(api, {})
    integrations = v2._integrations.get(api, {})
    for route in v2._routes.get(api, {}).values():
        method, _, path = route["routeKey"].partition(" ")
        operation: dict[str, Any] = {"responses": {"default": {"description": f"Default response for {method} {path}"}}}
        if not path:
            path, method = "/$default", "ANY"
            operation["isDefaultRoute"] = True
        integration = integrations.get(route.get("target", "").rsplit("/", 1)[-1])
        if extended and integration is not None:
            operation["x-amazon-apigateway-integration"] = {
                "type": integration["integrationType"].lower(),
                "httpMethod": integration["integrationMethod"],
                "uri": integration["integrationUri"],
                "payloadFormatVersion": integration["payloadFormatVersion"],
            }
        authorizer = authorizers.get(route.get("authorizerId") or "")
        if authorizer is not None and authorizer["authorizerType"] == "REQUEST":
            operation["security"] = [{authorizer["name"]: []}]
            schemes[authorizer["name"]] = _scheme(authorizer, extended)
        key = "x-amazon-apigateway-any-method" if method == "ANY" else method.lower()
        paths.setdefault(path, {})[key] = operation
    document = {"openapi": "3.0.1", "info": {"title": v2._apis[api].get("name", "")}, "paths": paths}
    return {**document, "components": {"securitySchemes": schemes}} if schemes else document


def _scheme(authorizer: dict[str, Any], extended: bool) -> dict[str, Any]:
    scheme: dict[str, Any] = {"type": "apiKey", "name": "Unused", "in": "header"}
    if extended:
        scheme["x-amazon-apigateway-authorizer"] = {
            "type": "request",
            "identitySource": ",".join(authorizer["identitySource"]),
            "authorizerUri": authorizer["authorizerUri"],
            "authorizerPayloadFormatVersion": authorizer["authorizerPayloadFormatVersion"],
            "authorizerResultTtlInSeconds": authorizer["authorizerResultTtlInSeconds"],
            "enableSimpleResponses": authorizer["enableSimpleResponses"],
        }
    return scheme


def install() -> None:
    """After `api_gateway`, which knows what is deployed."""
    _original["v1"] = v1._get_export
    v1._get_export = _get_export_v1
    _original["v2"] = v2.handle_request
    v2.handle_request = _handle_v2
