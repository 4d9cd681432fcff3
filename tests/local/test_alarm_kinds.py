"""Log alarms, PromQL alarms, warm-up, mute rules: as far as Crossfade reads them."""

from __future__ import annotations

import time
import unittest
import urllib.parse
import urllib.request
from typing import Any

from test_bridge import Bridged

CHANGES = {"source": ["aws.cloudwatch"], "detail": {"state": {"value": ["ALARM"]}}}


class AlarmKinds(Bridged):
    def log_alarm(self, **more: Any) -> None:
        self.cloudwatch.put_log_alarm(
            AlarmName=self.name,
            ScheduledQueryConfiguration={
                "QueryString": "filter @message like /ERROR/",
                "LogGroupIdentifiers": ["/aws/lambda/f"],
                "ScheduledQueryRoleARN": "arn:aws:iam::000000000000:role/query",
                "ScheduleConfiguration": {"ScheduleExpression": "rate(1 minute)", "StartTimeOffset": 60},
                "AggregationExpression": "count(*)",
            },
            QueryResultsToEvaluate=1,
            QueryResultsToAlarm=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
            **more,
        )

    def promql_alarm(self, **more: Any) -> None:
        criteria = {"PromQLCriteria": {"Query": "errors > 1", "PendingPeriod": 10, "RecoveryPeriod": 10}}
        self.cloudwatch.put_metric_alarm(
            AlarmName=self.name, EvaluationCriteria=criteria, EvaluationInterval=10, **more
        )

    def described(self, *types: str) -> dict[str, list[dict[str, Any]]]:
        more: dict[str, Any] = {"AlarmTypes": list(types)} if types else {}
        found: dict[str, list[dict[str, Any]]] = self.cloudwatch.describe_alarms(AlarmNames=[self.name], **more)
        return found

    def tell(self, **what: Any) -> None:
        self.aws.local("POST", "alarms", {"name": self.name, **what})

    def set(self, state: str) -> None:
        self.cloudwatch.set_alarm_state(AlarmName=self.name, StateValue=state, StateReason="so")

    def test_a_log_alarm_is_told_only_to_who_asks_for_its_type(self) -> None:
        self.log_alarm()
        for types in ((), ("MetricAlarm", "CompositeAlarm")):
            found = self.described(*types)
            self.assertEqual((found.get("MetricAlarms", []), found.get("LogAlarms", [])), ([], []))
        found = self.described("LogAlarm")
        self.assertEqual(found["LogAlarms"][0]["StateValue"], "INSUFFICIENT_DATA")
        self.assertEqual(found["LogAlarms"][0]["Threshold"], 1)
        self.assertEqual(self.described("MetricAlarm", "LogAlarm")["MetricAlarms"], [])

    def test_an_alarm_by_the_query_protocol_is_as_any_other(self) -> None:
        for given, enabled in (("true", True), ("false", False)):
            fields = {
                "Action": "PutMetricAlarm", "Version": "2010-08-01", "AlarmName": self.name, "Namespace": "A", "MetricName": "M",
                "Statistic": "Sum", "Period": "60", "EvaluationPeriods": "1", "Threshold": "1",
                "ComparisonOperator": "GreaterThanThreshold", "ActionsEnabled": given,
            }  # fmt: skip
            signed = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/monitoring/aws4_request, SignedHeaders=host, Signature=0"
            asked = urllib.request.Request(f"http://127.0.0.1:{self.aws.port}", urllib.parse.urlencode(fields).encode(), {"Authorization": signed})
            urllib.request.urlopen(asked).close()
            self.assertIs(self.described()["MetricAlarms"][0]["ActionsEnabled"], enabled)

    def test_a_promql_alarm_begins_with_ok(self) -> None:
        self.promql_alarm()
        (alarm,) = self.described()["MetricAlarms"]
        self.assertEqual(alarm["StateValue"], "OK")
        self.assertEqual(alarm["EvaluationCriteria"]["PromQLCriteria"]["PendingPeriod"], 10)
        self.assertNotIn("MetricName", alarm)

    def test_nothing_is_evaluated_while_it_warms_up(self) -> None:
        warm = {"WarmUpPeriodDurationInMinutes": 10, "OnlyStartEvaluatingAfterWarmUpPeriodEnds": True}
        self.promql_alarm(WarmUpConfiguration=warm)
        self.assertEqual(self.described()["MetricAlarms"][0]["StateValue"], "INSUFFICIENT_DATA")
        self.cloudwatch.delete_alarms(AlarmNames=[self.name])
        self.alarm(TreatMissingData="notBreaching", WarmUpConfiguration=warm)
        time.sleep(1.2)
        self.assertEqual(self.state(self.name), "INSUFFICIENT_DATA")
        self.tell(changedSecondsAgo=601)
        time.sleep(1.2)
        self.assertEqual(self.state(self.name), "OK")

    def test_events_of_what_is_new(self) -> None:
        url = self.queue_for(CHANGES)
        self.log_alarm()
        self.set("ALARM")
        (event,) = self.received(url, 1)
        self.assertEqual(event["detail-type"], "CloudWatch Alarm State Change")
        self.tell(muted=True, noReason="null")
        self.set("OK")
        self.set("ALARM")
        (event,) = self.received(url, 1)
        self.assertIn("mutedBy", event["detail"]["muteDetail"])
        self.assertIsNone(event["detail"]["state"]["reason"])
        self.tell(contributor="ALARM", noReason=True)
        (event,) = self.received(url, 1)
        self.assertEqual(event["detail-type"], "CloudWatch Alarm Contributor State Change")
        self.tell(events="CloudWatch Log Alarm State Change")
        self.set("OK")
        self.set("ALARM")
        (event,) = self.received(url, 1)
        self.assertEqual(event["detail-type"], "CloudWatch Log Alarm State Change")
        self.assertNotIn("reason", event["detail"]["state"])
        self.tell(events="none")
        self.set("OK")
        self.set("ALARM")
        self.assertEqual(self.received(url, 1, 0.5), [])

    def test_an_evaluation_that_fails_is_told(self) -> None:
        self.log_alarm()
        self.tell(evaluationState="EVALUATION_ERROR")
        self.assertEqual(self.described("LogAlarm")["LogAlarms"][0]["EvaluationState"], "EVALUATION_ERROR")


del Bridged

if __name__ == "__main__":
    unittest.main()
