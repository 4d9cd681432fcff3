"""Members of answers that ministack has and AWS has not, or the other way round; Lambda's are in `lambda_answers`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ministack.services import apigateway_v1, cloudformation, cloudwatch_logs, route53, stepfunctions

Answer = tuple[int, dict[str, str], bytes]


def _stage(stage: dict[str, Any]) -> dict[str, Any]:
    """A stage of a REST API: what was not given is not told."""
    told = {
        key: value
        for key, value in stage.items()
        if value or key not in ("accessLogSettings", "description", "tags", "variables")
    }
    return {"cacheClusterStatus": "NOT_AVAILABLE", **told}


def _deployment(deployment: dict[str, Any]) -> dict[str, Any]:
    told = {key: value for key, value in deployment.items() if (key, value) != ("description", "")}
    if summary := told.get("apiSummary"):
        known = ("apiKeyRequired", "authorizationType")
        told["apiSummary"] = {
            resource: {method: {k: v for k, v in about.items() if k in known} for method, about in methods.items()}
            for resource, methods in summary.items()
        }
    return told


def _api_gateway(method: str, path: str, query: Any, answer: dict[str, Any]) -> dict[str, Any]:
    if re.fullmatch(r"/restapis/[^/]+/stages/[^/]+/?", path) and "stageName" in answer:
        return _stage(answer)
    if re.fullmatch(r"/restapis/[^/]+/stages/?", path):
        if "stageName" in answer:
            return _stage(answer)
        wanted = [str(value) for value in query.get("deploymentId") or ()]
        stages = [_stage(each) for each in answer.get("item") or []]
        return {**answer, "item": [each for each in stages if not wanted or each.get("deploymentId") in wanted]}
    return _deployment(answer) if "apiSummary" in answer else answer


def _filters(action: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Subscription filters, and what is said of groups and filters that are not there."""
    if action == "DescribeSubscriptionFilters" and "subscriptionFilters" in answer:
        kept = [{k: v for k, v in each.items() if (k, v) != ("roleArn", "")} for each in answer["subscriptionFilters"]]
        return {**answer, "subscriptionFilters": [{"applyOnTransformedLogs": False, **each} for each in kept]}
    if "__type" in answer and "does not exist: " in str(answer.get("message")):
        return {**answer, "message": answer["message"].partition(":")[0] + "."}
    return answer


def _states(action: str, answer: dict[str, Any]) -> dict[str, Any]:
    """A state machine's logging, which templates write with capitals."""
    logging = answer.get("loggingConfiguration")
    return {**answer, "loggingConfiguration": _small(logging)} if isinstance(logging, dict) else answer


def _small(value: Any) -> Any:
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: _small(item) for key, item in value.items()}
    return [_small(item) for item in value] if isinstance(value, list) else value


_CREATED = re.compile(rb"<(Create(HostedZone|HealthCheck)Response)[ >].*?<Id>(?:/hostedzone/)?([^<]+)</Id>", re.DOTALL)
_PLACES = {b"HostedZone": "hostedzone", b"HealthCheck": "healthcheck"}


def _route53(answer: Answer) -> Answer:
    """Where what was created is; a zone without a comment has none."""
    status, headers, body = answer
    body = re.sub(rb"<Comment ?/>|<Comment></Comment>", b"", body)
    if status == 201 and (match := _CREATED.search(body)):
        place = f"https://route53.amazonaws.com/2013-04-01/{_PLACES[match[2]]}/{match[3].decode()}"
        headers = {**headers, "Location": place}
    return status, _measured(headers, body), body


def _cloudformation(answer: Answer) -> Answer:
    """Descriptions that are empty, and a member that change sets do not have."""
    status, headers, body = answer
    body = re.sub(rb"<Description></Description>|<ChangeSetType>[^<]*</ChangeSetType>", b"", body)
    return status, _measured(headers, body), body


def _measured(headers: dict[str, str], body: bytes) -> dict[str, str]:
    return {key: str(len(body)) if key.lower() == "content-length" else value for key, value in headers.items()}


def _of_json(answer: Answer, correct: Callable[[dict[str, Any]], dict[str, Any]]) -> Answer:
    status, headers, body = answer
    if not body.startswith(b"{"):
        return answer
    told = json.dumps(correct(json.loads(body))).encode()
    return status, _measured(headers, told), told


def _wrap(module: Any, corrected: Callable[..., Any]) -> None:
    original = module.handle_request

    async def handle_request(method: str, path: str, headers: dict[str, str], body: bytes, query_params: Any) -> Any:
        async def ask() -> Any:
            return await original(method, path, headers, body, query_params)

        action = headers.get("x-amz-target", "").rpartition(".")[2]
        return await corrected(ask, action, method, path, body, query_params)

    module.handle_request = handle_request


async def _asked_api_gateway(ask: Any, action: str, method: str, path: str, body: bytes, query: Any) -> Answer:
    return _of_json(await ask(), lambda answer: _api_gateway(method, path, query, answer))


async def _asked_logs(ask: Any, action: str, method: str, path: str, body: bytes, query: Any) -> Answer:
    answer = await ask()
    return _of_json(answer, lambda told: _filters(action, told)) if "SubscriptionFilter" in action else answer


async def _asked_states(ask: Any, action: str, method: str, path: str, body: bytes, query: Any) -> Answer:
    answer = await ask()
    return _of_json(answer, lambda told: _states(action, told)) if action == "DescribeStateMachine" else answer


async def _asked_route53(ask: Any, action: str, method: str, path: str, body: bytes, query: Any) -> Answer:
    return _route53(await ask())


async def _asked_cloudformation(ask: Any, action: str, method: str, path: str, body: bytes, query: Any) -> Answer:
    return _cloudformation(await ask())


def install() -> None:
    _wrap(apigateway_v1, _asked_api_gateway)
    _wrap(cloudwatch_logs, _asked_logs)
    _wrap(stepfunctions, _asked_states)
    _wrap(route53, _asked_route53)
    _wrap(cloudformation, _asked_cloudformation)
