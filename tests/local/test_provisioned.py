"""Provisioned concurrency: what is refused in AWS's words, its states, and the weights that Lambda puts on an alias."""

from __future__ import annotations

import json
import unittest
from pathlib import Path
from typing import Any

from test_bridge import Bridged, eventually

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "recorded" / "lambda-api.json"


class Provisioned(Bridged):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.scaling = cls.aws.client("application-autoscaling")

    def put(self, qualifier: str, number: int = 1) -> Any:
        return self.lambda_.put_provisioned_concurrency_config(
            FunctionName=self.name, Qualifier=qualifier, ProvisionedConcurrentExecutions=number
        )

    def delete(self, qualifier: str) -> Any:
        return self.lambda_.delete_provisioned_concurrency_config(FunctionName=self.name, Qualifier=qualifier)

    def get(self, qualifier: str = "live") -> dict[str, Any]:
        found: dict[str, Any] = self.lambda_.get_provisioned_concurrency_config(
            FunctionName=self.name, Qualifier=qualifier
        )
        return found

    def is_(self, status: str, qualifier: str = "live") -> bool:
        return bool(self.get(qualifier)["Status"] == status)

    def weights(self) -> dict[str, float]:
        alias = self.lambda_.get_alias(FunctionName=self.name, Name="live")
        self.assertFalse([key for key in alias if key.startswith("_")])
        return dict(alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {}))

    def goes(self, **how: Any) -> None:
        self.aws.local("POST", "provisioned", {"function": self.name, **how})

    def two(self) -> None:
        self.function({"version": "1"}, {"version": "2"})
        self.weigh("1")

    def test_an_allocation_takes_a_while(self) -> None:
        self.two()
        self.goes(seconds=0.4)
        put = self.put("live", 5)
        self.assertEqual(put["ResponseMetadata"]["HTTPStatusCode"], 202)
        told = {k: v for k, v in put.items() if k not in ("ResponseMetadata", "LastModified")}
        self.assertEqual(
            told,
            {
                "RequestedProvisionedConcurrentExecutions": 5,
                "AvailableProvisionedConcurrentExecutions": 0,
                "AllocatedProvisionedConcurrentExecutions": 0,
                "Status": "IN_PROGRESS",
            },
        )
        self.assertTrue(self.is_("IN_PROGRESS"))
        self.assertTrue(eventually(lambda: self.is_("READY")))
        self.assertEqual(self.get()["AllocatedProvisionedConcurrentExecutions"], 5)
        listed = self.lambda_.list_provisioned_concurrency_configs(FunctionName=self.name)
        (one,) = listed["ProvisionedConcurrencyConfigs"]
        self.assertEqual((one["FunctionArn"], one["Status"]), (self.arn("live"), "READY"))

    def test_a_failed_initialisation_is_told(self) -> None:
        self.two()
        self.goes(seconds=0.1, fail="FUNCTION_ERROR_INIT_FAILURE")
        self.put("live")
        self.assertTrue(eventually(lambda: self.is_("FAILED")))
        config = self.get()
        self.assertEqual(config["StatusReason"], "FUNCTION_ERROR_INIT_FAILURE")
        self.assertEqual(config["AllocatedProvisionedConcurrentExecutions"], 0)

    def test_one_configuration_a_version(self) -> None:
        self.two()
        self.put("1")
        said = self.refused("ResourceConflictException", 409, self.put, "live")
        self.assertEqual(said, self.recorded("lifecycle", "put_provisioned_on_alias_versionconflict"))
        self.delete("1")
        self.put("live")
        said = self.refused("ResourceConflictException", 409, self.put, "1")
        self.assertEqual(said, self.recorded("lifecycle", "put_provisioned_on_version_conflict"))
        self.put("2")
        self.refused("ResourceConflictException", 409, self.weigh, "2")

    def recorded(self, test: str, step: str) -> str:
        words = {
            "put_provisioned_on_alias_versionconflict": "Alias can't be used for Provisioned Concurrency configuration "
            "on an already Provisioned version",
            "put_provisioned_on_version_conflict": "Version is pointed by a Provisioned Concurrency alias",
        }[step]
        if RECORDED.exists():
            of_aws = json.loads(RECORDED.read_text())[f"test_lambda_provisioned_{test}"]["content"][step]
            self.assertEqual(words, of_aws["Error"]["Message"])
        return words

    def test_what_is_not_there_is_refused(self) -> None:
        self.two()
        self.refused("ProvisionedConcurrencyConfigNotFoundException", 404, self.get)
        said = self.refused("InvalidParameterValueException", 400, self.put, "$LATEST")
        self.assertEqual(said, "Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
        self.refused("InvalidParameterValueException", 400, self.get, "$LATEST")
        self.refused("ResourceNotFoundException", 404, self.put, "10")
        self.refused("ResourceNotFoundException", 404, self.put, "noalias")
        self.refused("ResourceNotFoundException", 404, self.delete, "10")
        self.delete("live")
        listed = self.lambda_.list_provisioned_concurrency_configs(FunctionName=self.name)
        self.assertEqual(listed["ProvisionedConcurrencyConfigs"], [])

    def test_an_alias_with_weights_is_not_configured(self) -> None:
        self.two()
        self.put("live")
        self.weigh("1", "2", 0.1)
        said = self.refused("InvalidParameterValueException", 400, self.put, "live", 2)
        self.assertEqual(said, "Alias with weights can not be used with Provisioned Concurrency")
        self.weigh("1")
        self.put("live", 2)

    def test_there_has_to_be_room(self) -> None:
        self.two()
        free = self.lambda_.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
        said = self.refused("InvalidParameterValueException", 400, self.put, "live", free + 1)
        self.assertIn("is greater than account's unreserved concurrency [", said)
        said = self.refused("InvalidParameterValueException", 400, self.put, "live", free - 99)
        self.assertIn("below its minimum value of [100].", said)
        reserve = self.lambda_.put_function_concurrency
        reserve(FunctionName=self.name, ReservedConcurrentExecutions=3)
        said = self.refused("InvalidParameterValueException", 400, self.put, "live", 4)
        self.assertIn("should not be greater than the reservedConcurrentExecution for function", said)
        self.put("live", 3)
        less = {"FunctionName": self.name, "ReservedConcurrentExecutions": 2}
        said = self.refused("InvalidParameterValueException", 400, reserve, **less)
        self.assertIn("should not be lower than function's total provisioned concurrency [3].", said)

    def test_lambda_keeps_the_former_version_until_the_new_one_is_ready(self) -> None:
        self.two()
        self.goes(seconds=0.1)
        self.put("live")
        self.assertTrue(eventually(lambda: self.is_("READY")))
        self.goes(seconds=1.0)
        moved = self.weigh("2")
        self.assertNotIn("RoutingConfig", moved)
        self.assertEqual((self.weights(), self.is_("IN_PROGRESS")), ({"1": 1.0}, True))
        self.assertEqual(self.invoke()["ExecutedVersion"], "1")
        self.assertTrue(eventually(lambda: self.weights() == {"1": 0.5}))
        self.assertTrue(eventually(lambda: self.weights() == {}))
        self.assertTrue(eventually(lambda: self.is_("READY")))
        self.assertEqual(self.invoke()["ExecutedVersion"], "2")

    def test_a_failed_initialisation_leaves_the_weights_and_stops_updates(self) -> None:
        self.two()
        self.put("live")
        self.goes(seconds=0.1, fail="FUNCTION_ERROR_INIT_FAILURE")
        self.weigh("2")
        self.assertTrue(eventually(lambda: self.is_("FAILED")))
        self.assertEqual(self.weights(), {"1": 1.0})
        said = self.refused("InvalidParameterValueException", 400, self.weigh, "1")
        self.assertEqual(said, "Invalid alias configuration for Provisioned Concurrency")
        self.weigh("2")
        self.assertEqual(self.weights(), {})
        self.goes(seconds=0.1)
        self.weigh("1")

    def test_weights_of_a_release_are_no_move(self) -> None:
        self.two()
        self.put("live")
        self.weigh("1", "2", 0.1)
        self.assertEqual(self.weights(), {"2": 0.1})
        self.refused("InvalidParameterValueException", 400, self.weigh, "2", "1", 0.5)

    def test_scalable_targets_are_told(self) -> None:
        self.two()
        target = {
            "ServiceNamespace": "lambda",
            "ResourceId": f"function:{self.name}:live",
            "ScalableDimension": "lambda:function:ProvisionedConcurrency",
        }
        self.scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=9)
        self.scaling.put_scaling_policy(**target, PolicyName="busy", PolicyType="TargetTrackingScaling")
        asked = {"ServiceNamespace": "lambda", "ResourceIds": [target["ResourceId"]]}
        (one,) = self.scaling.describe_scalable_targets(**asked)["ScalableTargets"]
        self.assertEqual((one["MinCapacity"], one["MaxCapacity"]), (1, 9))
        (policy,) = self.scaling.describe_scaling_policies(
            ServiceNamespace="lambda", ResourceId=target["ResourceId"]
        )["ScalingPolicies"]
        self.assertEqual(policy["PolicyName"], "busy")
        self.scaling.deregister_scalable_target(**target)
        self.assertEqual(self.scaling.describe_scalable_targets(**asked)["ScalableTargets"], [])


del Bridged

if __name__ == "__main__":
    unittest.main()
