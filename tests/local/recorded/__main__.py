#!/usr/bin/env python3
"""Replays against the local AWS the calls behind answers that others recorded from AWS.

    python tests/local/recorded [--only TEXT] [--all]

The recordings are in `../shared/recorded` beside the project, or where CROSSFADE_RECORDED says; without
them nothing is run. `--only` replays the recordings whose names contain a text, `--all` lists the
accepted differences too. Exits with 1 when an answer differs and `differences.json` does not
say why that does not matter, or when it lists what no longer differs.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import sys
import traceback
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import alarms  # noqa: E402
import controls  # noqa: E402
import executions  # noqa: E402
import invocations  # noqa: E402
import others  # noqa: E402
import provisioning  # noqa: E402
from replay import Accepted, Comparison, Difference, Replay, load  # noqa: E402
from test_bridge import LocalAws  # noqa: E402

FOLDER = "CROSSFADE_RECORDED"
SUITES = [
    suite for module in (alarms, controls, executions, invocations, others, provisioning) for suite in module.SUITES
]
AT_ONCE = 24


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--all", action="store_true")
    arguments = parser.parse_args()
    folder = Path(os.environ.get(FOLDER) or HERE.parents[2].parent / "shared" / "recorded")
    if not folder.is_dir():
        print(f"recorded: skipped, there are no recordings at {folder} ({FOLDER} names another folder)")
        return 0
    recordings = load(folder)
    scenarios = {(suite.file, name): scenario for suite in SUITES for name, scenario in suite.by_name.items()}
    chosen = [key for key in scenarios if arguments.only in f"{key[0]} {key[1]}"]
    # Long enough that what is asked next, on a busy machine too, is answered while an update is in progress.
    os.environ.setdefault("CROSSFADE_LOCAL_SETTLE", "3")
    aws = LocalAws(wait_scale=0.1)
    try:
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            done = list(pool.map(lambda key: one(aws, recordings, scenarios, key), chosen))
    finally:
        aws.stop()
    accepted = Accepted(json.loads((HERE / "differences.json").read_text()))
    return report(done, accepted, recordings, partial=bool(arguments.only), everything=arguments.all)


Done = tuple[str, int, dict[str, list[Difference]], list[str]]
"""A recording, how many answers were compared, those that differ by step, and what went wrong besides."""


def one(aws: LocalAws, recordings, scenarios, key) -> Done:  # type: ignore[no-untyped-def]
    """Replays one recording and compares its answers."""
    file, name = key
    title = f"{file} {name}"
    recorded = recordings.get(file, {}).get(name)
    if recorded is None:
        return title, 0, {}, [f"{title}: there is no such recording"]
    replay = Replay(aws, name)
    wrong = []
    try:
        scenarios[key](replay)
    except Exception:  # noqa: BLE001 - it is reported, and the others go on
        wrong.append(f"{title}: {traceback.format_exc()}")
    if missing := set(recorded) - set(replay.answers):
        wrong.append(f"{title}: not replayed: {', '.join(sorted(missing))}")
    if unknown := set(replay.answers) - set(recorded):
        wrong.append(f"{title}: not recorded: {', '.join(sorted(unknown))}")
    comparison = Comparison(title)
    compared = {
        step: comparison.differences(step, recorded[step], answer)
        # As they were answered: the first that has a placeholder tells what it stands for.
        for step, answer in replay.answers.items()
        if step in recorded
    }
    return title, len(compared), {step: found for step, found in compared.items() if found}, wrong


def report(done: list[Done], accepted: Accepted, recordings, *, partial: bool, everything: bool) -> int:  # type: ignore[no-untyped-def]
    compared = sum(count for _title, count, _differ, _wrong in done)
    failures = [why for _title, _count, _differ, wrong in done for why in wrong]
    reasons: Counter[str] = Counter()
    differ = 0
    for _title, _count, steps, _wrong in done:
        for found in steps.values():
            differ += 1
            why = [(difference, accepted.why(difference)) for difference in found]
            failures += [str(difference) for difference, reason in why if reason is None]
            reasons.update({reason for _difference, reason in why if reason})
            if everything:
                for difference, reason in why:
                    print(f"  {difference}\n      {reason}")
    left = json.loads((HERE / "out_of_scope.json").read_text())
    replayed = {title for title, *_rest in done}
    for file, content in recordings.items():
        for name, steps in content.items():
            listed = [group for group in left if f"{file} {name}" in group["recordings"]]
            if not partial and len(listed) + (f"{file} {name}" in replayed) != 1:
                failures.append(
                    f"{file} {name}: neither replayed nor out of scope" if not listed else f"{file} {name}: both"
                )
    if not partial:
        failures += [f"differs no more: {json.dumps(entry)}" for entry in accepted.unused()]
    print(f"recorded: {differ} answers differ for these reasons (an answer may have several):")
    for reason, count in reasons.most_common():
        print(f"    {count:4} {reason}")
    total = sum(len(steps) for content in recordings.values() for steps in content.values())
    size = {f"{file} {name}": len(steps) for file, content in recordings.items() for name, steps in content.items()}
    print(f"recorded: {total - compared} of the {total} recorded answers are of what Crossfade does not use:")
    for group in left:
        print(f"    {sum(size.get(name, 0) for name in group['recordings']):4} {group['why']}")
    for failure in failures:
        print(f"recorded: {failure}")
    print(
        f"recorded: {compared} answers compared, {compared - differ} alike, {differ} differ"
        " (listed, each with why it does not matter)"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
