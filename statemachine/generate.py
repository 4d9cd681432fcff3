"""Writes the definitions that are deployed from definitions.yaml; with --check, says which differ from it."""

import json
import pathlib
import sys

import yaml

HERE = pathlib.Path(__file__).parent
ORDER = ["Comment", "Type", "Resource", "Parameters"]


def state(written):
    """A state's fields in the order in which ASL is read: what it is, and then where it leads."""
    first = {name: written[name] for name in ORDER if name in written}
    last = {name: written[name] for name in ("Catch", "Next", "Default") if name in written}
    return {**first, **{name: value for name, value in written.items() if name not in last}, **last}


def definitions():
    source = yaml.safe_load((HERE / "definitions.yaml").read_text())
    for name in ("deployment", "retention"):
        machine = source[name]
        machine["States"] = {each: state(written) for each, written in machine["States"].items()}
        yield HERE / f"{name}.asl.json", json.dumps(machine, indent=2, ensure_ascii=False) + "\n"


def main():
    stale = [(path, text) for path, text in definitions() if path.read_text() != text]
    if "--check" in sys.argv:
        names = ", ".join(path.name for path, _ in stale)
        sys.exit(f"{names}: not what definitions.yaml says; run `make graph`" if stale else 0)
    for path, text in stale:
        path.write_text(text)


if __name__ == "__main__":
    main()
