"""Subscription filters: what their patterns match, two slots, and deliveries that come late, twice or not at all."""

from __future__ import annotations

import json
import unittest
from typing import Any

from bridge import subscriptions
from test_bridge import Bridged

TEXT = '?INIT_START ?"Status: error" ?"[ERROR] "'
JSON = (
    '{ ($.type = "platform.report" && $.record.status != "success") || ($.level = "ERROR" && $.errorType = "*")'
    " || ($.status >= 500) }"
)


class Patterns(unittest.TestCase):
    def test_terms_with_a_question_mark_need_one_of_them(self) -> None:
        matches = subscriptions.matcher(TEXT)
        self.assertTrue(matches("INIT_START Runtime Version: x"))
        self.assertTrue(matches("REPORT RequestId: r\tStatus: error\tError Type: x"))
        self.assertTrue(matches("[ERROR] ValueError: x"))
        self.assertFalse(matches("[ERROR]\t2026-11-29T10:00:00Z\tr\tx"))
        self.assertFalse(matches("REPORT RequestId: r\tDuration: 1 ms"))

    def test_a_condition_on_fields_needs_them(self) -> None:
        matches = subscriptions.matcher(JSON)

        def line(**fields: Any) -> bool:
            return matches(json.dumps(fields))

        self.assertTrue(line(type="platform.report", record={"status": "timeout"}))
        self.assertFalse(line(type="platform.report", record={"status": "success"}))
        self.assertFalse(line(type="platform.report", record={}))
        self.assertTrue(line(level="ERROR", errorType="x"))
        self.assertFalse(line(level="ERROR"))
        self.assertTrue(line(status=503))
        self.assertFalse(line(status="503"))
        self.assertFalse(matches("status 503"))

    def test_what_cloudwatch_refuses_is_refused(self) -> None:
        for wrong in ["{ $.a = 1", "{ $.a }", "{ $.a = 1 && }", "a.b", '"open', "?" + "a" * 1024, "{ a = 1 }"]:
            with self.assertRaises((subscriptions.InvalidPattern, ValueError), msg=wrong):
                subscriptions.matcher(wrong)


class Gap13Subscriptions(Bridged):
    """A function listens to another's log, by way of its own log."""

    def test_two_slots_a_permission_and_deliveries(self) -> None:
        self.function({"version": "1", "logs": "[ERROR] told"})
        arn = self.lambda_.get_function(FunctionName=self.name)["Configuration"]["FunctionArn"]
        self.lambda_.invoke(FunctionName=self.name)
        logs = self.aws.client("logs")
        group = f"/aws/lambda/{self.name}"
        put = {"logGroupName": group, "filterPattern": TEXT, "destinationArn": arn}
        with self.assertRaises(logs.exceptions.InvalidParameterException):
            logs.put_subscription_filter(filterName="a", **put)
        self.lambda_.add_permission(
            FunctionName=self.name, StatementId="logs", Principal="logs.amazonaws.com", Action="lambda:InvokeFunction"
        )
        for name in ("a", "b", "a"):
            logs.put_subscription_filter(filterName=name, **put)
        with self.assertRaises(logs.exceptions.LimitExceededException):
            logs.put_subscription_filter(filterName="c", **put)
        with self.assertRaises(logs.exceptions.InvalidParameterException):
            logs.put_subscription_filter(filterName="a", **{**put, "filterPattern": "{ $.a }"})
        logs.delete_subscription_filter(logGroupName=group, filterName="b")
        left = logs.describe_subscription_filters(logGroupName=group)["subscriptionFilters"]
        self.assertEqual([one["filterName"] for one in left], ["a"])
