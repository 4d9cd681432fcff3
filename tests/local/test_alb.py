"""Load balancers: weighted rules kept whole, Lambda targets, health, requests and their metrics."""

from __future__ import annotations

import collections
import time
import urllib.request
from typing import Any

from test_bridge import ACCOUNT, REGION, Bridged

OIDC = {
    "Issuer": "https://idp.test",
    "AuthorizationEndpoint": "https://idp.test/authorize",
    "TokenEndpoint": "https://idp.test/token",
    "UserInfoEndpoint": "https://idp.test/userinfo",
    "ClientId": "chat",
    "ClientSecret": "kept to itself",
    "AuthenticationRequestExtraParams": {"prompt": "login"},
}
PATH = {"Field": "path-pattern", "Values": ["/chat/*"]}


class Gap9LoadBalancers(Bridged):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.elb = cls.aws.client("elbv2")

    def setUp(self) -> None:
        super().setUp()
        self.name = self.name[:24]
        found = self.elb.create_load_balancer(Name=self.name, Subnets=["subnet-1", "subnet-2"])["LoadBalancers"][0]
        self.load_balancer, self.host = found["LoadBalancerArn"], found["DNSName"]

    # What tests make.

    def group(self, colour: str, target_type: str = "lambda") -> str:
        ports = {} if target_type == "lambda" else {"Protocol": "HTTP", "Port": 80, "VpcId": "vpc-1"}
        made = self.elb.create_target_group(Name=f"{self.name}-{colour}", TargetType=target_type, **ports)
        return str(made["TargetGroups"][0]["TargetGroupArn"])

    def forward(self, *weights: tuple[str, int], **more: Any) -> dict[str, Any]:
        groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in weights]
        return {"Type": "forward", "Order": 50, "ForwardConfig": {"TargetGroups": groups, **more}}

    def listener(self, *actions: dict[str, Any], protocol: str = "HTTP", port: int = 80) -> str:
        certificates = [{"CertificateArn": f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/c"}]
        made = self.elb.create_listener(
            LoadBalancerArn=self.load_balancer,
            Protocol=protocol,
            Port=port,
            DefaultActions=list(actions) or [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
            **({"Certificates": certificates} if protocol == "HTTPS" else {}),
        )
        return str(made["Listeners"][0]["ListenerArn"])

    def rule(self, listener: str, *actions: dict[str, Any], priority: int = 1) -> str:
        made = self.elb.create_rule(ListenerArn=listener, Priority=priority, Conditions=[PATH], Actions=list(actions))
        return str(made["Rules"][0]["RuleArn"])

    def actions(self, rule: str) -> list[dict[str, Any]]:
        return list(self.elb.describe_rules(RuleArns=[rule])["Rules"][0]["Actions"])

    def allow(self, qualifier: str, group: str) -> None:
        self.lambda_.add_permission(
            FunctionName=self.name,
            Qualifier=qualifier,
            StatementId="elb",
            Principal="elasticloadbalancing.amazonaws.com",
            Action="lambda:InvokeFunction",
            SourceArn=group,
        )

    def register(self, group: str, qualifier: str) -> None:
        self.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": self.arn(qualifier)}])

    def weighted(self, *behaviours: dict[str, Any], weights: tuple[int, int], **more: Any) -> tuple[str, str, str, str]:
        """Versions 1 and 2 of a function behind a rule's two groups: listener, rule, groups."""
        self.function(*behaviours)
        blue, green = self.group("blue"), self.group("green")
        for version, group in (("1", blue), ("2", green)):
            self.allow(version, group)
            self.register(group, version)
        listener = self.listener()
        return listener, self.rule(listener, self.forward((blue, weights[0]), (green, weights[1]), **more)), blue, green

    def request(self, listener: str, **more: Any) -> dict[str, Any]:
        body = {"listenerArn": listener, "path": "/chat/1", **more}
        return dict(self.aws.local("POST", "alb/request", body))

    def sums(self, group: str | None, *metrics: str, stat: str = "Sum") -> dict[str, float]:
        dimensions = [{"Name": "LoadBalancer", "Value": self.load_balancer.split("loadbalancer/")[1]}]
        if group is not None:
            dimensions.append({"Name": "TargetGroup", "Value": group.rsplit(":", 1)[1]})
        found = self.data(
            *(
                {
                    "Id": f"m{n}",
                    "MetricStat": {
                        "Metric": {"Namespace": "AWS/ApplicationELB", "MetricName": name, "Dimensions": dimensions},
                        "Period": 60,
                        "Stat": stat,
                    },
                }
                for n, name in enumerate(metrics)
            )
        )
        return {name: sum(found[f"m{n}"]["Values"]) for n, name in enumerate(metrics) if found[f"m{n}"]["Values"]}

    # Rules.

    def test_weights_are_kept(self) -> None:
        blue, green = self.group("blue"), self.group("green")
        listener = self.listener({"Type": "forward", "TargetGroupArn": blue})
        rule = self.rule(listener, self.forward((blue, 100), (green, 0)))
        both = [{"TargetGroupArn": blue, "Weight": 100}, {"TargetGroupArn": green, "Weight": 0}]
        off = {"Enabled": False}
        self.assertEqual(
            self.actions(rule),
            [
                {
                    "Type": "forward",
                    "Order": 50,
                    "ForwardConfig": {"TargetGroups": both, "TargetGroupStickinessConfig": off},
                }
            ],
        )
        one = {"TargetGroups": [{"TargetGroupArn": blue, "Weight": 1}], "TargetGroupStickinessConfig": off}
        told = self.elb.describe_listeners(ListenerArns=[listener])["Listeners"][0]["DefaultActions"]
        self.assertEqual(told, [{"Type": "forward", "TargetGroupArn": blue, "ForwardConfig": one}])
        sticky = {"Enabled": True, "DurationSeconds": 60}
        self.elb.modify_rule(
            RuleArn=rule, Actions=[self.forward((blue, 999), (green, 1), TargetGroupStickinessConfig=sticky)]
        )
        config = self.actions(rule)[0]["ForwardConfig"]
        self.assertEqual([g["Weight"] for g in config["TargetGroups"]], [999, 1])
        self.assertEqual(config["TargetGroupStickinessConfig"], sticky)
        calls = self.aws.local("GET", "calls")["calls"]
        asked = [c["asked"] for c in calls if c["action"] == "ModifyRule" and c["resource"] == rule][0]
        self.assertEqual(asked["Actions"][0]["ForwardConfig"]["TargetGroups"][1]["Weight"], 1)
        # The default action, and with it the default rule.
        self.elb.modify_listener(ListenerArn=listener, DefaultActions=[self.forward((blue, 3), (green, 7))])
        default = [r for r in self.elb.describe_rules(ListenerArn=listener)["Rules"] if r["IsDefault"]][0]
        self.assertEqual([g["Weight"] for g in default["Actions"][0]["ForwardConfig"]["TargetGroups"]], [3, 7])

    def test_other_actions_are_kept(self) -> None:
        blue, green = self.group("blue"), self.group("green")
        listener = self.listener(protocol="HTTPS", port=443)
        signed_in = {"Type": "authenticate-oidc", "Order": 10, "AuthenticateOidcConfig": OIDC}
        forward = self.forward((blue, 100), (green, 0))
        # Told in the order in which they are done.
        rule = self.rule(listener, forward, signed_in)
        told = self.actions(rule)
        self.assertEqual([(a["Type"], a["Order"]) for a in told], [("authenticate-oidc", 10), ("forward", 50)])
        config = told[0]["AuthenticateOidcConfig"]
        self.assertNotIn("ClientSecret", config)
        defaults = {
            "SessionCookieName": "AWSELBAuthSessionCookie",
            "Scope": "openid",
            "SessionTimeout": 604800,
            "OnUnauthenticatedRequest": "authenticate",
        }
        self.assertEqual(config, {**{k: v for k, v in OIDC.items() if k != "ClientSecret"}, **defaults})
        # ModifyRule replaces all actions; a secret is not told, and must be asked for again.
        forward["ForwardConfig"]["TargetGroups"][1]["Weight"] = 10
        message = self.refused(
            "ValidationError", 400, self.elb.modify_rule, RuleArn=rule, Actions=[told[0], forward]
        )
        self.assertIn("secret", message)
        again = {**told[0], "AuthenticateOidcConfig": {**config, "UseExistingClientSecret": True}}
        self.elb.modify_rule(RuleArn=rule, Actions=[again, forward])
        self.assertEqual(self.actions(rule)[0], told[0])
        self.elb.modify_rule(RuleArn=rule, Actions=[again, forward])
        self.elb.modify_rule(RuleArn=rule, Actions=[forward])
        self.assertEqual(len(self.actions(rule)), 1)
        cognito = {
            "Type": "authenticate-cognito",
            "Order": 1,
            "AuthenticateCognitoConfig": {
                "UserPoolArn": f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/p",
                "UserPoolClientId": "c",
                "UserPoolDomain": "d",
                "SessionTimeout": 60,
            },
        }
        self.elb.modify_rule(RuleArn=rule, Actions=[cognito, forward])
        self.assertEqual(self.actions(rule)[0]["AuthenticateCognitoConfig"]["SessionTimeout"], 60)

    def test_refusals(self) -> None:
        blue, green = self.group("blue"), self.group("green")
        listener = self.listener()
        rule = self.rule(listener, self.forward((blue, 1), (green, 1)))
        modify = self.elb.modify_rule
        message = self.refused("ValidationError", 400, modify, RuleArn=rule, Actions=[self.forward((blue, 1000))])
        self.assertEqual(message, "The weight for each target group must be between 0 and 999, inclusive")
        others = [self.group(c) for c in "abcd"]
        six = [(arn, 1) for arn in (blue, green, *others)]
        self.refused("TooManyTargetGroups", 400, modify, RuleArn=rule, Actions=[self.forward(*six)])
        modify(RuleArn=rule, Actions=[self.forward(*six[:5])])
        modify(RuleArn=rule, Actions=[self.forward((blue, 1), (green, 1))])
        missing = blue[:-3] + "xyz"
        self.refused("TargetGroupNotFound", 400, modify, RuleArn=rule, Actions=[self.forward((missing, 1))])
        sticky = {"TargetGroupStickinessConfig": {"Enabled": True}}
        self.refused("ValidationError", 400, modify, RuleArn=rule, Actions=[self.forward((blue, 1), **sticky)])
        unordered = [{"Type": "forward", "TargetGroupArn": blue}, {"Type": "forward", "TargetGroupArn": green}]
        self.refused("ValidationError", 400, modify, RuleArn=rule, Actions=unordered)
        oidc = {"Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": OIDC}
        actions = [oidc, self.forward((blue, 1))]
        message = self.refused("InvalidLoadBalancerAction", 400, modify, RuleArn=rule, Actions=actions)
        self.assertIn("only on HTTPS", message)
        self.assertEqual([g["Weight"] for g in self.actions(rule)[0]["ForwardConfig"]["TargetGroups"]], [1, 1])
        default = [r for r in self.elb.describe_rules(ListenerArn=listener)["Rules"] if r["IsDefault"]][0]["RuleArn"]
        message = self.refused(
            "OperationNotPermitted", 400, modify, RuleArn=default, Actions=[self.forward((blue, 1))]
        )
        self.assertEqual(message, f"Default rule '{default}' cannot be modified")
        self.refused("PriorityInUse", 400, self.rule, listener, self.forward((blue, 1)))
        self.refused("RuleNotFound", 400, self.elb.describe_rules, RuleArns=[rule + "x"])
        self.refused("ListenerNotFound", 400, self.elb.describe_listeners, ListenerArns=[listener + "x"])
        self.refused("ResourceInUse", 400, self.elb.delete_target_group, TargetGroupArn=blue)
        self.load_balancer = self.elb.create_load_balancer(Name=f"{self.name}-2", Subnets=["s"])["LoadBalancers"][0][
            "LoadBalancerArn"
        ]
        self.refused("TargetGroupAssociationLimit", 400, self.listener, self.forward((blue, 1)))

    # Targets.

    def test_a_function_must_allow_its_group(self) -> None:
        self.function({"version": "1"}, {"version": "2"})
        group = self.group("blue")
        message = self.refused("AccessDenied", 403, self.register, group, "1")
        self.assertEqual(
            message,
            f"elasticloadbalancing principal does not have permission to invoke {self.arn('1')} "
            f"from target group {group}",
        )
        # A permission is for one qualifier, and for one group.
        self.allow("2", group)
        self.refused("AccessDenied", 403, self.register, group, "1")
        self.allow("1", self.group("green"))
        self.refused("AccessDenied", 403, self.register, group, "1")
        self.register(group, "2")
        self.register(group, "2")
        self.lambda_.remove_permission(FunctionName=self.name, Qualifier="1", StatementId="elb")
        self.allow("1", group)
        self.refused("TooManyTargets", 400, self.register, group, "1")
        self.elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": self.arn("2")}])
        self.register(group, "1")
        self.refused("InvalidTarget", 400, self.register, group, "9")

    def test_policies_are_per_qualifier(self) -> None:
        self.function({"version": "1"}, {"version": "2"})
        group = self.group("blue")
        self.allow("1", group)
        self.allow("2", group)
        self.refused("ResourceConflictException", 409, self.allow, "1", group)
        self.refused(
            "ResourceNotFoundException", 404, self.lambda_.remove_permission, FunctionName=self.name, StatementId="elb"
        )
        self.lambda_.remove_permission(FunctionName=self.name, Qualifier="1", StatementId="elb")
        self.refused("ResourceNotFoundException", 404, self.lambda_.get_policy, FunctionName=self.name, Qualifier="1")
        self.assertIn(self.arn("2"), self.lambda_.get_policy(FunctionName=self.name, Qualifier="2")["Policy"])
        # The policy of a version goes with it.
        self.lambda_.delete_function(FunctionName=self.name, Qualifier="2")
        self.refused("AccessDenied", 403, self.register, group, "1")
        for n in range(200):
            try:
                self.lambda_.add_permission(
                    FunctionName=self.name,
                    Qualifier="1",
                    StatementId=f"elb-{n}",
                    Principal="elasticloadbalancing.amazonaws.com",
                    Action="lambda:InvokeFunction",
                    SourceArn=group,
                )
            except self.lambda_.exceptions.PolicyLengthExceededException:
                break
        self.assertGreater(n, 40)
        self.assertLess(n, 100)

    def test_health(self) -> None:
        self.function({"version": "1"})
        group, machines = self.group("lambda"), self.group("machines", "ip")
        self.allow("1", group)
        self.register(group, "1")
        addresses = [{"Id": "10.0.0.1"}, {"Id": "10.0.0.2", "Port": 8080}]
        self.elb.register_targets(TargetGroupArn=machines, Targets=addresses)

        def states(arn: str) -> list[tuple[str, str | None]]:
            found = self.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
            return [(t["TargetHealth"]["State"], t["TargetHealth"].get("Reason")) for t in found]

        unused = ("unused", "Target.NotInUse")
        self.assertEqual((states(group), states(machines)), ([unused], [unused, unused]))
        # In use is what a rule names, at weight 0 too.
        self.rule(self.listener(), self.forward((group, 1), (machines, 0)))
        self.assertEqual(states(group), [("unavailable", "Target.HealthCheckDisabled")])
        self.assertEqual(states(machines), [("healthy", None)] * 2)
        self.aws.local("POST", "targets/health", {"targetGroupArn": machines, "state": "unhealthy"})
        self.aws.local(
            "POST", "targets/health", {"targetGroupArn": machines, "target": "10.0.0.2", "state": "initial"}
        )
        self.assertEqual(
            states(machines), [("unhealthy", "Target.ResponseCodeMismatch"), ("initial", "Elb.InitialHealthChecking")]
        )
        found = self.elb.describe_target_health(TargetGroupArn=machines, Targets=[{"Id": "10.0.0.9"}])
        self.assertEqual(found["TargetHealthDescriptions"][0]["TargetHealth"]["Reason"], "Target.NotRegistered")
        told = self.elb.describe_target_groups(TargetGroupArns=[group])["TargetGroups"][0]
        self.assertEqual((told["HealthCheckEnabled"], told["LoadBalancerArns"]), (False, [self.load_balancer]))
        self.assertNotIn("Port", told)
        found = self.elb.describe_target_groups(LoadBalancerArn=self.load_balancer)["TargetGroups"]
        self.assertEqual({g["TargetGroupArn"] for g in found}, {group, machines})

    # Requests.

    def test_requests_are_weighted_and_counted(self) -> None:
        healthy, failing = {"version": "blue"}, {"version": "green", "errorRatePercent": 100}
        listener, rule, blue, green = self.weighted(healthy, failing, weights=(75, 25))
        seen: collections.Counter[str] = collections.Counter()
        for _ in range(200):
            served = self.request(listener)
            seen[served["executedVersion"]] += 1
            self.assertEqual(served["ruleArn"], rule)
            bad = served["executedVersion"] == "2"
            self.assertEqual((served["status"], served["reason"]), (502, "LambdaUnhandled") if bad else (200, None))
            self.assertEqual(served["targetGroupArn"], green if bad else blue)
        self.assertAlmostEqual(seen["2"] / 200, 0.25, delta=0.15)
        names = ("RequestCount", "HTTPCode_Target_2XX_Count", "HTTPCode_Target_5XX_Count", "LambdaUserError")
        ours, theirs = float(seen["1"]), float(seen["2"])
        self.assertEqual(self.sums(blue, *names), {"RequestCount": ours, "HTTPCode_Target_2XX_Count": ours})
        self.assertEqual(self.sums(green, *names), {"RequestCount": theirs, "LambdaUserError": theirs})
        self.assertEqual(
            self.sums(None, *names, "HTTPCode_ELB_5XX_Count"),
            {
                "RequestCount": 200.0,
                "HTTPCode_Target_2XX_Count": ours,
                "LambdaUserError": theirs,
                "HTTPCode_ELB_5XX_Count": theirs,
            },
        )
        seconds = self.sums(blue, "TargetResponseTime", stat="p99")["TargetResponseTime"]
        self.assertLess(seconds, 2.0)
        # The functions count what they did, under the qualifier that is registered.
        version = f"{self.name}:2"
        data = self.data(self.stat("all", "Invocations", "Sum", self.name, version))
        self.assertEqual(sum(data["all"]["Values"]), theirs)
        # What matches no rule takes the default action.
        self.assertEqual(self.request(listener, path="/other")["status"], 404)

    def test_a_change_acts_at_once(self) -> None:
        listener, rule, blue, green = self.weighted({"version": "1"}, {"version": "2"}, weights=(100, 0))
        self.assertEqual({self.request(listener)["executedVersion"] for _ in range(20)}, {"1"})
        self.elb.modify_rule(RuleArn=rule, Actions=[self.forward((blue, 0), (green, 100))])
        self.assertEqual({self.request(listener)["executedVersion"] for _ in range(20)}, {"2"})
        # By the load balancer's name, as DNS gives it.
        body = {"host": self.host, "path": "/chat/x"}
        self.assertEqual(self.aws.local("POST", "alb/request", body)["executedVersion"], "2")
        # By HTTP, as ministack's own users send them.
        with urllib.request.urlopen(f"http://127.0.0.1:{self.aws.port}/_alb/{self.name}/chat/x") as answer:
            self.assertIn(b'"2"', answer.read())
        self.elb.modify_rule(RuleArn=rule, Actions=[self.forward((blue, 0), (green, 0))])
        self.assertEqual(self.request(listener)["status"], 503)

    def test_statuses_of_functions(self) -> None:
        behaviours = {"version": "1", "statusCode": 503}, {"version": "2"}
        listener, _rule, blue, _green = self.weighted(*behaviours, weights=(1, 0))
        self.assertEqual(self.request(listener)["status"], 503)
        counted = self.sums(blue, "HTTPCode_Target_5XX_Count", "LambdaUserError")
        self.assertEqual(counted, {"HTTPCode_Target_5XX_Count": 1.0})
        # A permission that is taken away is missed at the next request.
        self.lambda_.remove_permission(FunctionName=self.name, Qualifier="1", StatementId="elb")
        served = self.request(listener)
        self.assertEqual((served["status"], served["reason"]), (502, "LambdaAccessDenied"))
        self.elb.deregister_targets(TargetGroupArn=blue, Targets=[{"Id": self.arn("1")}])
        self.assertEqual(self.request(listener)["status"], 503)

    def test_stickiness_outlives_a_change(self) -> None:
        sticky = {"TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 100}}
        versions = {"version": "1"}, {"version": "2"}
        listener, rule, blue, green = self.weighted(*versions, weights=(1, 0), **sticky)
        cookies = self.request(listener)["cookies"]
        with urllib.request.urlopen(f"http://127.0.0.1:{self.aws.port}/_alb/{self.name}/chat/x") as answer:
            set_cookies = answer.headers.get_all("Set-Cookie")
        self.assertEqual([one.split("=")[0] for one in set_cookies], ["AWSALBTG", "AWSALBTGCORS"])
        self.elb.modify_rule(RuleArn=rule, Actions=[self.forward((blue, 0), (green, 1), **sticky)])
        self.assertEqual(self.request(listener, cookies=cookies)["executedVersion"], "1")
        self.assertEqual(self.request(listener)["executedVersion"], "2")
        time.sleep(1.1)  # 100 seconds at this scale
        self.assertEqual(self.request(listener, cookies=cookies)["executedVersion"], "2")
        # A client that comes back after a visit to blue; blue has no targets any more, and it keeps to it.
        again = self.aws.local("POST", "alb/cookie", {"targetGroupArn": blue, "seconds": 1000})
        self.assertEqual(self.request(listener, cookies=again)["executedVersion"], "1")
        self.elb.deregister_targets(TargetGroupArn=blue, Targets=[{"Id": self.arn("1")}])
        served = self.request(listener, cookies=again)
        self.assertEqual((served["status"], served["executedVersion"]), (503, None))

    def test_groups_of_machines_behave_as_told(self) -> None:
        blue, green = self.group("blue", "ip"), self.group("green", "ip")
        for group in (blue, green):
            self.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": "10.0.0.1"}])
        listener = self.listener()
        self.rule(listener, self.forward((blue, 50), (green, 50)))
        self.aws.local(
            "POST", "targets/behaviour", {"targetGroupArn": green, "errorRatePercent": 100, "latencyMs": 30}
        )
        for _ in range(40):
            served = self.request(listener)
            self.assertEqual(served["status"], 500 if served["targetGroupArn"] == green else 200)
        counted = self.sums(green, "RequestCount", "HTTPCode_Target_5XX_Count", "HTTPCode_Target_2XX_Count")
        self.assertGreater(counted["RequestCount"], 5)
        self.assertEqual(counted["HTTPCode_Target_5XX_Count"], counted["RequestCount"])
        self.assertNotIn("HTTPCode_Target_2XX_Count", counted)
        slow = self.sums(green, "TargetResponseTime", stat="Minimum")["TargetResponseTime"]
        quick = self.sums(blue, "TargetResponseTime", stat="Minimum")["TargetResponseTime"]
        self.assertGreater(slow, 0.03)
        self.assertLess(quick, slow)
