"""Releases with Crossfade from a GitHub workflow: starts the request, waits, and reports.

Needs Python 3.10, the AWS CLI with credentials, and for the plan the command line `crossfade`. A report that GitHub
does not accept is a warning: it changes neither the release nor the result of the job.

Exits 0 when the release succeeded, 1 when it ended otherwise, 2 when it was not started, and 3 when the job stopped
waiting and the release continues.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SUCCEEDED, FAILED, NOT_STARTED, STILL_RUNNING = 0, 1, 2, 3
# Looks in a row that may fail: a call that AWS does not answer is repeated by the AWS CLI before it counts.
MAX_UNREAD = 5
# The longest name of an execution, https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
MAX_NAME = 80
# A comment has at most 65,536 characters; a plan or a reason longer than this is cut.
MAX_TEXT = 20_000
# How long an answer of GitHub is waited for. A cancelled job has ten seconds for all that it still reports.
HTTP_SECONDS = 10.0
HTTP_SECONDS_CANCELLED = 1.5
# States that a reader of the log wants to see, and what happens in them.
STATES = {
    "DeployGreen": "publishes the new version",
    "ValidateGreen": "tests the new version",
    "ShiftTraffic": "shifts traffic",
    "RunMigration": "runs the migration",
    "RunHook": "runs a hook",
    "AwaitApproval": "waits for approval",
    "Hold": "is held, and waits for an operator",
    "FinalizeDeployment": "promotes the new version",
    "RollbackDeployment": "returns traffic to blue",
}
WAITS = {"AwaitApproval", "Hold"}
TITLES = {
    "SUCCESSFUL": "promoted",
    "NO_CHANGE": "nothing to do",
    "ROLLED_BACK": "rolled back",
    "REJECTED": "rejected before any traffic moved",
    "HELD": "held",
    "RUNNING": "still running",
}


http_seconds = HTTP_SECONDS


class Stopped(Exception):
    """The job is cancelled."""


class Problem(Exception):
    """Something that ends the job, with its exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class AwsError(Exception):
    """An answer of the AWS CLI other than success."""

    def __init__(self, text: str) -> None:
        super().__init__(text.strip())
        found = re.search(r"\((\w+)\) when calling", text)
        self.code = found[1] if found else ""


@dataclass
class Run:
    """One run of the action: what was given, and what has happened so far."""

    request: dict[str, Any]
    text: str
    application: str
    machine: str = ""
    execution: str = ""
    plan: str = ""
    status: str = ""
    error: str = ""
    reason: str = ""
    outcome: dict[str, Any] = field(default_factory=dict)
    title: str = ""
    pull: str = ""
    deployment: str = ""


def given(name: str) -> str:
    """Returns an input of the action."""
    return os.environ.get(f"INPUT_{name}", "").strip()


def enabled(name: str) -> bool:
    """Returns a yes-or-no input of the action."""
    value = given(name).lower()
    if value not in ("true", "false"):
        raise Problem(NOT_STARTED, f'{name.lower().replace("_", "-")} is {value!r}; expected "true" or "false"')
    return value == "true"


def number(name: str) -> float:
    """Returns a number among the inputs of the action."""
    try:
        value = float(given(name))
    except ValueError:
        value = -1
    if value < 0:
        raise Problem(NOT_STARTED, f"{name.lower().replace('_', '-')} is {given(name)!r}; expected a number, 0 or more")
    return value


def say(text: str) -> None:
    """Prints to the log. A line of text that came from elsewhere is never a workflow command."""
    for line in text.splitlines():
        print("  " + line if line.lstrip().startswith(("::", "##[")) else line, flush=True)


def command(kind: str, text: str) -> None:
    """Prints a workflow command: `error`, `warning` or `notice`."""
    text = text[:MAX_TEXT].replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    print(f"::{kind} title=Crossfade::{text}", flush=True)


# ── AWS ────────────────────────────────────────────────────────────────────────────────────────


def aws(*arguments: str) -> Any:
    """Makes one call with the AWS CLI, and returns its answer."""
    environment = {**os.environ, "AWS_PAGER": ""}
    done = subprocess.run(
        ["aws", *arguments, "--output", "json"], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise AwsError(done.stderr or f"aws exited with {done.returncode}")
    return json.loads(done.stdout) if done.stdout.strip() else None


def find_machine() -> str:
    """Returns the ARN of Crossfade's state machine, as given or as the stack has it."""
    if given("STATE_MACHINE_ARN"):
        return given("STATE_MACHINE_ARN")
    stack = given("STACK")
    outputs = aws("cloudformation", "describe-stacks", "--stack-name", stack, "--query", "Stacks[0].Outputs")
    for output in outputs or []:
        if output["OutputKey"] == "DeploymentStateMachineArn":
            return output["OutputValue"]
    raise Problem(NOT_STARTED, f"the stack {stack} has no output DeploymentStateMachineArn; is it Crossfade's?")


def execution_arn(machine: str, name: str) -> str:
    """Returns the ARN of an execution by its name."""
    return machine.replace(":stateMachine:", ":execution:") + f":{name}"


def describe(arn: str) -> dict[str, Any] | None:
    """Returns an execution, or None if there is none of this name."""
    try:
        return aws("stepfunctions", "describe-execution", "--execution-arn", arn)
    except AwsError as error:
        if error.code == "ExecutionDoesNotExist":
            return None
        raise


def name_of(application: str, attempt: int) -> str:
    """Returns the name of this run's execution: the same one whenever the same attempt asks."""
    if given("NAME"):
        return given("NAME")
    run = f"-{os.environ.get('GITHUB_RUN_ID', '0')}-{attempt}"
    return re.sub(r"[^A-Za-z0-9_-]", "-", application)[: MAX_NAME - len(run)] + run


def is_ours(run: Run, execution: dict[str, Any] | None) -> bool:
    """Returns whether an execution is of the same request."""
    return execution is not None and json.loads(execution["input"]) == run.request


def start(run: Run) -> None:
    """Starts the release, or finds the one that this job has started before."""
    attempt = int(os.environ.get("GITHUB_RUN_ATTEMPT", "1"))
    # A job that is run again while its release continues waits for that one.
    for earlier in range(attempt - 1, 0, -1) if not given("NAME") else ():
        arn = execution_arn(run.machine, name_of(run.application, earlier))
        found = describe(arn)
        if is_ours(run, found) and found["status"] == "RUNNING":
            say(f"attempt {earlier} of this run has started the release, which is still running")
            run.execution = arn
            return
    name = name_of(run.application, attempt)
    # Known before the call, so that a job that is cancelled meanwhile can name it.
    run.execution = execution_arn(run.machine, name)
    try:
        aws(
            "stepfunctions", "start-execution", "--state-machine-arn", run.machine, "--name", name, "--input", run.text
        )
    except AwsError as error:
        try:
            found = describe(run.execution)
        except AwsError:
            if not error.code:
                run.title = "not known whether it was started"
                raise Problem(STILL_RUNNING, f"{run.title}: {run.execution}: {error}") from None
            found = None
        # The call may have been carried out although its answer was lost.
        if is_ours(run, found):
            return
        run.execution = ""
        if error.code == "ExecutionAlreadyExists":
            why = f"the name {name} belongs to an execution of another request; give this step a name of its own"
            raise Problem(NOT_STARTED, why) from None
        raise Problem(NOT_STARTED, f"the release was not started: {error}") from None


def wait(run: Run, minutes: float, pause: float) -> None:
    """Waits for the end of the release, and logs what it does."""
    until = time.monotonic() + 60 * minutes
    unread, last, history = 0, "", True
    while True:
        try:
            found = aws("stepfunctions", "describe-execution", "--execution-arn", run.execution)
            unread = 0
        except AwsError as error:
            unread += 1
            if unread >= MAX_UNREAD or "Expired" in error.code:
                run.status = "RUNNING"
                raise Problem(STILL_RUNNING, f"the end of the release could not be read: {error}") from None
            time.sleep(pause)
            continue
        if found["status"] != "RUNNING":
            read_end(run, found)
            return
        if history:
            history, last = log_state(run, last)
        if time.monotonic() >= until:
            run.status = "RUNNING"
            raise Problem(STILL_RUNNING, f"the release did not end within {given('WAIT_MINUTES')} minutes")
        time.sleep(pause)


def log_state(run: Run, last: str) -> tuple[bool, str]:
    """Logs the state that the release has entered last, and returns whether the role may read it, and its name."""
    try:
        names = aws(
            "stepfunctions", "get-execution-history", "--execution-arn", run.execution, "--reverse-order", "--max-items",
            "20", "--query", "events[?stateEnteredEventDetails].stateEnteredEventDetails.name",
        )
    except AwsError as error:
        say(f"the states of the release are not shown: {error}")
        return False, last
    state = next((name for name in names or [] if name in STATES), last)
    if state != last:
        line = f"{run.application} {STATES[state]}"
        say(f"{time.strftime('%H:%M:%SZ', time.gmtime())}  {line}")
        if state in WAITS:
            command("notice", f"{line}: crossfade status {run.application}")
    return True, state


def read_end(run: Run, found: dict[str, Any]) -> None:
    """Reads how the release ended from its execution."""
    text = found.get("output") or found.get("cause") or ""
    try:
        outcome = json.loads(text)
    except ValueError:
        outcome = None
    run.outcome = outcome if isinstance(outcome, dict) else {}
    run.error = found.get("error", "") if found["status"] != "SUCCEEDED" else ""
    run.reason = str(run.outcome.get("reason") or text or f"the execution ended {found['status']}")
    run.status = str(run.outcome.get("deploymentStatus") or found["status"])
    if found["status"] != "SUCCEEDED":
        raise Problem(FAILED, f"{run.error or found['status']}: {run.reason}")


def make_plan(run: Run) -> int:
    """Lets the command line plan the request, and returns its exit code."""
    if not shutil.which("crossfade"):
        return -1
    # The state machine has its stack's name.
    stack = run.machine.rsplit(":", 1)[-1].removesuffix("-deployment")
    plan = ["crossfade", "plan", "-", "--stack", stack]
    done = subprocess.run(plan, input=run.text, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
    run.plan = (done.stdout + done.stderr).strip()
    return done.returncode


# ── GitHub ─────────────────────────────────────────────────────────────────────────────────────


def github(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Makes one call of GitHub's REST API."""
    base = os.environ.get("GITHUB_API_URL", "https://api.github.com")
    request = urllib.request.Request(
        f"{base}/repos/{os.environ['GITHUB_REPOSITORY']}{path}",
        data=None if body is None else json.dumps(body).encode(),
        method=method,
        headers={
            "Authorization": f"Bearer {given('GITHUB_TOKEN')}",
            "Accept": "application/vnd.github+json",
            "Content-Type": "application/json",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    with urllib.request.urlopen(request, timeout=http_seconds) as response:
        return json.loads(response.read() or b"null")


def tolerated(what: str, call: Any, *arguments: Any) -> Any:
    """Makes a report to GitHub; one that fails is a warning."""
    try:
        return call(*arguments)
    except (OSError, ValueError, LookupError, http.client.HTTPException) as error:
        detail = error.read().decode("utf-8", "replace")[:300] if isinstance(error, urllib.error.HTTPError) else ""
        command("warning", f"{what} failed: {error} {detail}")
        return None


def find_pull() -> str:
    """Returns the number of the pull request: as given, of the event, or of the commit. Empty if there is none."""
    if given("PULL_REQUEST"):
        return given("PULL_REQUEST")
    path = os.environ.get("GITHUB_EVENT_PATH", "")
    event = json.loads(Path(path).read_text()) if path and Path(path).exists() else {}
    pull = event.get("pull_request") or (event.get("issue") if "pull_request" in event.get("issue", {}) else None)
    if pull:
        return str(pull["number"])
    pulls = github("GET", f"/commits/{os.environ['GITHUB_SHA']}/pulls")
    return str(pulls[0]["number"]) if pulls else ""


def comment(run: Run) -> None:
    """Writes the report into the one comment that a pull request has for an application."""
    marker = f"<!-- crossfade release of {re.sub('[^A-Za-z0-9_.-]', '-', run.application)} -->"
    body = {"body": f"{marker}\n{report(run)}"}
    page = 1
    while True:
        comments = github("GET", f"/issues/{run.pull}/comments?per_page=100&page={page}")
        for one in comments:
            if (one.get("body") or "").startswith(marker):
                github("PATCH", f"/issues/comments/{one['id']}", body)
                return
        if len(comments) < 100:
            break
        page += 1
    github("POST", f"/issues/{run.pull}/comments", body)


def begin_deployment(run: Run) -> None:
    """Creates the deployment whose status is set, or finds the one of an earlier attempt for the same execution."""
    environment = given("ENVIRONMENT")
    payload = {"execution": run.execution}
    query = urllib.parse.urlencode({"environment": environment, "sha": os.environ["GITHUB_SHA"], "task": "crossfade"})
    found = [one for one in github("GET", f"/deployments?{query}") if as_object(one.get("payload")) == payload]
    deployment = found[0] if found else github(
        "POST",
        "/deployments",
        {
            "ref": os.environ["GITHUB_SHA"],
            "environment": environment,
            "task": "crossfade",
            "payload": payload,
            "description": f"release of {run.application}"[:140],
            "auto_merge": False,
            "required_contexts": [],
        },
    )
    run.deployment = str(deployment["id"])


def as_object(payload: Any) -> Any:
    """Returns a deployment's payload, which GitHub returns as it was given or as text."""
    try:
        return json.loads(payload) if isinstance(payload, str) and payload else payload
    except ValueError:
        return payload


def set_deployment(run: Run, state: str, description: str) -> None:
    """Sets the deployment's status."""
    body = {"state": state, "description": description[:140], "log_url": run_url()}
    if given("ENVIRONMENT_URL"):
        body["environment_url"] = given("ENVIRONMENT_URL")
    github("POST", f"/deployments/{run.deployment}/statuses", body)


def run_url() -> str:
    """Returns the address of the workflow's run."""
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    return f"{server}/{os.environ.get('GITHUB_REPOSITORY', '')}/actions/runs/{os.environ.get('GITHUB_RUN_ID', '')}"


def publish(run: Run, state: str) -> None:
    """Writes the comment and the deployment's status."""
    if run.pull:
        tolerated("the comment on the pull request", comment, run)
    if run.deployment:
        title = run.title or TITLES.get(run.status, run.status) or "in progress"
        tolerated("the deployment's status", set_deployment, run, state, f"{run.application}: {title}")


def write_output(run: Run) -> None:
    """Writes the outputs of the step."""
    path = os.environ.get("GITHUB_OUTPUT")
    if not path:
        return
    values = {
        "execution-arn": run.execution,
        "status": run.status,
        "error": run.error,
        "reason": run.reason,
        "outcome": json.dumps(run.outcome) if run.outcome else "",
    }
    with open(path, "a") as file:
        for name, value in values.items():
            # A delimiter that no value can contain.
            end = f"end-{uuid.uuid4()}"
            file.write(f"{name}<<{end}\n{value}\n{end}\n")


# ── The report ─────────────────────────────────────────────────────────────────────────────────


def plain(text: Any) -> str:
    """Returns text that Markdown shows as it is, in one line: no table, link, tag or mention begins in it."""
    line = " ".join(str(text).split())[:MAX_TEXT]
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace("@", "@<!-- -->")
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", line)


def fenced(text: str) -> str:
    """Returns text as a block of code that nothing in it can end."""
    ticks = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{ticks}text\n{text[:MAX_TEXT]}\n{ticks}"


def table(head: list[str], rows: list[list[Any]]) -> str:
    """Returns a table of Markdown."""
    lines = [head, ["---"] * len(head), *[[plain(cell) for cell in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def console(arn: str) -> str:
    """Returns the address of an execution in the console, or nothing in a partition that is not known."""
    _, partition, _, region, *_ = arn.split(":")
    hosts = {"aws": "console.aws.amazon.com", "aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}
    if partition not in hosts:
        return ""
    return f"https://{region}.{hosts[partition]}/states/home?region={region}#/v2/executions/details/{arn}"


def report(run: Run) -> str:
    """Returns the report: the summary of the job, and the comment."""
    outcome = run.outcome
    title = run.title or TITLES.get(run.status, run.status) or ("in progress" if run.execution else "plan")
    parts = [f"### Crossfade: {plain(run.application or given('REQUEST'))}: {plain(title)}"]
    if run.reason:
        parts.append(f"> {plain(run.reason)}")
    if run.status == "RUNNING":
        parts.append(still_running(run))
    functions = outcome.get("functions") or []
    if functions:
        keys = ["functionName", "alias", "blueVersion", "greenVersion", "serving"]
        head = ["Function", "Alias", "Blue", "Green", "Serves now"]
        parts.append(table(head, [[one.get(key) or "-" for key in keys] for one in functions]))
    if outcome.get("steps"):
        rows = [
            [f"{one['weight']} %", one.get("startedAt", "-"), one.get("endedAt", "-"), one.get("verdict", "-")]
            for one in outcome["steps"]
        ]
        parts.append(table(["On green", "From", "Until", "Verdict"], rows))
    judge = (outcome.get("evidence") or {}).get("judge")
    if judge:
        rows = [
            [colour, *(judge.get(colour, {}).get(key, "-") for key in ("invocations", "errors", "slow", "throttles"))]
            for colour in ("green", "blue")
        ]
        parts.append(table(["Version", "Requests", "Errors", "Slow", "Throttles"], rows))
        parts.append(f"E-value {plain(judge.get('eValue', '-'))}, threshold {plain(judge.get('threshold', '-'))}")
    parts.extend(f"- Warning: {plain(one)}" for one in outcome.get("warnings") or [])
    for one in outcome.get("answers") or []:
        why = f": {one['reason']}" if one.get("reason") else ""
        parts.append(f"- Answer: {plain(one.get('by') or 'an operator')}: {plain(one.get('decision', '-'))}{plain(why)}")
    if run.status == "SUCCESSFUL" and outcome.get("retainUntil"):
        parts.append(f"To return to blue until {plain(outcome['retainUntil'])}: `crossfade rollback {plain(run.application)}`")
    if run.error:
        parts.append(f"Error {plain(run.error)}, {plain(outcome.get('help') or 'see the runbook')}")
    if run.plan:
        parts.append(f"<details><summary>Plan</summary>\n\n{fenced(run.plan)}\n\n</details>")
    links = [f"[workflow run]({run_url()})"]
    if run.execution and console(run.execution):
        links.insert(0, f"[execution]({console(run.execution)})")
    parts.append(", ".join(links))
    return "\n\n".join(parts) + "\n"


def still_running(run: Run) -> str:
    """Returns what continues when the job does not wait any more, and how to end it."""
    return (
        "**The job no longer waits. The release continues**, and its alarms still return traffic to blue. To wait again, "
        "run the job again; to return all traffic to blue, stop the execution:\n\n"
        + fenced(f"aws stepfunctions stop-execution --execution-arn {run.execution}")
    )


def summarize(run: Run) -> None:
    """Writes the summary of the job."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        with open(path, "a") as file:
            file.write(report(run))


# ── The run ────────────────────────────────────────────────────────────────────────────────────


def read_request() -> Run:
    """Reads the request from its file."""
    path = Path(given("REQUEST"))
    try:
        text = path.read_text()
        request = json.loads(text)
    except (OSError, ValueError) as error:
        raise Problem(NOT_STARTED, f"{path}: {error}; expected a request as JSON") from None
    if not isinstance(request, dict) or not isinstance(request.get("application"), str):
        raise Problem(NOT_STARTED, f"{path} is not a request: it names no application")
    add_origin(request)
    return Run(request, json.dumps(request), request["application"])


def add_origin(request: dict[str, Any]) -> None:
    """Says of a release which commit it is, who releases it, and where to read more, as far as the request does not."""
    if request.get("action", "release") == "release":
        known = {"commit": os.environ.get("GITHUB_SHA"), "url": run_url(), "by": os.environ.get("GITHUB_ACTOR")}
        for field, value in known.items():
            if value:
                request.setdefault(field, value)


def plan_only(run: Run) -> None:
    """Reports the plan, and fails if something would be in the way."""
    code = make_plan(run)
    if code == -1:
        raise Problem(NOT_STARTED, "plan-only needs the command line crossfade on the PATH")
    say(run.plan)
    # 9: nothing is known to be in the way, but not everything could be read.
    if code == 9:
        command("warning", "the plan could not read everything")
    elif code != 0:
        raise Problem(NOT_STARTED, "the release would be refused; see the plan")


def release(run: Run) -> None:
    """Releases, and reports the begin and the end."""
    minutes, pause = number("WAIT_MINUTES"), number("POLL_SECONDS")
    make_plan(run)
    if run.plan:
        say(run.plan)
    start(run)
    say(f"released as {run.execution}")
    if given("ENVIRONMENT"):
        tolerated("the deployment", begin_deployment, run)
    publish(run, "in_progress")
    wait(run, minutes, pause)


def on_signal(_number: int, _frame: object) -> None:
    """Ends the waiting once; what is reported after that is not interrupted."""
    global http_seconds
    http_seconds = HTTP_SECONDS_CANCELLED
    on_signals(signal.SIG_IGN)
    raise Stopped


def on_signals(handler: Any) -> None:
    """Sets what the signals of a cancelled job do."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, handler)


def cancelled(run: Run) -> tuple[int, str]:
    """Returns the exit code and what is true after the job was cancelled: the release may have begun, or ended."""
    if not run.execution:
        return NOT_STARTED, "the job was cancelled before the release was started"
    stop = f"to return its traffic to blue: aws stepfunctions stop-execution --execution-arn {run.execution}"
    try:
        found = describe(run.execution)
    except AwsError as error:
        run.status = "RUNNING"
        return STILL_RUNNING, f"the job was cancelled; the release continues if it was started ({error}); {stop}"
    if found is None:
        run.execution = ""
        return NOT_STARTED, "the job was cancelled before the release was started"
    if found["status"] == "RUNNING":
        run.status = "RUNNING"
        return STILL_RUNNING, f"the job was cancelled; the release continues: {run.execution}; {stop}"
    try:
        read_end(run, found)
    except Problem as problem:
        return problem.code, f"the job was cancelled; the release had ended: {problem}"
    return SUCCEEDED, f"the job was cancelled; the release had ended: {run.reason}"


def main() -> int:
    """Runs the action, and returns the exit code."""
    run = Run({}, "", "")
    code, text = SUCCEEDED, ""
    on_signals(on_signal)
    try:
        run = read_request()
        run.machine = find_machine()
        if enabled("COMMENT"):
            run.pull = tolerated("the search for the pull request", find_pull) or ""
        if enabled("PLAN_ONLY"):
            plan_only(run)
        else:
            release(run)
    except Problem as problem:
        code, text = problem.code, str(problem)
    except AwsError as error:
        code, text = NOT_STARTED, str(error)
    except Stopped:
        code, text = cancelled(run)
    # What is known now is reported to the end.
    on_signals(signal.SIG_IGN)
    if code == NOT_STARTED:
        run.title, run.reason = "not started", run.reason or text
    if text:
        command("notice" if code == SUCCEEDED else "error", text)
    write_output(run)
    summarize(run)
    publish(run, {SUCCEEDED: "success", STILL_RUNNING: "in_progress"}.get(code, "failure"))
    if code == SUCCEEDED and run.status:
        say(f"{run.application}: {TITLES.get(run.status, run.status)}: {run.reason}")
    return code


if __name__ == "__main__":
    sys.exit(main())
