"""Logs, Route 53, schedules and API Gateway: the calls behind the smaller files."""

from __future__ import annotations

import functools
import json
from typing import Any

from controls import helped
from replay import ACCOUNT, REGION, Replay, Scenarios, until

FILTER = Scenarios("logs-filter")
SUBSCRIPTIONS = Scenarios("logs-subscription")
ZONES = Scenarios("route53-health")
SCHEDULES = Scenarios("events-schedule")
APIS = Scenarios("apigateway")
SUITES = [FILTER, SUBSCRIPTIONS, ZONES, SCHEDULES, APIS]


# ── Logs ─────────────────────────────────────────────────────────────────────────────────────


def group(r: Replay) -> tuple[Any, str]:
    client, name = r.client("logs"), r.unique("group")
    client.create_log_group(logGroupName=name)
    return client, name


@FILTER.of("filter_log_events_limit_validation")
def filter_limit(r: Replay) -> None:
    client, name = group(r)
    r("error-limit-exceeded", client.filter_log_events, logGroupName=name, limit=10001)


@FILTER.of("filter_log_events_unknown_token")
def filter_token(r: Replay) -> None:
    client, name = group(r)
    r("invalid-token", client.filter_log_events, logGroupName=name, nextToken="invalid-token")


def subscribed(r: Replay, pattern: str = "", count: int = 1) -> tuple[Any, str, str]:
    """A group with so many filters that send its events to a function."""
    client, name = group(r)
    functions, function = r.client("lambda"), r.unique("function")
    arn = helped(functions, function)["CreateFunctionResponse"]["FunctionArn"]
    permission = functools.partial(
        functions.add_permission,
        FunctionName=function,
        StatementId=function,
        Principal=f"logs.{REGION}.amazonaws.com",
        Action="lambda:InvokeFunction",
        SourceArn=f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*",
        SourceAccount=ACCOUNT,
    )
    if "lambda" in r.name:
        r("add_permission", permission)
    else:
        permission()
    for nth in range(count):
        named = {"logGroupName": name, "filterName": f"test{nth or ''}", "filterPattern": pattern}
        answer = client.put_subscription_filter(destinationArn=arn, **named)
    if "lambda" in r.name:
        r.match("put_subscription_filter", answer)
    return client, name, arn


@SUBSCRIPTIONS.of("put_subscription_filter_lambda")
def subscription(r: Replay) -> None:
    client, name, _arn = subscribed(r)
    r("describe_subscription_filter", client.describe_subscription_filters, logGroupName=name)
    client.create_log_stream(logGroupName=name, logStreamName="stream")
    events = [{"timestamp": 1_790_000_000_000 + nth, "message": text} for nth, text in enumerate(("test", "test 2"))]
    client.put_log_events(logGroupName=name, logStreamName="stream", logEvents=events)
    found = client.get_log_events(logGroupName=name, logStreamName="stream")["events"]
    # As the function is handed them.
    kept = [{"id": "id", **{key: event[key] for key in ("message", "timestamp")}} for event in found]
    r.match("list_all_log_events", kept)


@SUBSCRIPTIONS.of("put_subscription_filter_update")
def subscription_update(r: Replay) -> None:
    client, name, arn = subscribed(r)
    named = {"logGroupName": name, "filterName": "test", "filterPattern": "[]"}
    client.put_subscription_filter(destinationArn=arn, **named)
    r("updated-filter", client.describe_subscription_filters, logGroupName=name)


@SUBSCRIPTIONS.of("put_subscription_filter_limit_exceeded")
def subscription_limit(r: Replay) -> None:
    client, name, arn = subscribed(r, count=2)
    named = {"logGroupName": name, "filterName": "third", "filterPattern": ""}
    r("error-limit-exceeded", client.put_subscription_filter, destinationArn=arn, **named)


@SUBSCRIPTIONS.of("delete_subscription_filter_errors")
def subscription_delete(r: Replay) -> None:
    client, name = group(r)
    delete = client.delete_subscription_filter
    r("error-log-group-not-found", delete, logGroupName=f"no-{name}", filterName="test")
    r("error-filter-not-found", delete, logGroupName=name, filterName="test")


@SUBSCRIPTIONS.of("describe_subscription_filters_empty")
def subscription_none(r: Replay) -> None:
    client, name = group(r)
    r("describe-subscription-filters-empty", client.describe_subscription_filters, logGroupName=name)


@SUBSCRIPTIONS.of("describe_subscription_filters_log_group_not_found")
def subscription_no_group(r: Replay) -> None:
    client = r.client("logs")
    r("error-log-group-not-found", client.describe_subscription_filters, logGroupName="no-such-group")


# ── Route 53 ─────────────────────────────────────────────────────────────────────────────────


@ZONES.of("create_hosted_zone")
def zone(r: Replay) -> None:
    client, name = r.client("route53"), f"{r.unique('zone')}.test."
    made = r("create_hosted_zone_response", client.create_hosted_zone, Name=name, CallerReference=f"ref-{name}")
    r("get_hosted_zone", client.get_hosted_zone, Id=made["HostedZone"]["Id"])


@ZONES.of("delete_hosted_zone")
def zone_delete(r: Replay) -> None:
    client, name = r.client("route53"), f"{r.unique('zone')}.test."
    made = client.create_hosted_zone(Name=name, CallerReference=f"ref-{name}")["HostedZone"]["Id"]
    r("delete-hosted-zone-response", client.delete_hosted_zone, Id=made)
    identity = made.rpartition("/")[2]
    r("no-such-hosted-zone-error", client.delete_hosted_zone, Id=f"{identity}asdf1234")


# ── Schedules ────────────────────────────────────────────────────────────────────────────────

CRONS = (
    "* * ? * SAT#3 *",
    "0 10 * * ? *",
    "0 12 * * ? *",
    "0 18 ? * MON-FRI *",
    "0 2 ? * SAT *",
    "0 2 ? * SAT#3 *",
    "0 8 1 * ? *",
    "0/10 * ? * MON-FRI *",
    "0/15 * * * ? *",
    "0/30 0-2 ? * MON-FRI *",
    "0/30 20-23 ? * MON-FRI *",
    "0/5 5 ? JAN 1-5 2022",
    "0/5 8-17 ? * MON-FRI *",
    "15 10 ? * 6L 2002-2005",
    "15 12 * * ? *",
    "5,35 14 * * ? *",
)
NO_CRONS = ("0 1 * * * *", "0 dummy ? * MON-FRI *", "7 20 * * NOT *", "71 8 1 * ? *", "INVALID")


@SCHEDULES.of("put_rule_with_schedule_rate")
def rate(r: Replay) -> None:
    scheduled(r, "rate(1 minute)")


def scheduled(r: Replay, expression: str) -> None:
    client, name = r.client("events"), r.unique("rule")
    r("put-rule", client.put_rule, Name=name, ScheduleExpression=expression)
    r("list-rules", client.list_rules, NamePrefix=name)


def cron(r: Replay) -> None:
    scheduled(r, r.parameter or "cron(0 20 * * ? *)")


# These recordings' names begin with `tests_`.
SCHEDULES.by_name.update(
    {f"tests_put_rule_with_schedule_cron{name}": cron for name in ("", *(f"[cron({each})]" for each in CRONS))}
)


def no_cron(r: Replay) -> None:
    client = r.client("events")
    r("invalid-put-rule", client.put_rule, Name=r.unique("rule"), ScheduleExpression=r.parameter)


SCHEDULES.by_name.update({f"tests_put_rule_with_invalid_schedule_cron[cron({each})]": no_cron for each in NO_CRONS})


def other_bus(r: Replay) -> None:
    client, bus = r.client("events"), r.unique("bus")
    client.create_event_bus(Name=bus)
    rule = {"Name": r.unique("rule"), "ScheduleExpression": "rate(1 minute)", "EventBusName": bus}
    r("put-rule-with-custom-event-bus-error", client.put_rule, **rule)


def fired(r: Replay) -> None:
    """Targets of a schedule that is made to fire, as often as was recorded."""
    client, sqs, name = r.client("events"), r.client("sqs"), r.unique("rule")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    cron = "cron" in r.name
    client.put_rule(Name=name, ScheduleExpression="cron(* * * * ? *)" if cron else "rate(1 day)")
    given = {"Input": json.dumps({"custom-value": "somecustominput"})} if "custom_input" in r.name else {}
    client.put_targets(Rule=name, Targets=[{"Id": name, "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}", **given}])
    if not cron:
        r("list-targets", client.list_targets_by_rule, Rule=name)
    steps = {"test_schedule_cron_target_sqs": ["message"], "tests_schedule_rate_custom_input_target_sqs": ["messages"]}
    for step in steps.get(r.name, ["messages-first", "messages-second"]):
        r.aws.local("POST", "schedules/run", {"rule": name})
        asked = {"QueueUrl": queue, "WaitTimeSeconds": 1}
        messages = until(lambda: sqs.receive_message(**asked).get("Messages"), "a message")
        for message in messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        r.match(step, messages)


SCHEDULES.by_name.update(
    {
        "tests_put_rule_with_schedule_custom_event_bus": other_bus,
        "test_schedule_cron_target_sqs": fired,
        "tests_schedule_rate_target_sqs": fired,
        "tests_schedule_rate_custom_input_target_sqs": fired,
    }
)


# ── API Gateway ──────────────────────────────────────────────────────────────────────────────


def api(r: Replay, mocked: bool = True) -> tuple[Any, dict[str, str]]:
    """A REST API with one method."""
    client = r.client("apigateway")
    made = client.create_rest_api(name=r.unique("api"))["id"]
    root = client.get_resources(restApiId=made)["items"][0]["id"]
    about = {"restApiId": made, "resourceId": root, "httpMethod": "GET"}
    client.put_method(authorizationType="NONE", **about)
    if mocked:
        templates = {"requestTemplates": {"application/json": '{"statusCode": 200}'}}
        client.put_integration(type="MOCK", **templates, **about)
    return client, about


@APIS.of("get_stages_filters_by_deployment_id")
def stages(r: Replay) -> None:
    client, about = api(r)
    made = about["restApiId"]
    for nth in (1, 2):
        deployment = client.create_deployment(restApiId=made)["id"]
        client.create_stage(restApiId=made, stageName=f"stage{nth}", deploymentId=deployment)
        r(f"stages-deploy{nth}", client.get_stages, restApiId=made, deploymentId=deployment)
    answer = client.get_stages(restApiId=made)
    r.match("all-stages", {**answer, "item": sorted(answer["item"], key=lambda stage: stage["stageName"])})


@APIS.of("get_integration_non_existent")
def no_integration(r: Replay) -> None:
    client, about = api(r, mocked=False)
    get = client.get_integration
    r("get-integration-no-api", get, **{**about, "restApiId": "not-an-api"})
    r("get-integration-no-resource", get, **{**about, "resourceId": "not-a-resource"})
    r("get-integration-no-method", get, **{**about, "httpMethod": "POST"})
    r("get-integration-no-integration", get, **about)


@APIS.of("authorizer_crud_no_api")
def no_api(r: Replay) -> None:
    client = r.client("apigateway")
    wanted = {"name": "fake", "type": "TOKEN"}
    r("wrong-rest-api-id-create-authorizer", client.create_authorizer, restApiId="test-fake-rest-id", **wanted)
    r("wrong-rest-api-id-get-authorizers", client.get_authorizers, restApiId="test-fake-rest-id")
