"""Alarms and metrics, by each protocol that CloudWatch speaks: the calls behind `cloudwatch.json`."""

from __future__ import annotations

import copy
import datetime
import json
from collections.abc import Callable
from typing import Any

import botocore.session
from replay import ACCOUNT, REGION, Replay, Scenarios, until

ALARMS = Scenarios("cloudwatch")
SUITES = [ALARMS]

PROTOCOLS = ("json", "query", "smithy-rpc-v2-cbor")


def each(name: str, *ways: str) -> list[str]:
    """The recording's names: one for each protocol, and for each way where there are several."""
    return [f"{name}[{protocol}{f'-{way}' if way else ''}]" for protocol in PROTOCOLS for way in ways or ("",)]


def cloudwatch(r: Replay) -> Any:
    """A client that speaks the protocol of the recording."""
    protocol = (
        next(each for each in reversed(PROTOCOLS) if r.parameter.startswith(each)) if r.parameter else PROTOCOLS[-1]
    )
    session = botocore.session.Session()
    loader = session.get_component("data_loader")
    original = loader.load_service_model

    def load(service: str, kind: str, **more: Any) -> Any:
        model = copy.deepcopy(original(service, kind, **more))
        if kind == "service-2":
            model["metadata"].update(protocol=protocol, protocols=[protocol])
        return model

    loader.load_service_model = load
    return session.create_client(
        "cloudwatch",
        endpoint_url=f"http://127.0.0.1:{r.aws.port}",
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


SIMPLE = {
    "EvaluationPeriods": 1,
    "ComparisonOperator": "GreaterThanThreshold",
    "Period": 60,
    "Statistic": "Sum",
    "Threshold": 30,
}


@ALARMS.of(*each("describe_minimal_metric_alarm"))
def minimal(r: Replay) -> None:
    client, name = cloudwatch(r), r.unique("alarm")
    client.put_metric_alarm(AlarmName=name, MetricName=f"m-{name}", Namespace=f"n-{name}", **{**SIMPLE, "Period": 10})
    r("describe_minimal_metric_alarm", client.describe_alarms, AlarmNames=[name])


@ALARMS.of(*each("describe_alarms_converts_date_format_correctly"))
def dates(r: Replay) -> None:
    client, name = cloudwatch(r), r.unique("alarm") + ":test"
    client.put_metric_alarm(AlarmName=name, MetricName=f"m-{name}", Namespace=f"n-{r.unique()}", **SIMPLE)
    r("describe-alarms", client.describe_alarms, AlarmNames=[name])


@ALARMS.of(*each("delete_alarm"))
def delete(r: Replay) -> None:
    client, name = cloudwatch(r), r.unique("alarm")
    client.put_metric_alarm(AlarmName=name, MetricName="metric1", Namespace=f"n-{name}", **SIMPLE)
    r("describe-alarm", client.describe_alarms, AlarmNames=[name])
    r("delete-alarm", client.delete_alarms, AlarmNames=[name])
    r("describe-after-delete", client.describe_alarms, AlarmNames=[name])


@ALARMS.of(*each("put_metric_alarm_escape_character"))
def escaped(r: Replay) -> None:
    client, name = cloudwatch(r), r.unique("alarm")
    action = f"arn:aws:sns:{REGION}:111122223333:MyTopic"
    about = {
        "AlarmDescription": "<",
        "MetricName": "CPUUtilization-2",
        "Namespace": "AWS/EC2",
        "AlarmActions": [action],
    }
    client.put_metric_alarm(AlarmName=name, **{**SIMPLE, "Period": 600, "Threshold": 1}, **about)
    r("describe-alarms-escaped-character", client.describe_alarms, AlarmNames=[name])


@ALARMS.of(*each("set_alarm_invalid_input"))
def refused_states(r: Replay) -> None:
    client = cloudwatch(r)
    r("error-invalid-state", client.set_alarm_state, AlarmName="a", StateValue="INVALID", StateReason="test")
    missing = {"AlarmName": "a-nonexistent", "StateValue": "OK", "StateReason": "test"}
    r("error-resource-not-found", client.set_alarm_state, **missing)


@ALARMS.of(*each("set_alarm"))
def states(r: Replay) -> None:
    client, name = cloudwatch(r), r.unique("alarm")
    client.put_metric_alarm(
        AlarmName=name,
        AlarmDescription="Test Alarm when CPU exceeds 50 percent",
        MetricName="CPUUtilization-3",
        Namespace="AWS/EC2",
        ActionsEnabled=True,
        Period=300,
        Threshold=50.0,
        Dimensions=[{"Name": "InstanceId", "Value": "i-0317828c84edbe100"}],
        Unit="Percent",
        Statistic="Average",
        OKActions=[f"arn:aws:sns:{REGION}:{ACCOUNT}:{name}-ok"],
        AlarmActions=[f"arn:aws:sns:{REGION}:{ACCOUNT}:{name}-alarm"],
        EvaluationPeriods=2,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
    )
    for step, state, reason in (("triggered", "ALARM", "testing alarm"), ("reset", "OK", "resetting alarm")):
        client.set_alarm_state(AlarmName=name, StateReason=reason, StateValue=state)
        r(f"{step}-alarm", client.describe_alarms, AlarmNames=[name])


@ALARMS.of(*each("trigger_composite_alarm"))
def composite(r: Replay) -> None:
    client, name = cloudwatch(r), r.unique("alarm")
    children = [f"{name}-{nth}" for nth in (1, 2)]
    for child in children:
        client.put_metric_alarm(
            AlarmName=child, MetricName="CPUUtilization", Namespace="AWS/EC2", **{**SIMPLE, "Period": 10}
        )
    listed = client.describe_alarms(AlarmNames=children)["MetricAlarms"]
    rule = " OR ".join(f'ALARM("{alarm["AlarmArn"]}")' for alarm in listed)
    actions = {f"{kind}Actions": [f"arn:aws:sns:{REGION}:{ACCOUNT}:{name}-{kind}"] for kind in ("OK", "Alarm")}
    about = {"AlarmDescription": "composite alarm description", "AlarmRule": rule, **actions}
    r("put-composite-alarm", client.put_composite_alarm, AlarmName=f"{name}-c", **about)

    def told(step: str, nth: int, state: str, expected: str) -> None:
        client.set_alarm_state(AlarmName=children[nth], StateValue=state, StateReason="reason")
        asked = {"AlarmNames": [f"{name}-c"], "AlarmTypes": ["CompositeAlarm"]}

        def reached() -> Any:
            (alarm,) = client.describe_alarms(**asked)["CompositeAlarms"]
            return alarm if alarm["StateValue"] == expected else None

        r.match(step, until(reached, step))

    for nth in (0, 1):
        told(f"composite-alarm-in-alarm-when-alarm-{nth + 1}-is-in-alarm", nth, "ALARM", "ALARM")
        told(f"composite-alarm-in-ok-when-alarm-{nth + 1}-is-back-to-ok", nth, "OK", "OK")
    client.set_alarm_state(AlarmName=children[0], StateValue="ALARM", StateReason="reason")
    told("composite-alarm-is-triggered-by-alarm-1-and-then-unchanged-by-alarm-2", 1, "ALARM", "ALARM")


@ALARMS.of("put_metric_alarm")
def from_data(r: Replay) -> None:
    client, name = cloudwatch(r), r.unique("alarm")
    sns, sqs = r.client("sns"), r.client("sqs")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
    metric = {"MetricName": "my-metric1", "Dimensions": [{"Name": "InstanceId", "Value": "abc"}]}
    client.put_metric_alarm(
        AlarmName=name,
        AlarmDescription="testing cloudwatch alarms",
        Namespace=f"test/{name}",
        Period=10,
        Threshold=21,
        Statistic="Average",
        OKActions=[topic],
        AlarmActions=[topic],
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
        Unit="Seconds",
        **metric,
    )
    r("describe-alarm", client.describe_alarms, AlarmNames=[name])
    points = [{**metric, "Value": value, "Unit": "Seconds"} for value in (21, 22)]
    client.put_metric_data(Namespace=f"test/{name}", MetricData=points)
    asked = {"QueueUrl": queue, "WaitTimeSeconds": 1}
    message = until(lambda: sqs.receive_message(**asked).get("Messages"), "the alarm's message")[0]
    r.match("alarm-triggered-sqs-msg", json.loads(json.loads(message["Body"])["Message"]))
    about = {"MetricName": "my-metric1", "Namespace": f"test/{name}", "Dimensions": metric["Dimensions"]}
    r("describe-alarms-for-metric", client.describe_alarms_for_metric, **about)
    r("describe-alarm-history", client.describe_alarm_history, AlarmName=name, HistoryItemType="StateUpdate")


# ── Metrics ──────────────────────────────────────────────────────────────────────────────────


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def point(metric: str = "metric1", unit: str = "Seconds", **more: Any) -> Any:
    return {"MetricName": metric, "Unit": unit, "Timestamp": now(), **more}


SET = {"StatisticValues": {"SampleCount": 10, "Sum": 55, "Minimum": 1, "Maximum": 10}}


def query(
    identity: str, namespace: str, metric: str = "metric1", stat: str = "Sum", unit: str = "", **more: Any
) -> Any:
    about = {"Namespace": namespace, "MetricName": metric, **more}
    return {
        "Id": identity,
        "MetricStat": {"Metric": about, "Period": 60, "Stat": stat, **({"Unit": unit} if unit else {})},
    }


def data(r: Replay, step: str, points: Callable[[], list[Any]], queries: Callable[[str], list[Any]]) -> None:
    """Puts points, and takes what is got of them. Should the minute end in between, both are done again."""
    for attempt in range(3):
        client, namespace = cloudwatch(r), f"test/{r.unique()}-{attempt}"
        minute = now().minute
        client.put_metric_data(Namespace=namespace, MetricData=points())
        span = {"StartTime": now() - datetime.timedelta(seconds=60), "EndTime": now() + datetime.timedelta(seconds=60)}
        r(step, client.get_metric_data, MetricDataQueries=queries(namespace), **span)
        if now().minute == minute:
            break


@ALARMS.of(*each("get_metric_data_stats", "Average", "Maximum", "Minimum", "SampleCount", "Sum"))
def statistics(r: Replay) -> None:
    stat = r.parameter.rpartition("-")[2]
    data(
        r,
        "get_metric_data",
        lambda: [point(Value=11), point(**SET)],
        lambda space: [query("result1", space, stat=stat)],
    )


@ALARMS.of(*each("get_metric_data_with_zero_and_labels"))
def labels(r: Replay) -> None:
    stats = ("Average", "Sum", "Minimum", "Maximum")
    data(
        r,
        "get_metric_data_with_zero_and_labels",
        lambda: [point(Value=value) for value in (0, 2, 4, 3.5, 7, 100)],
        lambda space: [query(f"result_{stat}", space, stat=stat) for stat in stats],
    )


@ALARMS.of(*each("get_metric_data_with_dimensions"))
def dimensions(r: Replay) -> None:
    one, two = ([{"Name": "InstanceId", "Value": value}] for value in ("one", "two"))
    data(
        r,
        "get_metric_data",
        lambda: [point(Value=11, Dimensions=one), point(Value=11, Dimensions=two), point(**SET)],
        lambda space: [query("result1", space, Dimensions=one)],
    )


@ALARMS.of(*each("get_metric_data_for_multiple_metrics"))
def several(r: Replay) -> None:
    data(
        r,
        "get_metric_data",
        lambda: [point(Value=50), point("metric2", Value=25), point("metric3", **SET)],
        lambda space: [query(f"result{nth}", space, f"metric{nth}") for nth in (1, 2, 3)],
    )


@ALARMS.of(*each("get_metric_data_with_different_units"))
def units(r: Replay) -> None:
    data(
        r,
        "get_metric_data_with_different_units",
        lambda: [point("m-test", Value=1), point("m-test", "Count", Value=1)],
        lambda space: [query("m1", space, "m-test", unit="Seconds")],
    )


@ALARMS.of(*each("put_metric_data_validation"))
def refused_data(r: Replay) -> None:
    client = cloudwatch(r)

    def refused(step: str, **more: Any) -> None:
        named = {"MetricName": "metric1", "Unit": "Count", **more}
        r(step, client.put_metric_data, Namespace="n", MetricData=[named])

    refused("invalid-param-combination", Value=1.0, Values=[1.0, 2.0], Counts=[1.0, 1.0])
    refused("invalid-param-combination-2", Value=1.0, **SET)
    refused("invalid-param-value", Values=[1.0, 2.0], Counts=[1.0])
