"""The Terraform modules: their text always; `apply` where Terraform is, and the stack where its AWS provider is too."""

import json
import os
import shutil
import signal
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

from support import BUCKET, INTEGRATIONS, REGION, ROOT, VENV, Local, Traffic, bad, bin_folder, good, request, scratch, until, write_program

FOLDER = INTEGRATIONS / "terraform"
TERRAFORM = shutil.which("terraform")
# Providers from a folder instead of the registry, laid out as Terraform's filesystem mirrors are.
PLUGINS = os.environ.get("CROSSFADE_TERRAFORM_PLUGINS")


class Texts(unittest.TestCase):
    """The modules against the template that they deploy."""

    def test_stack_has_the_parameters_and_outputs_of_the_template(self) -> None:
        done = subprocess.run([sys.executable, FOLDER / "generate.py", "--check"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_example_leaves_the_alias_to_crossfade(self) -> None:
        text = (FOLDER / "examples" / "chat" / "main.tf").read_text()
        self.assertIn("ignore_changes = [function_version, routing_config]", text)


class Script(unittest.TestCase):
    """The script of the module `release`, where `aws` answers from a file."""

    MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:crossfade-deployment"
    AWS = f"""#!{sys.executable}
import json, os, sys
given = dict(zip(sys.argv[3::2], sys.argv[4::2]))
state = json.load(open("state.json"))
open("calls", "a").write(sys.argv[2] + " " + os.environ.get("AWS_REGION", "none") + "\\n")
if sys.argv[2] == "start-execution":
    if state["refused"]:
        sys.exit("An error occurred (AccessDeniedException) when calling the StartExecution operation: no")
    assert json.loads(given["--input"]) == {{"application": "chat"}} and given["--state-machine-arn"] == "{MACHINE}"
    state["executions"][given["--name"]] = state["next"]
elif "output" in given["--query"]:
    print("None", "the outcome")
else:
    name = given["--execution-arn"].removeprefix("arn:aws:states:eu-west-1:123456789012:execution:crossfade-deployment:")
    looks = state["executions"].get(name)
    if looks is None:
        sys.exit("An error occurred (ExecutionDoesNotExist) when calling the DescribeExecution operation: no")
    look = looks.pop(0) if len(looks) > 1 else looks[0]
    json.dump(state, open("state.json", "w"))
    sys.exit("Connect timeout") if look == "?" else print(look)
json.dump(state, open("state.json", "w"))
"""

    def begin(self, looks: list[str], executions: dict[str, list[str]], refused: bool = False, wait: int = 60) -> "subprocess.Popen[str]":
        """Starts the script where those executions exist, and the one that it starts has those states."""
        self.folder = scratch("script")
        (self.folder / "state.json").write_text(json.dumps({"next": looks, "executions": executions, "refused": refused}))
        write_program(self.folder / "aws", self.AWS)
        environment = {
            "PATH": f"{self.folder}:{os.environ['PATH']}", "AWS_DEFAULT_REGION": "us-west-2", "CROSSFADE_STATE_MACHINE": self.MACHINE,
            "CROSSFADE_REQUEST": '{"application": "chat"}', "CROSSFADE_NAME": "tf-1",
            "CROSSFADE_WAIT_SECONDS": str(wait), "CROSSFADE_POLL_SECONDS": "0.1",
        }  # fmt: skip
        return subprocess.Popen(
            ["bash", FOLDER / "release" / "release.sh"], cwd=self.folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            # What runs in the background ignores it, and no shell can trap what it was born to ignore.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip

    def released(self, looks: list[str], executions: dict[str, list[str]] | None = None, **more: Any) -> tuple[int, str, list[str]]:
        """Returns the script's exit code, what it printed, and the executions that exist then."""
        process = self.begin(looks, executions or {}, **more)
        said, _ = process.communicate(timeout=60)
        return process.returncode, said, list(json.loads((self.folder / "state.json").read_text())["executions"])

    def test_exits_as_the_release_ends(self) -> None:
        for looks, code in (
            (["RUNNING", "RUNNING", "SUCCEEDED"], 0), (["RUNNING", "FAILED"], 1), (["ABORTED"], 1), (["TIMED_OUT"], 1),
            (["?"] * 4 + ["RUNNING"] + ["?"] * 4 + ["SUCCEEDED"], 0), (["RUNNING", "?"], 3),
        ):  # fmt: skip
            exit_code, said, executions = self.released(looks)
            self.assertEqual((exit_code, executions), (code, ["tf-1-1"]), said)
            self.assertEqual("the outcome" in said, code < 2)
            self.assertEqual("the release continues" in said, code == 3)
            self.assertEqual(set((self.folder / "calls").read_text().split()[1::2]), {"eu-west-1"})

    def test_starts_a_release_anew_after_one_that_ended_and_waits_for_one_that_runs(self) -> None:
        code, _, executions = self.released(["SUCCEEDED"], {"tf-1-1": ["FAILED"], "tf-1-2": ["SUCCEEDED"]})
        self.assertEqual((code, executions), (0, ["tf-1-1", "tf-1-2", "tf-1-3"]))
        code, said, executions = self.released(["FAILED"], {"tf-1-1": ["FAILED"], "tf-1-2": ["RUNNING", "SUCCEEDED"]})
        self.assertEqual((code, executions), (0, ["tf-1-1", "tf-1-2"]), said)

    def test_starts_nothing_if_it_may_not_or_cannot_look(self) -> None:
        code, said, executions = self.released(["SUCCEEDED"], refused=True)
        self.assertEqual((code, executions), (2, []))
        self.assertIn("AccessDeniedException", said)
        code, said, executions = self.released(["SUCCEEDED"], {"tf-1-1": ["?"]})
        self.assertEqual((code, executions), (2, ["tf-1-1"]))

    def test_says_what_continues_when_it_is_stopped_or_its_time_is_over(self) -> None:
        code, said, _ = self.released(["RUNNING"], wait=1)
        self.assertEqual(code, 3)
        self.assertIn("did not end within 0 minutes; the release continues", said)
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.begin(["RUNNING"], {})
            until("it waits", lambda: (self.folder / "calls").exists() and (self.folder / "calls").read_text().count("describe") > 2)
            process.send_signal(number)
            said, _ = process.communicate(timeout=20)
            self.assertEqual(process.returncode, 3, said)
            self.assertIn("interrupted; the release continues: arn:aws:states:eu-west-1", said)


@unittest.skipUnless(TERRAFORM, "terraform is not installed: no module is applied")
class Applied(unittest.TestCase):
    """Modules that Terraform applies."""

    def terraform(self, folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> "subprocess.Popen[str]":
        """Starts Terraform in a folder."""
        kept = environment or {**os.environ}
        kept = {name: value for name, value in kept.items() if not name.startswith("TF_")}
        variables = {**kept, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", "HOME": str(folder)}
        return subprocess.Popen(
            [str(TERRAFORM), *arguments], cwd=folder, env=variables, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def run_terraform(self, folder: Path, *arguments: str, code: int = 0, **more: Any) -> str:
        """Runs Terraform to its end, and returns what it printed."""
        process = self.terraform(folder, *arguments, **more)
        said, _ = process.communicate(timeout=300)
        self.assertEqual(process.returncode, code, said)
        return said


class Release(Applied):
    """The module `release`, which needs no provider."""

    NAME = "demo-terraform"

    @classmethod
    def setUpClass(cls) -> None:
        cls.local = Local.get()
        cls.local.create_function(cls.NAME, good("1"))
        cls.alarm = cls.local.create_alarm(cls.NAME)

    def setUp(self) -> None:
        self.folder = scratch("terraform")
        self.request = request(self.NAME, self.alarm)
        self.environment = self.local.environment(PATH=f"{bin_folder()}:{os.environ['PATH']}")
        # The module's Region is the state machine's.
        self.environment["AWS_REGION"] = "eu-central-1"

    def write(self, trigger: str) -> None:
        """Writes a configuration that releases."""
        (self.folder / "request.json").write_text(json.dumps(self.request))
        (self.folder / "main.tf").write_text(f"""
module "release" {{
  source            = "{FOLDER / 'release'}"
  state_machine_arn = "{self.local.machine}"
  request           = file("${{path.module}}/request.json")
  triggers          = {{ code = "{trigger}" }}
  poll_seconds      = 1
}}
""")

    def update(self, code: bytes) -> None:
        """Puts code on $LATEST, as `terraform apply` does before the release."""
        self.local.wait_for_alarm(self.alarm)
        self.local.functions.update_function_code(FunctionName=self.NAME, ZipFile=code)

    def apply(self, code: int = 0) -> str:
        """Applies the configuration."""
        return self.run_terraform(self.folder, "apply", "-auto-approve", "-no-color", code=code, environment=self.environment)

    def test_applies_good_and_bad_versions(self) -> None:
        self.write("good")
        self.run_terraform(self.folder, "init", "-no-color")
        self.run_terraform(self.folder, "validate", "-no-color")
        self.run_terraform(FOLDER, "fmt", "-check", "-recursive")
        with Traffic(self.local, self.NAME) as traffic:
            self.update(good("good"))
            said = self.apply()
            self.assertIn("SUCCEEDED", said)
            self.assertEqual(traffic.failed, 0)
            self.assertEqual(self.local.answers(self.NAME, "production"), "good")
            count = len(self.local.executions())
            self.assertIn("0 added, 0 changed, 0 destroyed", self.apply())
            self.assertEqual(len(self.local.executions()), count)

            before = self.local.serving(self.NAME)
            self.update(bad("bad"))
            self.write("bad")
            said = self.apply(code=1)
            self.assertIn("DeploymentRolledBack", said)
            self.assertEqual(self.local.serving(self.NAME), before)

            # The next apply releases again, with the fix.
            self.update(good("fixed"))
            self.assertIn("SUCCEEDED", self.apply())
        self.assertEqual(self.local.answers(self.NAME, "production"), "fixed")

    def test_waits_for_the_release_of_an_interrupted_apply(self) -> None:
        self.request["strategy"] = {"type": "canary", "steps": [{"weight": 50, "bakeSeconds": 900}, {"weight": 100, "bakeSeconds": 0}]}
        self.request["analysis"]["checkEverySeconds"] = 900
        self.write("interrupted")
        self.run_terraform(self.folder, "init", "-no-color")
        with Traffic(self.local, self.NAME):
            self.update(good("interrupted"))
            count = len(self.local.executions())
            process = self.terraform(self.folder, "apply", "-auto-approve", "-no-color", environment=self.environment)
            until("the release has begun", lambda: len(self.local.executions()) > count)
            os.killpg(process.pid, signal.SIGINT)  # Ctrl-C reaches Terraform and the script.
            said, _ = process.communicate(timeout=60)
            self.assertNotEqual(process.returncode, 0, said)
            running = self.local.executions()[0]
            self.assertEqual(running["status"], "RUNNING")
            said = self.apply()
        self.assertIn("is still running", said)
        self.assertEqual(len(self.local.executions()), count + 1)
        self.assertEqual(self.local.ended(running["executionArn"])["status"], "SUCCEEDED")

    def test_rejects_wrong_variables(self) -> None:
        for wrong, said in (
            ({"state_machine_arn": "crossfade"}, "must be the ARN"), ({"request": "{}"}, "must be the JSON of a release"),
            ({"triggers": {}}, "at least one value"), ({"wait_minutes": 0}, "more than 0"), ({"poll_seconds": 0}, "1 or more"),
        ):  # fmt: skip
            folder = scratch("wrong")
            given = {"state_machine_arn": self.local.machine, "request": json.dumps(self.request), "triggers": {"code": "1"}, **wrong}
            (folder / "main.tf.json").write_text(json.dumps({"module": {"release": {"source": str(FOLDER / "release"), **given}}}))
            self.run_terraform(folder, "init", "-no-color")
            printed = self.run_terraform(folder, "plan", "-no-color", "-input=false", code=1, environment=self.environment)
            self.assertIn(said, " ".join(printed.replace("│", "").split()))


class Stack(Applied):
    """The example: Crossfade's stack, a function, an alias and a release, all by one `apply`."""

    NAME = "demo-tf-chat"

    def test_applies_the_example(self) -> None:
        local = Local.get()
        folder = scratch("example")
        arguments = [f"-plugin-dir={PLUGINS}"] if PLUGINS else []
        text = (FOLDER / "examples" / "chat" / "main.tf").read_text()
        for module in ("stack", "release"):
            text = text.replace(f"../../{module}", str(FOLDER / module))
        replaced = {
            "chat-assistant": self.NAME, "chat-errors": f"{self.NAME}-errors", '"chat-"': '"demo-tf-"', '"python3.13"': '"provided.al2023"',
            '"app.handler"': '"bootstrap"', 'name             = "live"': 'name = "production"', ":live": ":production",
            'strategy    = "Canary10Percent5Minutes"': 'strategy = { type = "canary", steps = [{ weight = 50, bakeSeconds = 300 }, { weight = 100, bakeSeconds = 60 }] }',
            'onInconclusive = "rollBack"': 'onInconclusive = "rollBack", settleSeconds = 0, checkEverySeconds = 300, liveErrors = "off"',
            "  template_url           =": '  name = "crossfade-tf"\n  template_url =',
        }  # fmt: skip
        for old, new in replaced.items():
            self.assertIn(old, text)
            text = text.replace(old, new)
        text += """
provider "aws" {
  region                      = "us-east-1"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
  s3_use_path_style           = true
}
"""
        (folder / "main.tf").write_text(text)
        environment = local.environment(PATH=f"{bin_folder()}:{os.environ['PATH']}")
        process = self.terraform(folder, "init", "-no-color", *arguments, environment=environment)
        said, _ = process.communicate(timeout=300)
        if process.returncode != 0:
            self.assertIn("hashicorp/aws", said)
            self.skipTest("the provider hashicorp/aws is not available: the module stack and the example are not applied")
        packaged = subprocess.run(
            [
                VENV / "bin" / "sam", "package", "--template-file", ROOT / ".aws-sam" / "build" / "template.yaml", "--s3-bucket", BUCKET,
                "--output-template-file", folder / "packaged.yaml", "--region", REGION, "--no-progressbar",
            ],
            cwd=folder, env=local.environment(HOME=str(folder)), capture_output=True, text=True,
        )  # fmt: skip
        self.assertEqual(packaged.returncode, 0, packaged.stderr)
        local.s3.put_object(Bucket=BUCKET, Key="packaged.yaml", Body=(folder / "packaged.yaml").read_bytes())
        variables = [
            f"-var=template_url={local.endpoint}/{BUCKET}/packaged.yaml",
            "-var=role_arn=arn:aws:iam::000000000000:role/sample",
        ]

        def apply(code: int = 0) -> str:
            return self.run_terraform(folder, "apply", "-auto-approve", "-no-color", *variables, code=code, environment=environment)

        (folder / "function.zip").write_bytes(good("one"))
        apply()
        self.assertEqual(local.answers(self.NAME, "production"), "one")
        first = local.serving(self.NAME)
        local.wait_for_alarm(f"{self.NAME}-errors")
        with Traffic(local, self.NAME):
            (folder / "function.zip").write_bytes(good("two"))
            apply()
            second = local.serving(self.NAME)
            self.assertNotEqual(second, first)
            self.assertEqual(local.answers(self.NAME, "production"), "two")
            (folder / "function.zip").write_bytes(bad("three"))
            self.assertIn("DeploymentRolledBack", apply(code=1))
        # Terraform has not moved the alias.
        self.assertEqual(local.serving(self.NAME), second)


if __name__ == "__main__":
    unittest.main()
