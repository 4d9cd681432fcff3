"""DynamoDB's transactions in progress: what they hold, and how a write that comes in between is refused.

ministack runs one write after the other, so none ever meets another. On AWS a write of a single item fails with
TransactionConflictException while a transaction holds that item, and of two transactions on the same item one is
cancelled.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ministack.services import dynamodb

from . import http1, wire

TRANSACTION = "TransactWriteItems"
WRITES = ("PutItem", "UpdateItem", "DeleteItem", TRANSACTION)

_ONGOING = "Transaction is ongoing for the item"
_REASONS = {
    "transaction-conflict": [("TransactionConflict", _ONGOING)],
    # A table on demand says the one, a provisioned one the other.
    "transaction-throttled": [
        ("ThrottlingError", "Throughput exceeds the current capacity of your table or index."),
        ("ProvisionedThroughputExceeded", "The level of configured provisioned throughput was exceeded."),
    ],
}
KINDS = {"transaction-conflict": WRITES, "transaction-throttled": (TRANSACTION,), "hold": (TRANSACTION,)}
"""Faults of their own, and the actions that they can strike. `hold`: the transaction takes `seconds`."""

Item = tuple[str, str]
_held: Counter[Item] = Counter()


@contextmanager
def hold(service: str, action: str, body: bytes, headers: dict[str, str]) -> Iterator[http1.Response | None]:
    """Yields the refusal of a write to what a transaction holds. A transaction that gets none holds its items."""
    if service != "dynamodb" or action not in WRITES:
        yield None
        return
    parts = _parts(action, wire.decode(body, headers, limit=None))
    items = [_item(part) for part in parts]
    taken = [item is not None and _held[item] > 0 for item in items]
    if any(taken):
        reasons = _REASONS["transaction-conflict"] * len(items)
        yield _refused(action, [reason if held else None for reason, held in zip(reasons, taken)])
        return
    own = Counter(item for item in items if item is not None) if action == TRANSACTION else Counter()
    _held.update(own)
    try:
        yield None
    finally:
        _held.subtract(own)


def refusal(kind: str, action: str, body: bytes, headers: dict[str, str]) -> http1.Response:
    """What a write that `kind` strikes is answered."""
    count = len(_parts(action, wire.decode(body, headers, limit=None)))
    reasons: list[tuple[str, str] | None] = [None] * count
    for place, reason in zip((0, -1), _REASONS[kind]):
        reasons[place] = reason
    return _refused(action, reasons)


def _refused(action: str, reasons: list[tuple[str, str] | None]) -> http1.Response:
    if action == TRANSACTION:
        code = "TransactionCanceledException"
        codes = [reason[0] if reason else "None" for reason in reasons]
        data: dict[str, Any] = {
            "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons "
            f"[{', '.join(codes)}]",
            "CancellationReasons": [
                {"Code": reason[0], "Message": reason[1]} if reason else {"Code": "None"} for reason in reasons
            ],
        }
    else:
        code, data = "TransactionConflictException", {"message": _ONGOING}
    data = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", **data}
    headers = [
        (b"x-amzn-requestid", wire.new_request_id().encode()),
        (b"content-type", b"application/x-amz-json-1.0"),
    ]
    return http1.Response(400, headers, json.dumps(data).encode())


def _parts(action: str, data: Any) -> list[dict[str, Any]]:
    """What is written, an item each."""
    if action != TRANSACTION:
        return [data]
    return [part for item in data.get("TransactItems") or () for part in item.values()]


def _item(part: dict[str, Any]) -> Item | None:
    """Table and key; None where the table is not there."""
    name = str(part.get("TableName")).rsplit("/", 1)[-1]
    table = next((table for (_, _, known), table in dynamodb._tables.all_items() if known == name), None)
    if table is None:
        return None
    values = part.get("Key") or part.get("Item") or {}
    return name, json.dumps([values.get(table.get(field)) for field in ("pk_name", "sk_name")], sort_keys=True)
