"""IAM: which action and resource each call takes, and that what a role does not allow is refused."""

from __future__ import annotations

import json
import re
import sys
import unittest
import urllib.error
from typing import Any

import boto3
from botocore.config import Config
from test_bridge import ACCOUNT, HERE, REGION, Bridged, eventually, package

sys.path.insert(0, str(HERE / "bridge"))
import iam_actions  # noqa: E402 - it needs nothing of ministack
from iam_actions import Call, Unknown, checks  # noqa: E402

FUNCTIONS = "/2015-03-31/functions"


def asked(service: str, operation: str, path: str = "/", method: str = "POST", query: Any = None, **data: Any) -> Any:
    call = Call(service, operation, method, path, query or {}, data, ACCOUNT, REGION)
    for check in checks(call):
        assert is_of_its_type(check), f"{check} is not what the service authorization reference says"
    return [(check.action, check.resource.replace(f"{REGION}:{ACCOUNT}", "HERE")) for check in checks(call)]


def is_of_its_type(check: iam_actions.Check) -> bool:
    """Whether AWS's own data knows the action, and a type of resource for it with such an ARN."""
    types = iam_actions.resource_types(check.action)
    if not types or check.resource == iam_actions.ANY:
        return types is not None
    known = iam_actions.authorization()[check.action.partition(":")[0]]["Resources"]
    formats = [arn for kind in types for arn in (known.get(kind) or {}).get("ARNFormats", ())]
    # Theirs have placeholders for what stands in an ARN before the resource, and a pattern after it.
    return any(re.fullmatch(re.sub(r"\$\{\w+\}", "[^:]*", arn), check.resource) for arn in formats)


class WhatIsAsked(unittest.TestCase):
    def test_of_lambda(self) -> None:
        chat = "arn:aws:lambda:HERE:function:chat"
        self.assertEqual(
            asked("lambda", "UpdateAlias", f"{FUNCTIONS}/chat/aliases/live", "PUT"), [("lambda:UpdateAlias", chat)]
        )
        # An invocation is authorised with its qualifier, wherever that stands; nothing else is.
        for path, query in (("chat", {"Qualifier": ["live"]}), ("chat:live", {})):
            path = f"{FUNCTIONS}/{path}/invocations"
            self.assertEqual(asked("lambda", "Invoke", path, query=query), [("lambda:InvokeFunction", f"{chat}:live")])
        # What only aliases and versions have is asked for by theirs.
        path = "/2019-09-30/functions/chat/provisioned-concurrency"
        self.assertEqual(
            asked("lambda", "GetProvisionedConcurrencyConfig", path, "GET", {"Qualifier": ["live"]}),
            [("lambda:GetProvisionedConcurrencyConfig", f"{chat}:live")],
        )
        path = f"{FUNCTIONS}/chat"
        self.assertEqual(
            asked("lambda", "DeleteFunction", path, "DELETE", {"Qualifier": ["3"]}), [("lambda:DeleteFunction", chat)]
        )
        # Another account's function is another account's.
        theirs = "arn:aws:lambda:eu-west-1:999999999999:function:chat"
        self.assertEqual(
            asked("lambda", "GetFunction", f"/2015-03-31/functions/{theirs}", "GET"), [("lambda:GetFunction", theirs)]
        )
        self.assertEqual(
            asked("lambda", "ListEventSourceMappings", "/2015-03-31/event-source-mappings/", "GET"),
            [("lambda:ListEventSourceMappings", "*")],
        )

    def test_of_code(self) -> None:
        """Lambda reads it with its caller's permissions."""
        path = f"{FUNCTIONS}/chat/code"
        update = ("lambda:UpdateFunctionCode", "arn:aws:lambda:HERE:function:chat")
        code = {"S3Bucket": "artifacts", "S3Key": "a/b.zip"}
        self.assertEqual(
            asked("lambda", "UpdateFunctionCode", path, "PUT", **code),
            [update, ("s3:GetObject", "arn:aws:s3:::artifacts/a/b.zip")],
        )
        self.assertEqual(
            asked("lambda", "UpdateFunctionCode", path, "PUT", **code, S3ObjectVersion="1")[1],
            ("s3:GetObjectVersion", "arn:aws:s3:::artifacts/a/b.zip"),
        )
        key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k"
        zipped = asked("lambda", "UpdateFunctionCode", path, "PUT", **code, SourceKMSKeyArn=key)
        self.assertEqual(
            zipped[2:], [(f"kms:{one}", "arn:aws:kms:HERE:key/k") for one in ("Decrypt", "DescribeKey", "GenerateDataKey")]
        )
        image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/chat@sha256:" + "0" * 64
        repository = "arn:aws:ecr:eu-west-1:123456789012:repository/team/chat"
        self.assertEqual(
            asked("lambda", "UpdateFunctionCode", path, "PUT", ImageUri=image),
            [update, ("ecr:BatchGetImage", repository), ("ecr:GetDownloadUrlForLayer", repository)],
        )

    def test_of_the_ledger(self) -> None:
        table = "arn:aws:dynamodb:HERE:table/ledger"
        self.assertEqual(asked("dynamodb", "GetItem", TableName="ledger"), [("dynamodb:GetItem", table)])
        self.assertEqual(
            asked("dynamodb", "Query", TableName="ledger", IndexName="byAlarm"),
            [("dynamodb:Query", f"{table}/index/byAlarm")],
        )
        items = [{kind: {"TableName": "ledger"}} for kind in ("Put", "Put", "Delete", "ConditionCheck", "Update")]
        self.assertEqual(
            asked("dynamodb", "TransactWriteItems", TransactItems=items),
            [(f"dynamodb:{one}", table) for one in ("PutItem", "DeleteItem", "ConditionCheckItem", "UpdateItem")],
        )
        self.assertEqual(
            asked("dynamodb", "BatchGetItem", RequestItems={"ledger": {}}), [("dynamodb:BatchGetItem", table)]
        )

    def test_of_front_doors(self) -> None:
        zone = "arn:aws:route53:::hostedzone/Z1"
        path = "/2013-04-01/hostedzone/Z1/rrset/"
        self.assertEqual(
            asked("route53", "ChangeResourceRecordSets", path), [("route53:ChangeResourceRecordSets", zone)]
        )
        self.assertEqual(
            asked("route53", "GetChange", "/2013-04-01/change/C1", "GET"),
            [("route53:GetChange", "arn:aws:route53:::change/C1")],
        )
        rule = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:listener-rule/app/web/1/2/3"
        self.assertEqual(
            asked("elbv2", "ModifyRule", RuleArn=rule),
            [("elasticloadbalancing:ModifyRule", rule.replace(f"{REGION}:{ACCOUNT}", "HERE"))],
        )
        self.assertEqual(asked("elbv2", "DescribeRules"), [("elasticloadbalancing:DescribeRules", "*")])
        pool = f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{REGION}_users"
        sign_in = {"Actions.member.1.AuthenticateCognitoConfig.UserPoolArn": pool}
        self.assertEqual(
            asked("elbv2", "ModifyRule", RuleArn=rule, **sign_in)[1:],
            [("cognito-idp:DescribeUserPoolClient", pool.replace(f"{REGION}:{ACCOUNT}", "HERE"))],
        )
        for path, resource in (("/restapis/a/stages/p", "/restapis/a/stages/p"), ("/v2/apis/a", "/apis/a")):
            self.assertEqual(
                asked("apigateway", "UpdateStage", path, "PATCH"),
                [("apigateway:PATCH", f"arn:aws:apigateway:{REGION}::{resource}")],
            )

    def test_of_what_is_told(self) -> None:
        entries = [{"Source": "crossfade", "DetailType": "a"}, {"Source": "aws.lambda", "DetailType": "b"}]
        call = Call("events", "PutEvents", "POST", "/", {}, {"Entries": entries}, ACCOUNT, REGION)
        self.assertEqual([check.context["events:source"] for check in checks(call)], ["crossfade", "aws.lambda"])
        topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:t"
        self.assertEqual(asked("sns", "Publish", TopicArn=topic), [("sns:Publish", "arn:aws:sns:HERE:t")])

    def test_of_what_is_read_of_code(self) -> None:
        path = "/artifacts/chat/42.zip"
        self.assertEqual(
            asked("s3", "GetObject", path, "GET"), [("s3:GetObject", "arn:aws:s3:::artifacts/chat/42.zip")]
        )
        self.assertEqual(
            asked("s3", "GetObject", path, "GET", {"versionId": ["v"]}),
            [("s3:GetObjectVersion", "arn:aws:s3:::artifacts/chat/42.zip")],
        )
        self.assertEqual(
            asked("ecr", "BatchGetImage", repositoryName="team/chat"),
            [("ecr:BatchGetImage", "arn:aws:ecr:HERE:repository/team/chat")],
        )
        self.assertEqual(
            asked("ecr", "BatchGetImage", repositoryName="chat", registryId="999999999999"),
            [("ecr:BatchGetImage", f"arn:aws:ecr:{REGION}:999999999999:repository/chat")],
        )

    def test_what_nobody_knows_is_unknown(self) -> None:
        for service, operation in (
            ("lambda", "NoSuchThing"),
            ("lambda", "CreateFunction"),
            ("dynamodb", "ExecuteStatement"),
            ("iam", "CreateUser"),
            ("states", "CreateStateMachine"),
            ("s3", "PutObject"),
        ):
            with self.assertRaises(Unknown, msg=f"{service}:{operation}"):
                asked(service, operation)

    def test_types_of_resources(self) -> None:
        self.assertEqual(iam_actions.resource_types("lambda:InvokeFunction"), ["function"])
        self.assertEqual(iam_actions.resource_types("elasticloadbalancing:DescribeRules"), [])
        self.assertIsNone(iam_actions.resource_types("lambda:Invoke"))
        table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/t"
        self.assertTrue(is_of_its_type(iam_actions.Check("dynamodb:GetItem", table)))
        self.assertFalse(is_of_its_type(iam_actions.Check("lambda:GetAlias", table)))


class Gap13Iam(Bridged):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.iam = cls.aws.client("iam")

    def role(self, *statements: dict[str, Any], name: str | None = None) -> str:
        """A role with one policy, and its ARN."""
        name = name or self.name
        trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"},
                                "Action": "sts:AssumeRole"}]}
        made = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]}
        self.iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
        return str(made["Role"]["Arn"])

    def acting(self, service: str, key: dict[str, str] | None = None) -> Any:
        """A client with the credentials of this test's function, or of its process."""
        key = key or self.aws.local("GET", f"iam/credentials?function={self.name}")
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{self.aws.port}",
            region_name=REGION,
            aws_access_key_id=key["accessKeyId"],
            aws_secret_access_key=key["secretAccessKey"],
            aws_session_token=key["sessionToken"],
            config=Config(retries={"total_max_attempts": 1}),
        )

    def process(self) -> dict[str, str]:
        """The credentials that the function's own process is given, once it has one."""
        self.invoke("1")
        return dict(self.aws.local("GET", f"iam/credentials?function={self.name}&process=1"))

    def denied(self, code: str, status: int, what: str, call: Any, **arguments: Any) -> None:
        """Refused in AWS's words, with who, what and on what."""
        message = self.refused(code, status, call, **arguments)
        self.assertIn(f":assumed-role/{self.name}/{self.name} is not authorized to perform: {what} on resource: ", message)

    def recorded(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What this test's role was used for, and what it was refused, by action."""
        said = self.aws.local("GET", "iam")
        mine = [[one for one in said[kind] if one["role"] == self.name] for kind in ("used", "refused")]
        return {one["action"]: one for one in mine[0]}, {one["action"]: one for one in mine[1]}

    def test_a_function_may_what_its_role_allows(self) -> None:
        mine = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.name}*"
        role = self.role({"Sid": "Mine", "Action": ["lambda:GetAlias", "lambda:UpdateAlias"], "Resource": mine})
        self.function({"version": "1"}, Role=role)
        self.weigh("1")
        lambda_ = self.acting("lambda", self.process())
        lambda_.get_alias(FunctionName=self.name, Name="live")
        self.denied("AccessDeniedException", 403, "lambda:ListAliases", lambda_.list_aliases, FunctionName=self.name)
        other = {"FunctionName": "another-function", "Name": "live"}
        self.denied("AccessDeniedException", 403, "lambda:GetAlias", lambda_.get_alias, **other)
        self.denied("AccessDeniedException", 403, "lambda:CreateFunction", lambda_.create_function,
                    FunctionName="new", Role=role, Code={"ZipFile": b"-"})
        used, refused = self.recorded()
        self.assertEqual(list(used), ["lambda:GetAlias"])
        self.assertEqual((used["lambda:GetAlias"]["sid"], used["lambda:GetAlias"]["pattern"]), ("Mine", mine))
        self.assertEqual({action: one["why"] for action, one in refused.items()}, {
            "lambda:ListAliases": "not granted", "lambda:GetAlias": "not granted", "lambda:CreateFunction": "unknown"})

    def test_each_service_refuses_in_its_own_words(self) -> None:
        role = self.role({"Action": "lambda:GetAlias", "Resource": "*"})
        self.function({"version": "1"}, Role=role)
        arn = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/x/1"
        for service, code, status, what, call, arguments in (
            ("dynamodb", "AccessDeniedException", 400, "dynamodb:GetItem", "get_item",
             {"TableName": "t", "Key": {"pk": {"S": "a"}}}),
            ("sns", "AuthorizationError", 403, "sns:Publish", "publish",
             {"TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:t", "Message": "m"}),
            ("events", "AccessDeniedException", 400, "events:PutEvents", "put_events",
             {"Entries": [{"Source": "s", "DetailType": "d", "Detail": "{}"}]}),
            ("cloudwatch", "AccessDenied", 403, "cloudwatch:DescribeAlarms", "describe_alarms", {}),
            ("stepfunctions", "AccessDeniedException", 400, "states:DescribeExecution", "describe_execution",
             {"executionArn": f"arn:aws:states:{REGION}:{ACCOUNT}:execution:m:e"}),
            ("route53", "AccessDenied", 403, "route53:GetChange", "get_change", {"Id": "C1"}),
            ("elbv2", "AccessDenied", 403, "elasticloadbalancing:RegisterTargets", "register_targets",
             {"TargetGroupArn": arn, "Targets": [{"Id": "i"}]}),
            ("apigateway", "AccessDeniedException", 403, "apigateway:GET", "get_stages", {"restApiId": "a"}),
        ):
            with self.subTest(service):
                self.denied(code, status, what, getattr(self.acting(service), call), **arguments)

    def test_a_denial_is_final_and_a_condition_is_kept(self) -> None:
        bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
        role = self.role(
            {"Action": "events:PutEvents", "Resource": bus, "Condition": {"StringEquals": {"events:source": "mine"}}},
            {"Action": "lambda:*", "Resource": "*"},
            {"Effect": "Deny", "Action": "lambda:DeleteAlias", "Resource": "*"},
        )
        self.function({"version": "1"}, Role=role)
        self.weigh("1")
        events, lambda_ = self.acting("events"), self.acting("lambda")
        entry = {"DetailType": "d", "Detail": "{}"}
        events.put_events(Entries=[{**entry, "Source": "mine"}])
        for sources in (["theirs"], ["mine", "theirs"]):
            entries = [{**entry, "Source": source} for source in sources]
            self.denied("AccessDeniedException", 400, "events:PutEvents", events.put_events, Entries=entries)
        live = {"FunctionName": self.name, "Name": "live"}
        lambda_.get_alias(**live)
        self.denied("AccessDeniedException", 403, "lambda:DeleteAlias", lambda_.delete_alias, **live)
        # Nothing that a test does with a function's credentials is taken for the function's own.
        self.assertEqual(self.recorded(), ({}, {}))

    def test_code_is_read_with_the_callers_permissions(self) -> None:
        mine = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:*"
        role = self.role(
            {"Action": "lambda:UpdateFunctionCode", "Resource": mine},
            {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::mine/*"},
        )
        self.function({"version": "1"}, Role=role)
        s3 = self.aws.client("s3", **{"s3": {"addressing_style": "path"}})
        for bucket in ("mine", "theirs"):
            s3.create_bucket(Bucket=bucket)
            s3.put_object(Bucket=bucket, Key="f.zip", Body=package(version="2"))
        update = self.acting("lambda").update_function_code
        update(FunctionName=self.name, S3Bucket="mine", S3Key="f.zip")
        self.settled()
        theirs = {"FunctionName": self.name, "S3Bucket": "theirs", "S3Key": "f.zip"}
        self.denied("AccessDeniedException", 403, "s3:GetObject", update, **theirs)

    def test_keys_are_used_with_the_callers_permissions(self) -> None:
        key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/of-{self.name.lower()}"
        via = {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}
        lend = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
        allowed = [{"Action": "lambda:*", "Resource": "*"}, {"Action": "s3:*", "Resource": "*"}]
        decrypt = {"Action": "kms:Decrypt", "Resource": key, "Condition": via}
        grant = {"Action": "kms:CreateGrant", "Resource": key, "Condition": lend}
        role = self.role(*allowed)
        bucket = f"keys-{self.name.lower()}"
        s3 = self.aws.client("s3", **{"s3": {"addressing_style": "path"}})
        s3.create_bucket(Bucket=bucket)
        encryption = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        rules = [{"ApplyServerSideEncryptionByDefault": encryption}]
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})
        s3.put_object(Bucket=bucket, Key="f.zip", Body=package(version="2"))
        self.function({"version": "1"}, Role=role, KMSKeyArn=key)
        lambda_ = self.acting("lambda")
        code = {"FunctionName": self.name, "S3Bucket": bucket, "S3Key": "f.zip"}
        self.denied("AccessDeniedException", 403, "kms:Decrypt", lambda_.update_function_code, **code)
        self.role_allows(*allowed, decrypt)
        for call, arguments in ((lambda_.update_function_code, code), (lambda_.publish_version, {})):
            arguments = {"FunctionName": self.name, **arguments}
            message = self.refused("InvalidParameterValueException", 400, call, **arguments)
            self.assertIn("the KMS key is invalid for CreateGrant", message)
            self.assertIn("is not authorized to perform: kms:CreateGrant", message)
        self.role_allows(*allowed, decrypt, grant)
        lambda_.update_function_code(**code)
        self.settled()
        lambda_.publish_version(FunctionName=self.name)

    def role_allows(self, *statements: dict[str, Any]) -> None:
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]}
        self.iam.put_role_policy(RoleName=self.name, PolicyName="p", PolicyDocument=json.dumps(policy))

    def test_lambda_lets_itself_into_a_repository_once(self) -> None:
        name = self.name.lower()
        role = self.role({"Action": ["lambda:*", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], "Resource": "*"})
        ecr = self.aws.client("ecr")
        repository = ecr.create_repository(repositoryName=name)["repository"]
        self.function({"version": "1"}, Role=role)
        update = self.acting("lambda").update_function_code
        image = {"FunctionName": self.name, "ImageUri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{name}:1"}
        self.denied("AccessDeniedException", 403, "ecr:GetRepositoryPolicy", update, **image)
        self.role_allows({"Action": ["lambda:*", "ecr:*"], "Resource": repository["repositoryArn"]},
                         {"Action": "lambda:*", "Resource": "*"})
        update(**image)
        told = ecr.get_repository_policy(repositoryName=name)["policyText"]
        self.assertEqual(json.loads(told)["Statement"][0]["Principal"], {"Service": "lambda.amazonaws.com"})
        self.settled()
        self.role_allows({"Action": ["lambda:*", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], "Resource": "*"})
        update(**image)

    def test_a_state_machine_calls_what_its_role_allows(self) -> None:
        self.function({"version": "1"})
        topic = self.sns.create_topic(Name=self.name)["TopicArn"]
        role = self.role({"Sid": "Call", "Action": "lambda:InvokeFunction", "Resource": self.arn("1")})

        def run(resource: str, parameters: dict[str, Any]) -> dict[str, Any]:
            state = {"Type": "Task", "Resource": resource, "Parameters": parameters, "End": True}
            made = self.states.create_state_machine(
                name=f"{self.name}-{resource.rsplit(':', 1)[-1]}-{len(str(parameters))}",
                definition=json.dumps({"StartAt": "Do", "States": {"Do": state}}),
                roleArn=role,
            )
            return self.run_to_end(made["stateMachineArn"])

        invoke = "arn:aws:states:::lambda:invoke"
        self.assertEqual(run(invoke, {"FunctionName": self.arn("1"), "Payload": {}})["status"], "SUCCEEDED")
        end = run(invoke, {"FunctionName": self.arn(), "Payload": {}})
        self.assertEqual((end["status"], end["error"]), ("FAILED", "Lambda.AWSLambdaException"))
        self.assertIn("is not authorized to perform: lambda:InvokeFunction", end["cause"])
        end = run("arn:aws:states:::sns:publish", {"TopicArn": topic, "Message": "m"})
        self.assertEqual((end["status"], end["error"]), ("FAILED", "SNS.AccessDeniedException"))
        used, refused = self.recorded()
        self.assertEqual(used["lambda:InvokeFunction"]["sid"], "Call")
        self.assertEqual(set(refused), {"lambda:InvokeFunction", "sns:Publish"})

    def test_a_token_is_answered_by_whoever_may_answer_its_machine(self) -> None:
        topic = self.sns.create_topic(Name=self.name)["TopicArn"]
        ask = {
            "Type": "Task",
            "Resource": "arn:aws:states:::sns:publish.waitForTaskToken",
            "Parameters": {"TopicArn": topic, "Message.$": "$$.Task.Token"},
            "End": True,
        }
        machine = self.machine({"Ask": ask}, "Ask")
        role = self.role({"Action": "states:SendTaskSuccess", "Resource": machine})
        self.function({"version": "1"}, Role=role)
        started = self.states.start_execution(stateMachineArn=machine)["executionArn"]
        found = eventually(lambda: self.aws.local("GET", f"notifications?topic={topic}"))
        token, acting = found[-1]["message"], self.acting("stepfunctions")
        fail = {"taskToken": token, "error": "e", "cause": "c"}
        self.denied("AccessDeniedException", 400, "states:SendTaskFailure", acting.send_task_failure, **fail)
        acting.send_task_success(taskToken=token, output="1")
        self.assertEqual(self.ended(started)["status"], "SUCCEEDED")

    def test_whoever_has_no_role_here_may_do_anything(self) -> None:
        self.function({"version": "1"})
        self.lambda_.list_aliases(FunctionName=self.name)
        with self.assertRaises(urllib.error.HTTPError):
            self.aws.local("GET", f"iam/credentials?function={self.name}")


if __name__ == "__main__":
    unittest.main()
