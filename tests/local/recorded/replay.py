"""Compares what the local AWS answers with what AWS was recorded to answer, field by field."""

from __future__ import annotations

import datetime
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, ParamValidationError

ACCOUNT, REGION = "000000000000", "us-east-1"
RECORDED_ACCOUNT = "111111111111"
_ANYTHING = (
    "code-sha256",
    "date",
    "datetime",
    "function-url",
    "lambda-url",
    "lambda_function_name",
    "log-result",
    "snf_role_arn",
    "sqs_queue_url",
    "timestamp",
)
"""What stands in recordings for a time, or for another value that nothing else has."""
_OF_THE_SECOND = ("state-reason",)
"""Placeholders for texts with a time in seconds: here two of them may be of the same second."""
PLAYS = "provided.al2023"
"""The runtime that plays functions in Python here."""
_PLACEHOLDER = re.compile(r"<([^<>]*)>")


class Scenarios:
    """The calls behind the recordings of one file: a function for each recording."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.by_name: dict[str, Callable[[Replay], None]] = {}

    def of(self, *names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Registers the calls behind recordings; names are given without `test_`, parameters included."""

        def register(scenario: Callable[..., None]) -> Callable[..., None]:
            for name in names:
                self.by_name[f"test_{name}"] = scenario
            return scenario

        return register


@dataclass
class Replay:
    """One recording that is being replayed: takes the answers, step by step."""

    aws: Any
    """The local AWS, as `test_bridge.LocalAws`."""
    name: str
    answers: dict[str, Any] = field(default_factory=dict)

    @property
    def parameter(self) -> str:
        """What the recording's name has in brackets."""
        return self.name.partition("[")[2].removesuffix("]")

    def unique(self, prefix: str = "fn") -> str:
        """A name that no other recording uses."""
        return f"{prefix}-{abs(hash(self.name)) % 10**8}-{len(self.answers)}"

    def client(self, service: str, **config: Any) -> Any:
        return self.aws.client(service, **config)

    def match(self, step: str, answer: Any) -> Any:
        """Takes an answer."""
        self.answers[step] = answer
        return answer

    def __call__(self, step: str, call: Callable[..., Any], **arguments: Any) -> Any:
        """Makes a call, and takes its answer or its refusal."""
        try:
            answer = call(**arguments)
        except ClientError as error:
            answer = error.response
        except ParamValidationError as error:
            answer = str(error)
        return self.match(step, answer)


def until(reached: Callable[[], Any], what: str, seconds: float = 20) -> Any:
    """Waits until something holds, and returns what it is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := reached():
            return found
        time.sleep(0.1)
    raise TimeoutError(f"not within {seconds} s: {what}")


@dataclass(frozen=True)
class Difference:
    """One field in which an answer differs from the recorded one."""

    recording: str
    step: str
    path: str
    recorded: Any
    local: Any

    def __str__(self) -> str:
        return f"{self.recording} {self.step} {self.path}: recorded {_short(self.recorded)}, here {_short(self.local)}"


def _short(value: Any) -> str:
    text = "nothing" if value is _ABSENT else json.dumps(value, default=str)
    return text if len(text) <= 300 else f"{text[:300]}…"


_ABSENT = object()


class Comparison:
    """One recording's answers. Each placeholder stands for one value, and those of a kind for different ones."""

    def __init__(self, recording: str) -> None:
        self.recording = recording
        self._bound: dict[str, str] = {}

    def differences(self, step: str, recorded: Any, local: Any) -> list[Difference]:
        return [
            Difference(self.recording, step, path, one, other)
            for path, one, other in self._walk("", recorded, plain(local))
        ]

    def _walk(self, path: str, recorded: Any, local: Any) -> Iterator[tuple[str, Any, Any]]:
        if isinstance(recorded, (dict, list)) and isinstance(local, str):
            # Recordings have JSON in strings read.
            try:
                local = json.loads(local)
            except ValueError:
                pass
        if isinstance(recorded, dict) and isinstance(local, dict):
            if path.endswith(".ResponseMetadata"):
                recorded, local = ({"HTTPStatusCode": each.get("HTTPStatusCode")} for each in (recorded, local))
            # The placeholders of short values first: they tell those in longer ones.
            for key in sorted({*recorded, *local}, key=lambda key: len(str(recorded.get(key, "")))):
                one, other = recorded.get(key, _ABSENT), local.get(key, _ABSENT)
                if key == "Runtime" and other == PLAYS and str(one).startswith("python"):
                    continue
                if one is _ABSENT or other is _ABSENT:
                    if not (path == "" and key == "ResponseMetadata"):
                        yield f"{path}.{key}", one, other
                else:
                    yield from self._walk(f"{path}.{key}", one, other)
        elif isinstance(recorded, list) and isinstance(local, list):
            if len(recorded) != len(local):
                yield f"{path}.length", len(recorded), len(local)
            for nth, (one, other) in enumerate(zip(recorded, local)):
                yield from self._walk(f"{path}[{nth}]", one, other)
        elif isinstance(recorded, str) and isinstance(local, str) and recorded[:1] == local[:1] == "{":
            # JSON in a string of JSON, whatever its spaces.
            try:
                one, other = json.loads(recorded), json.loads(local)
            except ValueError:
                one, other = {"": recorded}, {"": local}
            yield from self._walk(path, one, other)
        elif not self._alike(recorded, local):
            yield path, recorded, local

    def _alike(self, recorded: Any, local: Any) -> bool:
        if not isinstance(recorded, str):
            return bool(recorded == local) and isinstance(recorded, bool) == isinstance(local, bool)
        if recorded in _ANYTHING:
            return True
        # A time in a line of a log.
        recorded = recorded.replace("\tdate\t", "\t<date>\t").replace("<<task_token>:1>", "<task_token:1>")
        recorded = recorded.replace("MM/DD/YY HH:MM:SS", "<time>")
        if not _PLACEHOLDER.search(recorded):
            return recorded.replace(RECORDED_ACCOUNT, ACCOUNT) == local
        if not isinstance(local, str):
            return not _PLACEHOLDER.sub("", recorded)
        return self._fits(recorded.replace(RECORDED_ACCOUNT, ACCOUNT), local)

    def _fits(self, recorded: str, local: str) -> bool:
        known = {"partition": "aws", "region": REGION, **self._bound}
        parts = _PLACEHOLDER.split(recorded)
        pattern, new = "", []
        for nth, part in enumerate(parts):
            if nth % 2 == 0:
                pattern += re.escape(part)
            elif part in known:
                pattern += re.escape(known[part])
            elif part in new and ":" in part:
                pattern += f"(?P=p{new.index(part)})"
            else:
                pattern += f"(?P<p{len(new)}>.+?)"
                new.append(part)
        match = re.fullmatch(pattern, local, re.DOTALL)
        if match is None:
            return False
        for nth, name in enumerate(new):
            kind, _, number = name.partition(":")
            if not number.isdigit() or kind in _OF_THE_SECOND:
                continue
            value = match[f"p{nth}"]
            if any(value == other for bound, other in self._bound.items() if bound.partition(":")[0] == kind):
                return False
            self._bound[name] = value
        return True


def plain(value: Any) -> Any:
    """An answer as JSON has it."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if hasattr(value, "read"):
        value = value.read()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return _FOLDER.sub("/var/task", value) if isinstance(value, str) else value


_FOLDER = re.compile(r"/[^\"']*/ministack-provided-code-[^/]+/[0-9a-f]{64}")
"""Where a function's code is here."""


def load(folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """File -> recording -> step -> what was answered."""
    return {
        path.stem: {
            name.rpartition("::")[2]: recorded["content"] for name, recorded in json.loads(path.read_text()).items()
        }
        for path in sorted(folder.glob("*.json"))
    }


@dataclass
class Accepted:
    """Differences that do not matter: where, by patterns of recording, step and path, and why."""

    entries: list[dict[str, str]]
    used: set[int] = field(default_factory=set)

    def why(self, difference: Difference) -> str | None:
        for nth, entry in enumerate(self.entries):
            if all(_matches(getattr(difference, name), entry.get(name, "*")) for name in ("recording", "step", "path")):
                self.used.add(nth)
                return entry["why"]
        return None

    def unused(self) -> list[dict[str, str]]:
        return [entry for nth, entry in enumerate(self.entries) if nth not in self.used]


def _matches(text: str, pattern: str) -> bool:
    """Whether a text is as the pattern says, in which only `*` means more than itself."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None
