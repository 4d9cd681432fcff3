"""Each gap of ministack and moto that is bridged: that it is, and where cheap, that it is still needed.

    .venv/bin/python -m unittest discover -s tests/local -v

It wants the target function built (`TARGET_FUNCTION`, or target/release/target-function) and
starts its own local AWS on free ports.
"""

from __future__ import annotations

import base64
import collections
import concurrent.futures
import contextlib
import datetime
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from ports import free_port

HERE = Path(__file__).resolve().parent
ROLE = "arn:aws:iam::000000000000:role/target"
ACCOUNT, REGION = "000000000000", "us-east-1"
SIGNED = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=x"


def bootstrap() -> Path:
    named = os.environ.get("TARGET_FUNCTION")
    found = Path(named) if named else HERE.parents[1] / "target" / "release" / "target-function"
    if not found.exists():
        raise unittest.SkipTest(f"build the target function first: {found} is missing")
    return found


class LocalAws:
    """One `aws.py serve`, told to end with this process."""

    def __init__(self, *options: str, wait_scale: float = 0.01) -> None:
        self.port = free_port()
        self.dir = tempfile.mkdtemp(prefix="local-aws-")
        began = time.monotonic()
        self.process = subprocess.Popen(
            [
                sys.executable,
                str(HERE / "aws.py"),
                "serve",
                "--port",
                str(self.port),
                "--dir",
                self.dir,
                "--wait-scale",
                str(wait_scale),
                "--die-with-stdin",
                *options,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        self.ready_seconds = time.monotonic() - began
        assert line == f"ready http://127.0.0.1:{self.port}\n", line

    def client(self, service: str, port: int | None = None, **config: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{port or self.port}",
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, max_pool_connections=60, **config),
        )

    def local(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/_local/{path}",
            json.dumps(body).encode() if body is not None else None,
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(5)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


def package(**behaviour: Any) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "f.zip"
        subprocess.run(
            [
                sys.executable,
                str(HERE / "aws.py"),
                "package",
                "--bootstrap",
                str(bootstrap()),
                "--behaviour",
                json.dumps(behaviour),
                "--out",
                str(out),
            ],
            check=True,
        )
        return out.read_bytes()


CALLER = """#!{python}
import json, os, urllib.error, urllib.request

api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
signed = "AWS4-HMAC-SHA256 Credential=" + os.environ["AWS_ACCESS_KEY_ID"]
signed += "/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=x"
while True:
    with urllib.request.urlopen(api + "next") as event:
        identity, asked = event.headers["lambda-runtime-aws-request-id"], json.load(event)
    url = os.environ["AWS_ENDPOINT_URL"] + "/2015-03-31/functions/" + asked["function"] + "/aliases/live"
    body = json.dumps(dict(Description=asked["says"])).encode()
    headers = {{"authorization": signed, "content-type": "application/json"}}
    try:
        call = urllib.request.Request(url, body, headers, method="PUT")
        with urllib.request.urlopen(call) as answer:
            said = answer.status
    except urllib.error.HTTPError as error:
        said = error.code
    except OSError as error:
        said = str(error)
    urllib.request.urlopen(api + identity + "/response", json.dumps(dict(status=said)).encode())
"""


def zipped(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            entry.create_system = 3
            archive.writestr(entry, text)
    return content.getvalue()


def eventually(check: Any, seconds: float = 10.0) -> Any:
    """Poll until `check` gives something true."""
    end = time.monotonic() + seconds
    while True:
        found = check()
        if found or time.monotonic() > end:
            return found
        time.sleep(0.02)


class Bridged(unittest.TestCase):
    """Tests that share one local AWS; each makes resources of its own names."""

    aws: ClassVar[LocalAws]

    @classmethod
    def setUpClass(cls) -> None:
        bootstrap()
        cls.aws = LocalAws()
        cls.lambda_ = cls.aws.client("lambda")
        cls.cloudwatch = cls.aws.client("cloudwatch")
        cls.events = cls.aws.client("events")
        cls.sqs = cls.aws.client("sqs")
        cls.sns = cls.aws.client("sns")
        cls.states = cls.aws.client("stepfunctions")
        cls.dynamodb = cls.aws.client("dynamodb")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.aws.stop()

    def setUp(self) -> None:
        self.name = self.id().rsplit(".", 1)[-1].replace("test_", "").replace("_", "-")[:50]
        self.aws.local("DELETE", "faults")
        self.aws.local("DELETE", "events/rules")

    # What tests make.

    def function(self, *behaviours: dict[str, Any], **settings: Any) -> str:
        """A function with one published version per behaviour, 1 upwards."""
        arguments = {"Runtime": "provided.al2023", "Role": ROLE, "Handler": "bootstrap", **settings}
        self.lambda_.create_function(FunctionName=self.name, Code={"ZipFile": package(**behaviours[0])}, **arguments)
        self.settled()
        self.lambda_.publish_version(FunctionName=self.name)
        for behaviour in behaviours[1:]:
            self.lambda_.update_function_code(FunctionName=self.name, ZipFile=package(**behaviour))
            self.settled()
            self.lambda_.publish_version(FunctionName=self.name)
        return self.name

    def settled(self) -> None:
        def is_settled() -> bool:
            config = self.lambda_.get_function_configuration(FunctionName=self.name)
            return config["State"] == "Active" and config["LastUpdateStatus"] == "Successful"

        self.assertTrue(eventually(is_settled))

    def weigh(self, version: str, extra: str | None = None, weight: float = 0.0, **more: Any) -> Any:
        routing = {"AdditionalVersionWeights": {extra: weight} if extra else {}}
        call = self.lambda_.update_alias
        try:
            self.lambda_.get_alias(FunctionName=self.name, Name="live")
        except self.lambda_.exceptions.ResourceNotFoundException:
            call = self.lambda_.create_alias
        return call(FunctionName=self.name, Name="live", FunctionVersion=version, RoutingConfig=routing, **more)

    def invoke(self, qualifier: str = "live", **more: Any) -> Any:
        return self.lambda_.invoke(FunctionName=self.name, Qualifier=qualifier, Payload=b'{"path":"/health"}', **more)

    def refused(self, code: str, status: int, call: Any, *args: Any, **kwargs: Any) -> str:
        with self.assertRaises(ClientError) as caught:
            call(*args, **kwargs)
        answer = caught.exception.response
        self.assertEqual((answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]), (code, status))
        return str(answer["Error"]["Message"])

    def queue_for(self, pattern: dict[str, Any]) -> str:
        url = self.sqs.create_queue(QueueName=self.name)["QueueUrl"]
        self.events.put_rule(Name=self.name, EventPattern=json.dumps(pattern))
        self.events.put_targets(
            Rule=self.name, Targets=[{"Id": "q", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.name}"}]
        )
        return str(url)

    def received(self, url: str, count: int, seconds: float = 5.0) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []

        def enough() -> bool:
            for message in self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
                found.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return len(found) >= count

        eventually(enough, seconds)
        return found

    def alarm(self, name: str | None = None, **more: Any) -> str:
        name = name or self.name
        arguments = {
            "Namespace": "AWS/Lambda",
            "MetricName": "Errors",
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "Dimensions": [
                {"Name": "FunctionName", "Value": self.name},
                {"Name": "Resource", "Value": f"{self.name}:live"},
            ],
            **more,
        }
        if "Metrics" in more:
            for field in ("Namespace", "MetricName", "Statistic", "Period", "Dimensions"):
                arguments.pop(field, None)
        self.cloudwatch.put_metric_alarm(AlarmName=name, **arguments)
        return name

    def state(self, name: str) -> str:
        found = self.cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        return str([*found["MetricAlarms"], *found["CompositeAlarms"]][0]["StateValue"])

    def data(self, *queries: dict[str, Any], since: float = 600) -> dict[str, Any]:
        now = time.time()
        found = self.cloudwatch.get_metric_data(
            StartTime=now - since, EndTime=now + 60, MetricDataQueries=list(queries)
        )
        return {r["Id"]: r for r in found["MetricDataResults"]}

    def stat(self, identity: str, metric: str, stat: str, *dimensions: str, **more: Any) -> dict[str, Any]:
        names = ("FunctionName", "Resource", "ExecutedVersion")
        return {
            "Id": identity,
            "MetricStat": {
                "Period": 60,
                "Stat": stat,
                "Metric": {
                    "Namespace": "AWS/Lambda",
                    "MetricName": metric,
                    "Dimensions": [{"Name": n, "Value": v} for n, v in zip(names, dimensions)],
                },
            },
            **more,
        }

    def machine(self, states: dict[str, Any], start: str, **more: Any) -> str:
        definition = {"StartAt": start, "States": states, **more}
        return str(
            self.states.create_state_machine(name=self.name, definition=json.dumps(definition), roleArn=ROLE)[
                "stateMachineArn"
            ]
        )

    def run_to_end(self, machine: str, data: Any = None, client: Any = None) -> dict[str, Any]:
        client = client or self.states
        arn = client.start_execution(stateMachineArn=machine, input=json.dumps(data or {}))["executionArn"]
        return self.ended(arn, client)

    def waits_until(self) -> None:
        """A Wait until a timestamp takes what is left until then, scaled; one that has passed takes nothing."""
        machine = self.machine({"W": {"Type": "Wait", "TimestampPath": "$.at", "End": True}}, "W")
        for ahead, least, most in ((100, 0.9, 4), (-100, 0, 1.5)):
            at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=ahead)
            began = time.monotonic()
            end = self.run_to_end(machine, {"at": at.strftime("%Y-%m-%dT%H:%M:%SZ")})
            took = time.monotonic() - began
            self.assertEqual(end["status"], "SUCCEEDED")
            self.assertTrue(least <= took <= most, f"{ahead} s took {took} s")

    def ended(self, arn: str, client: Any = None) -> dict[str, Any]:
        client = client or self.states
        found: dict[str, Any] = {}

        def is_over() -> bool:
            found.update(client.describe_execution(executionArn=arn))
            return found["status"] != "RUNNING"

        self.assertTrue(eventually(is_over, 20))
        return found

    def arn(self, qualifier: str = "") -> str:
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.name}" + (f":{qualifier}" if qualifier else "")


class Gap1Weights(Bridged):
    def test_share_and_metrics(self) -> None:
        self.function({"version": "blue"}, {"version": "green", "errorRatePercent": 100})
        self.weigh("1", "2", 0.25)
        seen: collections.Counter[str] = collections.Counter()
        errors = 0
        for _ in range(400):
            answer = self.invoke()
            seen[answer["ExecutedVersion"]] += 1
            errors += "FunctionError" in answer
            self.assertEqual("FunctionError" in answer, answer["ExecutedVersion"] == "2")
        self.assertAlmostEqual(seen["2"] / 400, 0.25, delta=0.1)
        live = f"{self.name}:live"
        sums = {
            key: sum(r["Values"])
            for key, r in self.data(
                self.stat("all", "Invocations", "Sum", self.name),
                self.stat("alias", "Invocations", "Sum", self.name, live),
                self.stat("blue", "Invocations", "Sum", self.name, live, "1"),
                self.stat("green", "Invocations", "Sum", self.name, live, "2"),
                self.stat("bad", "Errors", "Sum", self.name, live, "2"),
                self.stat("good", "Errors", "Sum", self.name, live, "1"),
                self.stat("timed", "Duration", "SampleCount", self.name, live, "2"),
                self.stat("direct", "Invocations", "Sum", self.name, f"{self.name}:2"),
            ).items()
        }
        self.assertEqual(
            sums,
            {
                "all": 400,
                "alias": 400,
                "blue": seen["1"],
                "green": seen["2"],
                "bad": errors,
                "good": 0,
                "timed": seen["2"],
                "direct": 0,
            },
        )

    def test_full_weight_leaves_nothing_to_the_primary(self) -> None:
        self.function({"version": "blue"}, {"version": "green"})
        self.weigh("1", "2", 1.0)
        self.assertEqual({self.invoke()["ExecutedVersion"] for _ in range(30)}, {"2"})
        self.weigh("1", "2", 0.0)
        self.assertEqual({self.invoke()["ExecutedVersion"] for _ in range(30)}, {"1"})

    def test_version_invoked_directly(self) -> None:
        self.function({"version": "blue"})
        self.weigh("1")
        self.invoke("1")
        data = self.data(
            self.stat("direct", "Invocations", "Sum", self.name, f"{self.name}:1"),
            self.stat("through", "Invocations", "Sum", self.name, f"{self.name}:live", "1"),
        )
        self.assertEqual((data["direct"]["Values"], data["through"]["Values"]), ([1.0], []))

    def test_every_path_is_weighted(self) -> None:
        self.function({"version": "blue"}, {"version": "green"})
        self.weigh("1", "2", 1.0)
        machine = self.machine(
            {
                "A": {"Type": "Task", "Resource": self.arn("live"), "ResultPath": "$.a", "Next": "B"},
                "B": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::lambda:invoke",
                    "ResultPath": "$.b",
                    "Parameters": {"FunctionName": self.arn("live"), "Payload": {}},
                    "End": True,
                },
            },
            "A",
        )
        output = json.loads(self.run_to_end(machine)["output"])
        self.assertIn("green", output["a"]["body"])
        self.assertEqual(output["b"]["ExecutedVersion"], "2")
        self.assertIn("green", output["b"]["Payload"]["body"])
        self.lambda_.add_permission(
            FunctionName=self.name,
            Qualifier="live",
            StatementId="e",
            Principal="events.amazonaws.com",
            Action="lambda:InvokeFunction",
        )
        self.events.put_rule(Name=self.name, EventPattern='{"source":["weights.test"]}')
        self.events.put_targets(Rule=self.name, Targets=[{"Id": "l", "Arn": self.arn("live")}])
        self.events.put_events(Entries=[{"Source": "weights.test", "DetailType": "x", "Detail": "{}"}])
        self.invoke(InvocationType="Event")
        query = self.stat("green", "Invocations", "Sum", self.name, f"{self.name}:live", "2")
        self.assertTrue(eventually(lambda: sum(self.data(query)["green"]["Values"]) == 4))


class Gap2AliasRules(Bridged):
    def test_refusals(self) -> None:
        self.function({"version": "1"}, {"version": "2"}, {"version": "3"})
        self.weigh("1", "2", 0.1)

        def update(version: str | None = "1", **weights: float) -> Any:
            arguments = {"FunctionVersion": version} if version else {}
            return {
                "FunctionName": self.name,
                "Name": "live",
                **arguments,
                "RoutingConfig": {"AdditionalVersionWeights": {k.strip("v"): w for k, w in weights.items()}},
            }

        call, invalid = self.lambda_.update_alias, "InvalidParameterValueException"
        self.assertIn("cannot be greater than 1", self.refused(invalid, 400, call, **update(v2=0.1, v3=0.1)))
        self.assertIn(
            "Function version 1 is already included in routing configuration.",
            self.refused(invalid, 400, call, **update(v1=0.1)),
        )
        self.assertIn("$LATEST is not supported", self.refused(invalid, 400, call, **update("$LATEST", v2=0.1)))
        self.assertIn("Function not found", self.refused("ResourceNotFoundException", 404, call, **update(v10=0.1)))
        self.assertIn("Function not found", self.refused("ResourceNotFoundException", 404, call, **update("10")))
        unchecked = self.aws.client("lambda", parameter_validation=False).update_alias
        for weight in (1.01, -0.1, 10.0):
            self.refused("ValidationException", 400, unchecked, **update(v2=weight))
        self.refused(
            "ValidationException",
            400,
            call,
            FunctionName=self.name,
            Name="live",
            RoutingConfig={"AdditionalVersionWeights": {"$LATEST": 0.1}},
        )
        self.assertEqual(
            self.lambda_.get_alias(FunctionName=self.name, Name="live")["RoutingConfig"],
            {"AdditionalVersionWeights": {"2": 0.1}},
        )

    def test_what_is_not_said_is_kept(self) -> None:
        self.function({"version": "1"}, {"version": "2"}, {"version": "3"})
        self.weigh("1", "2", 0.1)
        weights = {"AdditionalVersionWeights": {"2": 0.1}}
        kept = self.lambda_.update_alias(FunctionName=self.name, Name="live", Description="d")
        self.assertEqual((kept["RoutingConfig"], kept["FunctionVersion"]), (weights, "1"))
        self.assertEqual(
            self.lambda_.update_alias(FunctionName=self.name, Name="live", FunctionVersion="3")["RoutingConfig"],
            weights,
        )
        self.assertEqual(
            self.lambda_.update_alias(FunctionName=self.name, Name="live", RoutingConfig={})["RoutingConfig"], weights
        )
        cleared = self.weigh("3")
        self.assertNotIn("RoutingConfig", cleared)
        self.assertEqual(cleared["Description"], "d")

    def test_revisions(self) -> None:
        self.function({"version": "1"})
        first = self.weigh("1")["RevisionId"]
        second = self.weigh("1", RevisionId=first)["RevisionId"]
        self.assertNotEqual(first, second)
        message = self.refused("PreconditionFailedException", 412, self.weigh, "1", RevisionId=first)
        self.assertTrue(message.startswith("The Revision Id provided does not match the latest Revision Id."))

    def test_names_and_absence(self) -> None:
        self.function({"version": "1"})
        create, get = self.lambda_.create_alias, self.lambda_.get_alias
        self.weigh("1")
        self.assertIn(
            "Alias already exists: arn:",
            self.refused(
                "ResourceConflictException", 409, create, FunctionName=self.name, Name="live", FunctionVersion="1"
            ),
        )
        self.assertIn(
            "Cannot find alias arn",
            self.refused("ResourceNotFoundException", 404, get, FunctionName=self.name, Name="no"),
        )
        self.refused("ValidationException", 400, create, FunctionName=self.name, Name="123", FunctionVersion="1")
        create(FunctionName=self.name, Name="latest", FunctionVersion="$LATEST")
        self.lambda_.delete_alias(FunctionName=self.name, Name="no")
        listed = self.lambda_.list_aliases(FunctionName=self.name, FunctionVersion="1")["Aliases"]
        self.assertEqual([a["Name"] for a in listed], ["live"])

    def test_versions_must_share_role_and_dead_letter_queue(self) -> None:
        self.function({"version": "1"})
        for change in (
            {"Role": "arn:aws:iam::000000000000:role/other"},
            {"Role": ROLE, "DeadLetterConfig": {"TargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dlq"}},
        ):
            self.lambda_.update_function_configuration(FunctionName=self.name, **change)
            self.settled()
            version = self.lambda_.publish_version(FunctionName=self.name)
            self.refused("InvalidParameterValueException", 400, self.weigh, "1", version["Version"], 0.5)
            got = self.lambda_.get_function(FunctionName=self.name, Qualifier=version["Version"])["Configuration"]
            self.assertEqual(
                (got["Role"], got.get("DeadLetterConfig")), (version["Role"], version.get("DeadLetterConfig"))
            )

    def test_a_referenced_version_is_kept(self) -> None:
        self.function({"version": "1"}, {"version": "2"}, {"version": "3"})
        self.weigh("1", "2", 0.1)
        for version in ("1", "2"):
            message = self.refused(
                "ResourceConflictException",
                409,
                self.lambda_.delete_function,
                FunctionName=self.name,
                Qualifier=version,
            )
            self.assertEqual(message, "Unable to delete version because the following aliases reference it: [live]")
        self.lambda_.delete_function(FunctionName=self.name, Qualifier="3")
        self.lambda_.delete_function(FunctionName=self.name, Qualifier="99")
        versions = self.lambda_.list_versions_by_function(FunctionName=self.name)["Versions"]
        self.assertEqual([v["Version"] for v in versions], ["$LATEST", "1", "2"])


class Gap3AlarmEvents(Bridged):
    PATTERN: ClassVar[dict[str, Any]] = {"source": ["aws.cloudwatch"], "detail-type": ["CloudWatch Alarm State Change"]}

    def test_set_state_is_told_at_once(self) -> None:
        url = self.queue_for({**self.PATTERN, "detail": {"alarmName": [{"prefix": self.name}]}})
        self.alarm(AlarmDescription="errors")
        began = time.monotonic()
        self.cloudwatch.set_alarm_state(AlarmName=self.name, StateValue="ALARM", StateReason="by hand")
        event = self.received(url, 1)[0]
        self.assertLess(time.monotonic() - began, 1.0)
        self.assertEqual(event["source"], "aws.cloudwatch")
        self.assertEqual(event["resources"], [f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{self.name}"])
        detail = event["detail"]
        self.assertRegex(detail["state"].pop("timestamp"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000$")
        self.assertRegex(detail["previousState"].pop("timestamp"), r"\+0000$")
        metric = detail["configuration"]["metrics"][0]["metricStat"]
        self.assertEqual(
            metric,
            {
                "metric": {
                    "dimensions": {"FunctionName": self.name, "Resource": f"{self.name}:live"},
                    "name": "Errors",
                    "namespace": "AWS/Lambda",
                },
                "period": 60,
                "stat": "Sum",
            },
        )
        self.assertEqual(detail["configuration"]["description"], "errors")
        self.assertEqual(
            (detail["state"], detail["previousState"]["value"]),
            ({"reason": "by hand", "value": "ALARM"}, "INSUFFICIENT_DATA"),
        )
        self.cloudwatch.set_alarm_state(AlarmName=self.name, StateValue="ALARM", StateReason="again")
        self.assertEqual(self.received(url, 1, 0.4), [])
        self.cloudwatch.set_alarm_state(AlarmName=self.name, StateValue="OK", StateReason="well")
        told = self.received(url, 1)[0]["detail"]
        self.assertEqual(
            (told["previousState"]["reason"], told["previousState"]["value"], told["state"]["value"]),
            ("by hand", "ALARM", "OK"),
        )

    def test_composite(self) -> None:
        url = self.queue_for({**self.PATTERN, "detail": {"alarmName": [f"{self.name}-all"]}})
        for child in "ab":
            self.alarm(f"{self.name}-{child}")
        rule = f'ALARM("{self.name}-a") AND NOT OK("{self.name}-b")'
        self.cloudwatch.put_composite_alarm(AlarmName=f"{self.name}-all", AlarmRule=rule)
        self.cloudwatch.set_alarm_state(AlarmName=f"{self.name}-a", StateValue="ALARM", StateReason="x")
        self.assertEqual(self.state(f"{self.name}-all"), "ALARM")
        detail = self.received(url, 2)[-1]["detail"]
        self.assertEqual((detail["configuration"]["alarmRule"], detail["state"]["value"]), (rule, "ALARM"))
        self.assertEqual(
            [t["arn"].rsplit(":", 1)[-1] for t in json.loads(detail["state"]["reasonData"])["triggeringAlarms"]],
            [f"{self.name}-a"],
        )
        self.assertEqual(self.cloudwatch.describe_alarms(AlarmNames=[f"{self.name}-all"])["CompositeAlarms"], [])

    def test_an_alarm_starts_a_function(self) -> None:
        self.function({"version": "checker"})
        self.lambda_.add_permission(
            FunctionName=self.name, StatementId="e", Principal="events.amazonaws.com", Action="lambda:InvokeFunction"
        )
        self.events.put_rule(
            Name=self.name,
            EventPattern=json.dumps(
                {**self.PATTERN, "detail": {"alarmName": [self.name], "state": {"value": ["ALARM"]}}}
            ),
        )
        self.events.put_targets(Rule=self.name, Targets=[{"Id": "l", "Arn": self.arn()}])
        self.alarm()
        seq = self.aws.local("GET", "calls")["seq"]
        began = time.time()
        self.cloudwatch.set_alarm_state(AlarmName=self.name, StateValue="ALARM", StateReason="x")
        call = eventually(
            lambda: [c for c in self.aws.local("GET", f"calls?since={seq}")["calls"] if c["caller"] == "events"]
        )
        self.assertEqual((call[0]["action"], call[0]["resource"]), ("Invoke", self.name))
        self.assertLess(call[0]["time"] - began, 1.0)


class Gap4Alarms(Bridged):
    def test_errors_of_an_alias_fire(self) -> None:
        self.function({"version": "blue"}, {"version": "green", "errorRatePercent": 100})
        self.weigh("1")
        self.alarm(TreatMissingData="notBreaching")
        other = self.alarm(f"{self.name}-other", Dimensions=[{"Name": "FunctionName", "Value": "another"}])
        self.assertTrue(eventually(lambda: self.state(self.name) == "OK"))
        self.weigh("1", "2", 1.0)
        self.invoke()
        began = time.monotonic()
        self.assertTrue(eventually(lambda: self.state(self.name) == "ALARM", 3))
        self.assertLess(time.monotonic() - began, 2)
        self.assertEqual(self.state(other), "INSUFFICIENT_DATA")

    def test_metric_math(self) -> None:
        self.function({"version": "bad", "errorRatePercent": 100})
        self.weigh("1")
        live = f"{self.name}:live"
        self.alarm(
            Metrics=[
                {"Id": "r", "Expression": "IF(i >= 3, 100 * FILL(e, 0) / i, 0)", "ReturnData": True},
                self.stat("e", "Errors", "Sum", self.name, live, ReturnData=False),
                self.stat("i", "Invocations", "Sum", self.name, live, ReturnData=False),
            ],
            Threshold=50,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="notBreaching",
        )
        self.invoke()
        time.sleep(1.2)
        self.assertEqual(self.state(self.name), "OK")
        for _ in range(3):
            self.invoke()
        self.assertTrue(eventually(lambda: self.state(self.name) == "ALARM", 3))
        described = self.cloudwatch.describe_alarms(AlarmNames=[self.name])["MetricAlarms"][0]
        self.assertEqual(len(described["Metrics"]), 3)
        self.assertNotIn("MetricName", described)

    def test_m_of_n_and_missing(self) -> None:
        # All within one minute: which points count changes with it.
        if (left := 60 - time.time() % 60) < 5:
            time.sleep(left)
        now = time.time() // 60 * 60

        def put(*values: tuple[int, float]) -> None:
            self.cloudwatch.put_metric_data(
                Namespace="Test",
                MetricData=[
                    {"MetricName": self.name, "Timestamp": now - 60 * back, "Value": value} for back, value in values
                ],
            )

        def alarm(suffix: str, **more: Any) -> str:
            return self.alarm(
                f"{self.name}-{suffix}", Namespace="Test", MetricName=self.name, Dimensions=[], Threshold=5, **more
            )

        put((1, 9.0), (2, 1.0), (3, 9.0))
        two = alarm("two", EvaluationPeriods=3, DatapointsToAlarm=2)
        three = alarm("three", EvaluationPeriods=3)
        missing = alarm("missing", EvaluationPeriods=6, DatapointsToAlarm=5, TreatMissingData="breaching")
        ignored = alarm("ignored", EvaluationPeriods=6, DatapointsToAlarm=5, TreatMissingData="ignore")
        time.sleep(1.5)
        self.assertEqual(
            [self.state(a) for a in (two, three, missing, ignored)], ["ALARM", "OK", "ALARM", "INSUFFICIENT_DATA"]
        )

    def test_set_state_stands_without_data(self) -> None:
        self.alarm()
        self.cloudwatch.set_alarm_state(AlarmName=self.name, StateValue="OK", StateReason="x")
        time.sleep(1.5)
        self.assertEqual(self.state(self.name), "OK")


class Gap5MetricData(Bridged):
    def test_metrics_come_late_at_the_minute_of_their_beginning(self) -> None:
        self.function({"version": "1", "latencyMs": 300})
        self.aws.local("POST", "metrics/lag", {"functionName": self.name, "seconds": 1.5})
        self.addCleanup(self.aws.local, "POST", "metrics/lag", {"functionName": self.name, "seconds": None})
        began = time.time()
        self.invoke("1")
        ended = time.time()
        counted = self.stat("m", "Invocations", "Sum", self.name)
        self.assertEqual(self.data(counted)["m"]["Values"], [])
        found = eventually(lambda: self.data(counted)["m"]["Timestamps"])
        self.assertGreater(time.time() - ended, 1.4)
        self.assertLessEqual(found[0].timestamp(), began)

    def test_trimmed_counts_and_percentiles(self) -> None:
        values = [float(v) for v in range(1, 101)]
        self.cloudwatch.put_metric_data(Namespace="Test", MetricData=[{"MetricName": self.name, "Values": values}])

        def query(identity: str, stat: str) -> dict[str, Any]:
            return {
                "Id": identity,
                "MetricStat": {"Metric": {"Namespace": "Test", "MetricName": self.name}, "Period": 60, "Stat": stat},
            }

        wanted = {
            "TC(10:20)": 10,
            "TC(:10)": 10,
            "TC(90:)": 10,
            "TC(10%:90%)": 80,
            "TM(10%:90%)": 50.5,
            "PR(:50)": 50,
            "p99": 99.01,
            "p50": 50.5,
            "SampleCount": 100,
            "Sum": 5050,
            "TS(98:)": 199,
            "tm90": 45.5,
        }
        found = self.data(*(query(f"q{i}", stat) for i, stat in enumerate(wanted)), since=120)
        got = {stat: found[f"q{i}"]["Values"] for i, stat in enumerate(wanted)}
        self.assertEqual({k: round(v[0], 6) for k, v in got.items()}, wanted)
        # A count of nothing is a float too: the Rust client refuses whole numbers here.
        none = self.data(query("none", "TC(500:)"), since=120)["none"]["Values"]
        self.assertEqual([(type(v), v) for v in none], [(float, 0.0)])

    def test_math_and_absence(self) -> None:
        self.function({"version": "x", "errorRatePercent": 100})
        self.weigh("1")
        for _ in range(4):
            self.invoke()
        live = f"{self.name}:live"
        found = self.data(
            self.stat("e", "Errors", "Sum", self.name, live, ReturnData=False),
            self.stat("i", "Invocations", "Sum", self.name, live),
            {"Id": "rate", "Expression": "100*e/i"},
            {"Id": "both", "Expression": "SUM([e,i])"},
            self.stat("none", "Errors", "Sum", self.name, "typo"),
            {"Id": "filled", "Expression": "FILL(none,0)"},
        )
        self.assertEqual(
            {k: (r["StatusCode"], r["Values"]) for k, r in found.items()},
            {
                "i": ("Complete", [4.0]),
                "rate": ("Complete", [100.0]),
                "both": ("Complete", [8.0]),
                "none": ("Complete", []),
                "filled": ("Complete", [0.0]),
            },
        )
        self.assertEqual(found["i"]["Timestamps"][0].timestamp() % 60, 0)

    def test_a_hundred_thousand_points(self) -> None:
        for start in range(0, 100_000, 10_000):
            self.cloudwatch.put_metric_data(
                Namespace="Test",
                MetricData=[
                    {
                        "MetricName": self.name,
                        "Values": [float(start + i + k) for i in range(100)],
                        "Counts": [1.0] * 100,
                    }
                    for k in range(0, 10_000, 100)
                ],
            )
        began = time.monotonic()
        found = self.data(
            {
                "Id": "p",
                "MetricStat": {"Metric": {"Namespace": "Test", "MetricName": self.name}, "Period": 3600, "Stat": "p99"},
            },
            {
                "Id": "n",
                "MetricStat": {
                    "Metric": {"Namespace": "Test", "MetricName": self.name},
                    "Period": 3600,
                    "Stat": "SampleCount",
                },
            },
            since=1800,
        )
        self.assertLess(time.monotonic() - began, 1.0)
        self.assertEqual(sum(found["n"]["Values"]), 100_000)
        self.assertAlmostEqual(found["p"]["Values"][0], 98_999, delta=2)

    def test_all_three_protocols(self) -> None:
        import cbor2

        self.alarm()

        def ask(body: bytes, path: str = "/", **headers: str) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", self.aws.port, timeout=10)
            connection.request(
                "POST",
                path,
                body,
                {
                    "authorization": SIGNED.replace("lambda", "monitoring"),
                    **{k.replace("_", "-"): v for k, v in headers.items()},
                },
            )
            answer = connection.getresponse()
            try:
                return answer.status, answer.read()
            finally:
                connection.close()

        status, body = ask(
            cbor2.dumps({"AlarmNames": [self.name]}),
            "/service/GraniteServiceVersion20100801/operation/DescribeAlarms",
            content_type="application/cbor",
            smithy_protocol="rpc-v2-cbor",
        )
        self.assertEqual((status, cbor2.loads(body)["MetricAlarms"][0]["AlarmName"]), (200, self.name))
        status, body = ask(
            json.dumps({"AlarmNames": [self.name]}).encode(),
            x_amz_target="GraniteServiceVersion20100801.DescribeAlarms",
            content_type="application/x-amz-json-1.0",
        )
        self.assertEqual((status, json.loads(body)["MetricAlarms"][0]["AlarmName"]), (200, self.name))
        status, body = ask(
            f"Action=DescribeAlarms&Version=2010-08-01&AlarmNames.member.1={self.name}".encode(),
            content_type="application/x-www-form-urlencoded",
        )
        self.assertEqual(status, 200)
        self.assertIn(f"<AlarmName>{self.name}</AlarmName>".encode(), body)


class Gap6StepFunctions(Bridged):
    def waiting(self, **more: Any) -> tuple[str, str]:
        """A machine that asks by SNS and waits, with its topic."""
        topic = self.sns.create_topic(Name=self.name)["TopicArn"]
        machine = self.machine(
            {
                "Ask": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::sns:publish.waitForTaskToken",
                    "Parameters": {"TopicArn": topic, "Message": {"token.$": "$$.Task.Token"}},
                    "End": True,
                    **more,
                }
            },
            "Ask",
        )
        return machine, topic

    def token(self, topic: str) -> str:
        found = eventually(lambda: self.aws.local("GET", f"notifications?topic={topic}"))
        return str(json.loads(found[-1]["message"])["token"])

    def test_an_execution_fails_at_its_last_event(self) -> None:
        loop = {"W": {"Type": "Wait", "Seconds": 1, "Next": "P"}, "P": {"Type": "Pass", "Next": "W"}}
        self.aws.local("POST", "limits", {"historyEvents": 40})
        self.addCleanup(self.aws.local, "DELETE", "limits")
        end = self.run_to_end(self.machine(loop, "W"))
        self.assertEqual((end["status"], end["error"]), ("FAILED", "States.Runtime"))
        self.assertEqual(end["cause"], "The execution reached the maximum number of history events (40).")
        history = self.states.get_execution_history(executionArn=end["executionArn"], maxResults=1000)["events"]
        self.assertEqual((len(history), history[-1]["type"]), (40, "ExecutionFailed"))

    def test_a_path_that_leads_nowhere_fails_the_execution(self) -> None:
        state = {"Type": "Pass", "Parameters": {"evidence.$": "$.evidence"}, "End": True}
        machine = self.machine({"P": state}, "P")
        end = self.run_to_end(machine, {"reason": "no data"})
        self.assertEqual(end["error"], "States.Runtime")
        told = "The JSONPath '$.evidence' specified for the field 'evidence.$' could not be found in the input"
        self.assertIn(told, end["cause"])
        self.assertEqual(self.run_to_end(machine, {"evidence": None})["output"], '{"evidence": null}')

    def test_waits_of_one_execution_have_a_scale_of_their_own(self) -> None:
        machine = self.machine({"W": {"Type": "Wait", "Seconds": 1000, "End": True}}, "W")
        part = machine.rsplit(":", 1)[-1]
        self.aws.local("POST", "waits", {"execution": part, "scale": 0.0001})
        self.addCleanup(self.aws.local, "POST", "waits", {"execution": part, "scale": None})
        began = time.monotonic()
        self.assertEqual(self.run_to_end(machine)["status"], "SUCCEEDED")
        self.assertLess(time.monotonic() - began, 3, "10 s at the scale of all others")

    def test_a_task_that_waits_for_its_token_has_been_submitted(self) -> None:
        machine, topic = self.waiting(TimeoutSeconds=1000)
        arn = self.states.start_execution(stateMachineArn=machine)["executionArn"]
        self.states.send_task_success(taskToken=self.token(topic), output="{}")
        self.assertEqual(self.ended(arn)["status"], "SUCCEEDED")
        kinds = [e["type"] for e in self.states.get_execution_history(executionArn=arn)["events"]]
        self.assertEqual(kinds[2:6], ["TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded"])

    def test_timeout_seconds_path(self) -> None:
        machine, _ = self.waiting(TimeoutSecondsPath="$.hold")
        began = time.monotonic()
        end = self.run_to_end(machine, {"hold": 60})
        self.assertEqual((end["status"], end["error"]), ("FAILED", "States.Timeout"))
        self.assertLess(time.monotonic() - began, 3)
        kinds = [e["type"] for e in self.states.get_execution_history(executionArn=end["executionArn"])["events"]]
        self.assertIn("TaskTimedOut", kinds)

    def test_jsonata_timeout_and_heartbeat(self) -> None:
        machine = self.machine(
            {
                "Ask": {
                    "Type": "Task",
                    "QueryLanguage": "JSONata",
                    "Resource": "arn:aws:states:::sns:publish.waitForTaskToken",
                    "TimeoutSeconds": "{% $states.input.hold %}",
                    "Arguments": {
                        "TopicArn": self.sns.create_topic(Name=self.name)["TopicArn"],
                        "Message": "{% $states.context.Task.Token %}",
                    },
                    "End": True,
                }
            },
            "Ask",
        )
        self.assertEqual(self.run_to_end(machine, {"hold": 30})["error"], "States.Timeout")

    def test_heartbeat(self) -> None:
        machine, topic = self.waiting(HeartbeatSeconds=30)
        arn = self.states.start_execution(stateMachineArn=machine)["executionArn"]
        token = self.token(topic)
        for _ in range(4):
            time.sleep(0.15)
            self.states.send_task_heartbeat(taskToken=token)
        self.assertEqual(self.states.describe_execution(executionArn=arn)["status"], "RUNNING")
        self.assertEqual(self.ended(arn)["status"], "FAILED")
        self.refused("TaskTimedOut", 400, self.states.send_task_heartbeat, taskToken=token)

    def test_a_token_is_good_once(self) -> None:
        machine, topic = self.waiting()
        arn = self.states.start_execution(stateMachineArn=machine)["executionArn"]
        token = self.token(topic)
        self.states.send_task_success(taskToken=token, output='{"done":true}')
        self.refused("TaskTimedOut", 400, self.states.send_task_success, taskToken=token, output="{}")
        self.refused("TaskTimedOut", 400, self.states.send_task_failure, taskToken=token)
        self.refused("InvalidToken", 400, self.states.send_task_success, taskToken="nonsense", output="{}")
        self.assertEqual(json.loads(self.ended(arn)["output"]), {"done": True})

    def test_stop_kills_the_token_and_is_told(self) -> None:
        url = self.queue_for({"source": ["aws.states"], "detail": {"status": ["ABORTED"]}})
        machine, topic = self.waiting()
        arn = self.states.start_execution(stateMachineArn=machine, input='{"a":1}')["executionArn"]
        token = self.token(topic)
        self.states.stop_execution(executionArn=arn, error="Stopped", cause="by hand")
        self.refused("TaskTimedOut", 400, self.states.send_task_success, taskToken=token, output="{}")
        detail = self.received(url, 1)[0]["detail"]
        self.assertEqual(
            {k: detail[k] for k in ("executionArn", "status", "error", "cause", "input")},
            {"executionArn": arn, "status": "ABORTED", "error": "Stopped", "cause": "by hand", "input": '{"a":1}'},
        )
        self.assertGreater(detail["stopDate"], 10**12)
        time.sleep(0.3)
        self.assertEqual(self.states.describe_execution(executionArn=arn)["status"], "ABORTED")

    def test_stop_ends_waits_and_retries(self) -> None:
        self.function({"version": "x", "errorRatePercent": 100})
        machine = self.machine(
            {
                "T": {
                    "Type": "Task",
                    "Resource": self.arn(),
                    "End": True,
                    "Retry": [
                        {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 10, "BackoffRate": 1, "MaxAttempts": 1000}
                    ],
                }
            },
            "T",
        )
        arn = self.states.start_execution(stateMachineArn=machine)["executionArn"]
        time.sleep(0.5)
        self.states.stop_execution(executionArn=arn)
        time.sleep(0.2)
        seq = self.aws.local("GET", "calls")["seq"]
        time.sleep(0.5)
        later = [c for c in self.aws.local("GET", f"calls?since={seq}")["calls"] if c["caller"] == "states"]
        self.assertEqual((later, self.states.describe_execution(executionArn=arn)["status"]), ([], "ABORTED"))

    def test_a_wait_until_a_timestamp_is_scaled(self) -> None:
        self.waits_until()

    def test_top_level_timeout(self) -> None:
        url = self.queue_for({"source": ["aws.states"], "detail": {"status": ["TIMED_OUT"]}})
        machine = self.machine({"W": {"Type": "Wait", "Seconds": 3000, "End": True}}, "W", TimeoutSeconds=50)
        began = time.monotonic()
        end = self.run_to_end(machine)
        self.assertEqual(end["status"], "TIMED_OUT")
        self.assertLess(time.monotonic() - began, 2)
        self.assertFalse({"error", "cause"} & {k for k in end if end[k] is not None})
        self.assertEqual(self.received(url, 1)[0]["detail"]["status"], "TIMED_OUT")

    def test_fail_paths_and_context(self) -> None:
        machine = self.machine(
            {
                "P": {
                    "Type": "Pass",
                    "Parameters": {
                        "id.$": "$$.Execution.Id",
                        "in.$": "$$.Execution.Input.a",
                        "at.$": "$$.State.EnteredTime",
                        "redrives.$": "$$.Execution.RedriveCount",
                    },
                    "Next": "F",
                },
                "F": {"Type": "Fail", "Error": "DeploymentRolledBack", "CausePath": "States.JsonToString($)"},
            },
            "P",
        )
        end = self.run_to_end(machine, {"a": 7})
        cause = json.loads(end["cause"])
        self.assertEqual(
            (end["error"], cause["id"], cause["in"], cause["redrives"]),
            ("DeploymentRolledBack", end["executionArn"], 7, 0),
        )

    def test_names(self) -> None:
        machine = self.machine({"W": {"Type": "Wait", "Seconds": 100, "End": True}}, "W")
        start = {"stateMachineArn": machine, "name": "one", "input": '{"a":1}'}
        arn = self.states.start_execution(**start)["executionArn"]
        self.assertEqual(self.states.start_execution(**start)["executionArn"], arn)
        self.refused("ExecutionAlreadyExists", 400, self.states.start_execution, **{**start, "input": "{}"})
        self.ended(arn)
        self.refused("ExecutionAlreadyExists", 400, self.states.start_execution, **start)
        for name in ("a b", "why?", "x" * 81):
            self.refused("InvalidName", 400, self.states.start_execution, **{**start, "name": name})

    def test_errors_of_functions(self) -> None:
        self.function(
            {"version": "1", "errorRatePercent": 100},
            {"version": "2", "crash": True},
            {"version": "3", "latencyMs": 3000},
            Timeout=1,
        )
        for version, error in (("1", "ToldToFail"), ("2", "Runtime.ExitError"), ("3", "Sandbox.Timedout")):
            original, self.name = self.name, f"{self.name}-{version}"
            machine = self.machine(
                {
                    "T": {
                        "Type": "Task",
                        "Resource": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{original}:{version}",
                        "End": True,
                    }
                },
                "T",
            )
            self.name = original
            end = self.run_to_end(machine)
            self.assertEqual((end["error"], json.loads(end["cause"])["errorType"]), (error, error))


class Gap8Lambda(Bridged):
    def test_publish_guards(self) -> None:
        self.function({"version": "1"})
        config = self.lambda_.get_function_configuration(FunctionName=self.name)
        again = self.lambda_.publish_version(FunctionName=self.name, Description="ignored")
        self.assertEqual((again["Version"], again["Description"]), ("1", ""))
        message = self.refused(
            "InvalidParameterValueException", 400, self.lambda_.publish_version, FunctionName=self.name, CodeSha256="x"
        )
        self.assertIn("CodeSHA256 (x) is different from current CodeSHA256 in $LATEST", message)
        self.refused(
            "PreconditionFailedException", 412, self.lambda_.publish_version, FunctionName=self.name, RevisionId="x"
        )
        updated = self.lambda_.update_function_code(
            FunctionName=self.name, ZipFile=package(version="2"), RevisionId=config["RevisionId"]
        )
        self.assertEqual((updated["State"], updated["LastUpdateStatus"]), ("Active", "InProgress"))
        for call in (
            lambda: self.lambda_.publish_version(FunctionName=self.name),
            lambda: self.lambda_.update_function_code(FunctionName=self.name, ZipFile=package(version="3")),
        ):
            self.assertIn("An update is in progress for resource", self.refused("ResourceConflictException", 409, call))
        self.settled()
        settled = self.lambda_.get_function_configuration(FunctionName=self.name)["RevisionId"]
        self.lambda_.publish_version(FunctionName=self.name, CodeSha256=updated["CodeSha256"], RevisionId=settled)
        after = self.lambda_.get_function_configuration(FunctionName=self.name)["RevisionId"]
        self.assertEqual(len({config["RevisionId"], updated["RevisionId"], settled, after}), 4)
        self.refused(
            "PreconditionFailedException",
            412,
            self.lambda_.update_function_code,
            FunctionName=self.name,
            ZipFile=package(version="3"),
            RevisionId=settled,
        )

    def test_the_same_code_is_the_same_version(self) -> None:
        self.function({"version": "1"})
        self.lambda_.update_function_code(FunctionName=self.name, ZipFile=package(version="1"))
        self.settled()
        self.assertEqual(self.lambda_.publish_version(FunctionName=self.name)["Version"], "1")

    def test_log_tail_and_cold_start(self) -> None:
        self.function({"version": "1", "initMs": 60})
        cold = base64.b64decode(self.invoke("1", LogType="Tail")["LogResult"]).decode()
        warm = base64.b64decode(self.invoke("1", LogType="Tail")["LogResult"]).decode()
        self.assertRegex(cold, r"REPORT RequestId: \S+\tDuration: [\d.]+ ms\t.*Init Duration: ([6-9]\d|\d{3,})\.\d+ ms")
        self.assertNotIn("Init Duration", warm)

    def test_function_errors(self) -> None:
        self.function(
            {"version": "1", "crash": True},
            {"version": "2", "latencyMs": 5000},
            {"version": "3", "errorRatePercent": 100},
            Timeout=1,
        )
        got = []
        for version in "123":
            answer = self.invoke(version)
            self.assertEqual((answer["StatusCode"], answer["FunctionError"]), (200, "Unhandled"))
            got.append(json.load(answer["Payload"]))
        self.assertEqual([g["errorType"] for g in got], ["Runtime.ExitError", "Sandbox.Timedout", "ToldToFail"])
        self.assertRegex(got[1]["errorMessage"], r"^RequestId: \S+ Error: Task timed out after 1\.00 seconds$")
        self.assertRegex(got[0]["errorMessage"], r"^RequestId: \S+ Error: Runtime exited")

    def test_policies_urls_and_sources(self) -> None:
        self.function({"version": "1"})
        self.weigh("1")
        self.lambda_.add_permission(
            FunctionName=self.name, StatementId="a", Principal="s3.amazonaws.com", Action="lambda:InvokeFunction"
        )
        self.assertIn("s3.amazonaws.com", self.lambda_.get_policy(FunctionName=self.name)["Policy"])
        self.refused(
            "ResourceNotFoundException", 404, self.lambda_.get_policy, FunctionName=self.name, Qualifier="live"
        )
        self.lambda_.add_permission(
            FunctionName=self.name,
            Qualifier="live",
            StatementId="b",
            Principal="sns.amazonaws.com",
            Action="lambda:InvokeFunction",
        )
        for qualifier, service in (("live", "sns.amazonaws.com"), ("", "s3.amazonaws.com")):
            policy = json.loads(
                self.lambda_.get_policy(FunctionName=self.name, **({"Qualifier": qualifier} if qualifier else {}))[
                    "Policy"
                ]
            )
            self.assertEqual([s["Principal"] for s in policy["Statement"]], [{"Service": service}])
        self.lambda_.create_function_url_config(FunctionName=self.name, AuthType="NONE")
        self.lambda_.create_function_url_config(FunctionName=self.name, Qualifier="live", AuthType="NONE")
        urls = self.lambda_.list_function_url_configs(FunctionName=self.name)["FunctionUrlConfigs"]
        self.assertEqual({u["FunctionArn"] for u in urls}, {self.arn(), self.arn("live")})
        self.refused(
            "ResourceNotFoundException",
            404,
            self.lambda_.get_function_url_config,
            FunctionName=self.name,
            Qualifier="other",
        )
        self.sqs.create_queue(QueueName=self.name)
        self.lambda_.create_event_source_mapping(
            FunctionName=self.arn("live"), EventSourceArn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.name}"
        )
        mappings = self.lambda_.list_event_source_mappings(FunctionName=self.name)["EventSourceMappings"]
        self.assertEqual([m["FunctionArn"] for m in mappings], [self.arn("live")])

    def test_invocations_run_at_once(self) -> None:
        self.function({"version": "1", "latencyMs": 1500})
        self.weigh("1")
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            began = time.monotonic()
            futures = [pool.submit(self.invoke) for _ in range(20)]
            time.sleep(0.1)
            asked = time.monotonic()
            self.lambda_.get_alias(FunctionName=self.name, Name="live")
            self.assertLess(time.monotonic() - asked, 1.0)
            for future in futures:
                future.result()
        self.assertLess(time.monotonic() - began, 10)

    def test_throttle_counts_apart(self) -> None:
        self.function({"version": "1", "latencyMs": 400})
        self.lambda_.put_function_concurrency(FunctionName=self.name, ReservedConcurrentExecutions=1)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            running = pool.submit(self.invoke, "1")
            time.sleep(0.15)
            self.refused("TooManyRequestsException", 429, self.invoke, "1")
            running.result()
        sums = {
            k: sum(r["Values"])
            for k, r in self.data(
                self.stat("t", "Throttles", "Sum", self.name), self.stat("i", "Invocations", "Sum", self.name)
            ).items()
        }
        self.assertEqual(sums, {"t": 1, "i": 1})


class Gap8Readiness(Bridged):
    """Versions that cannot serve yet, tenants, streams, and what is reported of a start."""

    def state_is(self, version: str, state: str) -> bool:
        config = self.lambda_.get_function_configuration(FunctionName=self.name, Qualifier=version)
        return bool(config["State"] == state)

    def tail(self, version: str = "1") -> str:
        return base64.b64decode(self.invoke(version, LogType="Tail")["LogResult"]).decode()

    def test_an_idle_version_is_woken_by_an_invocation(self) -> None:
        self.function({"version": "1"})
        for code, status in (("CodeArtifactUserPendingException", 409), ("ResourceNotReadyException", 502)):
            asked = {"function": self.name, "version": "1", "state": "Inactive", "seconds": 0.5, "code": code}
            self.aws.local("POST", "versions/state", asked)
            time.sleep(0.6)
            self.assertTrue(self.state_is("1", "Inactive"))
            self.refused(code, status, self.invoke, "1")
            self.assertTrue(self.state_is("1", "Pending"))
            self.refused("ResourceConflictException", 409, self.invoke, "1")
            self.assertTrue(eventually(lambda: self.state_is("1", "Active")))
            self.assertNotIn("FunctionError", self.invoke("1"))

    def test_a_failed_version_stays_so(self) -> None:
        self.function({"version": "1"})
        asked = {"function": self.name, "version": "1", "state": "Failed", "reason": "No.", "reasonCode": "ImageDeleted"}
        self.aws.local("POST", "versions/state", asked)
        config = self.lambda_.get_function_configuration(FunctionName=self.name, Qualifier="1")
        self.assertEqual((config["State"], config["StateReason"]), ("Failed", "No."))
        self.refused("ResourceConflictException", 409, self.invoke, "1")

    def test_a_version_with_a_snapshot_is_pending_and_reports_its_restoration(self) -> None:
        self.function({"version": "1"})
        self.aws.local("POST", "versions/state", {"function": self.name, "snapStart": True})
        self.lambda_.update_function_code(FunctionName=self.name, ZipFile=package(version="2", initMs=60))
        self.settled()
        self.lambda_.publish_version(FunctionName=self.name)
        self.assertTrue(self.state_is("2", "Pending"))
        self.weigh("2")
        self.refused("SnapStartNotReadyException", 409, self.invoke)
        self.assertTrue(eventually(lambda: self.state_is("2", "Active")))
        self.assertRegex(self.tail("2"), r"Restore Duration: ([6-9]\d|\d{3,})\.\d+ ms")
        self.assertNotIn("Restore", self.tail("2"))

    def test_a_version_in_a_vpc_is_pending(self) -> None:
        vpc = {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
        self.function({"version": "1"}, VpcConfig=vpc)
        self.assertTrue(self.state_is("1", "Pending"))
        self.refused("ResourceConflictException", 409, self.invoke, "1")
        self.assertTrue(eventually(lambda: self.state_is("1", "Active")))

    def test_reports_as_json_and_hides_them_at_warn(self) -> None:
        self.function({"version": "1"}, LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "INFO"})
        report = json.loads(self.tail().splitlines()[-1])
        self.assertEqual(report["type"], "platform.report")
        self.assertIn("initDurationMs", report["record"]["metrics"])
        self.lambda_.update_function_configuration(
            FunctionName=self.name, LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "WARN"}
        )
        self.settled()
        self.assertEqual(self.lambda_.publish_version(FunctionName=self.name)["Version"], "2")
        self.assertNotIn("platform.report", self.tail("2"))

    def test_a_function_that_isolates_tenants_takes_a_tenant(self) -> None:
        self.function({"version": "1"}, TenancyConfig={"TenantIsolationMode": "PER_TENANT"})
        self.assertIn(
            "Add a valid tenant ID", self.refused("InvalidParameterValueException", 400, self.invoke, "1")
        )
        self.assertNotIn("FunctionError", self.invoke("1", TenantId="blue"))

    def test_a_streamed_answer_has_a_prelude(self) -> None:
        self.function({"version": "1", "stream": True, "statusCode": 201, "body": "hello"})
        prelude, separator, body = self.invoke("1")["Payload"].read().partition(b"\0" * 8)
        self.assertEqual((json.loads(prelude)["statusCode"], len(separator), body), (201, 8, b"hello"))

    def test_the_account_takes_so_many_at_a_time(self) -> None:
        self.function({"version": "1", "latencyMs": 700})
        self.aws.local("POST", "limits", {"concurrentExecutions": 2})
        try:
            limit = self.lambda_.get_account_settings()["AccountLimit"]
            self.assertEqual(limit["UnreservedConcurrentExecutions"], 2)

            def code() -> str:
                try:
                    self.invoke("1")
                except ClientError as error:
                    return str(error.response["Error"]["Code"])
                return ""

            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                codes = [done.result() for done in [pool.submit(code) for _ in range(4)]]
            self.assertEqual(codes.count("TooManyRequestsException"), 2, codes)
        finally:
            self.aws.local("DELETE", "limits")


class Gap8ManagedInstances(Bridged):
    def test_a_version_without_a_number(self) -> None:
        self.function({"version": "1"})
        self.lambda_.publish_version(FunctionName=self.name)
        alias = {"FunctionName": self.name, "Name": "live", "FunctionVersion": "$LATEST.PUBLISHED"}
        self.refused("ResourceNotFoundException", 404, self.lambda_.create_alias, **alias)
        self.aws.local("POST", "versions/published", {"function": self.name})
        listed = self.lambda_.list_versions_by_function(FunctionName=self.name)["Versions"]
        self.assertEqual([one["Version"] for one in listed], ["$LATEST", "$LATEST.PUBLISHED", "1"])
        self.lambda_.create_alias(**alias)
        answer = self.lambda_.invoke(FunctionName=self.name, Qualifier="live", Payload=b"{}")
        self.assertEqual(answer["ExecutedVersion"], "$LATEST.PUBLISHED")
        weights = {"RoutingConfig": {"AdditionalVersionWeights": {"1": 0.5}}}
        self.refused("InvalidParameterValueException", 400, self.lambda_.update_alias, **alias, **weights)

    def test_a_version_that_failed_takes_no_alias(self) -> None:
        self.function({"version": "1"})
        self.lambda_.publish_version(FunctionName=self.name)
        self.lambda_.create_alias(FunctionName=self.name, Name="live", FunctionVersion="$LATEST")
        self.aws.local("POST", "versions/state", {"function": self.name, "version": "1", "state": "Failed"})
        live = {"FunctionName": self.name, "Name": "live", "FunctionVersion": "1"}
        self.refused("ResourceConflictException", 409, self.lambda_.update_alias, **live)


class Gap8Concurrency(Bridged):
    """The account's concurrency, what is reserved of it, and what becomes of asynchronous events without it."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.aws.local, "DELETE", "limits")

    def reserve(self, name: str, count: int) -> None:
        self.lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=count)
        self.addCleanup(self.lambda_.delete_function_concurrency, FunctionName=name)

    def ran(self, name: str) -> list[dict[str, Any]]:
        return list(self.aws.local("GET", f"invocations?function={name}")["invocations"])

    def other(self) -> str:
        """A second function, which answers at once."""
        busy, self.name = self.name, f"{self.name}-other"
        self.function({"version": "1"})
        self.name, other = busy, self.name
        return other

    @contextlib.contextmanager
    def throttled_while_running(self, reason: str) -> Iterator[None]:
        """Runs version 1 once, and is refused a second execution of it meanwhile."""
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(self.invoke, "1")
            time.sleep(0.2)
            with self.assertRaises(ClientError) as refused:
                self.invoke("1")
            self.assertEqual(refused.exception.response["Reason"], reason)
            yield
            running.result()

    def test_what_is_reserved_is_taken_from_the_rest(self) -> None:
        self.function({"version": "1", "latencyMs": 600})
        other = self.other()
        self.reserve(other, 2)
        self.aws.local("POST", "limits", {"concurrentExecutions": 3})
        limit = self.lambda_.get_account_settings()["AccountLimit"]
        self.assertEqual((limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"]), (3, 1))
        with self.throttled_while_running("ConcurrentInvocationLimitExceeded"):
            # What is reserved is there all the same.
            self.lambda_.invoke(FunctionName=other)

    def test_a_reservation_is_a_limit_too(self) -> None:
        self.function({"version": "1", "latencyMs": 600})
        self.reserve(self.name, 1)
        with self.throttled_while_running("ReservedFunctionConcurrentInvocationLimitExceeded"):
            pass

    def test_a_hundred_stay_unreserved(self) -> None:
        self.function({"version": "1"})
        put = self.lambda_.put_function_concurrency
        why = self.refused(
            "InvalidParameterValueException", 400, put, FunctionName=self.name, ReservedConcurrentExecutions=901
        )
        self.assertIn("below its minimum value of [100]", why)
        self.reserve(self.name, 900)
        self.lambda_.delete_function_concurrency(FunctionName=self.name)
        self.assertNotIn("ReservedConcurrentExecutions", self.lambda_.get_function_concurrency(FunctionName=self.name))

    def test_a_throttled_event_waits_longer_each_time(self) -> None:
        self.function({"version": "1", "latencyMs": 2000})
        self.reserve(self.name, 1)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(self.invoke, "1")
            time.sleep(0.3)
            self.lambda_.invoke(FunctionName=self.name, InvocationType="Event", Payload=b"{}")
            # 1, 2, 4, ... 64 seconds, a hundred times shorter: more tries than a failure gets.
            time.sleep(1.0)
            sums = self.data(self.stat("t", "Throttles", "Sum", self.name))["t"]["Values"]
            self.assertIn(sum(sums), (6, 7))
            running.result()
        self.assertTrue(eventually(lambda: len(self.ran(self.name)) == 2))

    def test_an_event_grows_too_old(self) -> None:
        self.function({"version": "1", "latencyMs": 2000})
        self.reserve(self.name, 1)
        self.lambda_.put_function_event_invoke_config(FunctionName=self.name, MaximumEventAgeInSeconds=60)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(self.invoke, "1")
            time.sleep(0.3)
            self.lambda_.invoke(FunctionName=self.name, InvocationType="Event", Payload=b"{}")
            running.result()
        time.sleep(1.5)
        self.assertEqual(len(self.ran(self.name)), 1)

    def test_a_failure_is_tried_again_after_one_and_two_minutes(self) -> None:
        self.function({"version": "1", "errorRatePercent": 100})
        self.lambda_.invoke(FunctionName=self.name, InvocationType="Event", Payload=b"{}")
        self.assertTrue(eventually(lambda: len(self.ran(self.name)) == 3))
        first, second, third = (one["time"] for one in self.ran(self.name))
        self.assertAlmostEqual(second - first, 0.6, delta=0.3)
        self.assertAlmostEqual(third - second, 1.2, delta=0.3)
        time.sleep(0.5)
        self.assertEqual(len(self.ran(self.name)), 3)

    def test_a_template_reserves(self) -> None:
        template = {
            "Resources": {
                "F": {
                    "Type": "AWS::Lambda::Function",
                    "Properties": {
                        "FunctionName": self.name,
                        "Runtime": "provided.al2023",
                        "Handler": "bootstrap",
                        "Role": "arn:aws:iam::000000000000:role/r",
                        "ReservedConcurrentExecutions": 3,
                        "Code": {"ZipFile": "x"},
                    },
                }
            }
        }
        stacks = self.aws.client("cloudformation")
        stacks.create_stack(StackName=self.name, TemplateBody=json.dumps(template))
        self.addCleanup(stacks.delete_stack, StackName=self.name)
        stacks.get_waiter("stack_create_complete").wait(StackName=self.name, WaiterConfig={"Delay": 1})
        reserved = self.lambda_.get_function_concurrency(FunctionName=self.name)
        self.assertEqual(reserved["ReservedConcurrentExecutions"], 3)


class AliasLag(Bridged):
    def test_an_update_is_in_force_late(self) -> None:
        self.aws.local("POST", "aliases", {"lagSeconds": 100})
        self.addCleanup(self.aws.local, "POST", "aliases", {"lagSeconds": 0})
        self.function({"version": "1"}, {"version": "2"})
        self.weigh("1")
        serving = lambda: self.invoke("live")["ExecutedVersion"]  # noqa: E731
        self.assertEqual({serving() for _ in range(40)}, {"1"})
        self.lambda_.update_alias(FunctionName=self.name, Name="live", FunctionVersion="2")
        self.assertEqual(self.lambda_.get_alias(FunctionName=self.name, Name="live")["FunctionVersion"], "2")
        self.assertEqual({serving() for _ in range(40)}, {"1", "2"})
        # Nothing refers to it by now, so it can be deleted; who still goes there finds nothing.
        self.lambda_.delete_function(FunctionName=self.name, Qualifier="1")
        codes: collections.Counter[str] = collections.Counter()
        for _ in range(40):
            try:
                codes[serving()] += 1
            except ClientError as error:
                self.assertIn(f"Function not found: {self.arn()}:live", str(error))
                codes[error.response["Error"]["Code"]] += 1
        self.assertEqual(set(codes), {"2", "ResourceNotFoundException"})
        time.sleep(1.1)
        self.assertEqual({serving() for _ in range(40)}, {"2"})


class IdleConnections(Bridged):
    def setUp(self) -> None:
        super().setUp()
        self.aws.local("POST", "connections", {"idleSeconds": 30})
        self.addCleanup(self.aws.local, "POST", "connections", {"idleSeconds": None})

    def answered(self, probe_seconds: int | None, port: int = 0) -> bool:
        """Whether an answer that takes a second comes through a connection that is probed so."""
        path = f"/2015-03-31/functions/{self.name}/invocations?Qualifier=1"
        key = "Credential=test/20261130/us-east-1/lambda/aws4_request"
        with socket.socket() as client:
            client.settimeout(3)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.bind(("127.0.0.1", port))
            client.connect(("127.0.0.1", self.aws.port))
            if probe_seconds is not None:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, probe_seconds)
            head = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: AWS4-HMAC-SHA256 {key}", "Content-Length: 2"]
            client.sendall("\r\n".join([*head, "", "{}"]).encode())
            try:
                return client.recv(100).startswith(b"HTTP/1.1 200")
            except TimeoutError:
                return False

    def test_a_connection_that_is_not_probed_in_time_is_forgotten(self) -> None:
        self.function({"version": "1", "latencyMs": 1000})

        def counts() -> dict[str, int]:
            seen = self.aws.local("GET", "connections")
            return {name: seen[name] for name in ("kept", "lost")}

        self.assertFalse(self.answered(None))
        self.assertEqual(counts(), {"kept": 0, "lost": 1})
        self.assertFalse(self.answered(60))
        self.assertEqual(counts(), {"kept": 0, "lost": 2})
        self.assertTrue(self.answered(20))
        self.assertEqual(counts()["lost"], 2)
        self.assertGreaterEqual(counts()["kept"], 2)
        self.aws.local("POST", "connections", {"idleSeconds": None})
        self.assertTrue(self.answered(None))

    def test_a_port_that_has_another_connection_too_is_not_mistaken(self) -> None:
        self.function({"version": "1", "latencyMs": 1000})
        # The client's end lingers in the kernel's table, before the one to AWS or behind it.
        with socket.create_server(("127.0.0.1", 0)) as other:
            ports = set()
            for _ in range(6):
                with socket.socket() as client:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    client.bind(("127.0.0.1", 0))
                    client.connect(other.getsockname())
                    accepted, _ = other.accept()
                    ports.add(client.getsockname()[1])
                    client.shutdown(socket.SHUT_WR)
                    accepted.close()
            with concurrent.futures.ThreadPoolExecutor() as pool:
                self.assertEqual(set(pool.map(lambda port: self.answered(20, port), ports)), {True})


class Gap8DynamoDb(Bridged):
    def table(self) -> str:
        self.dynamodb.create_table(
            TableName=self.name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )
        return self.name

    def test_locks_all_or_none(self) -> None:
        table = self.table()

        def put(key: str, owner: str) -> dict[str, Any]:
            return {
                "Put": {
                    "TableName": table,
                    "Item": {"pk": {"S": key}, "owner": {"S": owner}},
                    "ConditionExpression": "attribute_not_exists(pk) OR #o = :me",
                    "ExpressionAttributeNames": {"#o": "owner"},
                    "ExpressionAttributeValues": {":me": {"S": owner}},
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                }
            }

        self.dynamodb.transact_write_items(TransactItems=[put("a", "one"), put("b", "one")])
        with self.assertRaises(self.dynamodb.exceptions.TransactionCanceledException) as caught:
            self.dynamodb.transact_write_items(TransactItems=[put("c", "two"), put("b", "two")])
        reasons = caught.exception.response["CancellationReasons"]
        self.assertEqual([r["Code"] for r in reasons], ["None", "ConditionalCheckFailed"])
        self.assertEqual(reasons[1]["Item"]["owner"], {"S": "one"})
        self.assertNotIn("Item", self.dynamodb.get_item(TableName=table, Key={"pk": {"S": "c"}}, ConsistentRead=True))
        self.dynamodb.transact_write_items(TransactItems=[put("a", "one")])

    def test_a_transaction_holds_its_items(self) -> None:
        table = self.table()

        def transaction(*keys: str) -> Any:
            puts = [{"Put": {"TableName": table, "Item": {"pk": {"S": key}}}} for key in keys]
            return self.dynamodb.transact_write_items(TransactItems=puts)

        def update(key: str) -> Any:
            return self.dynamodb.update_item(TableName=table, Key={"pk": {"S": key}})

        fault = {"kind": "hold", "service": "dynamodb", "action": "TransactWriteItems", "seconds": 0.7}
        number = self.aws.local("POST", "faults", {**fault, "resource": table})["id"]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            holding = pool.submit(transaction, "a", "b")
            struck = lambda: any(f["hits"] for f in self.aws.local("GET", "faults")["faults"] if f["id"] == number)
            self.assertTrue(eventually(struck))
            self.refused("TransactionConflictException", 400, update, "b")
            with self.assertRaises(self.dynamodb.exceptions.TransactionCanceledException) as caught:
                transaction("c", "b")
            reasons = caught.exception.response["CancellationReasons"]
            self.assertEqual([r["Code"] for r in reasons], ["None", "TransactionConflict"])
            update("c")
            holding.result()
        update("b")

    def test_faults_of_transactions(self) -> None:
        table = self.table()
        puts = [{"Put": {"TableName": table, "Item": {"pk": {"S": key}}}} for key in "abc"]

        def fault(kind: str) -> None:
            self.aws.local("POST", "faults", {"kind": kind, "service": "dynamodb", "resource": table})

        def codes() -> list[str]:
            with self.assertRaises(self.dynamodb.exceptions.TransactionCanceledException) as caught:
                self.dynamodb.transact_write_items(TransactItems=puts)
            return [r["Code"] for r in caught.exception.response["CancellationReasons"]]

        fault("transaction-throttled")
        self.dynamodb.put_item(TableName=table, Item={"pk": {"S": "a"}})
        self.assertEqual(codes(), ["ThrottlingError", "None", "ProvisionedThroughputExceeded"])
        fault("transaction-conflict")
        self.dynamodb.get_item(TableName=table, Key={"pk": {"S": "a"}})
        self.refused(
            "TransactionConflictException", 400, self.dynamodb.delete_item, TableName=table, Key={"pk": {"S": "a"}}
        )
        fault("transaction-conflict")
        self.assertEqual(codes(), ["TransactionConflict", "None", "None"])
        self.dynamodb.transact_write_items(TransactItems=puts)

    def test_conditions(self) -> None:
        table = self.table()
        self.dynamodb.put_item(TableName=table, Item={"pk": {"S": "a"}, "n": {"N": "1"}})
        with self.assertRaises(self.dynamodb.exceptions.ConditionalCheckFailedException) as caught:
            self.dynamodb.update_item(
                TableName=table,
                Key={"pk": {"S": "a"}},
                UpdateExpression="SET n = :two",
                ConditionExpression="n = :two",
                ExpressionAttributeValues={":two": {"N": "2"}},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        self.assertEqual(caught.exception.response["Item"]["n"], {"N": "1"})


BUCKET = {
    "Resources": {
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {"BucketName": "gap-15", "Tags": [{"Key": "whose", "Value": "ours"}]},
        }
    }
}


class Gap15Buckets(Bridged):
    def test_a_stacks_bucket_has_its_tags_and_is_deleted_when_it_is_empty(self) -> None:
        stacks, s3 = self.aws.client("cloudformation"), self.aws.client("s3")

        def status() -> str | None:
            try:
                return str(stacks.describe_stacks(StackName="gap15")["Stacks"][0]["StackStatus"])
            except ClientError:
                return None

        stacks.create_stack(StackName="gap15", TemplateBody=json.dumps(BUCKET))
        self.assertTrue(eventually(lambda: status() == "CREATE_COMPLETE"))
        self.assertEqual(s3.get_bucket_tagging(Bucket="gap-15")["TagSet"], [{"Key": "whose", "Value": "ours"}])
        s3.put_object(Bucket="gap-15", Key="a", Body=b"b")
        stacks.delete_stack(StackName="gap15")
        self.assertTrue(eventually(lambda: status() == "DELETE_FAILED"))
        s3.delete_object(Bucket="gap-15", Key="a")
        stacks.delete_stack(StackName="gap15")
        self.assertTrue(eventually(lambda: status() is None))
        self.assertNotIn("gap-15", [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]])


class DurableExecutions(Bridged):
    def test_a_running_execution_is_listed_by_its_version(self) -> None:
        self.function({"version": "1"}, {"version": "2"}, DurableConfig={"ExecutionTimeout": 600})
        self.aws.local("POST", "durable/executions", {"functionName": self.name, "version": "1"})

        def running(version: str) -> int:
            found = self.lambda_.list_durable_executions_by_function(
                FunctionName=self.name, Qualifier=version, Statuses=["RUNNING"]
            )
            return len(found["DurableExecutions"])

        self.assertEqual((running("1"), running("2")), (1, 0))
        now = datetime.datetime.now(datetime.timezone.utc)
        for hours, count in ((-1, 1), (1, 0)):
            found = self.lambda_.list_durable_executions_by_function(
                FunctionName=self.name, Qualifier="1", StartedAfter=now + datetime.timedelta(hours=hours)
            )
            self.assertEqual(len(found["DurableExecutions"]), count, hours)
        listed = self.lambda_.list_versions_by_function(FunctionName=self.name)["Versions"]
        self.assertTrue(all("DurableConfig" in version for version in listed))


class Control(Bridged):
    def test_calls_name_their_caller(self) -> None:
        self.function({"version": "1"})
        topic = self.sns.create_topic(Name=self.name)["TopicArn"]
        seq = self.aws.local("GET", "calls")["seq"]
        machine = self.machine(
            {
                "N": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::sns:publish",
                    "Parameters": {"TopicArn": topic, "Message": "hi"},
                    "End": True,
                }
            },
            "N",
        )
        self.run_to_end(machine)
        self.refused("ResourceNotFoundException", 404, self.lambda_.get_alias, FunctionName=self.name, Name="no")
        calls = {(c["service"], c["action"]): c for c in self.aws.local("GET", f"calls?since={seq}")["calls"]}
        self.assertEqual(calls["sns", "Publish"]["caller"], "states")
        alias = calls["lambda", "GetAlias"]
        self.assertEqual(
            (alias["caller"], alias["status"], alias["resource"], alias["error"]),
            (None, 404, self.name, "ResourceNotFoundException"),
        )
        self.assertGreater(alias["seconds"], 0)
        self.assertEqual(self.aws.local("GET", f"notifications?topic={topic}")[0]["message"], "hi")

    def test_a_call_tells_how_the_function_failed(self) -> None:
        self.function({"version": "1", "errorRatePercent": 100, "sparePath": "/spared"})
        seq = self.aws.local("GET", "calls")["seq"]
        for path in ("/", "/spared"):
            self.lambda_.invoke(FunctionName=self.name, Payload=json.dumps({"path": path}))
        calls = self.aws.local("GET", f"calls?since={seq}")["calls"]
        told = [(c["status"], c["error"]) for c in calls if c["action"] == "Invoke"]
        self.assertEqual(told, [(200, "Unhandled"), (200, None)])

    def test_invocations_tell_what_they_took(self) -> None:
        self.function({"version": "1", "latencyMs": 30, "initMs": 20})
        seq = self.aws.local("GET", "invocations")["seq"]
        self.invoke("$LATEST")
        self.invoke("$LATEST")
        found = self.aws.local("GET", f"invocations?since={seq}&function={self.name}")["invocations"]
        self.assertEqual([ran["cold"] for ran in found], [True, False])
        first, second = found
        self.assertGreaterEqual(first["initMs"], 20)
        self.assertGreater(first["initCpuMs"], 0)
        self.assertEqual((second["initMs"], second["initCpuMs"]), (0, 0))
        for ran in found:
            self.assertGreaterEqual(ran["durationMs"], 30)
            # It waits, and has next to nothing to compute.
            self.assertTrue(0 < ran["cpuMs"] < ran["durationMs"], ran)
            self.assertEqual((ran["version"], ran["error"]), ("$LATEST", False))

    def caller(self) -> None:
        """A function that sets the description of an alias of its own, and says what came of it."""
        files = {"bootstrap": CALLER.format(python=sys.executable)}
        self.lambda_.create_function(
            FunctionName=self.name,
            Code={"ZipFile": zipped(files)},
            Runtime="provided.al2023",
            Role=ROLE,
            Handler="bootstrap",
            Timeout=20,
        )
        self.settled()
        self.lambda_.publish_version(FunctionName=self.name)
        self.weigh("1")

    def have_it_call(self, says: str, **more: str) -> dict[str, Any]:
        payload = {"function": self.name, "says": says, **more}
        answer = self.lambda_.invoke(FunctionName=self.name, Payload=json.dumps(payload))
        return dict(json.load(answer["Payload"]))

    def description(self) -> str:
        return str(self.lambda_.get_alias(FunctionName=self.name, Name="live")["Description"])

    def release(self, token: str) -> str:
        self.aws.local("POST", "releases", {"token": token})
        self.addCleanup(self.aws.local, "DELETE", f"releases?token={token}")
        return token

    def test_a_functions_calls_carry_its_name(self) -> None:
        self.caller()
        self.assertEqual(self.have_it_call("one"), {"status": 200})
        mine = self.aws.local("GET", f"calls?function={self.name}")["calls"]
        self.assertEqual([(c["action"], c["caller"], c["release"]) for c in mine], [("UpdateAlias", self.name, None)])

    def test_a_call_belongs_to_the_release_that_its_invocation_names(self) -> None:
        self.caller()
        one, two = self.release("token-1"), self.release("token-2")
        with self.assertRaises(urllib.error.HTTPError):
            self.aws.local("POST", "releases", {"token": "token-"})
        self.have_it_call("nothing of any")
        # What a request names counts where the invocation names none.
        self.have_it_call("of the first", release=f"arn:of:{one}:is this")
        self.have_it_call(f"of the first, and tells of {two}", release=one)
        self.lambda_.update_alias(FunctionName=self.name, Name="live", Description=f"by a person, about {two}")

        def seen(token: str) -> list[tuple[str | None, bool]]:
            calls = self.aws.local("GET", f"calls?release={token}")["calls"]
            own = [c for c in calls if c["action"] == "UpdateAlias"]
            self.assertEqual({c["release"] for c in own}, {token})
            return [(c["caller"], c["served"]) for c in own]

        self.assertEqual(seen(one), [(self.name, True), (self.name, True)])
        self.assertEqual(seen(two), [(None, False)])
        self.aws.local("DELETE", f"releases?token={one}")
        self.assertEqual(self.aws.local("GET", f"calls?release={one}")["calls"], [])
        self.have_it_call("of the first", release=one)
        self.assertEqual(self.aws.local("GET", f"calls?release={one}")["calls"], [])

    def test_a_fault_of_one_release(self) -> None:
        self.caller()
        one, two = self.release("token-3"), self.release("token-4")
        fault = {"kind": "access-denied", "caller": self.name, "action": "UpdateAlias", "release": two, "skip": 1}
        number = self.aws.local("POST", "faults", fault)["id"]
        said = [self.have_it_call("x", release=token) for token in (one, two, one, two, one, two)]
        self.assertEqual([s["status"] for s in said], [200, 200, 200, 403, 200, 200])
        # A call that only names the release is not of it.
        self.aws.local("POST", "faults", {**fault, "skip": 0, "caller": None})
        self.lambda_.update_alias(FunctionName=self.name, Name="live", Description=f"about {two}")
        faults = self.aws.local("GET", "faults")["faults"]
        self.assertEqual([f["hits"] for f in faults], [1, 0])
        self.assertEqual(faults[0]["id"], number)

    def test_a_process_that_is_killed_at_a_call(self) -> None:
        self.caller()
        self.have_it_call("at first")
        for kind, then, status in (("kill-before", "at first", 0), ("kill-after", "then", 200)):
            fault = {"kind": kind, "caller": self.name, "action": "UpdateAlias"}
            self.aws.local("POST", "faults", fault)
            said = self.have_it_call("then")
            self.assertEqual(said["errorType"], "Runtime.ExitError", kind)
            self.assertIn("signal: killed", said["errorMessage"])
            self.assertEqual(self.description(), then, kind)
            calls = self.aws.local("GET", f"calls?function={self.name}")["calls"]
            self.assertEqual([c["status"] for c in calls if c["error"] == kind], [status])
        # The next one has a process of its own.
        self.assertEqual(self.have_it_call("last"), {"status": 200})

    def started(self, machine: str, token: str, nth: int) -> str:
        start = {"stateMachineArn": machine, "name": f"{nth}-of-{token}", "input": "{}"}
        return str(self.states.start_execution(**start)["executionArn"])

    def test_a_call_that_is_late_and_an_execution_that_is_stopped_at_it(self) -> None:
        self.caller()
        token = self.release("token-7")
        machine = self.machine({"W": {"Type": "Wait", "Seconds": 3000, "End": True}}, "W")
        at = {"caller": self.name, "action": "UpdateAlias", "release": token, "seconds": 0.5}
        for nth, (kind, stops, waits) in enumerate(
            (("late", False, True), ("stop-before", True, False), ("stop-after", True, False), ("stop-late", True, True))
        ):
            arn = self.started(machine, token, nth)
            self.aws.local("POST", "faults", {**at, "kind": kind})
            began = time.monotonic()
            self.assertEqual(self.have_it_call(kind, release=token)["status"], 200, kind)
            self.assertEqual(time.monotonic() - began > 0.5, waits, kind)
            self.assertEqual(self.description(), kind)
            status = self.states.describe_execution(executionArn=arn)["status"]
            self.assertEqual(status, "ABORTED" if stops else "RUNNING", kind)
            self.states.stop_execution(executionArn=arn)

    def test_what_happens_as_a_state_is_entered(self) -> None:
        token = self.release("token-8")
        self.function({"version": "x", "latencyMs": 700})
        machine = self.machine(
            {
                "A": {"Type": "Pass", "Parameters": {"at.$": "$$.State.EnteredTime"}, "Next": "B"},
                "B": {
                    "Type": "Task",
                    "Resource": self.arn(),
                    "TimeoutSeconds": 30,
                    "Catch": [{"ErrorEquals": ["States.Timeout"], "Next": "C", "ResultPath": "$.failure"}],
                    "ResultPath": "$.said",
                    "End": True,
                },
                "C": {"Type": "Pass", "End": True},
            },
            "A",
        )
        at = {"service": "states", "action": "EnterState", "release": token}
        for nth, (kind, state, status) in enumerate(
            (("stop", "B", "ABORTED"), ("time-out", "B", "TIMED_OUT"), ("task-time-out", "B", "SUCCEEDED"))
        ):
            self.aws.local("POST", "faults", {**at, "kind": kind, "resource": state, "seconds": 0.1})
            end = self.ended(self.started(machine, token, nth))
            self.assertEqual(end["status"], status, kind)
            history = self.states.get_execution_history(executionArn=end["executionArn"])["events"]
            entered = [e["stateEnteredEventDetails"]["name"] for e in history if "stateEnteredEventDetails" in e]
            self.assertEqual(entered, ["A", "B", "C"] if kind == "task-time-out" else ["A", "B"], kind)
        for nth, seconds in enumerate((3600, -3600)):
            self.aws.local("DELETE", "faults")
            self.aws.local("POST", "faults", {**at, "kind": "clock", "seconds": seconds, "times": None})
            end = self.ended(self.started(machine, token, 10 + nth))
            said = datetime.datetime.fromisoformat(json.loads(end["output"])["at"].replace("Z", "+00:00"))
            self.assertAlmostEqual(said.timestamp() - time.time(), seconds, delta=30)

    def test_what_happens_to_an_event(self) -> None:
        token = self.release("token-9")
        name = f"alarm-of-{token}"
        url = self.queue_for({"source": ["aws.cloudwatch"], "detail": {"alarmName": [name]}})
        event = {
            "source": "aws.cloudwatch",
            "detail-type": "CloudWatch Alarm State Change",
            "detail": {"alarmName": name},
        }
        at = {"service": "events", "action": "Deliver", "resource": event["detail-type"], "release": token}
        for kind, count in (("lose", 0), ("double", 2), ("late", 1), ("again", 2), ("clock", 1)):
            self.aws.local("POST", "faults", {**at, "kind": kind, "seconds": -3600 if kind == "clock" else 0.5})
            self.aws.local("POST", "events", event)
            got = self.received(url, count + 1, 1.5)
            self.assertEqual(len(got), count, kind)
            if kind == "clock":
                sent = datetime.datetime.fromisoformat(got[0]["time"].replace("Z", "+00:00"))
                self.assertAlmostEqual(sent.timestamp() - time.time(), -3600, delta=30)

    def test_waiting_for_executions(self) -> None:
        token = self.release("token-5")
        machine = self.machine(
            {
                "A": {"Type": "Wait", "Seconds": 30, "Next": "B"},
                "B": {"Type": "Wait", "Seconds": 60, "End": True},
            },
            "A",
        )
        start = {"stateMachineArn": machine, "name": f"of-{token}", "input": "{}"}
        arn = self.states.start_execution(**start)["executionArn"]
        ask = f"executions/wait?arn={arn}"
        self.assertEqual(self.aws.local("GET", f"{ask}&seconds=0"), {"status": "RUNNING", "reached": False})
        self.assertEqual(self.aws.local("GET", f"{ask}&state=B"), {"status": "RUNNING", "reached": True})
        self.assertEqual(self.aws.local("GET", f"{ask}&state=A&nth=2"), {"status": "SUCCEEDED", "reached": False})
        # A release that is forgotten takes its executions with it.
        self.aws.local("DELETE", f"releases?token={token}")
        self.refused("ExecutionDoesNotExist", 400, self.states.describe_execution, executionArn=arn)

    def test_asynchronous_invocations_are_counted(self) -> None:
        self.caller()
        token = self.release("token-6")
        silent = {"kind": "silence", "caller": self.name, "action": "UpdateAlias", "seconds": 1}
        self.aws.local("POST", "faults", silent)
        payload = json.dumps({"function": self.name, "says": "x", "release": token})
        self.lambda_.invoke(FunctionName=self.name, InvocationType="Event", Payload=payload)

        def at_work() -> int:
            listed = self.aws.local("GET", "releases")["releases"]
            return int(next(r["atWork"] for r in listed if r["token"] == token))

        self.assertTrue(eventually(lambda: at_work() == 1))
        self.assertTrue(eventually(lambda: at_work() == 0))
        calls = self.aws.local("GET", f"calls?release={token}&function={self.name}")["calls"]
        self.assertEqual([c["error"] for c in calls], ["silence"])

    def test_faults(self) -> None:
        self.function({"version": "1"})
        self.weigh("1")
        get = lambda: self.lambda_.get_alias(FunctionName=self.name, Name="live")  # noqa: E731
        fault = {"service": "lambda", "action": "GetAlias", "resource": self.name, "skip": 1, "times": 2}
        self.aws.local("POST", "faults", {**fault, "kind": "throttle"})
        get()
        for _ in range(2):
            self.refused("TooManyRequestsException", 429, get)
        get()
        self.assertEqual(self.aws.local("GET", "faults")["faults"][0]["hits"], 2)
        self.aws.local("DELETE", "faults")
        mended = self.aws.local("POST", "faults", {**fault, "skip": 0, "times": None, "kind": "throttle"})["id"]
        self.aws.local("POST", "faults", {"service": "lambda", "kind": "access-denied"})
        self.refused("TooManyRequestsException", 429, get)
        self.aws.local("DELETE", f"faults?id={mended}")
        self.refused("AccessDeniedException", 403, get)
        self.aws.local("POST", "faults", {"service": "dynamodb", "kind": "throttle"})
        self.refused("ProvisionedThroughputExceededException", 400, self.dynamodb.list_tables)
        self.aws.local("POST", "faults", {"service": "cloudwatch", "kind": "throttle"})
        self.refused("Throttling", 400, self.cloudwatch.describe_alarms)
        self.aws.local("POST", "faults", {"service": "lambda", "caller": "nobody", "times": None, "kind": "error500"})
        get()

    def test_lost_answers(self) -> None:
        self.function({"version": "1"})
        self.weigh("1")
        self.aws.local("POST", "faults", {"service": "lambda", "action": "UpdateAlias", "kind": "drop-after"})
        with self.assertRaises(ConnectionClosedError):
            self.lambda_.update_alias(FunctionName=self.name, Name="live", Description="after")
        self.assertEqual(self.lambda_.get_alias(FunctionName=self.name, Name="live")["Description"], "after")
        # The log says what was done and asked, though the caller was told nothing.
        lost = [c for c in self.aws.local("GET", "calls")["calls"]
                if c["error"] == "drop-after" and c["resource"] == self.name]
        self.assertEqual([c["status"] for c in lost], [200])
        self.assertEqual(lost[0]["asked"]["Description"], "after")
        self.assertTrue(lost[0]["asked"]["path"].endswith("/aliases/live"))
        self.aws.local("POST", "faults", {"service": "lambda", "action": "UpdateAlias", "kind": "drop-before"})
        with self.assertRaises(ConnectionClosedError):
            self.lambda_.update_alias(FunctionName=self.name, Name="live", Description="before")
        self.assertEqual(self.lambda_.get_alias(FunctionName=self.name, Name="live")["Description"], "after")
        self.aws.local("POST", "faults", {"service": "lambda", "action": "GetAlias", "kind": "silence", "seconds": 3})
        with self.assertRaises(ReadTimeoutError):
            self.aws.client("lambda", read_timeout=1).get_alias(FunctionName=self.name, Name="live")

    def test_states_meets_faults_too(self) -> None:
        self.function({"version": "1"})
        machine = self.machine({"T": {"Type": "Task", "Resource": self.arn(), "End": True}}, "T")
        self.aws.local(
            "POST", "faults", {"service": "lambda", "action": "Invoke", "caller": "states", "kind": "throttle"}
        )
        self.assertEqual(self.run_to_end(machine)["error"], "Lambda.TooManyRequestsException")

    def test_limits(self) -> None:
        self.function({"version": "1"})
        self.addCleanup(self.aws.local, "DELETE", "limits")
        told = self.aws.local("POST", "limits", {"lambdaControlPlanePerSecond": "aws", "route53PerSecond": 5})
        self.assertEqual(
            told["limits"],
            {
                "lambdaControlPlanePerSecond": 15,
                "lambdaGetFunctionPerSecond": 100,
                "lambdaGetPolicyPerSecond": 15,
                "route53PerSecond": 5,
            },
        )

        def passed(call: Any, count: int, code: str, status: int, **arguments: Any) -> tuple[int, float]:
            let, began = 0, time.monotonic()
            for _ in range(count):
                try:
                    call(**arguments)
                    let += 1
                except ClientError as error:
                    answer = error.response
                    told = (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"])
                    self.assertEqual(told, (code, status))
            return let, time.monotonic() - began

        lambda_refusal = {"code": "TooManyRequestsException", "status": 429, "FunctionName": self.name}
        since = self.aws.local("GET", "calls")["seq"]
        # One second's worth, and what came back meanwhile; reads of configuration share it with writes.
        let, took = passed(self.lambda_.get_function_configuration, 60, **lambda_refusal)
        self.assertAlmostEqual(let, 15 + 15 * took, delta=2)
        let, _ = passed(self.lambda_.list_aliases, 5, **lambda_refusal)
        self.assertLess(let, 4)
        # These have their own.
        self.assertEqual(passed(self.lambda_.get_function, 40, **lambda_refusal)[0], 40)
        self.lambda_.invoke(FunctionName=self.name)
        calls = self.aws.local("GET", f"calls?since={since}")["calls"]
        refused = [c for c in calls if c["action"] == "GetFunctionConfiguration" and c["status"] == 429]
        self.assertGreater(len(refused), 30)
        self.assertEqual(refused[0]["error"], "TooManyRequestsException")
        route53 = self.aws.client("route53")
        let, took = passed(route53.list_hosted_zones, 15, "Throttling", 400)
        self.assertAlmostEqual(let, 5 + 5 * took, delta=1.5)
        # Another account has its own.
        other = boto3.client(
            "route53",
            endpoint_url=f"http://127.0.0.1:{self.aws.port}",
            aws_access_key_id="123456789012",
            aws_secret_access_key="x",
            region_name=REGION,
        )
        other.list_hosted_zones()
        throttled = self.aws.local("GET", "limits")["throttled"]
        self.assertEqual(throttled["route53PerSecond"], 15 - let)
        self.aws.local("DELETE", "limits")
        self.assertEqual(passed(self.lambda_.list_aliases, 30, **lambda_refusal)[0], 30)

    def test_deliveries(self) -> None:
        url = self.queue_for({"source": ["aws.states"], "detail": {"status": ["SUCCEEDED"]}})
        machine = self.machine({"P": {"Type": "Pass", "End": True}}, "P")
        rule = {"detailType": "Step Functions Execution Status Change", "match": {"status": "SUCCEEDED"}}
        for do, count, expected in (("drop", 1, 0), ("duplicate", 3, 3), ("delay", 1, 1)):
            self.aws.local("DELETE", "events/rules")
            self.aws.local("POST", "events/rules", {**rule, "do": do, "count": count, "seconds": 0.6})
            self.run_to_end(machine)
            if do == "delay":
                self.assertEqual(self.received(url, 1, 0.3), [])
            self.assertEqual(len(self.received(url, max(expected, 1), 1.0)), expected)

    def test_aws_events_and_schedules(self) -> None:
        url = self.queue_for({"source": ["aws.cloudwatch"], "detail": {"alarmName": [self.name]}})
        event = {
            "source": "aws.cloudwatch",
            "detail-type": "CloudWatch Alarm State Change",
            "id": "the-id",
            "detail": {"alarmName": self.name},
        }
        self.aws.local("POST", "events", event)
        got = self.received(url, 1)[0]
        self.assertEqual((got["id"], got["detail"], got["account"]), ("the-id", {"alarmName": self.name}, ACCOUNT))
        # What another account or Region forwards keeps its own, and a rule can tell.
        forwarded = [{**event, "account": "111122223333"}, {**event, "region": "eu-north-1"}]
        for other in forwarded:
            self.aws.local("POST", "events", other)
            got = self.received(url, 1)[0]
            self.assertEqual(
                (got["account"], got["region"]), (other.get("account", ACCOUNT), other.get("region", REGION))
            )
        self.queue_for({"account": [ACCOUNT], "region": [REGION], "detail": {"alarmName": [self.name]}})
        for one in (*forwarded, event):
            self.aws.local("POST", "events", one)
        got = self.received(url, 2, 0.5)
        self.assertEqual([(one["account"], one["region"]) for one in got], [(ACCOUNT, REGION)])
        self.events.put_rule(Name=f"{self.name}-often", ScheduleExpression="rate(5 minutes)")
        self.events.put_targets(
            Rule=f"{self.name}-often", Targets=[{"Id": "q", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.name}"}]
        )
        self.aws.local("POST", "schedules/run", {"rule": self.name})
        self.assertEqual(self.received(url, 1)[0]["detail-type"], "Scheduled Event")
        self.refused_by_aws_as_aws_does()

    def refused_by_aws_as_aws_does(self) -> None:
        answer = self.events.put_events(Entries=[{"Source": "aws.cloudwatch", "DetailType": "x", "Detail": "{}"}])
        self.assertEqual(answer["FailedEntryCount"], 1)

    def test_forty_executions(self) -> None:
        self.function({"version": "1"})
        machine = self.machine(
            {
                "W": {"Type": "Wait", "Seconds": 30, "Next": "T"},
                "T": {"Type": "Task", "Resource": self.arn(), "TimeoutSeconds": 10, "Next": "W2"},
                "W2": {"Type": "Wait", "Seconds": 30, "End": True},
            },
            "W",
        )
        began = time.monotonic()
        arns = [self.states.start_execution(stateMachineArn=machine)["executionArn"] for _ in range(40)]
        self.assertEqual({self.ended(a)["status"] for a in arns}, {"SUCCEEDED"})
        self.assertLess(time.monotonic() - began, 5)

    def test_events_need_permission(self) -> None:
        self.function({"version": "1"})
        self.events.put_rule(Name=self.name, EventPattern=json.dumps({"source": [self.name]}))
        dead = self.sqs.create_queue(QueueName=self.name)["QueueUrl"]
        self.events.put_targets(
            Rule=self.name,
            Targets=[
                {
                    "Id": "l",
                    "Arn": self.arn(),
                    "DeadLetterConfig": {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.name}"},
                }
            ],
        )
        self.events.put_events(Entries=[{"Source": self.name, "DetailType": "x", "Detail": "{}"}])
        self.assertEqual(self.received(dead, 1)[0]["source"], self.name)


class Gap7Process(unittest.TestCase):
    def test_loopback_only_and_prompt_end(self) -> None:
        aws = LocalAws()
        self.assertLess(aws.ready_seconds, 10)
        lambda_ = aws.client("lambda")
        lambda_.create_function(
            FunctionName="f",
            Runtime="provided.al2023",
            Role=ROLE,
            Handler="bootstrap",
            Code={"ZipFile": package(version="1", latencyMs=20_000)},
            Timeout=60,
        )
        lambda_.get_waiter("function_active_v2").wait(FunctionName="f")
        lambda_.invoke(FunctionName="f", InvocationType="Event")
        self.assertTrue(eventually(lambda: aws.local("GET", "health")["processes"] == 1))
        children = Path(f"/proc/{aws.process.pid}/task/{aws.process.pid}/children")
        if children.exists():
            mine = {int(p) for task in children.parents[1].iterdir() for p in (task / "children").read_text().split()}
            listening = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=False).stdout
            for line in listening.splitlines():
                if f"pid={aws.process.pid}," in line:
                    self.assertIn(line.split()[3].rsplit(":", 1)[0], ("127.0.0.1", "[::1]"))
        else:
            mine = set()
        began = time.monotonic()
        assert aws.process.stdin is not None
        aws.process.stdin.close()
        aws.process.wait(3)
        self.assertTrue(eventually(lambda: not any(_is_alive(pid) for pid in mine), 2))
        self.assertLess(time.monotonic() - began, 2)
        aws.stop()

    def test_a_taken_port(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = subprocess.run(
                [sys.executable, str(HERE / "aws.py"), "serve", "--port", str(port), "--dir", tempfile.mkdtemp()],
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
            )
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"port {port} cannot be used", done.stderr)

    def test_interrupt(self) -> None:
        aws = LocalAws()
        began = time.monotonic()
        aws.process.send_signal(signal.SIGINT)
        self.assertEqual(aws.process.wait(3), 0)
        self.assertLess(time.monotonic() - began, 2)
        aws.stop()


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Moto(Bridged):
    """The second interpreter: the same machine, the same ends, ministack's functions."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.aws.stop()
        cls.moto_port = free_port()
        # A host that is not on UTC.
        with unittest.mock.patch.dict(os.environ, TZ="Asia/Tokyo"):
            cls.aws = LocalAws("--moto-port", str(cls.moto_port))
        for name in ("lambda", "sns", "sqs", "events"):
            setattr(cls, "lambda_" if name == "lambda" else name, cls.aws.client(name))
        cls.cloudwatch = cls.aws.client("cloudwatch")
        cls.states = cls.aws.client("stepfunctions", cls.moto_port)

    def test_a_wait_until_a_timestamp_is_scaled(self) -> None:
        self.waits_until()

    def test_an_execution_that_starts_another(self) -> None:
        """By a state, in ministack: that is where what it starts is deployed."""
        there = self.aws.client("stepfunctions")
        child = there.create_state_machine(
            name=f"{self.name}-child",
            roleArn=ROLE,
            definition=json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}),
        )["stateMachineArn"]
        machine = self.machine(
            {
                "S": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::states:startExecution",
                    "Parameters": {
                        "StateMachineArn": child,
                        "Name.$": "$$.Execution.Name",
                        "Input": {"by.$": "$$.Execution.Id"},
                    },
                    "End": True,
                }
            },
            "S",
        )
        end = self.run_to_end(machine)
        started = json.loads(end["output"])["ExecutionArn"]
        self.assertEqual(started.rsplit(":", 1)[-1], end["name"])
        output = self.ended(started, there)["output"]
        self.assertEqual(json.loads(output), {"by": end["executionArn"]})

    def test_the_same_ends(self) -> None:
        self.function({"version": "1"})
        url = self.queue_for(
            {"source": ["aws.states"], "detail": {"status": ["SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT"]}}
        )
        topic = self.sns.create_topic(Name=self.name)["TopicArn"]
        machine = self.machine(
            {
                "W": {"Type": "Wait", "Seconds": 60, "Next": "T"},
                "T": {"Type": "Task", "Resource": self.arn(), "ResultPath": "$.t", "Next": "Ask"},
                "Ask": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::sns:publish.waitForTaskToken",
                    "TimeoutSecondsPath": "$.hold",
                    "End": True,
                    "Parameters": {"TopicArn": topic, "Message": {"token.$": "$$.Task.Token"}},
                },
            },
            "W",
            TimeoutSeconds=2000,
        )
        self.assertEqual(self.run_to_end(machine, {"hold": 60})["error"], "States.Timeout")
        before = len(self.aws.local("GET", f"notifications?topic={topic}"))
        arn = self.states.start_execution(stateMachineArn=machine, input='{"hold":80000}')["executionArn"]
        self.assertTrue(eventually(lambda: len(self.aws.local("GET", f"notifications?topic={topic}")) > before))
        token = json.loads(self.aws.local("GET", f"notifications?topic={topic}")[-1]["message"])["token"]
        # Functions know one endpoint: what ministack does not know, it asks moto.
        through = self.aws.client("stepfunctions")
        self.assertEqual(through.describe_execution(executionArn=arn)["status"], "RUNNING")
        through.send_task_success(taskToken=token, output='{"by":"hand"}')
        self.refused("TaskTimedOut", 400, through.send_task_success, taskToken=token, output="{}")
        self.assertEqual(json.loads(self.ended(arn)["output"]), {"by": "hand"})
        arn = self.states.start_execution(stateMachineArn=machine, input='{"hold":80000}')["executionArn"]
        self.assertTrue(eventually(lambda: len(self.aws.local("GET", f"notifications?topic={topic}")) > before + 1))
        self.states.stop_execution(executionArn=arn, error="Stopped", cause="by hand")
        self.assertEqual(self.ended(arn)["status"], "ABORTED")
        arn = self.states.start_execution(stateMachineArn=machine, input='{"hold":80000}')["executionArn"]
        told = [(e["detail"]["status"], e["detail"]["error"]) for e in self.received(url, 3)]
        self.assertEqual(told, [("FAILED", "States.Timeout"), ("SUCCEEDED", None), ("ABORTED", "Stopped")])


class StillNeeded(unittest.TestCase):
    """ministack as it comes. A failure here is good news: a bridge can go, and its row in the README."""

    @classmethod
    def setUpClass(cls) -> None:
        bootstrap()
        cls.port = free_port()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | {
            "GATEWAY_PORT": str(cls.port),
            "BIND_HOST": "127.0.0.1",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "SFN_WAIT_SCALE": "0.01",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{cls.port}",
            "TMPDIR": tempfile.mkdtemp(prefix="ministack-"),
            "LOG_LEVEL": "ERROR",
        }
        cls.process = subprocess.Popen(
            [sys.executable, "-m", "ministack"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

        def client(service: str) -> Any:
            return boto3.client(
                service,
                endpoint_url=f"http://127.0.0.1:{cls.port}",
                region_name=REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(retries={"total_max_attempts": 1}),
            )

        cls.client = staticmethod(client)

        def is_up() -> bool:
            try:
                return bool(client("sts").get_caller_identity())
            except Exception:  # noqa: BLE001 - not yet
                return False

        assert eventually(is_up, 20)
        lambda_ = cls.lambda_ = client("lambda")
        for version in "12":
            if version == "1":
                lambda_.create_function(
                    FunctionName="f",
                    Runtime="provided.al2023",
                    Role=ROLE,
                    Handler="bootstrap",
                    Code={"ZipFile": package(version="1")},
                )
            else:
                lambda_.update_function_code(FunctionName="f", ZipFile=package(version="2"))
            time.sleep(0.8)
            lambda_.publish_version(FunctionName="f")
        lambda_.create_alias(
            FunctionName="f", Name="live", FunctionVersion="1", RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}}
        )

    @classmethod
    def tearDownClass(cls) -> None:
        cls.process.terminate()
        cls.process.wait(10)

    def test_1_weights_are_ignored(self) -> None:
        self.assertEqual(
            {self.lambda_.invoke(FunctionName="f", Qualifier="live")["ExecutedVersion"] for _ in range(5)}, {"1"}
        )

    def test_2_any_weight_is_taken(self) -> None:
        for weights in ({"9": 0.5}, {"1": 0.5}, {"1": 0.5, "2": 0.5}):
            self.lambda_.create_alias(
                FunctionName="f", Name="x", FunctionVersion="1", RoutingConfig={"AdditionalVersionWeights": weights}
            )
            self.lambda_.delete_alias(FunctionName="f", Name="x")

    def test_15_a_stacks_bucket_has_no_tags_and_goes_with_what_is_in_it(self) -> None:
        stacks, s3 = self.client("cloudformation"), self.client("s3")
        stacks.create_stack(StackName="gap15", TemplateBody=json.dumps(BUCKET))

        def names() -> list[str]:
            return [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]

        self.assertTrue(eventually(lambda: "gap-15" in names()))
        with self.assertRaises(ClientError):
            s3.get_bucket_tagging(Bucket="gap-15")
        s3.put_object(Bucket="gap-15", Key="a", Body=b"b")
        stacks.delete_stack(StackName="gap15")
        self.assertTrue(eventually(lambda: "gap-15" not in names()))

    def test_3_alarms_send_no_events(self) -> None:
        cloudwatch, events, sqs = self.client("cloudwatch"), self.client("events"), self.client("sqs")
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        events.put_rule(Name="r", EventPattern='{"source":["aws.cloudwatch"]}')
        events.put_targets(Rule="r", Targets=[{"Id": "q", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"}])
        cloudwatch.put_metric_alarm(
            AlarmName="a",
            Namespace="N",
            MetricName="m",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
        )
        cloudwatch.set_alarm_state(AlarmName="a", StateValue="ALARM", StateReason="x")
        time.sleep(0.5)
        self.assertNotIn("Messages", sqs.receive_message(QueueUrl=url))

    def test_4_alarms_ignore_dimensions(self) -> None:
        cloudwatch = self.client("cloudwatch")
        cloudwatch.put_metric_alarm(
            AlarmName="d",
            Namespace="D",
            MetricName="m",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
            Dimensions=[{"Name": "A", "Value": "one"}],
        )
        cloudwatch.put_metric_data(
            Namespace="D", MetricData=[{"MetricName": "m", "Value": 9, "Dimensions": [{"Name": "A", "Value": "two"}]}]
        )
        self.assertEqual(cloudwatch.describe_alarms(AlarmNames=["d"])["MetricAlarms"][0]["StateValue"], "ALARM")

    def test_5_no_math_and_no_trimmed_counts(self) -> None:
        cloudwatch = self.client("cloudwatch")
        cloudwatch.put_metric_data(Namespace="T", MetricData=[{"MetricName": "m", "Values": [1.0, 2.0, 3.0]}])
        now = time.time()
        stat = {"Metric": {"Namespace": "T", "MetricName": "m"}, "Period": 60, "Stat": "TC(1:2)"}
        found = cloudwatch.get_metric_data(
            StartTime=now - 120,
            EndTime=now + 60,
            MetricDataQueries=[{"Id": "t", "MetricStat": stat}, {"Id": "e", "Expression": "100*t"}],
        )["MetricDataResults"]
        self.assertNotEqual(found[0]["Values"], [1.0])
        self.assertEqual(found[1]["StatusCode"], "InternalError")

    def test_6_a_token_waits_for_ever(self) -> None:
        states, topic = self.client("stepfunctions"), self.client("sns").create_topic(Name="t")["TopicArn"]
        definition = {
            "StartAt": "A",
            "States": {
                "A": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::sns:publish.waitForTaskToken",
                    "TimeoutSecondsPath": "$.hold",
                    "Parameters": {"TopicArn": topic, "Message.$": "$$.Task.Token"},
                    "End": True,
                }
            },
        }
        machine = states.create_state_machine(name="m", definition=json.dumps(definition), roleArn=ROLE)[
            "stateMachineArn"
        ]
        arn = states.start_execution(stateMachineArn=machine, input='{"hold":1}')["executionArn"]
        time.sleep(2)
        self.assertEqual(states.describe_execution(executionArn=arn)["status"], "RUNNING")

    def test_8_a_timeout_of_the_whole_is_ignored(self) -> None:
        states = self.client("stepfunctions")
        definition = {
            "StartAt": "W",
            "TimeoutSeconds": 1,
            "States": {"W": {"Type": "Wait", "Seconds": 200, "End": True}},
        }
        machine = states.create_state_machine(name="w", definition=json.dumps(definition), roleArn=ROLE)[
            "stateMachineArn"
        ]
        arn = states.start_execution(stateMachineArn=machine)["executionArn"]
        self.assertEqual(
            eventually(lambda: (s := states.describe_execution(executionArn=arn)["status"]) != "RUNNING" and s),
            "SUCCEEDED",
        )

    def test_8_publishing_is_not_guarded(self) -> None:
        self.lambda_.publish_version(FunctionName="f", CodeSha256="wrong", RevisionId="wrong")

    def test_9_load_balancers_forget(self) -> None:
        elb = self.client("elbv2")
        balancer = elb.create_load_balancer(Name="b", Subnets=["s"])["LoadBalancers"][0]["LoadBalancerArn"]
        group = elb.create_target_group(Name="g", TargetType="lambda")["TargetGroups"][0]["TargetGroupArn"]
        # Without the function's permission.
        function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f:1"
        elb.register_targets(TargetGroupArn=group, Targets=[{"Id": function}])
        found = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        self.assertEqual(found[0]["TargetHealth"]["State"], "healthy")
        made = elb.create_listener(
            LoadBalancerArn=balancer,
            Protocol="HTTP",
            Port=80,
            DefaultActions=[
                {"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": group, "Weight": 1000}]}}
            ],
        )
        self.assertEqual(made["Listeners"][0]["DefaultActions"], [{"Type": "forward", "Order": 1}])

    def test_9_a_statement_id_is_taken_in_all_policies(self) -> None:
        def allow(qualifier: str) -> None:
            self.lambda_.add_permission(
                FunctionName="f", Qualifier=qualifier, StatementId="s", Principal="a.amazonaws.com", Action="lambda:*"
            )

        allow("1")
        with self.assertRaises(ClientError):
            allow("2")

    def test_10_a_change_is_in_sync_once_looked_at(self) -> None:
        route53 = self.client("route53")
        zone = route53.create_hosted_zone(Name="z.test", CallerReference="z")["HostedZone"]["Id"]

        def record(colour: str, weight: int) -> dict[str, Any]:
            # A weight out of range, and two TTLs in one group.
            values = {"TTL": weight, "ResourceRecords": [{"Value": "192.0.2.1"}]}
            return {"Name": "a.z.test", "Type": "A", "SetIdentifier": colour, "Weight": weight, **values}

        changes = [
            {"Action": "CREATE", "ResourceRecordSet": record("a", 999)},
            {"Action": "CREATE", "ResourceRecordSet": record("b", 1)},
        ]
        made = route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
        states = [route53.get_change(Id=made["ChangeInfo"]["Id"])["ChangeInfo"]["Status"] for _ in range(2)]
        self.assertEqual(states, ["PENDING", "INSYNC"])
        check = route53.create_health_check(CallerReference="h", HealthCheckConfig={"Type": "HTTPS"})["HealthCheck"]
        with self.assertRaises(ClientError):
            route53.get_health_check_status(HealthCheckId=check["Id"])

    def test_11_apis_serve_what_is_defined(self) -> None:
        rest = self.client("apigateway")
        api = rest.create_rest_api(name="a")["id"]
        root = rest.get_resources(restApiId=api)["items"][0]["id"]
        rest.put_method(restApiId=api, resourceId=root, httpMethod="GET", authorizationType="NONE")
        rest.create_deployment(restApiId=api, stageName="s", variables={"version": "1"})

        def answers(uri: str) -> int:
            # Never deployed, and the function allows nobody.
            rest.put_integration(
                restApiId=api,
                resourceId=root,
                httpMethod="GET",
                type="AWS_PROXY",
                integrationHttpMethod="POST",
                uri=f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{uri}/invocations",
            )
            connection = http.client.HTTPConnection("127.0.0.1", self.port)
            connection.request("GET", f"/_aws/execute-api/{api}/s/")
            status = connection.getresponse().status
            connection.close()
            return status

        function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
        self.assertEqual((answers(f"{function}:1"), answers(function + ":${stageVariables.version}")), (200, 500))


if __name__ == "__main__":
    unittest.main()
