"""Writes the module stack's variables, parameters and outputs from Crossfade's template. Needs PyYAML.

    python3 generate.py [--check]

With --check it writes nothing, and exits with 1 if a file is not current.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
STACK = HERE / "stack"
TEMPLATE = HERE.parents[1] / "template.yaml"
TYPES = {"CommaDelimitedList": "list(string)", "Number": "number", "String": "string"}
# An output whose name in the module is another one.
NAMES = {"DeploymentStateMachineArn": "state_machine_arn"}


class Loader(yaml.SafeLoader):
    """Reads a template, and leaves out what its functions would return."""


Loader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


def snake(name: str) -> str:
    """Returns a name of the template as Terraform has names."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def variables(parameters: dict[str, Any]) -> str:
    """Returns a variable for each parameter. One that the template has a default for may be null."""
    parts = []
    for name, parameter in parameters.items():
        lines = [
            f'variable "{snake(name)}" {{',
            f"  description = {json.dumps(parameter['Description'], ensure_ascii=False)}",
            f"  type        = {TYPES[parameter['Type']]}",
            *(["  default     = null"] if "Default" in parameter else []),
            "}\n",
        ]
        parts.append("\n".join(lines))
    return "\n".join(parts)


def values(parameters: dict[str, Any]) -> str:
    """Returns the parameters' values."""
    width = max(map(len, parameters))
    lines = []
    for name, parameter in parameters.items():
        value = f"var.{snake(name)}"
        if parameter["Type"] == "CommaDelimitedList":
            value = f'{value} == null ? null : join(",", {value})'
        lines.append(f"    {name.ljust(width)} = {value}\n")
    return "".join(lines)


def outputs(all_outputs: dict[str, Any]) -> str:
    """Returns an output for each of the template's; one that the stack may not have may be null."""
    parts = []
    for name, output in all_outputs.items():
        stack = "aws_cloudformation_stack.crossfade.outputs"
        value = f'lookup({stack}, "{name}", null)' if "Condition" in output else f'{stack}["{name}"]'
        description = json.dumps(output["Description"], ensure_ascii=False)
        parts.append(f'output "{NAMES.get(name, snake(name))}" {{\n  description = {description}\n  value       = {value}\n}}\n')
    return "\n".join(parts)


def generate() -> dict[Path, str]:
    """Returns the text of each file."""
    template = yaml.load(TEMPLATE.read_text(), Loader)
    main = (STACK / "main.tf").read_text()
    begin = main.index("  parameters = {\n") + len("  parameters = {\n")
    end = main.index("  }\n", begin)
    # What is not of the template stays as it is: it ends with this line.
    own = (STACK / "variables.tf").read_text().split(mark := "# One variable for each of the template's parameters.\n\n")[0]
    return {
        STACK / "variables.tf": own + mark + variables(template["Parameters"]),
        STACK / "main.tf": main[:begin] + values(template["Parameters"]) + main[end:],
        STACK / "outputs.tf": outputs(template["Outputs"]),
    }


if __name__ == "__main__":
    files = generate()
    if "--check" in sys.argv:
        stale = [path.name for path, text in files.items() if path.read_text() != text]
        sys.exit(f"not current: {', '.join(stale)}; run generate.py" if stale else 0)
    for path, text in files.items():
        path.write_text(text)
