"""A local AWS with Crossfade deployed, functions to release on it, and a GitHub that records what it is sent.

The local AWS is that of `make local`: one for all tests, started by the first that needs it.
"""

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import boto3
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError

ROOT = Path(__file__).resolve().parents[2]
INTEGRATIONS = ROOT / "integrations"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
VENV = Path(os.environ.get("CROSSFADE_VENV") or ROOT / ".venv")
SCRATCH = TARGET / "integrations"
REGION = "us-east-1"
BUCKET = "crossfade-artifacts"
ALIAS = "production"
# A minute of waiting takes 1.2 s: a step bakes long enough to be judged.
WAIT_SCALE = "0.02"
# Longer than this nothing here takes.
PATIENCE = 180.0

sys.path.insert(0, str(ROOT / "tests" / "local"))
import aws as local_aws  # noqa: E402
from ports import free_port  # noqa: E402

T = TypeVar("T")


def until(what: str, found: Callable[[], T | None], patience: float = PATIENCE) -> T:
    """Waits until something is there, and returns it."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        value = found()
        if value:
            return value
        time.sleep(0.2)
    raise AssertionError(f"not within {patience:.0f} s: {what}")


def scratch(name: str) -> Path:
    """Returns an empty folder of a test's own, which is removed at the end."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=SCRATCH))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def package(**behaviour: Any) -> bytes:
    """Returns a zip of the sample function that behaves so. Its health check never fails."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    given = {"latencyMs": 5, "sparePath": "/health", **behaviour}
    path = SCRATCH / f"{uuid.uuid4()}.zip"
    local_aws.write_package(TARGET / "release" / "target-function", json.dumps(given), path)
    data = path.read_bytes()
    path.unlink()
    return data


def good(version: str) -> bytes:
    """Returns a version whose requests succeed."""
    return package(version=version)


def bad(version: str) -> bytes:
    """Returns a version whose every second request fails."""
    return package(version=version, errorRatePercent=50)


class Aws:
    """The local AWS, with nothing on it."""

    READY = "ready http"

    def __init__(self) -> None:
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.folder = scratch("aws")
        self.log = self.folder / "local.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self.command(),
                # A folder of its own, so that a `make local` of this checkout goes on.
                env={
                    **os.environ, "PATH": f"{VENV}/bin:{os.environ['PATH']}", "CARGO_TARGET_DIR": str(self.folder / "target"),
                    "CROSSFADE_SAMPLE": str(TARGET / "release" / "target-function"),
                },
                cwd=ROOT, stdout=log, stderr=log,
            )  # fmt: skip
        atexit.register(self.stop)
        until("the local AWS is ready", self._is_ready)
        options = {"endpoint_url": self.endpoint, "region_name": REGION, "aws_access_key_id": "test"}
        config = Config(retries={"total_max_attempts": 2}, max_pool_connections=20)
        self.client = lambda service: boto3.client(service, aws_secret_access_key="test", config=config, **options)
        self.states = self.client("stepfunctions")
        self.functions = self.client("lambda")
        self.stacks = self.client("cloudformation")
        self.s3 = self.client("s3")
        self.alarms = self.client("cloudwatch")

    def command(self) -> list[str | Path]:
        """Returns what starts it."""
        program = ROOT / "tests" / "local" / "aws.py"
        return [VENV / "bin" / "python", program, "serve", "--port", str(self.port), "--dir", self.folder, "--wait-scale", WAIT_SCALE]

    def _is_ready(self) -> bool:
        text = self.log.read_text()
        if self.process.poll() is not None:
            raise AssertionError(f"the local AWS ended: {text}")
        return self.READY in text

    def stop(self) -> None:
        """Ends the local AWS and all that it has started."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def environment(self, **more: str) -> dict[str, str]:
        """Returns the environment of a program that uses this AWS and no other."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GITHUB_", "INPUT_"))}
        return {
            **kept,
            "PATH": f"{VENV}/bin:{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_TELEMETRY": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            **more,
        }

    def output(self, stack: str, name: str) -> str:
        """Returns an output of a stack."""
        outputs = self.stacks.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
        return next(one["OutputValue"] for one in outputs if one["OutputKey"] == name)

    def upload(self, code: bytes) -> str:
        """Puts code into the artifact bucket, and returns its key."""
        key = f"{uuid.uuid4()}.zip"
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=code)
        return key

    def create_function(self, name: str, code: bytes) -> None:
        """Creates a function with one version, which its alias is on."""
        self.functions.create_function(
            FunctionName=name, Role="arn:aws:iam::000000000000:role/sample", Runtime="provided.al2023", Handler="bootstrap",
            Code={"ZipFile": code}, Publish=True,
        )  # fmt: skip
        self.functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        self.functions.create_alias(FunctionName=name, Name=ALIAS, FunctionVersion="1")

    def create_alarm(self, function: str) -> str:
        """Creates an alarm on the errors that callers of the alias receive, waits until it is OK, and returns its name."""
        name = f"{function}-errors"
        self.alarms.put_metric_alarm(
            AlarmName=name, Namespace="AWS/Lambda", MetricName="Errors", Statistic="Sum", Period=60, EvaluationPeriods=1,
            Dimensions=[{"Name": "FunctionName", "Value": function}, {"Name": "Resource", "Value": f"{function}:{ALIAS}"}],
            Threshold=5, ComparisonOperator="GreaterThanOrEqualToThreshold", TreatMissingData="notBreaching",
        )  # fmt: skip
        self.wait_for_alarm(name)
        return name

    def wait_for_alarm(self, name: str) -> None:
        """Waits until an alarm is OK, as it has to be when a release begins."""
        until(f"{name} is OK", lambda: self.alarms.describe_alarms(AlarmNames=[name], StateValue="OK")["MetricAlarms"])

    def serving(self, function: str) -> tuple[str, dict[str, float]]:
        """Returns the version that an alias is on, and the weights beside it."""
        alias = self.functions.get_alias(FunctionName=function, Name=ALIAS)
        return alias["FunctionVersion"], alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})

    def answers(self, function: str, qualifier: str) -> str:
        """Returns the label of the version that answers."""
        answer = self.functions.invoke(FunctionName=function, Qualifier=qualifier, Payload=b'{"path": "/health"}')
        return json.loads(json.loads(answer["Payload"].read())["body"])["version"]

    def ended(self, arn: str) -> dict[str, Any]:
        """Waits for the end of an execution, and returns it."""

        def found() -> dict[str, Any] | None:
            execution = self.states.describe_execution(executionArn=arn)
            return execution if execution["status"] != "RUNNING" else None

        return until(f"{arn} has ended", found)


class Local(Aws):
    """The local AWS with Crossfade deployed to it."""

    READY = "Crossfade is deployed at"
    _one: "Local | None" = None

    @classmethod
    def get(cls) -> "Local":
        """Returns the one that all tests share."""
        if cls._one is None:
            cls._one = cls()
        return cls._one

    def __init__(self) -> None:
        super().__init__()
        self.machine = self.output("crossfade", "DeploymentStateMachineArn")

    def command(self) -> list[str | Path]:
        """Returns what starts it."""
        demo = TARGET / "debug" / "demo"
        if not demo.exists():
            raise AssertionError(f"{demo} is missing; run `make programs`")
        return [demo, "local", "--port", str(self.port), "--wait-scale", WAIT_SCALE, "--prefix", "demo-"]

    def executions(self, machine: str | None = None) -> list[dict[str, Any]]:
        """Returns all executions, newest first."""
        pages = self.states.get_paginator("list_executions").paginate(stateMachineArn=machine or self.machine)
        return [one for page in pages for one in page["executions"]]


class Traffic:
    """Requests to an alias, twenty a second, while the block runs."""

    def __init__(self, local: Aws, function: str) -> None:
        self.local, self.function = local, function
        self.over = threading.Event()
        self.requests = self.failed = 0

    def __enter__(self) -> "Traffic":
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(2)]
        for thread in self.threads:
            thread.start()
        return self

    def _run(self) -> None:
        while not self.over.wait(0.1):
            try:
                answer = self.local.functions.invoke(
                    FunctionName=self.function, Qualifier=ALIAS, Payload=b'{"path": "/"}'
                )
            except ClientError:
                continue  # Before the function is there, and after.
            self.requests += 1
            self.failed += "FunctionError" in answer

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()


def request(function: str, alarm: str | None, application: str | None = None, **more: Any) -> dict[str, Any]:
    """Returns a release of what is on $LATEST: half of the traffic for 6 s, then all of it for 2 s."""
    return {
        "application": application or function,
        "functions": [{"functionName": function, "alias": ALIAS, "smokeTests": [{"name": "health", "payload": {"path": "/health"}}]}],
        "strategy": {"type": "canary", "steps": [{"weight": 50, "bakeSeconds": 300}, {"weight": 100, "bakeSeconds": 60}]},
        "analysis": {
            "alarms": [alarm] if alarm else [],
            "settleSeconds": 0, "checkEverySeconds": 300, "onInconclusive": "rollBack", "liveErrors": "off",
        },
        **more,
    }  # fmt: skip


def bin_folder(*names: str) -> Path:
    """Returns a folder with the AWS CLI, and with the command line if that is named.

    Where the AWS CLI is not installed, its stand-in is tests/local/aws_cli.py.
    """
    folder = scratch("bin")
    real = shutil.which("aws")
    works = real and subprocess.run([real, "--version"], capture_output=True).returncode == 0
    if works:
        text = f'#!/bin/sh\nexec "{real}" "$@"\n'
    else:
        text = f'#!/bin/sh\nexec "{VENV}/bin/python" "{ROOT}/tests/local/aws_cli.py" "$@"\n'
    write_program(folder / "aws", text)
    if "crossfade" in names:
        write_program(folder / "crossfade", f'#!/bin/sh\nexec "{command_line()}" "$@"\n')
    return folder


def write_program(path: Path, text: str) -> None:
    """Writes a program."""
    path.write_text(text)
    path.chmod(0o755)


def command_line() -> Path:
    """Returns the command line, as `make cli` or `make programs` has built it."""
    for kind in ("release", "debug"):
        path = TARGET / kind / "crossfade"
        if path.exists():
            return path
    raise AssertionError(f"{TARGET}/debug/crossfade is missing; run `make programs`")


class Loader(yaml.SafeLoader):
    """Reads a template: `!Ref X` as {"Ref": "X"}."""


def _tag(loader: Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", _tag)


def template(path: Path) -> dict[str, Any]:
    """Returns a template as JSON has it."""
    return yaml.load(path.read_text(), Loader)


class GitHub:
    """As much of GitHub's REST API as the action uses. It refuses a call without the token."""

    TOKEN = "ghs_test"
    REPOSITORY = "example/chat"

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.deployments: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        self.pulls_of_commit: list[dict[str, Any]] = []
        self.refused = 0
        self.broken = False
        github = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                code, answer = github.call(self.command, self.path, self.headers.get("Authorization"), body)
                data = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = _answer

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Ends the server."""
        self.server.shutdown()
        self.server.server_close()

    def call(self, method: str, target: str, authorization: str | None, body: Any) -> tuple[int, Any]:
        """Answers one call."""
        if self.broken:
            return 502, {"message": "Server Error"}
        if authorization != f"Bearer {self.TOKEN}":
            self.refused += 1
            return 401, {"message": "Bad credentials"}
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        base = f"/repos/{self.REPOSITORY}"
        if not url.path.startswith(base):
            return 404, {"message": "Not Found"}
        match method, url.path[len(base) :].strip("/").split("/"):
            case "GET", ["commits", _, "pulls"]:
                return 200, self.pulls_of_commit
            case "GET", ["issues", number, "comments"]:
                page, size = int(query.get("page", 1)), int(query.get("per_page", 30))
                found = [one for one in self.comments if one["issue"] == number]
                return 200, found[(page - 1) * size : page * size]
            case "POST", ["issues", number, "comments"]:
                self.comments.append({"id": len(self.comments) + 1, "issue": number, "body": body["body"], "edits": 0})
                return 201, self.comments[-1]
            case "PATCH", ["issues", "comments", number]:
                found = self.comments[int(number) - 1]
                found.update(body=body["body"], edits=found["edits"] + 1)
                return 200, found
            case "GET", ["deployments"]:
                return 200, [one for one in self.deployments if all(one.get(key) == query[key] for key in query)]
            case "POST", ["deployments"]:
                given = {"sha": body["ref"], **body}
                self.deployments.append({"id": len(self.deployments) + 1, **given})
                return 201, self.deployments[-1]
            case "POST", ["deployments", number, "statuses"]:
                self.statuses.append({"deployment": int(number), **body})
                return 201, self.statuses[-1]
        return 404, {"message": "Not Found"}
