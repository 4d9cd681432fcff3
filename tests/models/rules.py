"""What services ask of requests beyond their models; each rule yields what breaks it."""

from __future__ import annotations

import functools
import importlib.resources
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

Values = dict[str, Any]


def broken(service: str, operation: str, values: Values) -> Iterator[str]:
    """The rules that a request breaks. One whose values are not of the model's types is the model's to report."""
    rule = _RULES.get((service, operation))
    if rule is not None:
        yield from rule(values)


# ── DynamoDB ─────────────────────────────────────────────────────────────────────────────────


@functools.cache
def reserved_words() -> frozenset[str]:
    """DynamoDB's, as moto lists them."""
    text = importlib.resources.files("moto.dynamodb.parsing").joinpath("reserved_keywords.txt").read_text()
    return frozenset(text.upper().split())


_EXPRESSIONS = (
    "ConditionExpression",
    "UpdateExpression",
    "KeyConditionExpression",
    "FilterExpression",
    "ProjectionExpression",
)
_WORDS = {"SET", "REMOVE", "ADD", "DELETE", "AND", "OR", "NOT", "BETWEEN", "IN"}
_FUNCTIONS = {
    "attribute_exists",
    "attribute_not_exists",
    "attribute_type",
    "begins_with",
    "contains",
    "size",
    "if_not_exists",
    "list_append",
}
_TOKEN = re.compile(r"[#:]?[A-Za-z_][A-Za-z0-9_]*")


def _expressions(values: Values) -> Iterator[str]:
    texts = [values[name] for name in _EXPRESSIONS if name in values]
    tokens = [token for text in texts for token in _TOKEN.findall(text)]
    for kind, sign in (("ExpressionAttributeNames", "#"), ("ExpressionAttributeValues", ":")):
        used, defined = {t for t in tokens if t[0] == sign}, set(values.get(kind) or ())
        if unused := defined - used:
            yield f"{kind} defines {', '.join(sorted(unused))}, which nothing uses"
        if missing := used - defined:
            yield f"{', '.join(sorted(missing))} is not in {kind}"
        if kind in values and not values[kind]:
            yield f"{kind} is empty"
    for token in tokens:
        if token[0] in "#:" or token.upper() in _WORDS or token in _FUNCTIONS:
            continue
        if token.upper() in reserved_words():
            yield f"{token} is a reserved word"
    yield from _overlapping(values)


_CLAUSE = re.compile(r"\b(SET|REMOVE|ADD|DELETE)\b", re.IGNORECASE)


def _overlapping(values: Values) -> Iterator[str]:
    """Two paths of an update of which one is the other or a part of it."""
    names = values.get("ExpressionAttributeNames") or {}
    parts = _CLAUSE.split(values.get("UpdateExpression", ""))
    clauses = [clause.upper() for clause in parts[1::2]]
    for clause, count in Counter(clauses).items():
        if count > 1:
            yield f"the update has {clause} {count} times"
    paths = []
    for text in parts[2::2]:
        for action in re.split(r",(?![^(]*\))", text):
            path = re.split(r"[=\s]", action.strip())[0]
            paths.append([names.get(part, part) for part in re.split(r"[.\[]", path.replace("]", ""))])
    for nth, one in enumerate(paths):
        for other in paths[nth + 1 :]:
            if one[: len(other)] == other[: len(one)]:
                yield f"the paths {'.'.join(one)} and {'.'.join(other)} overlap"


def _item(value: Any, where: str, key: bool = False) -> Iterator[str]:
    """What DynamoDB does not store: empty sets, empty keys, numbers that are none."""
    if not isinstance(value, dict):
        return
    if len(value) != 1:
        yield f"{where}: {len(value)} types of a value; exactly one is wanted"
    for kind, content in value.items():
        if kind == "N" and not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", str(content)):
            yield f"{where}: {content!r} is no number"
        elif kind in ("SS", "NS", "BS"):
            if not content:
                yield f"{where}: an empty set"
            elif len(set(content)) != len(content):
                yield f"{where}: a set with a member twice"
        elif key and kind in ("S", "B") and not content:
            yield f"{where}: an empty key"
        elif kind == "L":
            for item in content:
                yield from _item(item, where)
        elif kind == "M":
            for name, item in content.items():
                yield from _item(item, f"{where}.{name}")


def _items(values: Values) -> Iterator[str]:
    for name, value in (values.get("Key") or {}).items():
        yield from _item(value, f"Key.{name}", key=True)
    for name, value in (values.get("Item") or {}).items():
        yield from _item(value, f"Item.{name}", key=name in _KEYS)
    for name, value in (values.get("ExpressionAttributeValues") or {}).items():
        yield from _item(value, name)
    if len(json.dumps(values.get("Item") or {}).encode()) > 400 * 1024:
        yield "the item is over 400 KB"


_KEYS = ("pk", "sk")


def _one_item(values: Values) -> Iterator[str]:
    yield from _expressions(values)
    yield from _items(values)


def _transaction(values: Values) -> Iterator[str]:
    actions = [next(iter(action.items())) for action in values.get("TransactItems") or [] if len(action) == 1]
    if len(actions) != len(values.get("TransactItems") or []):
        yield "an action that is not exactly one of Put, Update, Delete, ConditionCheck and Get"
    if len(actions) > 100:
        yield f"{len(actions)} actions in a transaction; 100 are allowed"
    items = Counter()
    for kind, action in actions:
        yield from _one_item(action)
        key = action.get("Key") or {name: (action.get("Item") or {}).get(name) for name in _KEYS}
        items[action.get("TableName"), json.dumps(key, sort_keys=True)] += 1
        if kind == "ConditionCheck" and "ConditionExpression" not in action:
            yield "a ConditionCheck without a condition"
    for (_table, key), count in items.items():
        if count > 1:
            yield f"{count} actions on the item {key}"
    if len(json.dumps(values).encode()) > 4 * 1024 * 1024:
        yield "the transaction is over 4 MB"


# ── CloudWatch ───────────────────────────────────────────────────────────────────────────────

_STATISTIC = re.compile(
    r"SampleCount|Average|Sum|Minimum|Maximum|IQM|p(\d{1,2}(\.\d{1,10})?|100)|(tm|wm|tc|ts)\d{1,2}(\.\d+)?"
    r"|(TM|WM|TC|TS|PR)\([\d.%]*:[\d.%]*\)"
)


def _metric_data(values: Values) -> Iterator[str]:
    queries = values.get("MetricDataQueries") or []
    if len(queries) > 500:
        yield f"{len(queries)} queries; 500 are allowed"
    for identity, count in Counter(query.get("Id") for query in queries).items():
        if count > 1:
            yield f"the id {identity} {count} times"
        if not re.fullmatch(r"[a-z][a-zA-Z0-9_]*", str(identity)):
            yield f"the id {identity!r} does not begin with a small letter, or has more than letters, digits and _"
    if not any(query.get("ReturnData", True) for query in queries):
        yield "no query returns data"
    for query in queries:
        if ("MetricStat" in query) == ("Expression" in query):
            yield f"{query.get('Id')} has both a metric and an expression, or neither"
        stat = query.get("MetricStat") or {}
        period = stat.get("Period")
        if period is not None and period not in (1, 5, 10, 20, 30) and (period < 60 or period % 60):
            yield f"a period of {period} s"
        if "Stat" in stat and not _STATISTIC.fullmatch(str(stat["Stat"])):
            yield f"no statistic {stat['Stat']!r}"
        dimensions = [d.get("Name") for d in (stat.get("Metric") or {}).get("Dimensions") or ()]
        if len(set(dimensions)) != len(dimensions):
            yield f"a dimension twice: {', '.join(map(str, dimensions))}"
    begin, end = values.get("StartTime"), values.get("EndTime")
    if begin is not None and end is not None and not begin < end:
        yield "it ends before it begins"


def _describe_alarms(values: Values) -> Iterator[str]:
    if "AlarmNames" in values and "AlarmNamePrefix" in values:
        yield "both names and a prefix"


# ── Others ───────────────────────────────────────────────────────────────────────────────────


def _publish(values: Values) -> Iterator[str]:
    subject = values.get("Subject")
    if subject is not None and not re.fullmatch(r"[\x20-\x7e]{1,99}", subject):
        yield f"the subject {subject!r} is empty, over 99 characters or not plain ASCII"
    elif subject is not None and not re.match(r"[A-Za-z0-9!-/:-@\[-`{-~]", subject):
        yield f"the subject {subject!r} does not begin with a letter, a digit or a sign"
    if not values.get("Message"):
        yield "an empty message"
    if len(json.dumps(values).encode()) > 256 * 1024:
        yield "the message is over 256 KB"
    if len({"TopicArn", "TargetArn", "PhoneNumber"} & set(values)) != 1:
        yield "not exactly one place to publish to"
    for name, attribute in (values.get("MessageAttributes") or {}).items():
        if not attribute.get("StringValue") and not attribute.get("BinaryValue"):
            yield f"the attribute {name} is empty"
        if name.startswith(".") or name.endswith(".") or ".." in name or name.lower().startswith(("aws.", "amazon.")):
            yield f"no attribute may be called {name!r}"


def _put_events(values: Values) -> Iterator[str]:
    entries = values.get("Entries") or []
    size = 0
    for entry in entries:
        for name in ("Source", "DetailType", "Detail"):
            if not entry.get(name):
                yield f"an entry without {name}"
        if str(entry.get("Source", "")).startswith("aws."):
            yield f"the source {entry['Source']} is AWS's own"
        try:
            if not isinstance(json.loads(entry.get("Detail") or "{}"), dict):
                yield "a detail that is no object"
        except ValueError:
            yield "a detail that is no JSON"
        size += 14 + sum(len(str(entry.get(name, "")).encode()) for name in ("Source", "DetailType", "Detail"))
    if size > 256 * 1024:
        yield f"entries of {size} bytes; 262,144 are allowed"


def _alias(values: Values) -> Iterator[str]:
    weights = (values.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    if len(weights) > 1:
        yield f"weights for {len(weights)} versions besides the alias's own"
    if values.get("FunctionVersion") in weights:
        yield f"the version {values['FunctionVersion']} twice"
    if weights and values.get("FunctionVersion") == "$LATEST":
        yield "weights beside $LATEST"


def _update_code(values: Values) -> Iterator[str]:
    sources = [name for name in ("ZipFile", "S3Bucket", "ImageUri") if name in values]
    if len(sources) != 1:
        yield f"the code comes from {' and '.join(sources) or 'nowhere'}"
    if ("S3Bucket" in values) != ("S3Key" in values):
        yield "a bucket without a key, or a key without a bucket"


# `crossfade doctor` asks by it whether its caller may start executions: it is to be refused, and nothing starts.
REFUSED_ON_PURPOSE = "crossfade doctor?"


def _start_execution(values: Values) -> Iterator[str]:
    name = values.get("name")
    if name == REFUSED_ON_PURPOSE:
        return
    if name is not None and not re.fullmatch(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}", name):
        yield f"the name {name!r} has characters that names may not have"
    try:
        json.loads(values.get("input") or "{}")
    except ValueError:
        yield "an input that is no JSON"
    if len((values.get("input") or "").encode()) > 262_144:
        yield "the input is over 262,144 bytes"


def _task_result(values: Values) -> Iterator[str]:
    try:
        json.loads(values.get("output") or "")
    except ValueError:
        yield "an output that is no JSON"
    if len((values.get("output") or "").encode()) > 262_144:
        yield "the output is over 262,144 bytes"


def _change_records(values: Values) -> Iterator[str]:
    changes = (values.get("ChangeBatch") or {}).get("Changes") or []
    seen = Counter()
    for change in changes:
        records = change.get("ResourceRecordSet") or {}
        seen[change.get("Action"), records.get("Name"), records.get("Type"), records.get("SetIdentifier")] += 1
        if ("AliasTarget" in records) == ("ResourceRecords" in records):
            yield f"{records.get('Name')} is both an alias and records, or neither"
        if ("Weight" in records or "Region" in records) and "SetIdentifier" not in records:
            yield f"{records.get('Name')} has a weight and no SetIdentifier"
        if "ResourceRecords" in records and "TTL" not in records:
            yield f"{records.get('Name')} has no TTL"
    for (action, name, *_rest), count in seen.items():
        if count > 1:
            yield f"{action} of {name} {count} times"


def _listener_actions(values: Values) -> Iterator[str]:
    actions = values.get("Actions") or values.get("DefaultActions") or []
    ends = [action.get("Type") for action in actions if action.get("Type") in ("forward", "redirect", "fixed-response")]
    if actions and len(ends) != 1:
        yield f"{len(ends)} actions that answer; exactly one is wanted"
    for action in actions:
        groups = (action.get("ForwardConfig") or {}).get("TargetGroups") or []
        if len(groups) > 5:
            yield f"{len(groups)} target groups in an action; 5 are allowed"
        arns = [group.get("TargetGroupArn") for group in groups]
        if len(set(arns)) != len(arns):
            yield "a target group twice in an action"
        for group in groups:
            if not 0 <= int(group.get("Weight") or 0) <= 999:
                yield f"a weight of {group['Weight']}"
        if len(groups) > 1 and "TargetGroupArn" in action:
            yield "TargetGroupArn beside several groups"


_RULES: dict[tuple[str, str], Callable[[Values], Iterator[str]]] = {
    **{("dynamodb", name): _one_item for name in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan")},
    ("dynamodb", "TransactWriteItems"): _transaction,
    ("dynamodb", "TransactGetItems"): _transaction,
    ("cloudwatch", "GetMetricData"): _metric_data,
    ("cloudwatch", "DescribeAlarms"): _describe_alarms,
    ("sns", "Publish"): _publish,
    ("events", "PutEvents"): _put_events,
    ("lambda", "CreateAlias"): _alias,
    ("lambda", "UpdateAlias"): _alias,
    ("lambda", "UpdateFunctionCode"): _update_code,
    ("stepfunctions", "StartExecution"): _start_execution,
    ("stepfunctions", "SendTaskSuccess"): _task_result,
    ("route53", "ChangeResourceRecordSets"): _change_records,
    ("elbv2", "ModifyRule"): _listener_actions,
    ("elbv2", "ModifyListener"): _listener_actions,
    ("elbv2", "CreateRule"): _listener_actions,
}
