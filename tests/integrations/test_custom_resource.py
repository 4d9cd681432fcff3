"""The custom resource: its decisions against a Step Functions that is a table, and stacks on the local AWS."""

import copy
import importlib.util
import json
import os
import subprocess
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock

from botocore.exceptions import ClientError, EndpointConnectionError
from support import BUCKET, INTEGRATIONS, REGION, VENV, Local, Traffic, bad, good, request, scratch, template, until

FOLDER = INTEGRATIONS / "cloudformation"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:crossfade-deployment"
WAITER = "arn:aws:states:us-east-1:123456789012:stateMachine:crossfade-release-waiter"
STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/chat/0a1b"


def load() -> Any:
    """Returns the provider's module, made for no AWS at all."""
    environment = {
        "AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "DEPLOYMENT_STATE_MACHINE": MACHINE, "WAITER": WAITER,
    }  # fmt: skip
    os.environ.update({name: value for name, value in environment.items() if name not in os.environ})
    specification = importlib.util.spec_from_file_location("provider", FOLDER / "provider" / "app.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


app = load()


def refusal(code: str, status: int = 400) -> ClientError:
    """Returns an error of AWS."""
    return ClientError({"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Call")


class StepFunctions:
    """Executions in a table. An error in `errors` is raised by the operation's next call."""

    def __init__(self) -> None:
        self.executions: dict[str, dict[str, Any]] = {}
        self.errors: dict[str, list[Exception]] = {}
        self.stopped: list[str] = []

    def _fail(self, operation: str) -> None:
        if self.errors.get(operation):
            raise self.errors[operation].pop(0)

    def start_execution(self, stateMachineArn: str, name: str, input: str) -> dict[str, Any]:
        self._fail("start_execution")
        arn = app.execution_arn(stateMachineArn, name)
        found = self.executions.get(arn)
        if found and (found["status"] != "RUNNING" or found["input"] != input):
            raise refusal("ExecutionAlreadyExists")
        self.executions.setdefault(arn, {"executionArn": arn, "name": name, "status": "RUNNING", "input": input})
        return {"executionArn": arn}

    def describe_execution(self, executionArn: str) -> dict[str, Any]:
        self._fail("describe_execution")
        if executionArn not in self.executions:
            raise refusal("ExecutionDoesNotExist")
        return copy.deepcopy(self.executions[executionArn])

    def stop_execution(self, executionArn: str, error: str, cause: str) -> dict[str, Any]:
        self._fail("stop_execution")
        self.stopped.append(executionArn)
        self.executions[executionArn].update(status="ABORTED", error=error, cause=cause)
        return {}

    def get_paginator(self, operation: str) -> "StepFunctions":
        assert operation == "list_executions"
        return self

    def paginate(self, stateMachineArn: str, PaginationConfig: dict[str, int]) -> list[dict[str, Any]]:
        prefix = stateMachineArn.replace(":stateMachine:", ":execution:") + ":"
        found = [one for arn, one in reversed(self.executions.items()) if arn.startswith(prefix)]
        return [{"executions": found[: PaginationConfig["MaxItems"]]}]

    def of(self, machine: str) -> list[dict[str, Any]]:
        """Returns a state machine's executions, oldest first."""
        return [one for arn, one in self.executions.items() if arn.startswith(app.execution_arn(machine, ""))]


class Decisions(unittest.TestCase):
    """What the provider decides, as the waiter would call it."""

    def setUp(self) -> None:
        self.states = StepFunctions()
        self.status = "UPDATE_IN_PROGRESS"
        self.answers: list[dict[str, Any]] = []
        stacks = mock.Mock()
        stacks.describe_stacks = lambda StackName: {"Stacks": [{"StackStatus": self.status}]}
        environment = {"DEPLOYMENT_STATE_MACHINE": MACHINE, "WAITER": WAITER}
        for one in (
            mock.patch.object(app, "states", self.states), mock.patch.object(app, "cloudformation", stacks),
            mock.patch.object(app, "deliver", lambda _event, answer: self.answers.append(answer)),
            mock.patch.dict(os.environ, environment),
        ):  # fmt: skip
            one.start()
            self.addCleanup(one.stop)

    def event(self, kind: str = "Update", number: int = 1, **more: Any) -> dict[str, Any]:
        """Returns an event as CloudFormation sends it."""
        event = {
            "RequestType": kind, "RequestId": f"request-{number}", "StackId": STACK, "LogicalResourceId": "Release",
            "ResponseURL": "https://bucket.example.com/signed",
            "ResourceProperties": {"Request": json.dumps(request("chat", None)), "Revision": f"r{number}"},
            **({} if kind == "Create" else {"PhysicalResourceId": "cfn-1"}), **more,
        }  # fmt: skip
        return event

    def receive(self, event: dict[str, Any]) -> dict[str, Any]:
        """Delivers an event, and returns the state that its waiter began with."""
        app.handler(event, None)
        waiter = self.states.executions[app.execution_arn(WAITER, app.name_of(event))]
        return json.loads(waiter["input"])

    def step(self, state: dict[str, Any]) -> dict[str, Any]:
        """Takes one step, through the text that Step Functions passes on."""
        return json.loads(json.dumps(app.handler({"task": "step", "state": json.loads(json.dumps(state))}, None)))

    def end(self, arn: str, status: str, **outcome: Any) -> None:
        """Ends an execution."""
        text = json.dumps(outcome)
        key = "output" if status == "SUCCEEDED" else "cause"
        self.states.executions[arn].update(status=status, **{key: text})
        if status == "FAILED":
            self.states.executions[arn]["error"] = outcome.get("error", "DeploymentRolledBack")

    def released(self, event: dict[str, Any], status: str, **outcome: Any) -> dict[str, Any]:
        """Runs an event to its end, and returns the answer."""
        state = self.step(self.receive(event))
        self.end(state["execution"], status, **outcome)
        return self.step(state)["answer"]

    def test_releases_and_answers_as_the_release_ends(self) -> None:
        event = self.event("Create")
        state = self.step(self.receive(event))
        self.assertNotIn("answer", self.step(state))
        (release,) = self.states.of(MACHINE)
        self.assertEqual(json.loads(release["input"]), request("chat", None))
        self.end(state["execution"], "SUCCEEDED", deploymentStatus="SUCCESSFUL", reason="all is well")
        answer = self.step(state)["answer"]
        self.assertEqual((answer["Status"], answer["Data"]["DeploymentStatus"]), ("SUCCESS", "SUCCESSFUL"))
        self.assertEqual(answer["Data"]["Execution"], release["executionArn"])
        self.assertEqual(answer["RequestId"], event["RequestId"])
        self.assertTrue(answer["PhysicalResourceId"].startswith("cfn-"))
        failed = self.released(self.event(number=2), "FAILED", deploymentStatus="ROLLED_BACK", reason="7 of 9 failed")
        self.assertEqual((failed["Status"], failed["PhysicalResourceId"]), ("FAILED", "cfn-1"))
        self.assertIn("ROLLED_BACK: DeploymentRolledBack: 7 of 9 failed", failed["Reason"])

    def test_starts_one_waiter_and_one_release_however_often_it_is_called(self) -> None:
        event = self.event()
        first = self.receive(event)
        with mock.patch("time.time", lambda: 5.0):  # A repeated delivery begins later.
            self.receive(event)
        state = self.step(first)
        self.assertEqual(self.step(first), state)  # The answer of the first step was lost.
        self.end(state["execution"], "SUCCEEDED", deploymentStatus="NO_CHANGE")
        self.assertEqual(self.step(first)["execution"], state["execution"])
        self.assertEqual((len(self.states.of(WAITER)), len(self.states.of(MACHINE))), (1, 1))
        self.assertEqual(self.answers, [])

    def test_answers_itself_only_if_there_is_no_waiter_for_certain(self) -> None:
        for kind, status in (("Update", "FAILED"), ("Delete", "SUCCESS")):
            self.states.errors["start_execution"] = [refusal("StateMachineDoesNotExist")]
            app.handler(self.event(kind), None)
            self.assertEqual(self.answers.pop()["Status"], status)
        for error in (refusal("InternalFailure", 500), refusal("ThrottlingException"), EndpointConnectionError(endpoint_url="x")):
            self.states.errors["start_execution"] = [error]
            with self.assertRaises(type(error)):  # Lambda repeats the event.
                app.handler(self.event(), None)
        self.assertEqual(self.answers, [])

    def test_rejects_what_is_no_request(self) -> None:
        for given, said in (
            (None, "expected a request as JSON text"), ({"application": "chat"}, "expected a request as JSON text"),
            ("{", "is not JSON"), ("[]", "is not a release"), ('{"action": "rollback"}', "is not a release"),
        ):  # fmt: skip
            properties = {"Request": given} if given is not None else {}
            answer = self.step(self.receive(self.event(number=hash(said + str(given)), ResourceProperties=properties)))["answer"]
            self.assertEqual(answer["Status"], "FAILED")
            self.assertIn(said, answer["Reason"])
        self.assertEqual(self.states.of(MACHINE), [])

    def test_a_refused_start_is_an_answer_and_an_outage_is_not(self) -> None:
        state = self.receive(self.event())
        self.states.errors["start_execution"] = [refusal("InternalFailure", 500), refusal("AccessDeniedException")]
        with self.assertRaises(ClientError):
            self.step(state)
        self.assertIn("AccessDeniedException", self.step(state)["answer"]["Reason"])

    def test_stops_the_release_before_cloudformation_gives_up(self) -> None:
        properties = {**self.event()["ResourceProperties"], "ServiceTimeout": "600"}
        begun = time.time()
        state = self.step(self.receive(self.event(ResourceProperties=properties)))
        self.assertAlmostEqual(state["deadline"], begun + 540, delta=2)
        self.assertAlmostEqual(self.receive(self.event(number=2))["deadline"], begun + 3420, delta=2)
        with mock.patch("time.time", lambda: state["deadline"] - 1):
            self.assertEqual(self.step(state), state)
        with mock.patch("time.time", lambda: state["deadline"]):
            stopping = self.step(state)
        self.assertEqual(self.states.stopped, [state["execution"]])
        answer = self.step(stopping)["answer"]
        self.assertEqual(answer["Status"], "FAILED")
        self.assertIn("did not end before CloudFormation's timeout; it was stopped", answer["Reason"])

    def test_stops_the_release_when_the_update_is_cancelled(self) -> None:
        state = self.step(self.receive(self.event()))
        self.status = "UPDATE_ROLLBACK_IN_PROGRESS"
        answer = self.step(self.step(state))["answer"]
        self.assertEqual((answer["Status"], self.states.stopped), ("FAILED", [state["execution"]]))

    def rollback(self, number: int = 9) -> dict[str, Any]:
        """Returns the event with which CloudFormation rolls update 1 back."""
        self.status = "UPDATE_ROLLBACK_IN_PROGRESS"
        return self.event(number=number, OldResourceProperties=self.event()["ResourceProperties"])

    def test_a_rollback_of_the_stack_takes_a_promoted_release_back(self) -> None:
        self.released(self.event(), "SUCCEEDED", deploymentStatus="SUCCESSFUL")
        state = self.step(self.receive(self.rollback()))
        undo = self.states.executions[state["execution"]]
        self.assertEqual({key: json.loads(undo["input"])[key] for key in ("action", "application")}, {"action": "rollback", "application": "chat"})
        self.assertEqual(self.step(state), state)
        with mock.patch("time.time", lambda: state["deadline"]):
            late = self.step(state)
        self.assertIn("continues", late["answer"]["Reason"])
        self.assertEqual(self.states.stopped, [])  # A rollback is not stopped.
        self.end(state["execution"], "SUCCEEDED", deploymentStatus="ROLLED_BACK")
        self.assertEqual(self.step(state)["answer"]["Status"], "SUCCESS")

    def test_a_rollback_of_the_stack_takes_a_held_release_back(self) -> None:
        self.released(self.event(), "FAILED", deploymentStatus="HELD", error="DeploymentHeld")
        self.assertTrue(self.step(self.receive(self.rollback()))["execution"].endswith("-undo"))

    def test_a_rollback_of_the_stack_moves_nothing_that_did_not_move(self) -> None:
        self.released(self.event(number=0), "SUCCEEDED", deploymentStatus="SUCCESSFUL")  # An update before, which stays.
        for status, outcome in (("FAILED", "ROLLED_BACK"), ("SUCCEEDED", "NO_CHANGE"), ("FAILED", "REJECTED")):
            with self.subTest(outcome):
                self.status = "UPDATE_IN_PROGRESS"
                self.states.executions = {arn: one for arn, one in self.states.executions.items() if "request-0" in arn}
                self.released(self.event(), status, deploymentStatus=outcome)
                count = len(self.states.of(MACHINE))
                self.assertEqual(self.step(self.receive(self.rollback()))["answer"]["Status"], "SUCCESS")
                self.assertEqual(len(self.states.of(MACHINE)), count)

    def test_a_rollback_of_the_stack_stops_a_release_in_flight(self) -> None:
        state = self.step(self.receive(self.event()))
        stopping = self.step(self.receive(self.rollback()))
        self.assertEqual(self.states.stopped, [state["execution"]])
        self.assertEqual(self.step(stopping)["answer"]["Status"], "SUCCESS")

    def test_a_release_that_ends_before_it_is_stopped_is_taken_back(self) -> None:
        state = self.step(self.receive(self.event()))
        stopping = self.step(self.receive(self.rollback()))
        self.end(state["execution"], "SUCCEEDED", deploymentStatus="SUCCESSFUL")
        self.assertTrue(self.step(stopping)["execution"].endswith("-undo"))

    def test_a_rollback_of_the_stack_takes_no_other_updates_release_back(self) -> None:
        # Revision 1 was promoted, then replaced; it is tried again, and fails before a release was started.
        self.released(self.event(), "SUCCEEDED", deploymentStatus="SUCCESSFUL")
        self.released(self.event(number=2), "SUCCEEDED", deploymentStatus="SUCCESSFUL")
        again = self.event(number=3, ResourceProperties=self.event()["ResourceProperties"])
        state = self.receive(again)
        self.states.errors["start_execution"] = [refusal("AccessDeniedException")]
        self.assertEqual(self.step(state)["answer"]["Status"], "FAILED")
        self.assertEqual(self.step(self.receive(self.rollback()))["answer"]["Status"], "SUCCESS")

    def test_a_rollback_of_an_update_that_had_no_waiter_moves_nothing(self) -> None:
        self.released(self.event(number=2), "SUCCEEDED", deploymentStatus="SUCCESSFUL")
        self.assertEqual(self.step(self.receive(self.rollback()))["answer"]["Status"], "SUCCESS")
        self.assertEqual(len(self.states.of(MACHINE)), 1)

    def test_a_deletion_never_fails_and_stops_what_is_in_flight(self) -> None:
        self.assertEqual(self.step(self.receive(self.event("Delete", 7)))["answer"]["Status"], "SUCCESS")
        state = self.step(self.receive(self.event()))
        delete = self.event("Delete", 8, ResourceProperties=self.event()["ResourceProperties"])
        stopping = self.step(self.receive(delete))
        self.assertEqual(self.states.stopped, [state["execution"]])
        self.assertEqual(self.step(stopping)["answer"]["Status"], "SUCCESS")
        self.states.executions[state["execution"]]["status"] = "RUNNING"
        self.states.errors["stop_execution"] = [refusal("AccessDeniedException")]
        delete["RequestId"] = "request-9"
        self.assertEqual(self.step(self.receive(delete))["answer"]["Status"], "SUCCESS")
        # Deleted once more, it finds the update's release again, and not the deletion before.
        delete["RequestId"] = "request-10"
        self.step(self.receive(delete))
        self.assertEqual(self.states.stopped, [state["execution"]] * 2)

    def test_gives_up_with_an_answer_and_stops_the_release(self) -> None:
        state = self.step(self.receive(self.event()))
        state["failure"] = {"Error": "Lambda.Unknown", "Cause": "out of memory"}
        answer = app.handler({"task": "give-up", "state": state}, None)["answer"]
        self.assertEqual((answer["Status"], self.states.stopped), ("FAILED", [state["execution"]]))
        self.assertIn("out of memory", answer["Reason"])
        self.states.errors["stop_execution"] = [refusal("InternalFailure", 500)]
        answer = app.handler({"task": "give-up", "state": state}, None)["answer"]
        self.assertIn("may still be running", answer["Reason"])

    def test_answers_fit_into_what_cloudformation_reads(self) -> None:
        for text in ("x" * 9000, "ü\"" * 9000, "\n" * 9000):
            answer = app.failed(self.event(), text)
            self.assertLessEqual(len(json.dumps(answer, ensure_ascii=False).encode()), 4096)

    def test_every_event_is_of_its_resource_alone(self) -> None:
        one, other = self.event(), self.event(LogicalResourceId="Other")
        self.assertNotEqual(app.resource_of(one), app.resource_of(other))
        self.assertRegex(app.name_of({**one, "RequestId": "0a1b2c3d-" + "0" * 27}), r"^[a-z0-9-]{1,75}$")


class Delivery(unittest.TestCase):
    """The answer on the wire."""

    def test_sends_the_answer_without_a_content_type(self) -> None:
        received = []

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append((self.path, self.headers.get("Content-Type"), json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        event = {"ResponseURL": f"http://127.0.0.1:{server.server_port}/signed?x=1"}
        answer = {"Status": "SUCCESS", "RequestId": "1"}
        with mock.patch("builtins.print"):
            app.deliver(event, answer)
        self.assertEqual(received, [("/signed?x=1", "", answer)])


class Templates(unittest.TestCase):
    """The provider's template, the waiter's definition, and the example."""

    def test_lints(self) -> None:
        for name in ("template.yaml", "example.yaml"):
            linted = subprocess.run([VENV / "bin" / "cfn-lint", "--regions", "us-east-1", "--", FOLDER / name], capture_output=True, text=True)
            self.assertEqual((linted.returncode, linted.stdout), (0, ""))

    def test_every_error_of_the_waiter_ends_in_an_answer(self) -> None:
        states = json.loads((FOLDER / "waiter.asl.json").read_text())["States"]
        self.assertEqual(states["Step"]["Catch"][0]["ErrorEquals"], ["States.ALL"])
        tasks = {state["Parameters"]["task"] for state in states.values() if state["Type"] == "Task"}
        self.assertEqual(tasks, {"step", "answer", "give-up"})
        for state in states.values():
            self.assertTrue(state["Comment"])
            if state["Type"] == "Task":
                self.assertEqual(state["Retry"][0]["ErrorEquals"], ["States.ALL"])
        # The only state that answers is the last one.
        ends = [name for name, state in states.items() if state.get("End")]
        self.assertEqual(ends, ["Answer"])

    def test_the_role_allows_every_call(self) -> None:
        text = (FOLDER / "provider" / "app.py").read_text()
        policies = json.dumps(template(FOLDER / "template.yaml")["Resources"]["ProviderFunction"]["Properties"]["Policies"])
        for call, action in (
            ("states.start_execution", "states:StartExecution"), ("states.describe_execution", "states:DescribeExecution"),
            ("states.stop_execution", "states:StopExecution"), ('get_paginator("list_executions")', "states:ListExecutions"),
            ("cloudformation.describe_stacks", "cloudformation:DescribeStacks"),
        ):  # fmt: skip
            self.assertIn(call, text)
            self.assertIn(f'"{action}"', policies)


class Stacks(unittest.TestCase):
    """Stacks on the local AWS whose updates wait for releases."""

    NAME = "demo-stacked"

    @classmethod
    def setUpClass(cls) -> None:
        cls.local = Local.get()
        folder = scratch("provider")
        # SAM's settings are nobody else's.
        (folder / "samconfig.toml").write_text("version = 0.1\n")
        done = subprocess.run(
            [
                VENV / "bin" / "sam", "deploy", "--template-file", FOLDER / "template.yaml", "--stack-name", "crossfade-release",
                "--config-file", folder / "samconfig.toml", "--region", REGION, "--resolve-s3",
                "--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar",
            ],
            cwd=folder, env=cls.local.environment(HOME=str(folder), SAM_CLI_POLL_DELAY="0.5"),
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        cls.waiter = cls.local.machine.replace("crossfade-deployment", "crossfade-release-waiter")

    def template(self, key: str, slow: bool, **more: Any) -> str:
        """Returns example.yaml for the sample function, with more resources; its release may be too slow for its timeout."""
        made = template(FOLDER / "example.yaml")
        function = made["Resources"]["Assistant"]["Properties"]
        function.update(
            FunctionName=self.NAME, CodeUri={"Bucket": BUCKET, "Key": key}, Runtime="provided.al2023", Handler="bootstrap",
            AutoPublishAlias="production", Role="arn:aws:iam::000000000000:role/sample",
        )  # fmt: skip
        release = made["Resources"]["Release"]
        release["DependsOn"] = "AssistantAliasproduction"
        asked = request("${Assistant}", "${Errors}", "stacked")
        if slow:
            asked["strategy"]["steps"][0]["bakeSeconds"] = 86400
            release["Properties"]["ServiceTimeout"] = 20
        release["Properties"]["Request"] = {"Fn::Sub": json.dumps(asked)}
        alarm = made["Resources"]["Errors"]["Properties"]
        alarm["AlarmName"] = f"{self.NAME}-errors"
        alarm["Dimensions"][1]["Value"] = {"Fn::Sub": "${Assistant}:production"}
        made["Resources"].update(more)
        return json.dumps(made)

    def deploy(self, code: bytes, revision: str, slow: bool = False, **more: Any) -> str:
        """Creates or updates the stack, and returns its status at the end."""
        stacks = self.local.stacks
        given = {
            "StackName": "stacked", "TemplateBody": self.template(self.local.upload(code), slow, **more),
            "Parameters": [{"ParameterKey": "Revision", "ParameterValue": revision}],
            "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        }  # fmt: skip
        exists = any(one["StackName"] == "stacked" for one in stacks.describe_stacks()["Stacks"])
        (stacks.update_stack if exists else stacks.create_stack)(**given)

        def status() -> str | None:
            now = stacks.describe_stacks(StackName="stacked")["Stacks"][0]["StackStatus"]
            return None if now.endswith("_IN_PROGRESS") else now

        return until("the stack is done", status)

    def reason(self) -> str:
        """Returns why the release's resource failed last, as the stack's events show it."""
        events = self.local.stacks.describe_stack_events(StackName="stacked")["StackEvents"]
        failed = [one for one in events if one["LogicalResourceId"] == "Release" and one["ResourceStatus"].endswith("FAILED")]
        return failed[0]["ResourceStatusReason"]

    def test_updates_wait_for_the_release_and_fail_with_it(self) -> None:
        name = self.NAME
        self.assertEqual(self.deploy(good("one"), "r1"), "CREATE_COMPLETE")
        self.assertEqual(self.local.serving(name), ("1", {}))
        self.local.wait_for_alarm(f"{name}-errors")
        with Traffic(self.local, name) as traffic:
            self.assertEqual(self.deploy(good("two"), "r2"), "UPDATE_COMPLETE")
            self.assertEqual(self.local.serving(name), ("2", {}))
            self.assertEqual(self.local.answers(name, "production"), "two")
            self.assertEqual(traffic.failed, 0)

            # The stack fails with the release, and returns to the code before; traffic is on it all the time.
            self.assertEqual(self.deploy(bad("three"), "r3"), "UPDATE_ROLLBACK_COMPLETE")
            self.assertIn("DeploymentRolledBack", self.reason())
            self.assertEqual(self.local.serving(name), ("2", {}))
            self.assertEqual(self.local.answers(name, "$LATEST"), "two")
        self.assertGreater(traffic.failed, 0)
        self.local.wait_for_alarm(f"{name}-errors")

        # Another resource fails after the release: the promoted version is taken back with the stack.
        with Traffic(self.local, name):
            wrong = {
                "Type": "Custom::CrossfadeRelease", "DependsOn": "Release",
                "Properties": {"ServiceToken": self.local.output("crossfade-release", "ServiceToken"), "Request": "{"},
            }  # fmt: skip
            self.assertEqual(self.deploy(good("four"), "r4", Wrong=wrong), "UPDATE_ROLLBACK_COMPLETE")
        releases = [self.local.ended(one["executionArn"]) for one in self.local.executions() if "cfn-" in one["name"]]
        outcomes = [json.loads(one.get("output") or one["cause"])["deploymentStatus"] for one in releases]
        self.assertEqual(outcomes[:2], ["ROLLED_BACK", "SUCCESSFUL"])  # The rollback, and before it the promotion.
        self.assertEqual(self.local.serving(name), ("2", {}))
        self.assertEqual(self.local.answers(name, "production"), "two")

        # The release is stopped before CloudFormation's time is over.
        with Traffic(self.local, name):
            self.assertEqual(self.deploy(good("five"), "r5", slow=True), "UPDATE_ROLLBACK_COMPLETE")
        self.assertIn("did not end before CloudFormation's timeout; it was stopped", self.reason())
        until("traffic is on blue", lambda: self.local.serving(name) == ("2", {}))
        self.assertEqual(self.local.answers(name, "$LATEST"), "two")

        # One waiter for each event, each of which has ended with one answer.
        waiters = self.local.executions(self.waiter)
        self.assertTrue(all(one["status"] == "SUCCEEDED" for one in waiters), waiters)
        self.assertEqual(len({one["name"] for one in waiters}), len(waiters))
        for one in waiters:
            history = self.local.states.get_execution_history(executionArn=one["executionArn"], maxResults=1000)["events"]
            entered = [event["stateEnteredEventDetails"]["name"] for event in history if "stateEnteredEventDetails" in event]
            self.assertEqual(entered.count("Answer"), 1, entered)

        self.local.stacks.delete_stack(StackName="stacked")
        until("the stack is deleted", self.is_deleted)

    def is_deleted(self) -> bool:
        """Returns whether the stack is gone."""
        try:
            stack = self.local.stacks.describe_stacks(StackName="stacked")["Stacks"][0]
        except ClientError:
            return True
        return stack["StackStatus"] == "DELETE_COMPLETE"


if __name__ == "__main__":
    unittest.main()
