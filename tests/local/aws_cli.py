"""`aws SERVICE OPERATION --option value …` as far as README's commands go, for machines without the AWS CLI.

Reads options, `file://`, `Name=…,Value=…`, `--query` and `--output text` as the AWS CLI does, by botocore's models.
"""

import json
import sys
from typing import Any

import jmespath
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.session import get_session

# Members whose names are options of the AWS CLI's own have others there.
RENAMED = {"notification-endpoint": "endpoint"}


def value(shape: Any, words: list[str]) -> Any:
    words = [open(word[7:]).read() if word.startswith("file://") else word for word in words]
    match shape.type_name:
        case "list" if shape.member.type_name == "structure":
            return [dict(pair.split("=", 1) for pair in word.split(",")) for word in words]
        case "list":
            return words
        case "integer" | "long":
            return int(words[0])
        case "float" | "double":
            return float(words[0])
        case "boolean":
            return True
    return words[0]


def text(found: Any) -> str:
    if isinstance(found, list):
        return "\t".join(text(one) for one in found)
    return json.dumps(found) if isinstance(found, dict) else str(found)


def main(service: str, verb: str, *rest: str) -> int:
    options: dict[str, list[str]] = {}
    for word in rest:
        if word.startswith("--"):
            options[word[2:]] = []
        else:
            options[next(reversed(options))].append(word)
    query = options.pop("query", None)
    as_text = options.pop("output", None) == ["text"]
    client = get_session().create_client(service)
    operation = {xform_name(name, "-"): name for name in client.meta.service_model.operation_names}[verb]
    members = client.meta.service_model.operation_model(operation).input_shape.members
    known = {xform_name(name, "-"): name for name in members}
    if "max-items" in options:  # One page here: there are not more items.
        options["max-results"] = options.pop("max-items")
    given = {known[RENAMED.get(name, name)]: words for name, words in options.items()}
    call = getattr(client, xform_name(operation))
    try:
        answer = call(**{name: value(members[name], words) for name, words in given.items()})
    except ClientError as error:
        print(f"\n{error}", file=sys.stderr)
        return 254
    answer.pop("ResponseMetadata")
    found = jmespath.search(query[0], answer) if query else answer
    if found or query:
        print(text(found) if as_text else json.dumps(found, default=str, indent=4))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
