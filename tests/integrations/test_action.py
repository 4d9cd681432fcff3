"""The GitHub Action: run as a runner runs it, against the local AWS and a GitHub that records what it is sent."""

import json
import os
import re
import signal
import subprocess
import sys
import unittest
import uuid
from pathlib import Path
from typing import Any

import yaml
from support import INTEGRATIONS, GitHub, Local, Traffic, bad, bin_folder, good, request, scratch, until, write_program

ACTION = INTEGRATIONS / "github-action"
DEFINITION = yaml.safe_load((ACTION / "action.yml").read_text())
sys.dont_write_bytecode = True
sys.path.insert(0, str(ACTION))
import release as action  # noqa: E402


class Runner:
    """One job that uses the action: its inputs, its environment, and the files that it writes."""

    def __init__(self, folder: Path, github: GitHub, environment: dict[str, str], run: str = "1001") -> None:
        self.folder, self.github, self.run = folder, github, run
        self.environment = environment
        self.sha = "a" * 40

    def begin(self, request: Any, attempt: int = 1, event: dict[str, Any] | None = None, **inputs: str) -> "subprocess.Popen[str]":
        """Starts the action's only step as a runner does."""
        path = self.folder / "request.json"
        path.write_text(request if isinstance(request, str) else json.dumps(request))
        (self.folder / "event.json").write_text(json.dumps(event or {}))
        for name in ("output", "summary"):
            (self.folder / name).write_text("")
        inputs = {"request": str(path), "poll-seconds": "0.2", **{name.replace("_", "-"): value for name, value in inputs.items()}}
        unknown = set(inputs) - set(DEFINITION["inputs"])
        assert not unknown, unknown

        def value(expression: re.Match[str]) -> str:
            name = expression[1]
            if name == "github.action_path":
                return str(ACTION)
            if name == "github.token":
                return GitHub.TOKEN
            given = inputs.get(name.removeprefix("inputs."), DEFINITION["inputs"][name.removeprefix("inputs.")].get("default", ""))
            return re.sub(r"\$\{\{ (.*?) \}\}", value, given)

        (step,) = DEFINITION["runs"]["steps"]
        variables = {name: re.sub(r"\$\{\{ (.*?) \}\}", value, text) for name, text in step["env"].items()}
        (self.folder / "step.sh").write_text(step["run"])
        self.process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(self.folder / "step.sh")],
            env={
                **self.environment, **variables,
                "GITHUB_API_URL": self.github.url, "GITHUB_SERVER_URL": "https://github.example",
                "GITHUB_REPOSITORY": GitHub.REPOSITORY, "GITHUB_SHA": self.sha, "GITHUB_ACTOR": "ada",
                "GITHUB_RUN_ID": self.run, "GITHUB_RUN_ATTEMPT": str(attempt),
                "GITHUB_EVENT_PATH": str(self.folder / "event.json"),
                "GITHUB_OUTPUT": str(self.folder / "output"), "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            },
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        return self.process

    def end(self) -> int:
        """Waits for the end, and returns the exit code."""
        self.log, _ = self.process.communicate(timeout=200)
        return self.process.returncode

    def step(self, request: Any, **more: Any) -> int:
        """Runs the step from its begin to its end."""
        self.begin(request, **more)
        return self.end()

    @property
    def outputs(self) -> dict[str, str]:
        """Returns the step's outputs, as the runner reads them."""
        text = (self.folder / "output").read_text()
        return {name: value for name, _, value in re.findall(r"(?ms)^([a-z-]+)<<(end-\S+)\n(.*?)\n\2\n", text)}

    @property
    def summary(self) -> str:
        """Returns the job's summary."""
        return (self.folder / "summary").read_text()


class Releases(unittest.TestCase):
    """Releases on the local AWS."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.local = Local.get()
        cls.name = "demo-action"
        cls.local.create_function(cls.name, good("1"))
        cls.alarm = cls.local.create_alarm(cls.name)

    def setUp(self) -> None:
        self.github = GitHub()
        self.addCleanup(self.github.close)
        path = f"{bin_folder('crossfade')}:{os.environ['PATH']}"
        self.runner = Runner(scratch("action"), self.github, self.local.environment(PATH=path), str(uuid.uuid4().int % 10**9))

    def code(self, code: bytes) -> dict[str, Any]:
        """Returns a release of that code from S3."""
        self.local.wait_for_alarm(self.alarm)
        made = request(self.name, self.alarm)
        made["functions"][0]["code"] = {"s3Bucket": "crossfade-artifacts", "s3Key": self.local.upload(code)}
        return made

    def test_promotes_a_good_version_and_reports_it(self) -> None:
        with Traffic(self.local, self.name) as traffic:
            code = self.runner.step(
                self.code(good("good")), event={"pull_request": {"number": 7}}, environment="production",
                environment_url="https://chat.example.com",
            )  # fmt: skip
        self.assertEqual(code, 0, self.runner.log)
        self.assertGreater(traffic.requests, 20)
        self.assertEqual(traffic.failed, 0)
        self.assertEqual(self.local.answers(self.name, "production"), "good")
        outputs = self.runner.outputs
        self.assertEqual((outputs["status"], outputs["error"]), ("SUCCESSFUL", ""))
        outcome = json.loads(outputs["outcome"])
        about = outcome["about"]
        self.assertEqual((about["commit"], about["by"]), (self.runner.sha, "ada"))
        self.assertIn(f"/actions/runs/{self.runner.run}", about["url"])
        self.assertEqual(self.local.ended(outputs["execution-arn"])["status"], "SUCCEEDED")
        self.assertEqual(outcome["functions"][0]["greenVersion"], self.local.serving(self.name)[0])
        self.assertIn("shifts traffic", self.runner.log)
        # The same report in the summary and in the one comment, which had the plan before the end.
        self.assertIn("promoted", self.runner.summary)
        self.assertIn("| 50 % |", self.runner.summary)
        self.assertIn("healthy", self.runner.summary)
        (comment,) = self.github.comments
        self.assertEqual((comment["issue"], comment["edits"]), ("7", 1))
        self.assertIn(self.runner.summary.strip(), comment["body"])
        self.assertIn("<details><summary>Plan</summary>", comment["body"])
        self.assertIn("2 steps, 1 function", comment["body"])
        (deployment,) = self.github.deployments
        self.assertEqual((deployment["environment"], deployment["ref"]), ("production", self.runner.sha))
        self.assertEqual([one["state"] for one in self.github.statuses], ["in_progress", "success"])
        self.assertEqual(self.github.statuses[1]["environment_url"], "https://chat.example.com")

    def test_fails_with_a_bad_version(self) -> None:
        self.github.pulls_of_commit = [{"number": 8}]
        before = self.local.serving(self.name)
        with Traffic(self.local, self.name):
            code = self.runner.step(self.code(bad("bad")), environment="production")
        self.assertEqual(code, 1, self.runner.log)
        outputs = self.runner.outputs
        self.assertEqual((outputs["status"], outputs["error"]), ("ROLLED_BACK", "DeploymentRolledBack"))
        self.assertEqual(self.local.serving(self.name), before)
        self.assertIn("::error title=Crossfade::DeploymentRolledBack", self.runner.log)
        self.assertIn("docs/errors/DeploymentRolledBack.md", self.runner.summary.replace("\\", ""))
        (comment,) = self.github.comments
        self.assertEqual(comment["issue"], "8")
        self.assertIn("rolled back", comment["body"])
        self.assertEqual([one["state"] for one in self.github.statuses], ["in_progress", "failure"])

    def test_says_what_continues_when_the_job_is_cancelled_and_waits_for_it_again(self) -> None:
        made = self.code(good("cancelled"))
        made["strategy"] = {"type": "canary", "steps": [{"weight": 50, "bakeSeconds": 900}, {"weight": 100, "bakeSeconds": 0}]}
        made["analysis"]["checkEverySeconds"] = 900
        event = {"pull_request": {"number": 9}}
        with Traffic(self.local, self.name):
            process = self.runner.begin(made, event=event, environment="production")
            until("the deployment is in progress", lambda: self.github.statuses)
            process.send_signal(signal.SIGINT)
            self.assertEqual(self.runner.end(), 3, self.runner.log)
            first = self.runner.outputs["execution-arn"]
            self.assertEqual(self.local.states.describe_execution(executionArn=first)["status"], "RUNNING")
            self.assertEqual(self.runner.outputs["status"], "RUNNING")
            self.assertIn(f"stop-execution --execution-arn {first}", self.runner.log)
            self.assertIn("The release continues", self.github.comments[0]["body"])
            self.assertEqual([one["state"] for one in self.github.statuses], ["in_progress", "in_progress"])
            count = len(self.local.executions())
            code = self.runner.step(made, attempt=2, event=event, environment="production")
        self.assertEqual(code, 0, self.runner.log)
        self.assertEqual(self.runner.outputs["execution-arn"], first)
        self.assertEqual(len(self.local.executions()), count)
        self.assertEqual(len(self.github.comments), 1)
        self.assertEqual(len(self.github.deployments), 1)
        self.assertIn("promoted", self.github.comments[0]["body"])
        # The same attempt once more finds its release, which has ended.
        self.assertEqual(self.runner.step(made, attempt=1, event=event), 0, self.runner.log)
        self.assertEqual(self.runner.outputs["execution-arn"], first)
        self.assertEqual(len(self.local.executions()), count)

    def test_releases_nothing_if_only_the_plan_is_required(self) -> None:
        count = len(self.local.executions())
        made = self.code(good("planned"))
        code = self.runner.step(made, event={"pull_request": {"number": 3}}, plan_only="true")
        self.assertEqual(code, 0, self.runner.log)
        self.assertIn("2 steps, 1 function", self.github.comments[0]["body"])
        made["functions"][0]["functionName"] = "demo-nothing"
        code = self.runner.step(made, event={"pull_request": {"number": 3}}, plan_only="true")
        self.assertEqual(code, 2, self.runner.log)
        self.assertIn("not started", self.github.comments[0]["body"])
        self.assertEqual(len(self.github.comments), 1)
        self.assertEqual(len(self.local.executions()), count)


class Edges(unittest.TestCase):
    """What the action does where AWS or GitHub does not answer as usual; `aws` answers from a script."""

    EXECUTION = "arn:aws:states:eu-west-1:123456789012:execution:crossfade-deployment:chat-1001-1"
    MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:crossfade-deployment"
    REQUEST = {
        "application": "chat", "functions": [], "strategy": "AllAtOnce",
        "commit": "3f2c1d0", "url": "https://github.example/chat/7", "by": "Ada",
    }  # fmt: skip

    def setUp(self) -> None:
        self.github = GitHub()
        self.addCleanup(self.github.close)
        self.folder = scratch("edges")
        # Of the real PATH only what bash and Python are in, so that no command line is found.
        programs = self.folder / "bin"
        programs.mkdir()
        for name, path in (("python3", sys.executable), ("bash", "/bin/bash"), ("cat", "/bin/cat")):
            (programs / name).symlink_to(path)
        self.runner = Runner(self.folder, self.github, {"PATH": str(programs)})
        self.inputs = {"state_machine_arn": self.MACHINE}

    def aws(self, **answers: Any) -> None:
        """Lets `aws` answer each operation: a list is one answer after the other, and text is an error."""
        (self.folder / "answers.json").write_text(json.dumps({name.replace("_", "-"): said for name, said in answers.items()}))
        write_program(
            self.folder / "bin" / "aws",
            f"""#!{sys.executable}
import json, sys
path = {str(self.folder / "answers.json")!r}
answers = json.load(open(path))
said = answers[sys.argv[2]]
if isinstance(said, list):
    if len(said) > 1:
        answers[sys.argv[2]] = said[1:]
        json.dump(answers, open(path, "w"))
    said = said[0]
open({str(self.folder / "calls")!r}, "a").write(" ".join(sys.argv[1:]) + "\\n")
if isinstance(said, str):
    sys.exit(said)
print(json.dumps(said))
""",
        )

    def ended(self, status: str = "SUCCEEDED", **more: Any) -> dict[str, Any]:
        """Returns an execution as `describe-execution` shows it."""
        return {"executionArn": self.EXECUTION, "status": status, "input": json.dumps(self.REQUEST), **more}

    def outcome(self, **more: Any) -> str:
        """Returns the output of a promoted release."""
        return json.dumps({"deploymentStatus": "SUCCESSFUL", "application": "chat", "reason": "all is well", **more})

    def test_github_changes_no_result(self) -> None:
        self.github.broken = True
        self.aws(start_execution={}, describe_execution=[self.ended("RUNNING"), self.ended(output=self.outcome())], get_execution_history=[])
        code = self.runner.step(self.REQUEST, event={"pull_request": {"number": 1}}, environment="live", **self.inputs)
        self.assertEqual(code, 0, self.runner.log)
        self.assertEqual(self.runner.log.count("::warning"), 3, self.runner.log)
        self.assertEqual(self.runner.outputs["status"], "SUCCESSFUL")

    def test_text_of_others_is_no_command_and_no_markup(self) -> None:
        reason = "::add-mask::x\n| a | @team <img src=x> [a](b) `c`"
        self.aws(start_execution={}, describe_execution=self.ended("FAILED", error="DeploymentRolledBack", cause=self.outcome(
            deploymentStatus="ROLLED_BACK", reason=reason, warnings=["@everyone <b>"])))  # fmt: skip
        self.assertEqual(self.runner.step(self.REQUEST, event={"pull_request": {"number": 1}}, **self.inputs), 1)
        commands = [line for line in self.runner.log.splitlines() if line.lstrip().startswith("::")]
        self.assertEqual(len(commands), 1, self.runner.log)
        self.assertTrue(commands[0].startswith("::error title=Crossfade::DeploymentRolledBack: ::add-mask::x%0A"), commands)
        self.assertEqual(self.runner.outputs["reason"], reason)
        for text in (self.runner.summary, self.github.comments[0]["body"]):
            self.assertNotRegex(text, r"@(team|everyone)|<img|<b>|[^\\]\[a\]|[^\\]`c")

    def test_a_plan_is_no_command_and_cannot_leave_its_block(self) -> None:
        self.aws(start_execution={}, describe_execution=self.ended(output=self.outcome()))
        write_program(self.folder / "bin" / "crossfade", "#!/bin/bash\necho '::add-mask::x'; echo '```'; echo \"$*\"\n")
        code = self.runner.step(self.REQUEST, event={"pull_request": {"number": 1}}, **self.inputs)
        self.assertEqual(code, 0, self.runner.log)
        self.assertNotRegex(self.runner.log, "(?m)^::add-mask")
        self.assertIn("````text\n::add-mask::x\n```\nplan - --stack crossfade\n````", self.github.comments[0]["body"])
        block = action.fenced("a\n```\n# b\n````")
        self.assertTrue(block.startswith("`````text\n") and block.endswith("\n`````"), block)

    def test_starts_nothing_with_a_wrong_request(self) -> None:
        self.aws(start_execution={})
        for text, said in (("{", "expected a request as JSON"), ("[]", "names no application"), ('{"a": 1}', "names no application")):
            self.assertEqual(self.runner.step(text, **self.inputs), 2)
            self.assertIn(said, self.runner.log)
            self.assertIn("not started", self.runner.summary)
            self.assertEqual(self.runner.outputs["execution-arn"], "")
        self.assertEqual(self.runner.step(self.REQUEST, comment="yes", **self.inputs), 2)
        self.assertIn('expected "true" or "false"', self.runner.log)
        self.assertEqual(self.runner.step(self.REQUEST, wait_minutes="x", comment="false", **self.inputs), 2)
        self.assertFalse((self.folder / "calls").exists() and "start-execution" in (self.folder / "calls").read_text())

    def test_reports_a_refused_start(self) -> None:
        self.aws(start_execution="An error occurred (AccessDeniedException) when calling the StartExecution operation: no")
        self.assertEqual(self.runner.step(self.REQUEST, event={"pull_request": {"number": 1}}, environment="live", **self.inputs), 2)
        self.assertIn("AccessDeniedException", self.runner.log)
        self.assertIn("not started", self.github.comments[0]["body"])
        self.assertEqual(self.github.deployments, [])

    def test_finds_its_own_release_by_name_and_no_other(self) -> None:
        exists = "An error occurred (ExecutionAlreadyExists) when calling the StartExecution operation: it exists"
        self.aws(start_execution=exists, describe_execution=self.ended(output=self.outcome()))
        self.assertEqual(self.runner.step(self.REQUEST, comment="false", **self.inputs), 0, self.runner.log)
        self.assertEqual(self.runner.outputs["execution-arn"], self.EXECUTION)
        self.aws(start_execution=exists, describe_execution=self.ended(input='{"application": "chat"}'))
        self.assertEqual(self.runner.step(self.REQUEST, comment="false", **self.inputs), 2)
        self.assertIn("of another request", self.runner.log)

    def test_finds_out_whether_a_start_without_an_answer_was_one(self) -> None:
        lost = "Connect timeout on endpoint"
        self.aws(start_execution=lost, describe_execution=self.ended(output=self.outcome()))
        self.assertEqual(self.runner.step(self.REQUEST, comment="false", **self.inputs), 0, self.runner.log)
        none = "An error occurred (ExecutionDoesNotExist) when calling the DescribeExecution operation: no"
        self.aws(start_execution=lost, describe_execution=none)
        self.assertEqual(self.runner.step(self.REQUEST, comment="false", **self.inputs), 2)
        self.assertIn("the release was not started: Connect timeout", self.runner.log)
        self.assertEqual(self.runner.outputs["execution-arn"], "")
        self.aws(start_execution=lost, describe_execution=lost)
        self.assertEqual(self.runner.step(self.REQUEST, comment="false", **self.inputs), 3)
        self.assertIn("not known whether it was started", self.runner.summary)
        self.assertEqual(self.runner.outputs["execution-arn"], self.EXECUTION)

    def test_survives_errors_of_a_look_and_not_of_all(self) -> None:
        lost = "Connect timeout on endpoint"
        looks = [lost] * 4 + [self.ended("RUNNING")] + [lost] * 4 + [self.ended(output=self.outcome())]
        self.aws(start_execution={}, describe_execution=looks, get_execution_history=[])
        self.assertEqual(self.runner.step(self.REQUEST, comment="false", **self.inputs), 0, self.runner.log)
        self.aws(start_execution={}, describe_execution=[lost])
        self.assertEqual(self.runner.step(self.REQUEST, comment="false", **self.inputs), 3)
        self.assertIn("could not be read", self.runner.log)
        self.assertIn("The release continues", self.runner.summary)
        self.aws(start_execution={}, describe_execution="An error occurred (ExpiredTokenException) when calling the DescribeExecution operation: x")
        (self.folder / "calls").unlink()
        self.assertEqual(self.runner.step(self.REQUEST, comment="false", **self.inputs), 3)
        self.assertEqual((self.folder / "calls").read_text().count("describe-execution"), 1)

    def test_stops_waiting_after_its_time(self) -> None:
        denied = "An error occurred (AccessDeniedException) when calling the GetExecutionHistory operation: no"
        self.aws(start_execution={}, describe_execution=self.ended("RUNNING"), get_execution_history=denied)
        self.assertEqual(self.runner.step(self.REQUEST, comment="false", wait_minutes="0.01", **self.inputs), 3)
        self.assertIn("did not end within 0.01 minutes", self.runner.log)
        self.assertEqual(self.runner.outputs["status"], "RUNNING")
        self.assertEqual(self.runner.log.count("are not shown"), 1)

    def test_notices_that_an_operator_is_needed(self) -> None:
        self.aws(
            start_execution={}, describe_execution=[self.ended("RUNNING")] * 3 + [self.ended(output=self.outcome())],
            get_execution_history=[["Bake", "ShiftTraffic"], ["AwaitApproval", "Decide"], ["AwaitApproval"]],
        )  # fmt: skip
        self.assertEqual(self.runner.step(self.REQUEST, comment="false", **self.inputs), 0, self.runner.log)
        self.assertEqual(self.runner.log.count("::notice title=Crossfade::chat waits for approval"), 1, self.runner.log)
        self.assertEqual(self.runner.log.count("shifts traffic"), 1)

    def test_names_of_executions_are_valid(self) -> None:
        for application in ("chat", "a.b_c-" + "x" * 90):
            name = action.name_of(application, 3)
            self.assertRegex(name, r"^[A-Za-z0-9_-]{1,80}$")
            self.assertTrue(name.endswith("-3"), name)

    def test_every_input_reaches_the_script(self) -> None:
        (step,) = DEFINITION["runs"]["steps"]
        passed = {name.removeprefix("INPUT_").lower().replace("_", "-") for name in step["env"] if name.startswith("INPUT_")}
        self.assertEqual(passed, set(DEFINITION["inputs"]))
        read = set(re.findall(r"(?:given|enabled|number)\(['\"]([A-Z_]+)['\"]\)", (ACTION / "release.py").read_text()))
        self.assertEqual({name.lower().replace("_", "-") for name in read}, set(DEFINITION["inputs"]))
        written = set(re.findall(r'^        "([a-z-]+)": ', (ACTION / "release.py").read_text(), re.M))
        self.assertEqual(set(DEFINITION["outputs"]), written & set(DEFINITION["outputs"]))


if __name__ == "__main__":
    unittest.main()
