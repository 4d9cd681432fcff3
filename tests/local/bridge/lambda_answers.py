"""What Lambda's control plane answers, member by member: ministack says "" where AWS says nothing."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from typing import Any

import botocore.session
from ministack.core.responses import get_region

Answer = tuple[int, dict[str, str], bytes]

_ABSENT_WHEN_EMPTY = (
    "CodeSha256",
    "Handler",
    "KMSKeyArn",
    "Layers",
    "LastUpdateStatus",
    "LastUpdateStatusReason",
    "LastUpdateStatusReasonCode",
    "MasterArn",
    "Runtime",
    "StateReason",
    "StateReasonCode",
)
_CREATING = "The function is being created."


def as_told(path: str, qualifier: str | None, answer: Answer) -> Answer:
    """The answer as AWS gives it; `qualifier`: the one that was asked about."""
    status, headers, body = answer
    if not body.startswith(b"{"):
        return answer
    data = json.loads(body)
    if status >= 400:
        data = error(data, qualifier if path.rpartition("/")[2] != "aliases" else None)
    elif "FunctionArn" in data and "RevisionId" in data and "Role" in data:
        data = function(data, _qualified(path, qualifier))
    elif "Configuration" in data:
        data["Configuration"] = function(data["Configuration"], _qualified(path, qualifier))
        if not data.get("Tags"):
            data.pop("Tags", None)
        if image := data.get("Code", {}).get("ImageUri"):
            data["Code"]["ResolvedImageUri"] = f"{re.split(r'@|:[^:/]*$', image)[0]}@sha256:{digest(image)}"
    elif isinstance(data.get("Versions"), list):
        data["Versions"] = [function(config, config["Version"], listed=True) for config in data["Versions"]]
    elif isinstance(data.get("Functions"), list):
        data["Functions"] = [function(config, listed=True) for config in data["Functions"]]
    elif "UUID" in data:
        data = mapping(data)
    elif isinstance(data.get("EventSourceMappings"), list):
        data["EventSourceMappings"] = [mapping(one) for one in data["EventSourceMappings"]]
    else:
        return answer
    told = json.dumps(data).encode()
    length = next((name for name in headers if name.lower() == "content-length"), None)
    return status, {**headers, length: str(len(told))} if length else headers, told


def _qualified(path: str, qualifier: str | None) -> str | None:
    """The qualifier that ends the ARN in an answer: GetFunction and its like tell the one asked about."""
    return None if path.endswith("/versions") else qualifier


def function(config: dict[str, Any], qualifier: str | None = None, *, listed: bool = False) -> dict[str, Any]:
    """A function's or version's configuration; `listed`: as one of many."""
    known = _members("FunctionConfiguration")
    told = {
        key: value
        for key, value in config.items()
        if key in known and value is not None and (value or key not in _ABSENT_WHEN_EMPTY)
    }
    if qualifier:
        told["FunctionArn"] = ":".join([*str(config["FunctionArn"]).split(":")[:7], qualifier])
    if told.get("State") == "Pending":
        # Nothing has been updated yet.
        for key in [key for key in told if key.startswith("LastUpdateStatus")]:
            del told[key]
    if told.get("LastUpdateStatus") == "InProgress":
        told.update(LastUpdateStatusReason=_CREATING, LastUpdateStatusReasonCode="Creating")
    if not (told.get("VpcConfig") or {}).get("SubnetIds"):
        told.pop("VpcConfig", None)
    else:
        told["VpcConfig"] = {"Ipv6AllowedForDualStack": False, **told["VpcConfig"]}
    if config.get("PackageType") == "Image":
        told["CodeSha256"] = digest(str(config.get("ImageUri")))
    if listed or config.get("PackageType") == "Image":
        told.pop("RuntimeVersionConfig", None)
    elif told.get("Runtime"):
        identity = hashlib.sha256(str(told["Runtime"]).encode()).hexdigest()
        told["RuntimeVersionConfig"] = {"RuntimeVersionArn": f"arn:aws:lambda:{get_region()}::runtime:{identity}"}
    group = f"/aws/lambda/{config.get('FunctionName')}"
    told["LoggingConfig"] = {"LogFormat": "Text", "LogGroup": group, **(told.get("LoggingConfig") or {})}
    if told["LoggingConfig"]["LogFormat"] == "JSON":
        told["LoggingConfig"] = {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO", **told["LoggingConfig"]}
    return told


def digest(image: str) -> str:
    """What stands for an image's digest, in hexadecimal as Lambda tells it: that of its address."""
    return image.rpartition("@sha256:")[2] if "@sha256:" in image else hashlib.sha256(image.encode()).hexdigest()


def mapping(data: dict[str, Any]) -> dict[str, Any]:
    """An event source mapping."""
    known = _members("EventSourceMappingConfiguration")
    return {key: value for key, value in data.items() if key in known and value is not None}


def error(data: dict[str, Any], qualifier: str | None = None) -> dict[str, Any]:
    """An error: its message is called `Message` or `message`, by the error."""
    code = str(data.pop("__type", ""))
    message = data.pop("message", None) or data.pop("Message", None)
    if message is None:
        return data
    if code == "ValidationException":
        return {"message": message}
    if qualifier and re.fullmatch(r"Function not found: arn:[^:]+:lambda:[^:]+:\d+:function:[^:]+", message):
        message += f":{qualifier}"
    return {"Type": "User", **data, "Message" if "Message" in _members(code) else "message": message}


@functools.cache
def _model() -> Any:
    return botocore.session.get_session().get_service_model("lambda")


@functools.cache
def _members(shape: str) -> frozenset[str]:
    return frozenset(_model().shape_for(shape).members) if shape in _model().shape_names else frozenset()
