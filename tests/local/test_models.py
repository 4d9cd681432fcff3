"""The checker of `tests/models`: good calls have no violations, and each kind of bad one is found."""

from __future__ import annotations

import json
import os
import secrets
import sys
import tempfile
import unittest
import unittest.mock
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import cbor2
from botocore import serialize
from botocore.model import ShapeResolver

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "models"))

import calls  # noqa: E402
import checker  # noqa: E402
import shapes  # noqa: E402
from test_bridge import ROLE, LocalAws, zipped  # noqa: E402

SIGNED = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=x"
SIGNING = {name: signed for signed, name in calls.SERVICES.items()}


def sent(service: str, operation: str, values: dict[str, Any], answer: Any = None, **changed: Any) -> calls.Recorded:
    """A request as botocore sends it, with what is changed of it."""
    model = calls.model(service)
    protocol = model.metadata["protocol"]
    request = serialize.create_serializer(protocol, False).serialize_to_request(
        values, model.operation_model(operation)
    )
    body = request["body"]
    if protocol == "query":
        body = urlencode(body).encode()
    body = body.encode() if isinstance(body, str) else body
    query = request.get("query_string") or {}
    if not isinstance(query, str):
        query = urlencode(query, doseq=True)
    target = request["url_path"] + (f"?{query}" if query else "")
    headers = {**request["headers"], "authorization": SIGNED.format(SIGNING.get(service, "apigateway"))}
    headers.update(changed.pop("headers", {}))
    told = [(name.encode(), str(value).encode()) for name, value in headers.items()]
    made = calls.Recorded("crossfade-x", request["method"], target, told, bytes(body or b""), answer)
    return made._replace(**changed)


def violations(recorded: calls.Recorded) -> list[str]:
    found = checker.Found()
    checker.check(recorded, found)
    return list(found.wrong)


def replied(value: Any, status: int = 200, **headers: str) -> Any:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return status, [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()], body


ALIAS = {"FunctionName": "f", "Name": "live", "FunctionVersion": "1"}
CONFIGURATION = {
    "FunctionName": "f",
    "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
    "State": "Active",
}
ITEM = {"TableName": "t", "Key": {"pk": {"S": "a"}}}
QUERY = {
    "Id": "m",
    "MetricStat": {"Metric": {"Namespace": "n", "MetricName": "m"}, "Period": 60, "Stat": "Sum"},
}


class Requests(unittest.TestCase):
    def bad(self, said: str, recorded: calls.Recorded) -> None:
        found = violations(recorded)
        self.assertTrue(any(said in each for each in found), f"{said!r} is not in {found}")

    def test_accepts_what_each_protocol_sends(self) -> None:
        span = {
            "StartTime": datetime(2026, 1, 1, tzinfo=timezone.utc),
            "EndTime": datetime(2026, 1, 2, tzinfo=timezone.utc),
        }
        change = {
            "Action": "UPSERT",
            "ResourceRecordSet": {"Name": "a.", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "1.2.3.4"}]},
        }
        for service, operation, values in (
            ("dynamodb", "GetItem", ITEM),
            ("cloudwatch", "GetMetricData", {"MetricDataQueries": [QUERY], **span}),
            ("sns", "Publish", {"TopicArn": "arn:aws:sns:us-east-1:000000000000:t", "Message": "m", "Subject": "s"}),
            ("lambda", "UpdateAlias", {**ALIAS, "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.1}}}),
            ("lambda", "ListAliases", {"FunctionName": "f", "MaxItems": 50}),
            ("route53", "ChangeResourceRecordSets", {"HostedZoneId": "Z1", "ChangeBatch": {"Changes": [change]}}),
            (
                "apigateway",
                "GetExport",
                {"restApiId": "a", "stageName": "s", "exportType": "oas30", "parameters": {"extensions": "apigateway"}},
            ),
            (
                "elbv2",
                "DescribeRules",
                {"RuleArns": ["arn:aws:elasticloadbalancing:us-east-1:000000000000:listener-rule/app/a/b/c/d"]},
            ),
        ):
            with self.subTest(operation):
                self.assertEqual(violations(sent(service, operation, values)), [])

    def test_finds_each_kind_in_a_member(self) -> None:
        def changed(**more: Any) -> calls.Recorded:
            return sent("lambda", "UpdateAlias", ALIAS, body=json.dumps(more).encode())

        self.bad("unknown member", changed(Nonsense=1))
        self.bad("wrong type: int instead of a string", changed(Description=1))
        self.bad("more than", changed(Description="a" * 300))
        self.bad("does not match", changed(FunctionVersion="one"))
        self.bad("wrong type: str instead of a number", changed(RoutingConfig={"AdditionalVersionWeights": {"2": "x"}}))
        self.bad("more than", changed(RoutingConfig={"AdditionalVersionWeights": {"2": 1.5}}))

    def test_finds_what_is_missing_or_none_of_an_enum(self) -> None:
        self.bad("required member is missing", sent("dynamodb", "GetItem", ITEM, body=b'{"TableName":"t"}'))
        body = json.dumps({**ITEM, "ReturnConsumedCapacity": "SOME"}).encode()
        self.bad("none of the enum", sent("dynamodb", "GetItem", ITEM, body=body))

    def test_finds_unions_of_two_and_of_none(self) -> None:
        def key(**value: Any) -> calls.Recorded:
            return sent("dynamodb", "GetItem", ITEM, body=json.dumps({**ITEM, "Key": {"pk": value}}).encode())

        self.bad("unknown member", key(X="a"))
        self.bad("exactly one is wanted", key(S="a", N="1"))
        self.bad("exactly one is wanted", key())
        text = {"shape": "Text"}
        union = {"type": "structure", "union": True, "members": {"one": text, "other": text}}
        resolver = ShapeResolver({"Union": union, "Text": {"type": "string"}})
        for value, right in (({"one": "a"}, True), ({"one": "a", "other": "b"}, False), ({}, False)):
            found: list[str] = []
            shapes.check(resolver.get_shape_by_name("Union"), value, "json", "", lambda where, what: found.append(what))
            self.assertEqual(not found, right, value)

    def test_finds_what_is_no_call(self) -> None:
        self.bad(
            "no operation", sent("dynamodb", "GetItem", ITEM, headers={"X-Amz-Target": "DynamoDB_20120810.GetThing"})
        )
        self.bad("target prefix", sent("dynamodb", "GetItem", ITEM, headers={"X-Amz-Target": "Dynamo.GetItem"}))
        self.bad("content type", sent("dynamodb", "GetItem", ITEM, headers={"Content-Type": "text/plain"}))
        self.bad("no operation is", sent("lambda", "GetAlias", {"FunctionName": "f", "Name": "a"}, target="/nowhere"))
        self.bad(
            "unknown query parameter",
            sent("lambda", "ListAliases", {"FunctionName": "f"}, target="/2015-03-31/functions/f/aliases?Max=1"),
        )
        self.bad(
            "version", sent("sns", "Publish", {"Message": "m"}, body=b"Action=Publish&Version=2000-01-01&Message=m")
        )

    def test_finds_broken_rules(self) -> None:
        def update(**more: Any) -> calls.Recorded:
            return sent("dynamodb", "UpdateItem", {**ITEM, **more})

        self.bad(
            "reserved word", update(UpdateExpression="SET status = :a", ExpressionAttributeValues={":a": {"S": "a"}})
        )
        self.bad(
            "which nothing uses", update(UpdateExpression="SET a = b", ExpressionAttributeValues={":a": {"S": "a"}})
        )
        self.bad("is not in", update(UpdateExpression="SET a1 = :b"))
        self.bad("overlap", update(UpdateExpression="SET a1 = b1, a1.c = d1"))
        self.bad("empty set", update(UpdateExpression="ADD a1 :a", ExpressionAttributeValues={":a": {"SS": []}}))
        self.bad("empty key", sent("dynamodb", "GetItem", {"TableName": "t", "Key": {"pk": {"S": ""}}}))
        put = {"Put": {"TableName": "t", "Item": {"pk": {"S": "a"}, "sk": {"S": "b"}}}}
        self.bad("actions on the item", sent("dynamodb", "TransactWriteItems", {"TransactItems": [put, put]}))
        many = [{"Put": {"TableName": "t", "Item": {"pk": {"S": str(n)}}}} for n in range(101)]
        self.bad("actions in a transaction", sent("dynamodb", "TransactWriteItems", {"TransactItems": many}))
        self.bad("the subject", sent("sns", "Publish", {"TopicArn": "a", "Message": "m", "Subject": "a\nb"}))
        self.bad(
            "twice", sent("lambda", "UpdateAlias", {**ALIAS, "RoutingConfig": {"AdditionalVersionWeights": {"1": 0.1}}})
        )
        start = {"stateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:m"}
        self.bad("may not have", sent("stepfunctions", "StartExecution", {**start, "name": "a/b"}))
        self.bad("no JSON", sent("stepfunctions", "StartExecution", {**start, "input": "{"}))
        event = {"Source": "aws.x", "DetailType": "d", "Detail": "{}"}
        self.bad("AWS's own", sent("events", "PutEvents", {"Entries": [event]}))
        self.bad(
            "262,144",
            sent(
                "events",
                "PutEvents",
                {"Entries": [{**event, "Source": "s", "Detail": json.dumps({"a": "b" * 300_000})}]},
            ),
        )

    def test_finds_broken_rules_of_metric_queries(self) -> None:
        def asked(*queries: Any) -> calls.Recorded:
            body = cbor2.dumps(
                {"MetricDataQueries": list(queries), "StartTime": cbor2.CBORTag(1, 0), "EndTime": cbor2.CBORTag(1, 60)}
            )
            return sent(
                "cloudwatch", "GetMetricData", {"MetricDataQueries": [], "StartTime": 0, "EndTime": 60}, body=body
            )

        def stat(**more: Any) -> Any:
            return {**QUERY, "MetricStat": {**QUERY["MetricStat"], **more}}

        self.assertEqual(violations(asked(QUERY)), [])
        self.bad("the id m 2 times", asked(QUERY, QUERY))
        self.bad("small letter", asked({**QUERY, "Id": "M"}))
        self.bad("no statistic", asked(stat(Stat="Middle")))
        self.bad("a period of 7 s", asked(stat(Period=7)))
        self.bad("500 are allowed", asked(*({**QUERY, "Id": f"m{n}"} for n in range(501))))


class Answers(unittest.TestCase):
    def bad(self, said: str, recorded: calls.Recorded) -> None:
        found = violations(recorded)
        self.assertTrue(any("answer" in each and said in each for each in found), f"{said!r} is not in {found}")

    def test_accepts_good_ones(self) -> None:
        self.assertEqual(
            violations(sent("lambda", "GetFunctionConfiguration", {"FunctionName": "f"}, replied(CONFIGURATION))), []
        )
        xml = b'<PublishResponse xmlns="x"><PublishResult><MessageId>a</MessageId></PublishResult></PublishResponse>'
        self.assertEqual(violations(sent("sns", "Publish", {"TopicArn": "a", "Message": "m"}, replied(xml))), [])
        invoked = replied(b"{}", x_amz_executed_version="1")
        self.assertEqual(violations(sent("lambda", "Invoke", {"FunctionName": "f", "Payload": b"{}"}, invoked)), [])

    def test_finds_members_and_values(self) -> None:
        def told(**more: Any) -> calls.Recorded:
            answer = replied({**CONFIGURATION, **more})
            return sent("lambda", "GetFunctionConfiguration", {"FunctionName": "f"}, answer)

        self.bad("unknown member", told(ImageUri="x"))
        self.bad("none of the enum", told(StateReasonCode=""))
        self.bad("wrong type", told(Timeout="3"))
        self.bad("fewer than", told(Timeout=0))
        self.bad("does not match", told(Handler="a b"))

    def test_finds_errors_that_the_operation_has_not(self) -> None:
        about = {"FunctionName": "f", "Name": "a"}
        missing = replied({"Type": "User", "Message": "m"}, 404, x_amzn_errortype="ResourceNotFoundException")
        self.assertEqual(violations(sent("lambda", "GetAlias", about, missing)), [])
        self.bad(
            "is no error of the operation",
            sent("lambda", "GetAlias", about, replied({}, 400, x_amzn_errortype="Nonsense")),
        )
        wrong = replied({}, 400, x_amzn_errortype="ResourceNotFoundException")
        self.bad("has the status 400, not 404", sent("lambda", "GetAlias", about, wrong))

    def test_finds_missing_headers_and_elements(self) -> None:
        zone = b"<CreateHostedZoneResponse><HostedZone><Id>/hostedzone/Z</Id><Name>a.</Name><CallerReference>r</CallerReference></HostedZone></CreateHostedZoneResponse>"
        about = {"Name": "a.", "CallerReference": "r"}
        self.bad("Location: required", sent("route53", "CreateHostedZone", about, replied(zone, 201)))
        self.bad(
            "there is no", sent("sns", "Publish", {"TopicArn": "a", "Message": "m"}, replied(b"<PublishResponse/>"))
        )

    def test_knows_what_is_accepted(self) -> None:
        found = checker.Found()
        found.add("lambda.GetFunction answer A: wrong", "")
        self.assertEqual(checker.verdict(found, {"lambda.* answer A: wrong": "why"}), ([], []))
        self.assertEqual(checker.verdict(found, {}), (["lambda.GetFunction answer A: wrong"], []))
        self.assertEqual(checker.verdict(checker.Found(), {"gone": "why"}), ([], ["gone"]))


class Recording(unittest.TestCase):
    def test_records_calls_with_their_answers_and_without_code(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            with unittest.mock.patch.dict(os.environ, CROSSFADE_LOCAL_CALLS=folder):
                aws = LocalAws()
            code = zipped({"index.py": "", "ballast": secrets.token_hex(100_000)})
            made = {"Runtime": "python3.12", "Role": ROLE, "Handler": "index.handler", "Code": {"ZipFile": code}}
            aws.client("lambda").create_function(FunctionName="f", **made)
            aws.client("sns").list_topics()
            aws.stop()
            recorded = list(checker.read(sorted(Path(folder).iterdir()), 0, 1))
        create, listed = recorded
        self.assertIn(b'"ZipFile": "UEsDBA=="', create.body)
        self.assertEqual((create.caller, create.answer and create.answer[0]), (None, 201))
        self.assertEqual([violations(each) for each in recorded], [[], []])
        self.assertIn(b"Action=ListTopics", listed.body)


if __name__ == "__main__":
    unittest.main()
