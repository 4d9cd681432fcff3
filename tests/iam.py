#!/usr/bin/env python3
"""Least privilege, shown: what the stack's roles were used for, against what the template grants them.

    python tests/iam.py [target/iam/*.json]

The records are written by the suites (`crossfade_tests::iam::record`): the local AWS refuses what a
role does not allow and writes down which statement allowed the rest. The grants are those of the
template that `sam build` made, translated by SAM. Exits with 1 when an action was used that is not
granted, when one is granted that nothing used, or when a `*` stands where the service takes more.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import botocore

HERE = Path(__file__).resolve().parent
BUILT = HERE.parent / ".aws-sam" / "build" / "template.yaml"
sys.path.insert(0, str(HERE / "local" / "bridge"))
import iam_actions  # noqa: E402 - it needs nothing of the local AWS

PARAMETERS = {
    "TargetFunctionPrefix": "demo-",
    "ArtifactBucket": "artifacts",
    "ImageRepositoryPrefix": "demo-",
    "ImageRepositoryArns": "arn:aws:ecr:us-east-1:123456789012:repository/demo-*",
    "KmsKeyArns": "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "HostedZoneArns": "arn:aws:route53:::hostedzone/Z0123456789ABCDEFGHIJ",
    "LoadBalancerPrefix": "demo-",
    "LiveErrors": "yes",
    "ReservedConcurrency": "5",
    "Architecture": "x86_64",
}
"""Such that every condition of the template holds."""

LOCKED_KEY = "arn:aws:kms:us-east-1:000000000000:key/0a1b2c3d-0000-0000-0000-000000000002"
"""The key that the suite does not allow the stack: tests ask for its refusal (`LOCKED_KEY` in tests/src/stack.rs)."""

STACK = "crossfade"
"""The stack that the suites release with."""


class Grant(NamedTuple):
    """One action of one statement of a role."""

    role: str
    policy: str
    statement: int
    action: str


class Statement(NamedTuple):
    """A statement of a role."""

    role: str
    policy: str
    index: int
    sid: str
    actions: tuple[str, ...]
    resources: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.role} {self.sid or self.policy}"


# ── What is granted ──────────────────────────────────────────────────────────────────────────


def translated() -> dict[str, Any]:
    """The template with SAM's resources written out."""
    from samcli.lib.translate.sam_template_validator import SamTemplateValidator
    from samcli.yamlhelper import yaml_parse

    nobody = SimpleNamespace(load=dict)
    validator = SamTemplateValidator(
        yaml_parse(BUILT.read_text()), nobody, region="us-east-1", parameter_overrides=PARAMETERS
    )
    written: dict[str, Any] = yaml_parse(validator.get_translated_template_if_valid())
    return written


def chosen(value: Any) -> Any:
    """With every condition true."""
    if isinstance(value, dict) and set(value) == {"Fn::If"}:
        return chosen(value["Fn::If"][1])
    return value


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(template: dict[str, Any]) -> list[Statement]:
    found = []
    for role, resource in template["Resources"].items():
        if resource["Type"] != "AWS::IAM::Role":
            continue
        for policy in map(chosen, resource["Properties"].get("Policies") or ()):
            for index, statement in enumerate(map(chosen, as_list(policy["PolicyDocument"]["Statement"]))):
                found.append(
                    Statement(
                        role,
                        policy["PolicyName"],
                        index,
                        statement.get("Sid", ""),
                        tuple(as_list(statement["Action"])),
                        tuple(as_list(chosen(statement["Resource"]))),
                    )
                )
    return found


def managed(template: dict[str, Any]) -> dict[str, int]:
    """AWS's own policies -> how many roles have them."""
    counts: dict[str, int] = defaultdict(int)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::IAM::Role":
            for arn in resource["Properties"].get("ManagedPolicyArns") or ():
                counts[re.sub(r".*/", "", arn if isinstance(arn, str) else json.dumps(arn)).rstrip('"]}')] += 1
    return dict(counts)


# ── Why a star ───────────────────────────────────────────────────────────────────────────────


def forced(action: str) -> str | None:
    """Why an action takes no resource but `*`; None when it takes one."""
    types = iam_actions.resource_types(action)
    if types == []:
        return "takes no resource (service authorization reference)"
    if action == "cloudwatch:DescribeAlarms" and "scoped to <code>*</code>" in documented("cloudwatch", "DescribeAlarms"):
        return "tells of composite alarms only to who may describe all (CloudWatch's API reference)"
    if action == "cloudwatch:GetMetricData" and types == ["dataset"]:
        return "takes no metric, for metrics have no ARN: its one type of resource is a dataset"
    return None


def documented(service: str, operation: str) -> str:
    """What a service's own model says about an operation."""
    versions = Path(botocore.__file__).parent / "data" / service
    file = max(versions.iterdir()) / "service-2.json"
    raw = file.read_bytes() if file.exists() else gzip.decompress(file.with_name("service-2.json.gz").read_bytes())
    return str(json.loads(raw)["operations"][operation].get("documentation", ""))


# ── The comparison ───────────────────────────────────────────────────────────────────────────


class Comparison(NamedTuple):
    """What the suites did against what is granted."""

    functions: set[str]
    machines: set[str]
    used: set[Grant]
    beyond: list[str]
    """Used and not granted, and refused therefore."""
    unused: list[str]
    """Granted and never used: actions, whole statements, and resources where a statement lists several."""
    other: list[str]
    """What ran is not what is granted now."""


def compare(granted: list[Statement], records: list[dict[str, Any]]) -> Comparison:
    found = Comparison(set(), set(), set(), [], [], [])
    patterns: dict[tuple[str, str, int], set[str]] = defaultdict(set)
    ran: dict[tuple[str, str, int], dict[str, Any]] = {}
    refused: dict[tuple[str, str, str], list[str]] = {}
    for record in records:
        # A suite may deploy a second stack, with other parameters: it is not what is compared.
        roles = [role for role in record["roles"] if role["stack"] == STACK]
        logical = {role["role"]: role["logicalId"] for role in roles}
        for role in roles:
            name = role["logicalId"]
            (found.machines if "StateMachine" in name else found.functions).add(name)
            for policy, document in role["policies"].items():
                for index, statement in enumerate(as_list(document["Statement"])):
                    ran[name, policy, index] = statement
        for one in record["used"]:
            if one["role"] not in logical:
                continue
            key = logical[one["role"]], one["policy"], one["statement"]
            found.used.add(Grant(*key, one["action"]))
            patterns[key].add(one["pattern"])
        for one in record["refused"]:
            if one["role"] not in logical:
                continue
            resources = [resource for resource in one["resources"] if resource != LOCKED_KEY]
            if resources:
                refused[logical[one["role"]], one["action"], one["why"]] = resources
    found.beyond.extend(
        sorted(f"{action} ({role}): {why}, {', '.join(on)}" for (role, action, why), on in refused.items())
    )

    left = dict(ran)
    for statement in granted:
        key = statement.role, statement.policy, statement.index
        with_ = left.pop(key, None)
        if with_ is None or tuple(as_list(with_["Action"])) != statement.actions or with_.get("Sid", "") != statement.sid:
            found.other.append(f"{statement} is not what the suites ran with: run them again")
            continue
        never = [action for action in statement.actions if Grant(*key, action) not in found.used]
        found.unused.extend(f"{action} ({statement})" for action in never)
        if len(never) == len(statement.actions):
            found.unused.append(f"all of {statement}")
        # One resource may be many, where it is a parameter's list; of many each must be used.
        elif len(statement.resources) > 1:
            idle = sorted(set(as_list(with_["Resource"])) - patterns[key])
            found.unused.extend(f"resource {pattern} ({statement})" for pattern in idle)
    found.other.extend(f"{' '.join(map(str, key))} was deployed, and is in the template no more" for key in left)
    return found


def main(files: list[str]) -> int:
    records = [json.loads(Path(file).read_text()) for file in files]
    if not records:
        print("iam: no suite has left a record in target/iam: run tests/all.sh e2e first")
        return 1
    template = translated()
    granted = statements(template)
    found = compare(granted, records)
    grants = {Grant(s.role, s.policy, s.index, action) for s in granted for action in s.actions}
    print(
        f"iam: {len(found.functions)} functions, {len(found.used & grants)} actions used, {len(grants)} granted, "
        f"{len(found.beyond)} used but not granted, {len(found.unused)} granted but never used"
    )
    print(
        f"     ({len(found.machines)} state machines are compared too; an action counts once for each statement of each "
        f"role: {len(granted)} statements, {len({grant.action for grant in grants})} different actions)"
    )
    for title, lines in (("used but not granted", found.beyond), ("granted but never used", found.unused)):
        for line in lines:
            print(f"  {title}: {line}")

    problems = list(found.other)
    stars: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for statement in granted:
        if "*" in statement.resources:
            for action in statement.actions:
                stars[action, forced(action)].append(str(statement))
    print(f"iam: {len(stars)} actions are granted on `*`:")
    for (action, why), of in sorted(stars.items(), key=str):
        print(f"  {action} {why or 'THE SERVICE DOES NOT FORCE IT'} - {', '.join(of)}")
        if why is None:
            problems.append(f"{action} on `*` is not forced by the service: {', '.join(of)}")
    attached = ", ".join(f"{name} to {count} roles" for name, count in sorted(managed(template).items()))
    print(f"iam: SAM attaches AWS's own policies by itself: {attached}")
    for problem in problems:
        print(f"  PROBLEM: {problem}")
    return 1 if found.beyond or found.unused or problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or sorted(map(str, (HERE.parent / "target" / "iam").glob("*.json")))))
