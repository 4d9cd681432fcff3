"""What IAM asks of a call: the actions and the resources that AWS authorises it by.

The actions and the types of resources that each takes come from the service authorization data
that cfn-lint brings along. What the ARN of a resource is made of is here, for the services that
the functions use: a call of any other is unknown, and IAM refuses what it does not know.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ANY = "*"
"""The resource of an action that takes none: only a statement on `*` allows it."""

_NAMESPACES = {"elbv2": "elasticloadbalancing"}


@dataclass(frozen=True)
class Call:
    """One call, decoded."""

    service: str
    operation: str
    method: str
    path: str
    query: dict[str, list[str]]
    data: dict[str, Any]
    account: str
    region: str

    def arn(self, service: str, rest: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{rest}"


@dataclass(frozen=True)
class Check:
    """An action on a resource, both as a policy names them, and what its conditions may ask for."""

    action: str
    resource: str
    context: dict[str, str] = field(default_factory=dict)


class Unknown(Exception):
    """Nobody has said yet what IAM asks of this call."""


@functools.cache
def authorization() -> dict[str, Any]:
    """Service -> its actions and their resource types, with names in lower case as cfn-lint has them."""
    found = importlib.util.find_spec("cfnlint")
    if found is None or not found.submodule_search_locations:
        raise ImportError("cfn-lint is not installed")
    file = Path(found.submodule_search_locations[0]) / "data" / "AdditionalSpecs" / "Policies.json"
    data: dict[str, Any] = json.loads(file.read_text())
    return data


def resource_types(action: str) -> list[str] | None:
    """The types of resources that an action takes, in lower case; None when there is no such action."""
    service, _, name = action.partition(":")
    known = authorization().get(service, {}).get("Actions", {}).get(name.lower())
    return None if known is None else [kind.lower() for kind in known.get("Resources") or ()]


def checks(call: Call) -> list[Check]:
    """What must be allowed for a call to be. All of it."""
    derive = _BY_SERVICE.get(call.service)
    if derive is None:
        raise Unknown(f"{call.service}:{call.operation}")
    needed = derive(call)
    for check in needed:
        if resource_types(check.action) is None:
            raise Unknown(check.action)
    return needed


def _named(call: Call, *operations: str) -> str:
    """The action with the operation's name, of an operation that is known here."""
    if operations and call.operation not in operations:
        raise Unknown(f"{call.service}:{call.operation}")
    return f"{_NAMESPACES.get(call.service, call.service)}:{call.operation}"


# ── Lambda ───────────────────────────────────────────────────────────────────────────────────

_REFERENCE = re.compile(
    r"(?:arn:[^:]+:lambda:(?P<region>[^:]*):(?P<account>\d{12}):)?(?:(?P<partial>\d{12}):)?(?:function:)?"
    r"(?P<name>[A-Za-z0-9_-]+)(?::(?P<qualifier>[^:]+))?"
)


def function_arn(call: Call, reference: str, qualifier: str | None, qualified: bool) -> str:
    """The ARN of a function that is named in any of the ways that Lambda takes."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise Unknown(f"a function named {reference}")
    region = match["region"] or call.region
    account = match["account"] or match["partial"] or call.account
    named = qualifier or match["qualifier"]
    ending = f":{named}" if qualified and named else ""
    return f"arn:aws:lambda:{region}:{account}:function:{match['name']}{ending}"


def _lambda(call: Call) -> list[Check]:
    operation = {
        "Invoke": "InvokeFunction",
        "InvokeAsync": "InvokeFunction",
        "InvokeWithResponseStream": "InvokeFunction",
    }.get(call.operation, call.operation)
    action = f"lambda:{operation}"
    types = resource_types(action)
    if types is None:
        raise Unknown(action)
    if not types:
        return [Check(action, ANY)]
    match = re.match(r"/\d{4}-\d{2}-\d{2}/functions/([^/]+)", call.path)
    # An invocation is authorised with the qualifier it names, and so is what only aliases and versions have; all
    # else on the function itself.
    qualified = operation == "InvokeFunction" or "function" not in types
    if not {"function", "function alias"}.intersection(types) or match is None:
        raise Unknown(action)
    qualifier = (call.query.get("Qualifier") or [None])[-1]
    resource = function_arn(call, match[1], qualifier, qualified=qualified)
    context = {}
    if isinstance(call.data.get("Principal"), str):
        context["lambda:Principal"] = call.data["Principal"]
    needed = [Check(action, resource, context)]
    if operation == "UpdateFunctionCode":
        needed += _code(call)
    if operation in ("UpdateFunctionCode", "PublishVersion") and (key := key_of_function(match[1], call.account)):
        # Lambda makes a grant on the key of the function's variables, with its caller's permissions.
        granted = {**_via(call, "lambda"), "kms:GrantIsForAWSResource": "true"}
        needed.append(Check("kms:CreateGrant", key, granted))
    return needed


key_of_function: Callable[[str, str], str | None] = lambda function, account: None
"""The customer's KMS key that encrypts a function's variables; `keys` puts it here, and the two below."""

key_of_bucket: Callable[[str, str], str | None] = lambda bucket, account: None
"""The customer's KMS key that encrypts a bucket's objects."""

lets_lambda_in: Callable[[str, str], bool] = lambda repository, account: True
"""Whether a repository's own policy lets Lambda read images; of one that is not here, it does."""


def _via(call: Call, service: str) -> dict[str, str]:
    return {"kms:ViaService": f"{service}.{call.region}.amazonaws.com"}


def _read(call: Call, action: str, bucket: str, key: str) -> list[Check]:
    """S3 decrypts an object with the permissions of who reads it."""
    checks = [Check(action, f"arn:aws:s3:::{bucket}/{key}")]
    if encrypted := key_of_bucket(bucket, call.account):
        checks.append(Check("kms:Decrypt", encrypted, _via(call, "s3")))
    return checks


def _code(call: Call) -> list[Check]:
    """Lambda reads the code with its caller's permissions."""
    bucket, key, image = (call.data.get(name) for name in ("S3Bucket", "S3Key", "ImageUri"))
    if bucket and key:
        read = "s3:GetObjectVersion" if call.data.get("S3ObjectVersion") else "s3:GetObject"
        checks = _read(call, read, str(bucket), str(key))
        if zipped := call.data.get("SourceKMSKeyArn"):
            used = ("Decrypt", "DescribeKey", "GenerateDataKey")
            checks += [Check(f"kms:{name}", str(zipped), _via(call, "lambda")) for name in used]
        return checks
    if image:
        match = re.fullmatch(r"(\d{12})\.dkr\.ecr\.([^.]+)\.amazonaws\.com/([^:@]+)(?:[:@].+)?", str(image))
        if match is None:
            raise Unknown(f"an image at {image}")
        repository = f"arn:aws:ecr:{match[2]}:{match[1]}:repository/{match[3]}"
        needed = ["BatchGetImage", "GetDownloadUrlForLayer"]
        if match[1] == call.account and not lets_lambda_in(match[3], call.account):
            # Lambda lets itself in, with its caller's permissions.
            needed += ["GetRepositoryPolicy", "SetRepositoryPolicy"]
        return [Check(f"ecr:{name}", repository) for name in needed]
    return []


# ── DynamoDB ─────────────────────────────────────────────────────────────────────────────────

_OF_TRANSACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}


def _dynamodb(call: Call) -> list[Check]:
    def on(action: str, name: Any, index: Any = None) -> Check:
        name = str(name)
        table = name if name.startswith("arn:") else call.arn("dynamodb", f"table/{name}")
        return Check(f"dynamodb:{action}", f"{table}/index/{index}" if index else table)

    if call.operation in ("TransactWriteItems", "TransactGetItems"):
        # A transaction takes no action of its own, but each item's.
        parts = [part for item in call.data.get("TransactItems") or () for part in item.items()]
        return _once(on(_OF_TRANSACTIONS[kind], part.get("TableName")) for kind, part in parts)
    if call.operation in ("BatchGetItem", "BatchWriteItem"):
        return _once(on(call.operation, table) for table in call.data.get("RequestItems") or ())
    _named(call, "GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan", "DescribeTable")
    if not call.data.get("TableName"):
        raise Unknown(f"dynamodb:{call.operation} without a table")
    return [on(call.operation, call.data["TableName"], call.data.get("IndexName"))]


def _once(found: Any) -> list[Check]:
    kept: list[Check] = []
    for check in found:
        if check not in kept:
            kept.append(check)
    if not kept:
        raise Unknown("a call about nothing")
    return kept


# ── Step Functions ───────────────────────────────────────────────────────────────────────────

machines_of_token: Callable[[str, str], list[str]] = lambda token, account: []
"""The ARNs of the state machines that a task token may be of; `states` puts it here."""


def _states(call: Call) -> list[Check]:
    if call.operation in ("SendTaskSuccess", "SendTaskFailure", "SendTaskHeartbeat"):
        # The authorization data has no resource for them, and Step Functions takes the machine's ARN:
        # SAM's StepFunctionsCallbackPolicy and CDK's grantTaskResponse rely on it.
        found = machines_of_token(str(call.data.get("taskToken")), call.account)
        return [Check(f"states:{call.operation}", machine) for machine in found] or [
            Check(f"states:{call.operation}", ANY)
        ]
    action = _named(call, "StartExecution", "DescribeExecution", "StopExecution", "GetExecutionHistory",
                    "ListExecutions", "DescribeStateMachine")
    resource = call.data.get("executionArn") or call.data.get("stateMachineArn")
    if not resource:
        raise Unknown(f"{action} without an ARN")
    return [Check(action, str(resource))]


# ── The others ───────────────────────────────────────────────────────────────────────────────


def _cloudwatch(call: Call) -> list[Check]:
    # Alarms have ARNs, but composite ones are only told to who may describe all. Metrics have none.
    return [Check(_named(call, "DescribeAlarms", "GetMetricData"), ANY)]


def _events(call: Call) -> list[Check]:
    action = _named(call, "PutEvents")

    def check(entry: dict[str, Any]) -> Check:
        bus = str(entry.get("EventBusName") or "default")
        resource = bus if bus.startswith("arn:") else call.arn("events", f"event-bus/{bus}")
        context = {"events:source": str(entry.get("Source")), "events:detail-type": str(entry.get("DetailType"))}
        return Check(action, resource, context)

    return _once(check(entry) for entry in call.data.get("Entries") or ())


def _sns(call: Call) -> list[Check]:
    action = _named(call, "Publish", "PublishBatch")
    topic = call.data.get("TopicArn") or call.data.get("TargetArn")
    return [Check("sns:Publish" if action == "sns:PublishBatch" else action, str(topic or ANY))]


def _sqs(call: Call) -> list[Check]:
    return [Check(_named(call, "SendMessage"), str(call.data.get("QueueArn") or ANY))]


def _route53(call: Call) -> list[Check]:
    action = _named(call, "ChangeResourceRecordSets", "ListResourceRecordSets", "GetChange", "GetHealthCheckStatus")
    match = re.match(r"/\d{4}-\d{2}-\d{2}/(hostedzone|change|healthcheck)/([^/]+)", call.path)
    if match is None:
        raise Unknown(action)
    return [Check(action, f"arn:aws:route53:::{match[1]}/{match[2]}")]


def _elbv2(call: Call) -> list[Check]:
    action = _named(call)
    types = resource_types(action)
    if types is None:
        raise Unknown(action)
    if not types:
        return [Check(action, ANY)]
    # Who writes a rule must see the client that its users sign in with.
    clients = [
        Check("cognito-idp:DescribeUserPoolClient", str(value))
        for name, value in call.data.items()
        if name.endswith(".AuthenticateCognitoConfig.UserPoolArn")
    ]
    for kind, name in (("listener-rule", "RuleArn"), ("listener", "ListenerArn"), ("targetgroup", "TargetGroupArn")):
        if call.data.get(name) and any(one.split("/")[0] == kind for one in types):
            return [Check(action, str(call.data[name])), *clients]
    raise Unknown(action)


def _logs(call: Call) -> list[Check]:
    if call.operation == "DescribeLogGroups":
        return [Check("logs:DescribeLogGroups", call.arn("logs", "log-group::log-stream:"))]
    action = _named(call, "DescribeSubscriptionFilters", "PutSubscriptionFilter", "DeleteSubscriptionFilter")
    return [Check(action, call.arn("logs", f"log-group:{call.data['logGroupName']}"))]


def _s3(call: Call) -> list[Check]:
    _named(call, "GetObject")
    read = "s3:GetObjectVersion" if call.query.get("versionId") else "s3:GetObject"
    bucket, _, key = call.path.lstrip("/").partition("/")
    return _read(call, read, bucket, key)


def _ecr(call: Call) -> list[Check]:
    action = _named(call, "BatchGetImage")
    account = call.data.get("registryId") or call.account
    return [Check(action, f"arn:aws:ecr:{call.region}:{account}:repository/{call.data.get('repositoryName')}")]


def _apigateway(call: Call) -> list[Check]:
    # Its actions are HTTP's methods, and its resources paths, which say nothing of an account.
    path = call.path.removeprefix("/v2")
    return [Check(f"apigateway:{call.method}", f"arn:aws:apigateway:{call.region}::{path}")]


_BY_SERVICE: dict[str, Callable[[Call], list[Check]]] = {
    "lambda": _lambda,
    "dynamodb": _dynamodb,
    "states": _states,
    "cloudwatch": _cloudwatch,
    "events": _events,
    "sns": _sns,
    "sqs": _sqs,
    "logs": _logs,
    "route53": _route53,
    "elbv2": _elbv2,
    "apigateway": _apigateway,
    "s3": _s3,
    "ecr": _ecr,
}
