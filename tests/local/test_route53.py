"""Route 53: weighted record sets, changes that take time, health checks, and users' resolvers."""

from __future__ import annotations

import collections
import time
from typing import Any

from test_bridge import Bridged, eventually


class Gap10Route53(Bridged):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.route53 = cls.aws.client("route53")
        cls.elb = cls.aws.client("elbv2")

    def setUp(self) -> None:
        super().setUp()
        # 30 seconds at this scale: 0.3 s.
        self.aws.local("POST", "dns/settings", {"insyncSeconds": 30})
        self.domain = f"{self.name}.test."
        zone = self.route53.create_hosted_zone(Name=self.domain, CallerReference=self.name)["HostedZone"]
        self.zone, self.record = zone["Id"], f"chat.{self.domain}"

    # What tests make.

    def change(self, *changes: tuple[str, dict[str, Any]]) -> str:
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record} for action, record in changes]}
        answer = self.route53.change_resource_record_sets(HostedZoneId=self.zone, ChangeBatch=batch)
        self.assertEqual(answer["ChangeInfo"]["Status"], "PENDING")
        return str(answer["ChangeInfo"]["Id"])

    def in_sync(self, change: str) -> bool:
        return bool(self.route53.get_change(Id=change)["ChangeInfo"]["Status"] == "INSYNC")

    def changed(self, *changes: tuple[str, dict[str, Any]]) -> None:
        change = self.change(*changes)
        self.assertTrue(eventually(lambda: self.in_sync(change)))

    def weighted(self, colour: str, weight: int, **more: Any) -> dict[str, Any]:
        record = {"Name": self.record, "Type": "A", "SetIdentifier": colour, "Weight": weight, **more}
        if "AliasTarget" not in record:
            record = {"TTL": 60, "ResourceRecords": [{"Value": f"192.0.2.{len(colour)}"}], **record}
        return record

    def alias(self, host: str) -> dict[str, Any]:
        return {"AliasTarget": {"HostedZoneId": "Z35SXDOTRQ7X7K", "DNSName": host, "EvaluateTargetHealth": True}}

    def listed(self, **more: Any) -> list[dict[str, Any]]:
        found = self.route53.list_resource_record_sets(HostedZoneId=self.zone, **more)["ResourceRecordSets"]
        return [r for r in found if r["Type"] not in ("SOA", "NS")]

    def resolve(self, **more: Any) -> dict[str, Any]:
        return dict(self.aws.local("POST", "dns/resolve", {"name": self.record, **more}))

    def answers(self, count: int = 40) -> collections.Counter[str]:
        return collections.Counter(self.resolve()["setIdentifier"] for _ in range(count))

    # Batches.

    def test_a_batch_is_all_or_nothing(self) -> None:
        blue, green = self.weighted("blue", 100), self.weighted("green", 0)
        self.changed(("CREATE", blue), ("CREATE", green))
        missing = self.weighted("grey", 1)
        refuse = lambda *changes: self.refused("InvalidChangeBatch", 400, self.change, *changes)  # noqa: E731
        message = refuse(("UPSERT", {**blue, "Weight": 0}), ("DELETE", missing))
        shown = f"[name='{self.record}', type='A', set-identifier='grey']"
        self.assertEqual(message, f"[Tried to delete resource record set {shown} but it was not found]")
        self.assertEqual([r["Weight"] for r in self.listed()], [100, 0])
        self.assertIn("already exists", refuse(("CREATE", blue)))
        self.assertIn("do not match", refuse(("DELETE", {**blue, "Weight": 99})))
        self.assertIn("invalid set of changes", refuse(("UPSERT", blue), ("UPSERT", {**blue, "Weight": 1})))
        self.assertIn("must contain the same TTL", refuse(("UPSERT", {**blue, "TTL": 300})))
        self.assertIn("not permitted in zone", refuse(("CREATE", {**blue, "Name": "chat.elsewhere.test."})))
        simple = {"Name": self.record, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]}
        self.assertIn("other RRSets exist", refuse(("CREATE", simple)))
        latency = {k: v for k, v in self.weighted("far", 1).items() if k != "Weight"} | {"Region": "us-west-2"}
        self.assertIn("exists with the same name and type", refuse(("CREATE", latency)))
        # All of the group at once, and from weighted to simple and back.
        self.changed(*(("UPSERT", {**r, "TTL": 30}) for r in (blue, green)))
        self.changed(*(("DELETE", {**r, "TTL": 30}) for r in (blue, green)), ("CREATE", simple))
        self.changed(("DELETE", simple), ("CREATE", blue), ("CREATE", green))
        self.assertEqual([r["SetIdentifier"] for r in self.listed()], ["blue", "green"])

    def test_invalid_input(self) -> None:
        refuse = lambda record: self.refused("InvalidInput", 400, self.change, ("CREATE", record))  # noqa: E731
        self.assertIn("Weight", refuse(self.weighted("blue", 256)))
        unnamed = {k: v for k, v in self.weighted("blue", 1).items() if k != "SetIdentifier"}
        self.assertIn("Missing field 'SetIdentifier'", refuse(unnamed))
        both = {**self.weighted("blue", 1), **self.alias("lb.test.")}
        self.assertIn("found more than one", refuse(both))
        alone = {k: v for k, v in self.weighted("blue", 1).items() if k != "TTL"}
        self.assertIn("found none", refuse(alone))
        unknown = self.weighted("blue", 1, HealthCheckId="0-0-0")
        self.refused("NoSuchHealthCheck", 404, self.change, ("CREATE", unknown))

    def test_upsert_replaces_the_whole_set(self) -> None:
        check = self.route53.create_health_check(
            CallerReference=self.name, HealthCheckConfig={"Type": "HTTPS", "FullyQualifiedDomainName": "x.test"}
        )["HealthCheck"]["Id"]
        blue = self.weighted("blue", 1, **self.alias("LB.Test"), HealthCheckId=check)
        self.changed(("CREATE", blue))
        told = self.listed()[0]
        self.assertEqual(told["AliasTarget"]["DNSName"], "lb.test.")
        self.assertEqual((told["HealthCheckId"], told["Name"]), (check, self.record))
        self.assertNotIn("TTL", told)
        self.changed(("UPSERT", self.weighted("blue", 1, **self.alias("lb.test."))))
        self.assertNotIn("HealthCheckId", self.listed()[0])

    def test_listing(self) -> None:
        names = ["z", "a", "*", "Upper"]
        records = [
            {"Name": f"{n}.{self.domain[:-1]}", "Type": "TXT", "TTL": 5, "ResourceRecords": [{"Value": '"x"'}]}
            for n in names
        ]
        weighted = [self.weighted(colour, 1) for colour in ("green", "blue")]
        self.changed(*(("CREATE", r) for r in [*records, *weighted]))
        listed = [(r["Name"].split(".")[0], r.get("SetIdentifier")) for r in self.listed()]
        self.assertEqual(
            listed, [("\\052", None), ("a", None), ("chat", "blue"), ("chat", "green"), ("upper", None), ("z", None)]
        )
        start = {"StartRecordName": self.record, "StartRecordType": "A"}
        self.assertEqual([r.get("SetIdentifier") for r in self.listed(**start)], ["blue", "green", None, None])
        page = self.route53.list_resource_record_sets(HostedZoneId=self.zone, MaxItems="1", **start)
        self.assertTrue(page["IsTruncated"])
        self.assertEqual((page["NextRecordName"], page["NextRecordIdentifier"]), (self.record, "green"))
        more = self.listed(**start, StartRecordIdentifier="green")
        self.assertEqual(more[0]["SetIdentifier"], "green")
        self.refused(
            "InvalidInput", 400, self.route53.list_resource_record_sets, HostedZoneId=self.zone, StartRecordType="A"
        )

    def test_changes_take_time(self) -> None:
        self.changed(("CREATE", self.weighted("blue", 1)), ("CREATE", self.weighted("green", 0)))
        self.aws.local("POST", "dns/settings", {"insyncSeconds": 60})
        began = time.monotonic()
        change = self.change(("UPSERT", self.weighted("blue", 0)), ("UPSERT", self.weighted("green", 1)))
        # The list shows what is to come, the name servers what was.
        self.assertEqual([r["Weight"] for r in self.listed()], [0, 1])
        self.assertFalse(self.in_sync(change))
        self.assertFalse(self.in_sync(change))
        self.assertEqual(set(self.answers(5)), {"blue"})
        self.assertTrue(eventually(lambda: self.in_sync(change)))
        self.assertGreater(time.monotonic() - began, 0.5)
        self.assertEqual(set(self.answers(5)), {"green"})
        self.refused("NoSuchChange", 404, self.route53.get_change, Id="C123")
        asked = [c for c in self.aws.local("GET", "calls")["calls"] if c["action"] == "ChangeResourceRecordSets"][-1]
        self.assertEqual(asked["resource"], self.zone.split("/")[-1])
        self.assertEqual([c["Weight"] for c in asked["asked"]["changes"]], [0, 1])

    def test_a_prior_request(self) -> None:
        fault = {"kind": "refuse", "service": "route53", "code": "PriorRequestNotComplete", "message": "wait"}
        self.aws.local("POST", "faults", fault)
        self.refused("PriorRequestNotComplete", 400, self.change, ("CREATE", self.weighted("blue", 1)))
        self.changed(("CREATE", self.weighted("blue", 1)))

    # Queries.

    def test_weights(self) -> None:
        self.changed(("CREATE", self.weighted("blue", 75)), ("CREATE", self.weighted("green", 25)))
        self.assertAlmostEqual(self.answers(400)["green"] / 400, 0.25, delta=0.1)
        self.changed(("UPSERT", self.weighted("blue", 100)), ("UPSERT", self.weighted("green", 0)))
        self.assertEqual(set(self.answers()), {"blue"})
        # All at 0: all alike.
        self.changed(("UPSERT", self.weighted("blue", 0)))
        self.assertAlmostEqual(self.answers(400)["green"] / 400, 0.5, delta=0.1)
        nobody = self.aws.local("POST", "dns/resolve", {"name": f"nobody.{self.domain}"})
        self.assertEqual(nobody["values"], [])

    def test_health(self) -> None:
        check = self.route53.create_health_check(
            CallerReference=self.name,
            HealthCheckConfig={"Type": "HTTPS", "FullyQualifiedDomainName": "x.test", "RequestInterval": 10},
        )["HealthCheck"]["Id"]
        blue = self.weighted("blue", 100, HealthCheckId=check)
        self.changed(("CREATE", blue), ("CREATE", self.weighted("green", 0)))

        def status() -> set[str]:
            found = self.route53.get_health_check_status(HealthCheckId=check)["HealthCheckObservations"]
            self.assertGreaterEqual(len(found), 3)
            return {o["StatusReport"]["Status"].split(":")[0] for o in found}

        self.assertEqual((status(), set(self.answers(5))), ({"Success"}, {"blue"}))
        self.aws.local("POST", "dns/health", {"healthCheckId": check, "status": "unhealthy"})
        # What has weight is not healthy, so what has none is asked.
        self.assertEqual((status(), set(self.answers(5))), ({"Failure"}, {"green"}))
        reason = self.route53.get_health_check_last_failure_reason(HealthCheckId=check)["HealthCheckObservations"]
        self.assertIn("500", reason[0]["StatusReport"]["Status"])
        query = {
            "Id": "h",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/Route53",
                    "MetricName": "HealthCheckStatus",
                    "Dimensions": [{"Name": "HealthCheckId", "Value": check}],
                },
                "Period": 60,
                "Stat": "Minimum",
            },
        }
        self.assertEqual(self.data(query)["h"]["Values"][0], 0.0)
        self.aws.local("POST", "dns/health", {"healthCheckId": check, "status": "healthy"})
        self.assertEqual((status(), set(self.answers(5))), ({"Success"}, {"blue"}))
        self.refused("NoSuchHealthCheck", 404, self.route53.get_health_check_status, HealthCheckId="0-0")

    def test_resolvers_remember(self) -> None:
        self.changed(("CREATE", self.weighted("blue", 1, TTL=100)), ("CREATE", self.weighted("green", 0, TTL=100)))
        self.assertEqual(self.resolve(resolver="home")["setIdentifier"], "blue")
        swapped = self.weighted("blue", 0, TTL=100), self.weighted("green", 1, TTL=100)
        self.changed(*(("UPSERT", r) for r in swapped))
        held = self.resolve(resolver="home")
        self.assertEqual((held["setIdentifier"], held["cached"]), ("blue", True))
        self.assertEqual(self.resolve(resolver="office")["setIdentifier"], "green")
        self.assertTrue(eventually(lambda: self.resolve(resolver="home")["setIdentifier"] == "green", 2))

    def test_requests_reach_what_the_name_points_to(self) -> None:
        self.function({"version": "blue"}, {"version": "green"})
        for version, colour in (("1", "blue"), ("2", "green")):
            name = f"{self.name[:20]}-{colour}"
            balancer = self.elb.create_load_balancer(Name=name, Subnets=["s"])["LoadBalancers"][0]
            group = self.elb.create_target_group(Name=name, TargetType="lambda")["TargetGroups"][0]["TargetGroupArn"]
            self.lambda_.add_permission(
                FunctionName=self.name,
                Qualifier=version,
                StatementId="elb",
                Principal="elasticloadbalancing.amazonaws.com",
                Action="lambda:InvokeFunction",
                SourceArn=group,
            )
            self.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": self.arn(version)}])
            self.elb.create_listener(
                LoadBalancerArn=balancer["LoadBalancerArn"],
                Protocol="HTTP",
                Port=80,
                DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
            )
            weight = 1 if colour == "blue" else 0
            alias = self.alias("dualstack." + balancer["DNSName"])
            self.changed(("CREATE", self.weighted(colour, weight, **alias)))

        def served() -> str | None:
            return self.aws.local("POST", "dns/request", {"name": self.record, "path": "/x"}).get("executedVersion")

        self.assertEqual({served() for _ in range(5)}, {"1"})
        for record in self.listed():
            self.changed(("UPSERT", {**record, "Weight": 1 - record["Weight"]}))
        self.assertEqual({served() for _ in range(5)}, {"2"})
        nobody = self.aws.local("POST", "dns/request", {"name": f"nobody.{self.domain}"})
        self.assertEqual(nobody["status"], 0)
