"""tests/iam.py: what it counts as used, as never used, and as forced by a service."""

from __future__ import annotations

import importlib.util
import unittest
from typing import Any

from test_bridge import HERE

_spec = importlib.util.spec_from_file_location("iam_report", HERE.parent / "iam.py")
assert _spec is not None and _spec.loader is not None
report = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(report)

ROLE = "FinalizeFunctionRole"
ONE = {"Sid": "Keep", "Action": ["dynamodb:GetItem", "dynamodb:PutItem"], "Resource": "table"}
TWO = {"Sid": "Tell", "Action": "sns:Publish", "Resource": ["mail", "chat"]}


def granted(*statements: dict[str, Any]) -> list[Any]:
    template = {
        "Resources": {
            ROLE: {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "Policies": [
                        {
                            "PolicyName": "p",
                            "PolicyDocument": {
                                "Statement": [
                                    # As the template has what only some stacks need.
                                    {"Fn::If": ["HasIt", statement, {"Ref": "AWS::NoValue"}]}
                                    for statement in statements
                                ]
                            },
                        }
                    ]
                },
            }
        }
    }
    return list(report.statements(template))


def record(*statements: dict[str, Any], used: Any = (), refused: Any = ()) -> dict[str, Any]:
    return {
        "roles": [
            {"role": "r", "stack": "crossfade", "logicalId": ROLE, "holders": ["f"], "policies": {"p": {"Statement": list(statements)}}}
        ],
        "used": [
            {"role": "r", "policy": "p", "statement": statement, "action": action, "pattern": pattern}
            for statement, action, pattern in used
        ],
        "refused": [{"role": "r", "action": action, "why": why, "resources": ["x"]} for action, why in refused],
    }


ALL = (
    (0, "dynamodb:GetItem", "table"),
    (0, "dynamodb:PutItem", "table"),
    (1, "sns:Publish", "mail"),
    (1, "sns:Publish", "chat"),
)


class Report(unittest.TestCase):
    def test_all_is_used(self) -> None:
        found = report.compare(granted(ONE, TWO), [record(ONE, TWO, used=ALL)])
        self.assertEqual((found.beyond, found.unused, found.other), ([], [], []))
        self.assertEqual((found.functions, len(found.used)), ({ROLE}, 3))

    def test_several_suites_use_it_together(self) -> None:
        records = [record(ONE, TWO, used=[one]) for one in ALL]
        self.assertEqual(report.compare(granted(ONE, TWO), records).unused, [])

    def test_what_is_never_used_is_named(self) -> None:
        def unused(*used: Any) -> list[str]:
            return list(report.compare(granted(ONE, TWO), [record(ONE, TWO, used=used)]).unused)

        self.assertEqual(unused(*ALL[:1], *ALL[2:]), [f"dynamodb:PutItem ({ROLE} Keep)"])
        self.assertEqual(unused(*ALL[:3]), [f"resource chat ({ROLE} Tell)"])
        self.assertEqual(unused(*ALL[:2]), [f"sns:Publish ({ROLE} Tell)", f"all of {ROLE} Tell"])

    def test_what_was_refused_is_named(self) -> None:
        refused = [("lambda:GetAlias", "not granted"), ("iam:PassRole", "unknown")]
        found = report.compare(granted(ONE, TWO), [record(ONE, TWO, used=ALL, refused=refused)])
        self.assertEqual(
            found.beyond, [f"iam:PassRole ({ROLE}): unknown, x", f"lambda:GetAlias ({ROLE}): not granted, x"]
        )

    def test_a_record_of_another_template_counts_for_nothing(self) -> None:
        other = {**ONE, "Action": "dynamodb:GetItem"}
        found = report.compare(granted(ONE, TWO), [record(other, TWO, ONE, used=ALL)])
        self.assertEqual(len(found.other), 2, found.other)

    def test_a_star_has_a_reason(self) -> None:
        self.assertIn("no resource", report.forced("elasticloadbalancing:DescribeRules"))
        self.assertIn("composite", report.forced("cloudwatch:DescribeAlarms"))
        self.assertIn("metrics have no ARN", report.forced("cloudwatch:GetMetricData"))
        for action in ("lambda:GetAlias", "dynamodb:Query", "sns:Publish", "no:SuchThing"):
            self.assertIsNone(report.forced(action), action)


if __name__ == "__main__":
    unittest.main()
