"""API Gateway: deployments that count, stage variables, invoke permissions, and metrics.

ministack serves an API as it is defined at the moment. On AWS a stage serves a deployment, which is
a copy of the definition at the time it was made.
"""

from __future__ import annotations

import contextvars
import copy
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region, new_uuid, request_scope
from ministack.services import apigateway as v2
from ministack.services import apigateway_v1 as v1

from . import alb_traffic, cloudwatch, control, dns, functions, policies

Answer = tuple[int, dict[str, str], bytes]
Definition = dict[str, Any]
"""By the name of ministack's store: what it has of one API."""

PRINCIPAL = "apigateway.amazonaws.com"
_BROKEN = "Internal server error"
DEPLOYED = ("routes", "integrations", "authorizers", "stages")
"""What an HTTP API's stages with AutoDeploy follow."""
_VARIABLE = re.compile(r"\$\{stageVariables\.([^}]+)\}")
_VALUE = re.compile(r"[A-Za-z0-9\-._~:/?#&=,]+")
"""What a stage variable may be."""


# ── Deployments ──────────────────────────────────────────────────────────────────────────────


@dataclass
class Call:
    """One request on its way through an API."""

    api: str
    definition: Definition
    """As it was deployed; empty where that is not known."""
    began: float = field(default_factory=time.monotonic)
    done: list[functions.Invoked] = field(default_factory=list)
    integration_seconds: float | None = None
    function: str | None = None
    authorizer: functions.Invoked | None = None
    reason: str | None = None
    """Why the API answered itself."""


_CALL: contextvars.ContextVar[Call | None] = contextvars.ContextVar("api_call", default=None)
_deployed: dict[tuple[str, str, str, str], Definition] = {}
"""By account, region, API and deployment."""


class Store(AccountRegionScopedDict):
    """A store of ministack's that shows a request what is deployed, and everybody else what is defined."""

    __slots__ = ("_name",)

    def __init__(self, name: str, original: AccountRegionScopedDict) -> None:
        super().__init__()
        self._data = original._data
        self._name = name

    def get(self, key: Any, default: Any = None) -> Any:
        call = _CALL.get()
        if call is not None and key == call.api and self._name in call.definition:
            return call.definition[self._name]
        return super().get(key, default)


def _remember(api: str, deployment: str, *stores: tuple[str, AccountRegionScopedDict]) -> None:
    definition = {name: copy.deepcopy(store.get(api, {})) for name, store in stores}
    _deployed[get_account_id(), get_region(), api, deployment] = definition


@contextmanager
def calling(api: str, deployment: str | None) -> Iterator[Call]:
    """Within it, what is deployed is seen, where that is known."""
    call = Call(api, _deployed.get((get_account_id(), get_region(), api, deployment or ""), {}))
    token, traced = _CALL.set(call), functions.INVOKED.set(call.done)
    try:
        yield call
    finally:
        functions.INVOKED.reset(traced)
        _CALL.reset(token)


def _create_deployment_v1(api: str, data: dict[str, Any]) -> Answer:
    methods = [m for r in v1._resources.get(api, {}).values() for m in (r.get("resourceMethods") or {}).values()]
    if api in v1._rest_apis and not methods:
        return v1._v1_error("BadRequestException", "The REST API doesn't contain any methods", 400)
    if any(not method.get("methodIntegration") for method in methods):
        return v1._v1_error("BadRequestException", "No integration defined for method", 400)
    before = set(v1._deployments_v1.get(api, {}))
    status, headers, body = _original["_create_deployment"](api, data)
    for deployment in set(v1._deployments_v1.get(api, {})) - before:
        _remember(api, deployment, ("resources", v1._resources), ("authorizers", v1._authorizers_v1))
    return status, headers, body


def _delete_deployment_v1(api: str, deployment: str) -> Answer:
    if any(s.get("deploymentId") == deployment for s in v1._stages_v1.get(api, {}).values()):
        message = "Active stages pointing to this deployment must be moved or deleted"
        return v1._v1_error("BadRequestException", message, 400)
    return _original["_delete_deployment"](api, deployment)


def _create_stage_v1(api: str, data: dict[str, Any]) -> Answer:
    if data.get("stageName") in v1._stages_v1.get(api, {}):
        return v1._v1_error("ConflictException", "Stage already exists", 409)
    if data.get("deploymentId") not in v1._deployments_v1.get(api, {}):
        return v1._v1_error("BadRequestException", "Deployment id does not exist", 400)
    return _bad_variables(data.get("variables")) or _original["_create_stage"](api, data)


def _update_stage_v1(api: str, stage: str, data: dict[str, Any]) -> Answer:
    changes = data.get("patchOperations") or []
    for change in changes:
        wanted = change.get("path") == "/deploymentId" and change.get("op") != "remove"
        if wanted and change.get("value") not in v1._deployments_v1.get(api, {}):
            return v1._v1_error("BadRequestException", "Deployment id does not exist", 400)
    variables = {c["path"]: c.get("value") for c in changes if c.get("path", "").startswith("/variables/")}
    kept = {path: value for path, value in variables.items() if value is not None}
    return _bad_variables(kept) or _original["_update_stage"](api, stage, data)


def _bad_variables(variables: dict[str, str] | None) -> Answer | None:
    for name, value in (variables or {}).items():
        if not _VALUE.fullmatch(str(value)):
            return v1._v1_error("BadRequestException", f"Stage variable value for {name} is invalid: {value}", 400)
    return None


# ── HTTP APIs: deployments, by hand or by themselves ─────────────────────────────────────────


def _create_deployment_v2(api: str, data: dict[str, Any]) -> Answer:
    stage = data.get("stageName")
    if stage and api in v2._apis and stage not in v2._stages.get(api, {}):
        return v2._apigw_error("NotFoundException", f"Unable to find Stage by name {stage}", 404)
    before = set(v2._deployments.get(api, {}))
    status, headers, body = _original["v2_create_deployment"](api, data)
    for deployment in set(v2._deployments.get(api, {})) - before:
        _remember_v2(api, deployment)
        if stage:
            v2._stages[api][stage]["deploymentId"] = deployment
    return status, headers, body


def _update_stage_v2(api: str, stage: str, data: dict[str, Any]) -> Answer:
    known = v2._stages.get(api, {}).get(stage)
    if known is not None and data.get("deploymentId"):
        if data.get("autoDeploy", known.get("autoDeploy")):
            message = "Deployment ID cannot be set on a stage with AutoDeploy enabled"
            return v2._apigw_error("BadRequestException", message, 400)
        if data["deploymentId"] not in v2._deployments.get(api, {}):
            return v2._apigw_error("NotFoundException", f"Unable to find Deployment by Id {data['deploymentId']}", 404)
    if known is not None and "stageVariables" in data:
        # What is left out is kept, and an empty value removes (U).
        variables = {**(known.get("stageVariables") or {}), **data["stageVariables"]}
        data = {**data, "stageVariables": {name: value for name, value in variables.items() if value}}
        if bad := _bad_variables(data["stageVariables"]):
            return bad
    return _original["v2_update_stage"](api, stage, data)


def _remember_v2(api: str, deployment: str) -> None:
    stores = (("routes", v2._routes), ("integrations", v2._integrations), ("authorizers", v2._authorizers))
    _remember(api, deployment, *stores)


async def _handle_v2(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Answer:
    """After what changes the definition or a stage, stages with AutoDeploy are deployed."""
    answer: Answer = await _original["v2_handle_request"](method, path, headers, body, query)
    parts = [p for p in path.split("/") if p]
    touched = len(parts) >= 4 and parts[:2] == ["v2", "apis"] and parts[3] in DEPLOYED
    if method != "GET" and answer[0] < 300 and touched:
        stages = v2._stages.get(parts[2], {})
        chosen = [stages.get(parts[4])] if parts[3] == "stages" and len(parts) > 4 else list(stages.values())
        for stage in chosen:
            if stage is not None and stage.get("autoDeploy"):
                _auto_deploy(parts[2], stage)
    return answer


def _auto_deploy(api: str, stage: dict[str, Any]) -> None:
    deployment = new_uuid()[:8]
    v2._deployments.setdefault(api, {})[deployment] = {
        "deploymentId": deployment,
        "deploymentStatus": "DEPLOYED",
        "createdDate": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "description": "Automatic deployment triggered by changes to the Api configuration",
        "autoDeployed": True,
    }
    _remember_v2(api, deployment)
    stage["deploymentId"] = deployment
    stage["lastDeploymentStatusMessage"] = f"Successfully deployed stage with deployment ID '{deployment}'"


# ── Integrations ─────────────────────────────────────────────────────────────────────────────


def substituted(uri: str, variables: dict[str, str]) -> str:
    """An integration's URI with its stage variables; one that is not set is empty."""
    return _VARIABLE.sub(lambda match: variables.get(match[1], ""), uri)


def _may(arn: str, api: str, stage: str, method: str, path: str, integration: dict[str, Any]) -> bool:
    """Whether the function lets this API invoke it, unless a role does. A path's parameters are `*`."""
    if integration.get("credentials") or integration.get("credentialsArn"):
        return functions.exists(arn)
    path = re.sub(r"\{[^}]+\}", "*", path)
    source = f"arn:aws:execute-api:{get_region()}:{get_account_id()}:{api}/{stage}/{method}{path}"
    return functions.exists(arn) and policies.may_invoke(arn, PRINCIPAL, source)


def _invoking_v1(original: Callable[..., Any]) -> Callable[..., Any]:
    async def invoke(
        integration: dict[str, Any],
        api: str,
        stage_name: str,
        stage: dict[str, Any],
        resource: dict[str, Any],
        path: str,
        method: str,
        *rest: Any,
        **named: Any,
    ) -> Any:
        call = _CALL.get() or Call(api, {})
        uri = substituted(integration.get("uri") or "", stage.get("variables") or {})
        call.function = v1._extract_lambda_ref_from_integration_uri(uri)
        defined = method if method in resource["resourceMethods"] else "*"
        if not _may(call.function, api, stage_name, defined, resource["path"], integration):
            call.reason = "NoPermission"
            return v1._gw_error("API_CONFIGURATION_ERROR", _BROKEN)
        began = time.monotonic()
        whole = ({**integration, "uri": uri}, api, stage_name, stage, resource, path, method, *rest)
        answer = await original(*whole, **named)
        call.integration_seconds = time.monotonic() - began
        if call.done and call.done[-1].failed:
            call.reason = "FunctionError"
            return 502, {"Content-Type": "application/json"}, b'{"message": "Internal server error"}'
        return answer

    return invoke


async def _invoke_v2(
    integration: dict[str, Any],
    api: str,
    stage: str,
    path: str,
    method: str,
    headers: Any,
    body: Any,
    query: Any,
    route_key: str = "$default",
    *rest: Any,
    **named: Any,
) -> Answer:
    call = _CALL.get() or Call(api, {})
    uri = substituted(integration.get("integrationUri") or "", v2._get_stage_variables(api, stage))
    call.function = v2._extract_lambda_ref_from_integration_uri(uri)
    verb, _, route = route_key.partition(" ")
    verb = "*" if verb == "ANY" else verb
    broken = 500, {"Content-Type": "application/json"}, b'{"message":"Internal Server Error"}'
    if not _may(call.function, api, stage, verb, route, integration):
        call.reason = "NoPermission"
        return broken
    began = time.monotonic()
    whole = ({**integration, "integrationUri": uri}, api, stage, path, method, headers, body, query, route_key, *rest)
    answer: Answer = await _original["v2_invoke_lambda_proxy"](*whole, **named)
    call.integration_seconds = time.monotonic() - began
    if call.done and call.done[-1].failed:
        call.reason = "FunctionError"
        return broken
    return answer


# ── Authorizers ──────────────────────────────────────────────────────────────────────────────


def _authorizing(original: Callable[..., Any], variables: Callable[[str, str], dict[str, str]]) -> Callable[..., Any]:
    """A Lambda authorizer is called through the stage's variables, and where its function lets it be.

    Without permission it is as one that cannot be invoked. What the request itself invoked stays apart.
    """

    async def invoke(authorizer: dict[str, Any], event: dict[str, Any], account: str, region: str) -> Any:
        call = _CALL.get() or Call("", {})
        api, stage = (event.get("routeArn") or event["methodArn"]).split(":", 5)[5].split("/")[:2]
        uri = substituted(authorizer.get("authorizerUri") or "", variables(api, stage))
        function = v1._extract_lambda_ref_from_integration_uri(uri)
        identifier = authorizer.get("id") or authorizer.get("authorizerId")
        source = f"arn:aws:execute-api:{region}:{account}:{api}/authorizers/{identifier}"
        trusted = authorizer.get("authorizerCredentials") or authorizer.get("authorizerCredentialsArn")
        if not functions.exists(function) or not (trusted or policies.may_invoke(function, PRINCIPAL, source)):
            call.reason = "NoPermission"
            return None
        before = len(call.done)
        answer = await original({**authorizer, "authorizerUri": uri}, event, account, region)
        call.authorizer = call.done[-1] if len(call.done) > before else None
        del call.done[before:]
        return answer

    return invoke


def _variables_v1(api: str, stage: str) -> dict[str, str]:
    return (v1._stages_v1.get(api, {}).get(stage) or {}).get("variables") or {}


# ── Requests ─────────────────────────────────────────────────────────────────────────────────


async def _execute_v1(
    api: str, stage: str, method: str, path: str, headers: dict[str, str], body: bytes, query: Any
) -> Answer:
    return (await _called_v1(api, stage, method, path, headers, body, query))[0]


async def _called_v1(
    api: str, stage: str, method: str, path: str, headers: dict[str, str], body: bytes, query: Any
) -> tuple[Answer, Call | None]:
    scope = v1.find_api_scope(api)
    if scope is None:
        return await _original["v1_handle_execute"](api, stage, method, path, headers, body, query), None
    with request_scope(*scope):
        found = v1._stages_v1.get(api, {}).get(stage)
        with calling(api, (found or {}).get("deploymentId")) as call:
            answer: Answer = await _original["v1_handle_execute"](api, stage, method, path, headers, body, query)
        if found is not None:
            name = ("ApiName", v1._rest_apis[api]["name"])
            _count(call, answer[0], [(name,), (name, ("Stage", stage))], ("4XXError", "5XXError"))
    return answer, call


async def _execute_v2(
    api: str,
    stage: str,
    path: str,
    method: str,
    headers: dict[str, str],
    body: bytes,
    query: Any,
    raw_query_string: str | None = None,
) -> Answer:
    return (await _called_v2(api, stage, path, method, headers, body, query, raw_query_string))[0]


async def _called_v2(
    api: str, stage: str, path: str, method: str, headers: dict[str, str], body: bytes, query: Any, raw: str | None
) -> tuple[Answer, Call | None]:
    scope = v2.find_api_scope(api)
    if scope is None:
        return v2._http_api_not_found(), None
    with request_scope(*scope):
        found = v2._stages.get(api, {}).get(stage)
        if found is None or not (found.get("autoDeploy") or found.get("deploymentId")):
            return v2._http_api_not_found(), None
        deployment = None if found.get("autoDeploy") else found.get("deploymentId")
        with calling(api, deployment) as call:
            answer: Answer = await _original["v2_handle_execute"](api, stage, path, method, headers, body, query, raw)
        name = ("ApiId", api)
        _count(call, answer[0], [(name,), (name, ("Stage", stage))], ("4xx", "5xx"))
    return answer, call


def _count(call: Call, status: int, sets: list[tuple[tuple[str, str], ...]], errors: tuple[str, str]) -> None:
    """AWS/ApiGateway: the errors have their zeros, so that their average is a rate."""
    points = [
        ("Count", 1.0, "Count"),
        (errors[0], float(400 <= status < 500), "Count"),
        (errors[1], float(status >= 500), "Count"),
        ("Latency", (time.monotonic() - call.began) * 1000, "Milliseconds"),
    ]
    if call.integration_seconds is not None:
        points.append(("IntegrationLatency", call.integration_seconds * 1000, "Milliseconds"))
    for dimensions in sets:
        for metric, value, unit in points:
            cloudwatch.record("AWS/ApiGateway", metric, round(value, 2), dimensions, unit=unit)


# ── Control ──────────────────────────────────────────────────────────────────────────────────


async def _send(api: str, stage: str, request: alb_traffic.Request) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in request.headers.items()}
    query = {name: [value] for name, value in request.query.items()}
    body = request.body.encode()
    if v1.find_api_scope(api) is not None:
        answer, call = await _called_v1(api, stage, request.method, request.path, headers, body, query)
    else:
        answer, call = await _called_v2(api, stage, request.path, request.method, headers, body, query, None)
    status, answered, text = answer
    told: dict[str, Any] = {"status": status, "headers": answered, "body": text.decode("utf-8", "replace")}
    if call is not None:
        told.update(
            function=call.function,
            executedVersion=call.done[-1].version if call.done else None,
            authorizerVersion=call.authorizer.version if call.authorizer else None,
            reason=call.reason,
            seconds=time.monotonic() - call.began,
        )
    return told


@control.route("POST", "apigateway/request")
async def _request(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """One request to a stage of a REST or an HTTP API."""
    settings = dict(body)
    api, stage = settings.pop("apiId"), settings.pop("stage", "$default")
    if v1.find_api_scope(api) is None and v2.find_api_scope(api) is None:
        raise ValueError(f"no API {api}")
    return await _send(api, stage, alb_traffic.Request(**settings))


async def _custom_domain(host: str, name: str, request: alb_traffic.Request) -> dict[str, Any] | None:
    """A custom domain's regional name answers for that domain alone, as on AWS."""
    known = {record["regionalDomainName"]: record["domainName"] for _, record in v1._domain_names.all_items()}
    if host not in known:
        return None
    found = v1.resolve_base_path_mapping(name, request.path) if known[host].lower() == name.lower() else None
    if found is None:
        return {"status": 403, "body": '{"message":"Forbidden"}'}
    api, stage, request.path = found
    return await _send(api, stage, request)


# ── ministack's seams ────────────────────────────────────────────────────────────────────────

_original: dict[str, Callable[..., Any]] = {}


def install() -> None:
    for name, replacement in (
        ("_create_deployment", _create_deployment_v1),
        ("_delete_deployment", _delete_deployment_v1),
        ("_create_stage", _create_stage_v1),
        ("_update_stage", _update_stage_v1),
    ):
        _original[name] = getattr(v1, name)
        setattr(v1, name, replacement)
    _original["v1_handle_execute"] = v1.handle_execute
    v1.handle_execute = _execute_v1
    for name in ("_invoke_lambda_proxy_v1", "_invoke_lambda_custom_v1"):
        setattr(v1, name, _invoking_v1(getattr(v1, name)))
    v1._resources = Store("resources", v1._resources)
    v1._authorizers_v1 = Store("authorizers", v1._authorizers_v1)
    v1._invoke_authorizer_lambda = _authorizing(v1._invoke_authorizer_lambda, _variables_v1)
    for name, replacement in (
        ("_create_deployment", _create_deployment_v2),
        ("_update_stage", _update_stage_v2),
        ("_invoke_lambda_proxy", _invoke_v2),
        ("handle_request", _handle_v2),
        ("handle_execute", _execute_v2),
    ):
        key = "v2_" + name.removeprefix("_")
        _original[key] = getattr(v2, name)
        setattr(v2, name, replacement)
    v2._routes = Store("routes", v2._routes)
    v2._integrations = Store("integrations", v2._integrations)
    v2._authorizers = Store("authorizers", v2._authorizers)
    original = v2._invoke_request_authorizer_lambda
    v2._invoke_request_authorizer_lambda = _authorizing(original, v2._get_stage_variables)
    dns.SERVERS.append(_custom_domain)
