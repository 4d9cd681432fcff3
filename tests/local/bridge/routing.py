"""Which version of a function an invocation runs."""

from __future__ import annotations

import random
import time
from typing import Any

PUBLISHED = "$LATEST.PUBLISHED"
"""The version without a number that functions of Managed Instances have."""

ROUTE = "_route"
"""Where a record that will be executed keeps the qualifier it was called by."""


lag_seconds = 0.0
"""How long after an update some invocations go where the alias pointed before."""

_former: dict[str, list[tuple[float, dict[str, Any]]]] = {}
"""By the alias's ARN: what it was, and until when that is still in use."""


def updated(before: dict[str, Any]) -> None:
    """What an alias was before an update, for those who have not heard of it yet."""
    if lag_seconds:
        still = [one for one in _former.get(before["AliasArn"], ()) if one[0] > time.monotonic()]
        _former[before["AliasArn"]] = [*still, (time.monotonic() + lag_seconds, before)]


def draw_version(alias: dict[str, Any]) -> str:
    """The version one invocation of an alias goes to: random, without stickiness, as Lambda does."""
    former = [one for until, one in _former.get(alias["AliasArn"], ()) if until > time.monotonic()]
    if former and random.random() < 0.5:
        alias = random.choice(former)
    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    for version, weight in weights.items():
        if random.random() < float(weight):
            return str(version)
    return str(alias.get("FunctionVersion", "$LATEST"))


def routed(function: dict[str, Any] | None, qualifier: str | None) -> tuple[dict[str, Any] | None, str]:
    """A record ready to be executed, and the version it is; `None` where the qualifier is unknown."""
    if function is None:
        return None, ""
    version = qualifier or "$LATEST"
    if version in function.get("aliases", {}):
        version = draw_version(function["aliases"][version])
    if version == "$LATEST":
        source = function
    elif version == PUBLISHED:
        source = function.get("published")
    else:
        source = function.get("versions", {}).get(version)
    if source is None:
        return None, ""
    record = dict(source)
    config = dict(record["config"])
    config["FunctionArn"] = _unqualified(function["config"]["FunctionArn"]) + (f":{qualifier}" if qualifier else "")
    config["Version"] = version
    record["config"] = config
    # Reserved concurrency and async settings belong to the function, not to a version's snapshot.
    for shared in ("concurrency", "event_invoke_config", "event_invoke_configs"):
        if function.get(shared) is not None:
            record[shared] = function[shared]
    record[ROUTE] = qualifier
    return record, version


def _unqualified(arn: str) -> str:
    return ":".join(arn.split(":")[:7])
