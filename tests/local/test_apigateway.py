"""API Gateway: what is deployed answers, through stage variables, with permission, and is counted."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

from test_bridge import ACCOUNT, REGION, Bridged

URI = "arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{function}/invocations"


class Gap11ApiGateway(Bridged):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.rest, cls.http = cls.aws.client("apigateway"), cls.aws.client("apigatewayv2")
        cls.route53 = cls.aws.client("route53")

    # What tests make.

    def uri(self, qualifier: str) -> str:
        return URI.format(region=REGION, function=self.arn(qualifier))

    def allow(self, api: str, qualifier: str, tail: str = "*") -> None:
        self.lambda_.add_permission(
            FunctionName=self.name,
            Qualifier=qualifier,
            StatementId=f"api-{api}",
            Principal="apigateway.amazonaws.com",
            Action="lambda:InvokeFunction",
            SourceArn=f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api}/{tail}",
        )

    def rest_api(self, uri: str) -> tuple[str, str]:
        """One with ANY on all paths below its root: its id, and the resource's."""
        api = self.rest.create_rest_api(name=self.name)["id"]
        root = self.rest.get_resources(restApiId=api)["items"][0]["id"]
        resource = self.rest.create_resource(restApiId=api, parentId=root, pathPart="{proxy+}")["id"]
        self.rest.put_method(restApiId=api, resourceId=resource, httpMethod="ANY", authorizationType="NONE")
        self.rest.put_integration(
            restApiId=api,
            resourceId=resource,
            httpMethod="ANY",
            type="AWS_PROXY",
            integrationHttpMethod="POST",
            uri=uri,
        )
        return api, resource

    def http_api(self, uri: str, **stage: Any) -> tuple[str, str]:
        """One with a $default route: its id, and the integration's."""
        api = self.http.create_api(Name=self.name, ProtocolType="HTTP")["ApiId"]
        integration = self.http.create_integration(
            ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=uri, PayloadFormatVersion="2.0"
        )["IntegrationId"]
        self.http.create_route(ApiId=api, RouteKey="$default", Target=f"integrations/{integration}")
        self.http.create_stage(ApiId=api, StageName="prod", **stage)
        return api, integration

    def patch(self, api: str, stage: str, path: str, value: str) -> None:
        operations = [{"op": "replace", "path": path, "value": value}]
        self.rest.update_stage(restApiId=api, stageName=stage, patchOperations=operations)

    def call(self, api: str, stage: str = "prod", **more: Any) -> dict[str, Any]:
        body = {"apiId": api, "stage": stage, "path": "/chat", **more}
        return dict(self.aws.local("POST", "apigateway/request", body))

    def version(self, api: str, stage: str = "prod") -> Any:
        return self.call(api, stage)["executedVersion"]

    def sums(self, *metrics: str, stat: str = "Sum", **dimensions: str) -> dict[str, list[float]]:
        found = self.data(
            *(
                {
                    "Id": f"m{n}",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": "AWS/ApiGateway",
                            "MetricName": name,
                            "Dimensions": [{"Name": k, "Value": v} for k, v in dimensions.items()],
                        },
                        "Period": 3600,
                        "Stat": stat,
                    },
                }
                for n, name in enumerate(metrics)
            ),
            since=3600,
        )
        return {name: found[f"m{n}"]["Values"] for n, name in enumerate(metrics)}

    def exported(self, export: dict[str, Any]) -> list[str]:
        document = json.loads(export["body"].read())
        found = [operation for path in document["paths"].values() for operation in path.values()]
        return [operation["x-amazon-apigateway-integration"]["uri"] for operation in found]

    def test_an_export_tells_what_a_stage_serves(self) -> None:
        self.function({"version": "1"}, {"version": "2"})
        api, resource = self.rest_api(self.uri("1"))
        self.rest.create_deployment(restApiId=api, stageName="prod")
        change = [{"op": "replace", "path": "/uri", "value": self.uri("2")}]
        self.rest.update_integration(restApiId=api, resourceId=resource, httpMethod="ANY", patchOperations=change)
        asked = {"restApiId": api, "exportType": "oas30", "parameters": {"extensions": "integrations"}}
        self.assertEqual(self.exported(self.rest.get_export(stageName="prod", **asked)), [self.uri("1")])
        self.rest.create_deployment(restApiId=api, stageName="prod")
        self.assertEqual(self.exported(self.rest.get_export(stageName="prod", **asked)), [self.uri("2")])

        api, integration = self.http_api(self.arn("1"))
        self.http.create_deployment(ApiId=api, StageName="prod")
        self.http.create_stage(ApiId=api, StageName="dev", AutoDeploy=True)
        self.http.update_integration(ApiId=api, IntegrationId=integration, IntegrationUri=self.arn("2"))
        asked = {"ApiId": api, "Specification": "OAS30", "OutputType": "JSON"}
        for stage, version in [({"StageName": "prod"}, "1"), ({"StageName": "dev"}, "2"), ({}, "2")]:
            self.assertEqual(self.exported(self.http.export_api(**stage, **asked)), [self.arn(version)], stage)

    def test_an_http_stage_keeps_the_variables_that_are_left_out(self) -> None:
        self.function({"version": "1"})
        api, _ = self.http_api(self.arn("1"), StageVariables={"a": "1", "b": "2"})
        self.http.update_stage(ApiId=api, StageName="prod", StageVariables={"a": "", "c": "3"})
        self.assertEqual(self.http.get_stage(ApiId=api, StageName="prod")["StageVariables"], {"b": "2", "c": "3"})
        with self.assertRaises(self.http.exceptions.BadRequestException):
            self.http.update_stage(ApiId=api, StageName="prod", StageVariables={"a": "$LATEST"})

    # REST APIs.

    def test_a_stage_serves_its_deployment(self) -> None:
        self.function({"version": "1"}, {"version": "2"})
        api, resource = self.rest_api(self.uri("1"))
        self.allow(api, "1")
        self.allow(api, "2")
        first = self.rest.create_deployment(restApiId=api, stageName="prod")["id"]
        self.assertEqual(self.version(api), "1")
        self.rest.update_integration(
            restApiId=api,
            resourceId=resource,
            httpMethod="ANY",
            patchOperations=[{"op": "replace", "path": "/uri", "value": self.uri("2")}],
        )
        self.assertEqual(self.version(api), "1")
        # Only the stage that is deployed.
        self.rest.create_deployment(restApiId=api, stageName="staging")
        self.assertEqual((self.version(api), self.version(api, "staging")), ("1", "2"))
        self.rest.create_deployment(restApiId=api, stageName="prod")
        self.assertEqual(self.version(api), "2")
        self.patch(api, "prod", "/deploymentId", first)
        self.assertEqual(self.version(api), "1")
        self.refused("BadRequestException", 400, self.rest.delete_deployment, restApiId=api, deploymentId=first)
        self.refused("BadRequestException", 400, self.patch, api, "prod", "/deploymentId", "none")
        # By its URL too.
        url = f"http://127.0.0.1:{self.aws.port}/_aws/execute-api/{api}/prod/chat"
        with urllib.request.urlopen(url) as answer:
            self.assertIn(b'"1"', answer.read())

    def test_stage_variables_act_at_once(self) -> None:
        self.function({"version": "1"}, {"version": "2"})
        self.weigh("1")
        self.lambda_.create_alias(FunctionName=self.name, Name="next", FunctionVersion="2")
        api, _ = self.rest_api(self.uri("${stageVariables.alias}"))
        self.allow(api, "live")
        self.rest.create_deployment(restApiId=api, stageName="prod", variables={"alias": "live"})
        served = self.call(api)
        self.assertEqual((served["executedVersion"], served["function"]), ("1", self.arn("live")))
        self.patch(api, "prod", "/variables/alias", "next")
        # Each alias needs its own permission.
        served = self.call(api)
        self.assertEqual((served["status"], served["reason"], served["executedVersion"]), (500, "NoPermission", None))
        self.allow(api, "next", "prod/*/*")
        self.assertEqual(self.version(api), "2")
        # A permission may be for another stage.
        staging = {"restApiId": api, "stageName": "staging", "variables": {"alias": "next"}}
        self.rest.create_deployment(**staging)
        self.assertEqual(self.call(api, "staging")["status"], 500)
        self.patch(api, "prod", "/variables/alias", "nobody")
        self.assertEqual(self.call(api)["status"], 500)
        self.refused("BadRequestException", 400, self.patch, api, "prod", "/variables/alias", "no spaces")
        # The alias draws by weight.
        self.patch(api, "prod", "/variables/alias", "live")
        self.weigh("1", "2", 1.0)
        self.assertEqual(self.version(api), "2")

    def test_an_authorizer_is_deployed_and_called_through_stage_variables(self) -> None:
        allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        answer = {"principalId": "u", "policyDocument": allow, "statusCode": 200, "body": "x"}
        self.function({"version": "v", "answers": [{**answer, "isAuthorized": True}]})
        version = self.lambda_.publish_version(FunctionName=self.name)["Version"]
        self.lambda_.create_alias(FunctionName=self.name, Name="live", FunctionVersion=version)
        self.lambda_.create_alias(FunctionName=self.name, Name="dev", FunctionVersion="$LATEST")
        api, resource = self.rest_api(self.uri(version))
        self.allow(api, version)
        authorizer = self.rest.create_authorizer(
            restApiId=api,
            name="users",
            type="TOKEN",
            authorizerUri=self.uri("${stageVariables.alias}"),
            identitySource="method.request.header.Authorization",
            authorizerResultTtlInSeconds=0,
        )["id"]
        operations = [
            {"op": "replace", "path": "/authorizationType", "value": "CUSTOM"},
            {"op": "replace", "path": "/authorizerId", "value": authorizer},
        ]
        self.rest.create_deployment(restApiId=api, stageName="prod")
        self.rest.update_method(restApiId=api, resourceId=resource, httpMethod="ANY", patchOperations=operations)
        self.assertIsNone(self.call(api)["authorizerVersion"], "it is not deployed")
        self.rest.create_deployment(restApiId=api, stageName="prod")
        self.patch(api, "prod", "/variables/alias", "live")
        headers = {"headers": {"authorization": "t"}}
        self.assertEqual(self.call(api)["status"], 401)
        # Its permission is one of its own.
        self.assertEqual(self.call(api, **headers)["reason"], "NoPermission")
        for alias in ("live", "dev"):
            self.allow(api, alias, f"authorizers/{authorizer}")
        told = self.call(api, **headers)
        self.assertEqual((told["status"], told["executedVersion"], told["authorizerVersion"]), (200, version, version))
        self.patch(api, "prod", "/variables/alias", "dev")
        self.assertEqual(self.call(api, **headers)["authorizerVersion"], "$LATEST")
        # A change of it is published by a deployment.
        change = [{"op": "replace", "path": "/authorizerUri", "value": self.uri("live")}]
        self.rest.update_authorizer(restApiId=api, authorizerId=authorizer, patchOperations=change)
        self.assertEqual(self.call(api, **headers)["authorizerVersion"], "$LATEST")
        self.rest.create_deployment(restApiId=api, stageName="prod")
        self.assertEqual(self.call(api, **headers)["authorizerVersion"], version)

        api, integration = self.http_api(self.arn(version), AutoDeploy=True, StageVariables={"alias": "live"})
        self.lambda_.add_permission(
            FunctionName=self.name,
            Qualifier=version,
            StatementId="http",
            Principal="apigateway.amazonaws.com",
            Action="lambda:InvokeFunction",
            SourceArn=f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api}/*",
        )
        authorizer = self.http.create_authorizer(
            ApiId=api,
            Name="users",
            AuthorizerType="REQUEST",
            AuthorizerUri=self.uri("${stageVariables.alias}"),
            AuthorizerPayloadFormatVersion="2.0",
            EnableSimpleResponses=True,
            IdentitySource=["$request.header.Authorization"],
            AuthorizerResultTtlInSeconds=0,
        )["AuthorizerId"]
        route = self.http.get_routes(ApiId=api)["Items"][0]["RouteId"]
        self.http.update_route(ApiId=api, RouteId=route, AuthorizationType="CUSTOM", AuthorizerId=authorizer)
        self.assertEqual(self.call(api, **headers)["reason"], "NoPermission")
        self.allow(api, "live", f"authorizers/{authorizer}")
        told = self.call(api, **headers)
        self.assertEqual((told["status"], told["authorizerVersion"]), (200, version))
        answer = self.http.export_api(ApiId=api, Specification="OAS30", OutputType="JSON", StageName="prod")
        document = json.loads(answer["body"].read())
        scheme = document["components"]["securitySchemes"]["users"]["x-amazon-apigateway-authorizer"]
        self.assertEqual(scheme["authorizerUri"], self.uri("${stageVariables.alias}"))

    def test_rest_metrics(self) -> None:
        self.function({"version": "1"}, {"version": "2", "errorRatePercent": 100})
        api, _ = self.rest_api(self.uri("${stageVariables.version}"))
        for version in "12":
            self.allow(api, version)
        self.rest.create_deployment(restApiId=api, stageName="prod", variables={"version": "1"})
        for _ in range(3):
            self.assertEqual(self.call(api)["status"], 200)
        self.patch(api, "prod", "/variables/version", "2")
        failed = self.call(api)
        self.assertEqual((failed["status"], failed["reason"]), (502, "FunctionError"))
        names = ("Count", "5XXError", "4XXError")
        for dimensions in ({"ApiName": self.name}, {"ApiName": self.name, "Stage": "prod"}):
            sums = self.sums(*names, **dimensions)
            self.assertEqual([sum(sums[name]) for name in names], [4.0, 1.0, 0.0])
        self.assertEqual(self.sums("Latency", stat="SampleCount", ApiName=self.name)["Latency"], [4.0])
        self.assertEqual(self.sums("5XXError", stat="Average", ApiName=self.name, Stage="prod")["5XXError"], [0.25])
        # Under the qualifier that was invoked.
        invoked = self.data(self.stat("n", "Invocations", "Sum", self.name, f"{self.name}:1"))["n"]["Values"]
        self.assertEqual(sum(invoked), 3)

    def test_refusals(self) -> None:
        self.function({"version": "1"})
        empty = self.rest.create_rest_api(name="empty")["id"]
        self.refused("BadRequestException", 400, self.rest.create_deployment, restApiId=empty)
        api, _ = self.rest_api(self.uri("1"))
        deployment = self.rest.create_deployment(restApiId=api, stageName="prod")["id"]
        stage = {"restApiId": api, "deploymentId": deployment}
        self.refused("ConflictException", 409, self.rest.create_stage, stageName="prod", **stage)
        self.rest.create_stage(stageName="other", **stage)

    # HTTP APIs.

    def test_http_apis_deploy_by_hand_or_by_themselves(self) -> None:
        self.function({"version": "1"}, {"version": "2"})
        self.weigh("1")
        api, integration = self.http_api(self.arn("1"), AutoDeploy=True)
        self.http.create_stage(ApiId=api, StageName="manual")
        self.assertEqual(self.call(api, "manual")["status"], 404)
        first = self.http.create_deployment(ApiId=api, StageName="manual")["DeploymentId"]
        for version in "12":
            self.allow(api, version)
        self.assertEqual((self.version(api), self.version(api, "manual")), ("1", "1"))
        before = self.http.get_stage(ApiId=api, StageName="prod")
        self.http.update_integration(ApiId=api, IntegrationId=integration, IntegrationUri=self.arn("2"))
        self.assertEqual((self.version(api), self.version(api, "manual")), ("2", "1"))
        after = self.http.get_stage(ApiId=api, StageName="prod")
        self.assertNotEqual(before["DeploymentId"], after["DeploymentId"])
        self.assertIn(after["DeploymentId"], after["LastDeploymentStatusMessage"])
        deployment = self.http.create_deployment(ApiId=api)["DeploymentId"]
        self.assertEqual(self.version(api, "manual"), "1")
        self.http.update_stage(ApiId=api, StageName="manual", DeploymentId=deployment)
        self.assertEqual(self.version(api, "manual"), "2")
        self.http.update_stage(ApiId=api, StageName="manual", DeploymentId=first)
        self.assertEqual(self.version(api, "manual"), "1")
        refuse = self.http.update_stage
        self.refused("BadRequestException", 400, refuse, ApiId=api, StageName="prod", DeploymentId=first)
        self.refused("NotFoundException", 404, refuse, ApiId=api, StageName="manual", DeploymentId="x")

    def test_http_stage_variables_permissions_and_metrics(self) -> None:
        self.function({"version": "1"}, {"version": "2", "errorRatePercent": 100})
        variables = {"AutoDeploy": True, "StageVariables": {"version": "1"}}
        api, _ = self.http_api(self.uri("${stageVariables.version}"), **variables)
        self.assertEqual(self.call(api)["status"], 500)
        self.allow(api, "1", "prod/$default")
        self.assertEqual(self.version(api), "1")
        self.http.update_stage(ApiId=api, StageName="prod", StageVariables={"version": "2"})
        self.assertEqual(self.call(api)["reason"], "NoPermission")
        self.allow(api, "2", "*/*")
        failed = self.call(api)
        self.assertEqual((failed["status"], failed["executedVersion"]), (500, "2"))
        names = ("Count", "5xx", "4xx")
        for dimensions in ({"ApiId": api}, {"ApiId": api, "Stage": "prod"}):
            sums = self.sums(*names, **dimensions)
            self.assertEqual([sum(sums[name]) for name in names], [4.0, 3.0, 0.0])
        self.assertEqual(self.sums("Latency", stat="SampleCount", ApiId=api, Stage="prod")["Latency"], [4.0])

    # Names and limits.

    def test_a_custom_domain_answers_for_its_name(self) -> None:
        self.function({"version": "1"})
        api, _ = self.rest_api(self.uri("1"))
        self.allow(api, "1")
        self.rest.create_deployment(restApiId=api, stageName="prod")
        domain = f"{self.name}.test"
        made = self.rest.create_domain_name(domainName=domain, endpointConfiguration={"types": ["REGIONAL"]})
        self.rest.create_base_path_mapping(domainName=domain, restApiId=api, stage="prod")
        zone = self.route53.create_hosted_zone(Name=domain, CallerReference=self.name)["HostedZone"]["Id"]
        self.aws.local("POST", "dns/settings", {"insyncSeconds": 0})
        for name in (domain, f"other.{domain}"):
            alias = {
                "HostedZoneId": made["regionalHostedZoneId"],
                "DNSName": made["regionalDomainName"],
                "EvaluateTargetHealth": False,
            }
            changes = [
                {"Action": "CREATE", "ResourceRecordSet": {"Name": name, "Type": "A", "AliasTarget": alias}},
            ]
            self.route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
        served = self.aws.local("POST", "dns/request", {"name": domain, "path": "/chat"})
        self.assertEqual((served["status"], served["executedVersion"]), (200, "1"))
        served = self.aws.local("POST", "dns/request", {"name": f"other.{domain}", "path": "/chat"})
        self.assertEqual(served["status"], 403)

    def test_deployments_are_limited(self) -> None:
        self.function({"version": "1"})
        api, _ = self.rest_api(self.uri("1"))
        self.addCleanup(self.aws.local, "DELETE", "limits")
        self.aws.local("POST", "limits", {"createDeploymentPerSecond": 1})
        self.rest.create_deployment(restApiId=api, stageName="prod")
        self.refused("TooManyRequestsException", 429, self.rest.create_deployment, restApiId=api, stageName="prod")
        self.rest.get_stage(restApiId=api, stageName="prod")
        time.sleep(1.05)
        self.rest.create_deployment(restApiId=api, stageName="prod")
