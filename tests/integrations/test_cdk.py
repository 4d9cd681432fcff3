"""The CDK construct: its types and tests where npm is, and a stack of its own on the local AWS."""

import json
import shutil
import subprocess
import sys
import unittest
from typing import Any

from botocore.exceptions import ClientError
from support import BUCKET, INTEGRATIONS, SCRATCH, Local, Traffic, bad, good, until

FOLDER = INTEGRATIONS / "cdk"
# Packages are installed beside a copy, so that the repository has no files of others in it.
WORK = SCRATCH / "cdk"


def installed() -> str:
    """Copies the construct, installs its packages if they are not there, and returns why not if that fails."""
    if not (shutil.which("node") and shutil.which("npm")):
        return "node and npm are not installed"
    for name in ("src", "test", "lib", "build"):
        shutil.rmtree(WORK / name, ignore_errors=True)
    lock = WORK / "package-lock.json"
    before = lock.read_bytes() if lock.exists() else b""
    shutil.copytree(FOLDER, WORK, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules", "lib", "build"))
    if (WORK / "node_modules" / ".package-lock.json").exists() and lock.read_bytes() == before:
        return ""
    done = subprocess.run(["npm", "ci", "--no-progress"], cwd=WORK, capture_output=True, text=True, timeout=500)
    return "" if done.returncode == 0 else f"npm ci failed: {done.stderr.strip().splitlines()[-1:]}"


class Types(unittest.TestCase):
    """What needs no npm."""

    def test_types_are_those_of_the_schema(self) -> None:
        done = subprocess.run([sys.executable, FOLDER / "generate.py", "--check"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_lockfile_pins_everything_and_names_no_host(self) -> None:
        text = (FOLDER / "package-lock.json").read_text()
        packages = [one for name, one in json.loads(text)["packages"].items() if name and not one.get("inBundle")]
        self.assertTrue(packages and all("integrity" in one for one in packages))
        self.assertNotIn("resolved", text)


class Construct(unittest.TestCase):
    """The construct, type-checked, tested, and deployed."""

    NAME = "demo-cdk"

    @classmethod
    def setUpClass(cls) -> None:
        why = installed()
        if why:
            raise unittest.SkipTest(f"{why}: the construct is neither type-checked nor tested nor deployed")
        done = subprocess.run(["npm", "test"], cwd=WORK, capture_output=True, text=True, timeout=500)
        cls.tested = done
        cls.local = Local.get()

    def test_type_checks_and_passes_its_own_tests(self) -> None:
        said = self.tested.stdout + self.tested.stderr
        self.assertEqual(self.tested.returncode, 0, said)
        self.assertRegex(said, r"(?m)^\S* ?pass [1-9]")
        self.assertRegex(said, r"(?m)^\S* ?fail 0$")

    def synthesize(self, code: bytes) -> str:
        """Returns the template of a stack with that code."""
        given = {
            "functionName": self.NAME, "bucket": BUCKET, "key": self.local.upload(code),
            "release": {
                "application": "cdk",
                "smokeTests": [{"name": "health", "payload": {"path": "/health"}}],
                "strategy": {"type": "canary", "steps": [{"weight": 50, "bakeSeconds": 300}, {"weight": 100, "bakeSeconds": 60}]},
                "request": {"analysis": {"settleSeconds": 0, "checkEverySeconds": 300, "liveErrors": "off"}},
            },
        }  # fmt: skip
        done = subprocess.run(
            ["node", "build/test/app.js", json.dumps(given)], cwd=WORK, capture_output=True, text=True, timeout=120
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def deploy(self, code: bytes) -> str:
        """Creates or updates the stack, and returns its status at the end."""
        stacks = self.local.stacks
        exists = any(one["StackName"] == "cdk-chat" for one in stacks.describe_stacks()["Stacks"])
        given: dict[str, Any] = {"StackName": "cdk-chat", "TemplateBody": self.synthesize(code), "Capabilities": ["CAPABILITY_IAM"]}
        (stacks.update_stack if exists else stacks.create_stack)(**given)

        def status() -> str | None:
            now = stacks.describe_stacks(StackName="cdk-chat")["Stacks"][0]["StackStatus"]
            return None if now.endswith("_IN_PROGRESS") else now

        return until("the stack is done", status)

    def test_releases_a_good_and_a_bad_version(self) -> None:
        from test_custom_resource import Stacks

        try:
            self.local.output("crossfade-release", "ServiceToken")
        except ClientError:
            Stacks.setUpClass()  # The provider, as its own test deploys it.
        self.assertEqual(self.deploy(good("one")), "CREATE_COMPLETE")
        self.local.wait_for_alarm(f"{self.NAME}-errors")
        with Traffic(self.local, self.NAME) as traffic:
            self.assertEqual(self.deploy(good("two")), "UPDATE_COMPLETE")
            self.assertEqual(traffic.failed, 0)
            self.assertEqual(self.local.serving(self.NAME), ("2", {}))
            self.assertEqual(self.local.answers(self.NAME, "production"), "two")
            self.assertEqual(self.deploy(bad("three")), "UPDATE_ROLLBACK_COMPLETE")
        self.assertEqual(self.local.serving(self.NAME), ("2", {}))
        self.assertEqual(self.local.answers(self.NAME, "$LATEST"), "two")


if __name__ == "__main__":
    unittest.main()
