"""What services answer member by member, where ministack says more or less than AWS; held without the recordings."""

from __future__ import annotations

import json
import time
from typing import Any

from botocore.exceptions import ClientError
from test_bridge import ROLE, Bridged, zipped

HANDLER = {"index.py": "def handler(event, context):\n    return event\n"}


class Answers(Bridged):
    def created(self, **more: Any) -> Any:
        code = {"Runtime": "python3.12", "Handler": "index.handler", "Code": {"ZipFile": zipped(HANDLER)}}
        made = self.lambda_.create_function(FunctionName=self.name, Role=ROLE, **{**code, **more})
        self.settled()
        return made

    def refusal(self, call: Any, **arguments: Any) -> tuple[str, str]:
        with self.assertRaises(ClientError) as refused:
            call(**arguments)
        error = refused.exception.response["Error"]
        return error["Code"], error["Message"]

    def test_functions_have_no_empty_members(self) -> None:
        made = self.created()
        absent = {"KMSKeyArn", "Layers", "VpcConfig", "LastUpdateStatus", "LastUpdateStatusReasonCode"}
        self.assertEqual(absent & set(made), set())
        self.assertRegex(
            made["RuntimeVersionConfig"]["RuntimeVersionArn"], r"^arn:aws:lambda:us-east-1::runtime:[0-9a-f]{64}$"
        )
        config = self.lambda_.get_function(FunctionName=self.name)["Configuration"]
        self.assertEqual({"StateReason", "StateReasonCode", "LastUpdateStatusReason"} & set(config), set())
        busy = self.lambda_.update_function_configuration(FunctionName=self.name, Description="x")
        self.assertEqual(busy["LastUpdateStatusReasonCode"], "Creating")

    def test_an_image_has_a_digest_and_no_runtime(self) -> None:
        image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/demo:1"
        self.lambda_.create_function(FunctionName=self.name, Role=ROLE, PackageType="Image", Code={"ImageUri": image})
        self.settled()
        found = self.lambda_.get_function(FunctionName=self.name)
        sha = found["Configuration"]["CodeSha256"]
        self.assertEqual(found["Code"]["ResolvedImageUri"], f"{image.rpartition(':')[0]}@sha256:{sha}")
        self.assertEqual({"Runtime", "Handler", "ImageUri"} & set(found["Configuration"]), set())
        self.lambda_.publish_version(FunctionName=self.name, CodeSha256=sha)
        told = self.refusal(self.lambda_.update_function_code, FunctionName=self.name, ZipFile=zipped(HANDLER))
        self.assertIn("Please provide ImageUri", told[1])

    def test_what_is_published_with_its_creation_is_not_published_again(self) -> None:
        self.created(Publish=True)
        self.assertEqual(self.lambda_.publish_version(FunctionName=self.name, Description="again")["Version"], "1")
        version = self.lambda_.get_function(FunctionName=self.name, Qualifier="1")["Configuration"]
        self.assertTrue(version["FunctionArn"].endswith(":1"))

    def test_a_subscription_that_waits_has_no_arn(self) -> None:
        topic = self.sns.create_topic(Name=self.name)["TopicArn"]
        self.sns.subscribe(TopicArn=topic, Protocol="https", Endpoint="https://127.0.0.1:9/hook")
        listed = self.sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        self.assertEqual([one["SubscriptionArn"] for one in listed], ["PendingConfirmation"])

    def test_policies_have_revisions_of_their_own(self) -> None:
        self.created()
        statement = {"Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com"}
        add, get = self.lambda_.add_permission, self.lambda_.get_policy
        add(FunctionName=self.name, StatementId="one", **statement)
        first = get(FunctionName=self.name)["RevisionId"]
        self.lambda_.publish_version(FunctionName=self.name)
        self.assertEqual(get(FunctionName=self.name)["RevisionId"], first)
        stale = {"StatementId": "two", "RevisionId": "no", **statement}
        self.assertEqual(self.refusal(add, FunctionName=self.name, **stale)[0], "PreconditionFailedException")
        add(FunctionName=self.name, StatementId="two", RevisionId=first, **statement)
        self.assertNotEqual(get(FunctionName=self.name)["RevisionId"], first)
        missing = self.refusal(add, FunctionName=f"{self.name}:gone", StatementId="x", **statement)
        self.assertIn("Cannot find alias arn", missing[1])
        latest = self.refusal(add, FunctionName=self.name, Qualifier="$LATEST", StatementId="x", **statement)
        self.assertIn("do not support adding policies for $LATEST", latest[1])

    def test_a_qualifier_is_named_once(self) -> None:
        self.created()
        told = self.refusal(self.lambda_.get_function, FunctionName=f"{self.name}:1", Qualifier="2")
        self.assertIn("derived qualifier", told[1])
        told = self.refusal(self.lambda_.get_function, FunctionName=self.name, Qualifier="7")
        self.assertTrue(told[1].endswith(f"{self.name}:7"), told)

    def test_an_event_of_a_function_that_may_not_run_is_given_up_at_once(self) -> None:
        self.function({"version": "1"})
        queue = self.sqs.create_queue(QueueName=self.name)["QueueUrl"]
        target = {"OnFailure": {"Destination": f"arn:aws:sqs:us-east-1:000000000000:{self.name}"}}
        self.lambda_.put_function_event_invoke_config(FunctionName=self.name, DestinationConfig=target)
        self.lambda_.put_function_concurrency(FunctionName=self.name, ReservedConcurrentExecutions=0)
        self.lambda_.invoke(FunctionName=self.name, InvocationType="Event")
        self.assertEqual(len(self.sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5).get("Messages", [])), 1)

    def history(self, states: Any, given: Any = None) -> list[Any]:
        definition = json.dumps({"StartAt": next(iter(states)), "States": states})
        arn = self.states.create_state_machine(name=self.name, definition=definition, roleArn=ROLE)["stateMachineArn"]
        run = self.states.start_execution(stateMachineArn=arn, input=json.dumps(given or {}))["executionArn"]
        for _ in range(200):
            if self.states.describe_execution(executionArn=run)["status"] != "RUNNING":
                break
            time.sleep(0.02)
        return list(self.states.get_execution_history(executionArn=run)["events"])

    def test_histories_tell_what_was_handed_out_and_how_long_it_may_take(self) -> None:
        queue = self.sqs.create_queue(QueueName=self.name)["QueueUrl"]
        task = {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Parameters": {"QueueUrl": queue, "MessageBody.$": "$$.Task.Token"},
            "TimeoutSeconds": 5,
            "End": True,
        }
        events = self.history({"Ask": task})
        kinds = [
            "ExecutionStarted",
            "TaskStateEntered",
            "TaskScheduled",
            "TaskStarted",
            "TaskSubmitted",
            "TaskTimedOut",
        ]
        self.assertEqual([event["type"] for event in events], [*kinds, "ExecutionFailed"])
        self.assertEqual([event["previousEventId"] for event in events], [0, 0, 2, 3, 4, 5, 6])
        self.assertEqual(events[2]["taskScheduledEventDetails"]["timeoutInSeconds"], 5)

    def test_a_wait_that_cannot_be_ends_the_execution(self) -> None:
        for field, value, said in (
            ("SecondsPath", 1.5, "cannot be parsed as a long value"),
            ("SecondsPath", -1, "references a negative value"),
            ("TimestampPath", "2026-01-01T00:00:00", "does not reference a valid ISO-8601"),
            ("TimestampPath", "2196-01-01T00:00:00Z", "delay is too long"),
        ):
            with self.subTest(said):
                self.name = f"wait-{abs(hash(said))}"
                last = self.history({"Wait": {"Type": "Wait", field: "$.it", "End": True}}, {"it": value})[-1]
                self.assertEqual(last["executionFailedEventDetails"]["error"], "States.Runtime")
                self.assertIn(said, last["executionFailedEventDetails"]["cause"])

    def test_errors_of_services_that_states_call_are_the_sdk_s(self) -> None:
        arn = "arn:aws:states:us-east-1:000000000000:stateMachine:gone"
        task = {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution", "End": True}
        last = self.history({"Start": {**task, "Parameters": {"StateMachineArn": arn}}})[-1]
        error = last["executionFailedEventDetails"]["error"]
        self.assertEqual(error, "StepFunctions.StateMachineDoesNotExistException")

    def test_stages_tell_what_was_given_and_are_found_by_their_deployment(self) -> None:
        api = self.aws.client("apigateway")
        made = api.create_rest_api(name=self.name)["id"]
        root = api.get_resources(restApiId=made)["items"][0]["id"]
        about = {"restApiId": made, "resourceId": root, "httpMethod": "GET"}
        api.put_method(authorizationType="NONE", **about)
        api.put_integration(type="MOCK", **about)
        deployed = [api.create_deployment(restApiId=made) for _ in range(2)]
        deployments = [deployment["id"] for deployment in deployed]
        summary = deployed[0].get("apiSummary", {}).get("/", {}).get("GET", {})
        self.assertEqual(set(summary) - {"apiKeyRequired", "authorizationType"}, set())
        for nth, deployment in enumerate(deployments):
            api.create_stage(restApiId=made, stageName=f"s{nth}", deploymentId=deployment)
        (stage,) = api.get_stages(restApiId=made, deploymentId=deployments[1])["item"]
        self.assertEqual((stage["stageName"], stage["cacheClusterStatus"]), ("s1", "NOT_AVAILABLE"))
        self.assertEqual({"variables", "tags", "description"} & set(stage), set())

    def test_route53_tells_where_what_it_created_is(self) -> None:
        client = self.aws.client("route53")
        made = client.create_hosted_zone(Name="answers.test", CallerReference=self.name)
        self.assertTrue(made["Location"].endswith(made["HostedZone"]["Id"]))
        self.assertNotIn("Comment", made["HostedZone"]["Config"])

    def test_cloudformation_cuts_the_names_that_it_makes(self) -> None:
        stack = "a-stack-whose-name-has-thirty-"[:29] + "x"
        logical = "RollbackFunctionExecutionEnded"
        rule = {"Type": "AWS::Events::Rule", "Properties": {"ScheduleExpression": "rate(1 day)"}}
        template = {"Resources": {logical: rule, "Short": rule}}
        cloudformation = self.aws.client("cloudformation")
        cloudformation.create_stack(StackName=stack, TemplateBody=json.dumps(template))
        for _ in range(100):
            if cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE":
                break
            time.sleep(0.05)
        names = [rule["Name"] for rule in self.events.list_rules(NamePrefix=stack[:25])["Rules"]]
        cut = next(name for name in names if "Rollback" in name)
        self.assertEqual((cut[:50], len(cut)), (f"{stack[:25]}-{logical[:24]}", 64))
        self.assertTrue(any(name.startswith(f"{stack}-Short-") for name in names), names)
