"""What deny.toml says about licences, banned crates and sources, checked with what `cargo metadata` knows.

    python tests/deny.py

For machines without cargo-deny, whose `cargo deny check` says the same and more: advisories, duplicates,
the texts of licences. It is no crate of ours to build for that: it takes minutes to compile.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib  # type: ignore[no-redef]

ROOT = Path(__file__).resolve().parents[1]
# How Cargo names what comes from a registry, and not from a repository or another place.
REGISTRY = ("registry+", "sparse+")


def allowed(expression: str, licenses: set[str]) -> bool:
    """Whether an SPDX expression can be met by these licences. `/` is how crates once wrote OR."""
    words = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))

    def either() -> bool:
        met = both()
        while words and words[0] == "OR":
            words.pop(0)
            met = both() or met
        return met

    def both() -> bool:
        met = one()
        while words and words[0] == "AND":
            words.pop(0)
            met = one() and met
        return met

    def one() -> bool:
        word = words.pop(0)
        if word == "(":
            met = either()
            words.pop(0)
            return met
        if words and words[0] == "WITH":
            words.pop(0)
            word = f"{word} WITH {words.pop(0)}"
        return word in licenses

    return either() and not words


def problems(rules: dict[str, Any], packages: list[dict[str, Any]]) -> list[str]:
    """What is wrong with these packages."""
    licenses = set(rules["licenses"]["allow"])
    banned = {str(ban["crate"]): str(ban["reason"]) for ban in rules["bans"]["deny"]}
    found = []
    for package in packages:
        name = f"{package['name']} {package['version']}"
        expression = package.get("license")
        if package.get("only_tests"):
            pass  # Nobody is given it.
        elif not expression:
            found.append(f"{name} says no licence")
        elif not allowed(expression, licenses):
            found.append(f"{name} has a licence that deny.toml does not allow: {expression}")
        if package["name"] in banned:
            found.append(f"{name} is banned: {banned[package['name']]}")
        source = package.get("source")
        if source is not None and not source.startswith(REGISTRY):
            found.append(f"{name} does not come from a registry: {source}")
    registries = {package.get("source") for package in packages if str(package.get("source")).startswith(REGISTRY)}
    if len(registries) > 1:
        found.append(f"packages come from several registries: {sorted(map(str, registries))}")
    return found


def resolved(target: str) -> list[dict[str, Any]]:
    """The packages that are built for a target; those that only tests need are marked."""
    said = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    metadata = json.loads(said.stdout)
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    shipped, ahead = set(metadata["workspace_members"]), list(metadata["workspace_members"])
    while ahead:
        for dependency in nodes[ahead.pop()]["deps"]:
            if dependency["pkg"] in shipped or all(kind["kind"] == "dev" for kind in dependency["dep_kinds"]):
                continue
            shipped.add(dependency["pkg"])
            ahead.append(dependency["pkg"])
    built = [package for package in metadata["packages"] if package["id"] in nodes]
    return [{**package, "only_tests": package["id"] not in shipped} for package in built]


def check_the_check() -> None:
    """Each rule finds what breaks it."""
    rules = {
        "licenses": {"allow": ["MIT", "Apache-2.0 WITH LLVM-exception"]},
        "bans": {"deny": [{"crate": "x", "reason": "y"}]},
    }
    fine = {"name": "a", "version": "1", "license": "MIT", "source": "registry+usual"}
    assert problems(rules, [fine, {**fine, "source": None}]) == []
    for wrong in (
        {"license": "GPL-3.0-only"},
        {"license": None},
        {"license": "MIT AND GPL-3.0-only"},
        {"license": "(MIT OR ISC) AND ISC"},
        {"license": "Apache-2.0"},
        {"name": "x"},
        {"source": "git+https://example.com/a"},
    ):
        assert len(problems(rules, [{**fine, **wrong}])) == 1, wrong
    assert len(problems(rules, [fine, {**fine, "source": "registry+another"}])) == 1
    for right in ("MIT OR GPL-3.0-only", "GPL-3.0-only/MIT", "(ISC OR MIT) AND MIT", "Apache-2.0 WITH LLVM-exception"):
        assert problems(rules, [{**fine, "license": right}]) == [], right


def main() -> int:
    check_the_check()
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    found: set[str] = set()
    count = 0
    for target in rules["graph"]["targets"]:
        packages = resolved(target)
        count = max(count, len(packages))
        found.update(problems(rules, packages))
    for problem in sorted(found):
        print(f"deny: {problem}")
    print(f"deny: {count} packages: licences, bans and sources {'are not as deny.toml says' if found else 'ok'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
