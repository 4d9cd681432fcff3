"""Function URLs: what calls one comes to the function, where its policy lets anybody."""

from __future__ import annotations

import base64
import http.client
import json
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

from test_bridge import Bridged


class Gap12FunctionUrls(Bridged):
    def url(self, *, allow: bool = True) -> str:
        """The host of a URL that anybody may call."""
        made = self.lambda_.create_function_url_config(FunctionName=self.name, AuthType="NONE")
        if allow:
            self.allow("lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE")
            self.allow("lambda:InvokeFunction", InvokedViaFunctionUrl=True)
        return str(urlsplit(made["FunctionUrl"]).hostname)

    def allow(self, action: str, **condition: Any) -> None:
        self.lambda_.add_permission(
            FunctionName=self.name, StatementId=action.replace(":", "-"), Principal="*", Action=action, **condition
        )

    def call(
        self, method: str, host: str, target: str, body: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.aws.port, timeout=30)
        try:
            connection.request(method, target, body, {"Host": host, **headers})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def test_a_form_comes_to_the_function_in_base64(self) -> None:
        self.function({"version": "1", "echo": True})
        host = self.url()
        kind = "application/x-www-form-urlencoded"
        status, _, told = self.call("POST", host, "/a?b=c%20d", "name=%C3%A9", **{"Content-Type": kind})
        self.assertEqual(status, 200)
        event = self.event(told)
        self.assertEqual((event["version"], event["rawPath"]), ("2.0", "/a"))
        self.assertEqual(event["requestContext"]["http"]["method"], "POST")
        self.assertEqual(event["rawQueryString"], "b=c%20d")
        self.assertTrue(event["isBase64Encoded"])
        self.assertEqual(base64.b64decode(event["body"]), b"name=%C3%A9")
        self.assertGreater(event["requestContext"]["timeEpoch"], 1_700_000_000_000)

    def event(self, told: bytes) -> dict[str, Any]:
        """What the function was invoked with, as it tells it."""
        found = json.loads(told)
        while "requestContext" not in found:
            inner = found.get("event", found.get("body"))
            found = json.loads(inner) if isinstance(inner, str) else inner
        return dict(found)

    def test_every_method_comes_and_a_head_has_no_body(self) -> None:
        self.function({"version": "1", "body": "hello"})
        host = self.url()
        for method in ("GET", "PUT", "DELETE"):
            self.assertEqual(self.call(method, host, "/")[0], 200, method)
        status, _, body = self.call("HEAD", host, "/")
        self.assertEqual((status, body), (200, b""))
        # As browsers on this machine find it.
        status, _, _ = self.call("GET", host.replace(".on.aws", ".localhost:1"), "/")
        self.assertEqual(status, 200)

    def test_it_takes_both_permissions(self) -> None:
        self.function({"version": "1"})
        host = self.url(allow=False)
        self.assertEqual(self.call("GET", host, "/")[0], 403)
        self.allow("lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE")
        self.assertEqual(self.call("GET", host, "/")[0], 403)
        self.allow("lambda:InvokeFunction", InvokedViaFunctionUrl=True)
        self.assertEqual(self.call("GET", host, "/")[0], 200)

    def sums(self, metric: str, **more: str) -> float:
        dimensions = [{"Name": n, "Value": v} for n, v in {"FunctionName": self.name, **more}.items()]
        now = datetime.now(timezone.utc)
        found = self.cloudwatch.get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName=metric,
            Dimensions=dimensions,
            StartTime=now - timedelta(minutes=5),
            EndTime=now + timedelta(minutes=1),
            Period=60,
            Statistics=["Sum"],
        )
        return float(sum(point["Sum"] for point in found["Datapoints"]))

    def test_answers_are_counted_by_class_and_version(self) -> None:
        self.function({"version": "1", "statusCode": 500})
        host = self.url()
        for _ in range(3):
            self.assertEqual(self.call("GET", host, "/")[0], 500)
        resource = {"Resource": f"{self.name}:$LATEST"}
        version = {**resource, "ExecutedVersion": "$LATEST"}
        for dimensions in ({}, resource, version):
            self.assertEqual(self.sums("UrlRequestCount", **dimensions), 3)
            self.assertEqual(self.sums("Url5xxCount", **dimensions), 3)
            self.assertEqual(self.sums("Url4xxCount", **dimensions), 0)
        self.assertEqual(self.sums("Errors"), 0, "a handler that answers 500 is a success for Lambda")
        self.aws.local("POST", "function-urls/metrics", {"functionName": self.name, "byVersion": False})
        self.call("GET", host, "/")
        self.assertEqual((self.sums("Url5xxCount", **resource), self.sums("Url5xxCount", **version)), (4, 3))

    def test_who_may_not_is_counted_and_reaches_no_version(self) -> None:
        self.function({"version": "1"})
        host = self.url(allow=False)
        self.assertEqual(self.call("GET", host, "/")[0], 403)
        self.assertEqual((self.sums("UrlRequestCount"), self.sums("Url4xxCount")), (1, 1))
        self.assertEqual(self.sums("Invocations"), 0)

    def test_such_requests_are_no_calls_of_aws(self) -> None:
        self.function({"version": "1"})
        host = self.url()
        before = self.aws.local("GET", "calls")["seq"]
        self.call("POST", host, "/", "Action=DescribeAlarms", **{"Content-Type": "application/x-www-form-urlencoded"})
        self.assertEqual(self.aws.local("GET", f"calls?since={before}")["calls"], [])
