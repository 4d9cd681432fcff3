"""Writes what is made of definitions.yaml: the definitions that are deployed, and their pictures in docs/pictures.

With --definitions the definitions alone; with --check nothing, but says which files are not what they should be.
"""

import json
import pathlib
import sys

import yaml

import pictures

HERE = pathlib.Path(__file__).resolve().parent
ORDER = ("Comment", "Type", "Resource", "Parameters")


def state(written):
    """A state's fields in the order in which a person reads them: what it is, and then where it leads."""
    first = {name: written[name] for name in ORDER if name in written}
    last = {name: written[name] for name in ("Catch", "Next", "Default") if name in written}
    return {**first, **{name: value for name, value in written.items() if name not in last}, **last}


def files():
    source = yaml.safe_load((HERE / "definitions.yaml").read_text())
    for name in ("deployment", "retention"):
        machine = source[name]
        machine["States"] = {each: state(written) for each, written in machine["States"].items()}
        yield HERE / f"{name}.asl.json", json.dumps(machine, indent=2, ensure_ascii=False) + "\n"
    if "--definitions" not in sys.argv:
        yield from pictures.pictures(source["deployment"], HERE.parent / "docs" / "pictures")


def main():
    stale = []
    for path, text in files():
        if path.exists() and path.read_text() == text:
            continue
        stale.append(path.name)
        if "--check" not in sys.argv:
            path.write_text(text)
    if stale and "--check" in sys.argv:
        sys.exit(f"{', '.join(stale)}: not what definitions.yaml says; run `make graph`")


if __name__ == "__main__":
    main()
