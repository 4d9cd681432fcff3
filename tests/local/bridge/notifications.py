"""What was published to SNS, for tests to read: `GET /_local/notifications`; and subscriptions that wait."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from ministack.services import sns

from . import control

KEPT = 10_000
_published: deque[dict[str, Any]] = deque(maxlen=KEPT)
_lock = threading.Lock()


def _fanout(
    topic_arn: str,
    message_id: str,
    message: str,
    subject: str,
    message_structure: str = "",
    message_attributes: dict[str, Any] | None = None,
    *more: Any,
    **named: Any,
) -> Any:
    """Every publish passes here, whoever makes it: an API call, a state machine, an alarm action."""
    with _lock:
        _published.append(
            {
                "time": time.time(),
                "topic": topic_arn,
                "subject": subject or None,
                "message": message,
                "attributes": message_attributes or {},
            }
        )
    return _original_fanout(
        topic_arn, message_id, message, subject, message_structure, message_attributes, *more, **named
    )


def _list_subscriptions_by_topic(params: dict[str, Any]) -> Any:
    """SNS has these words in the place of an ARN until the subscription is confirmed."""
    status, headers, body = _original_list(params)
    topic, error = sns._get_topic(sns._p(params, "TopicArn"), "sns:ListSubscriptionsByTopic")
    for subscription in [] if error is not None else topic["subscriptions"]:
        if not subscription["confirmed"]:
            body = body.replace(subscription["arn"].encode(), b"PendingConfirmation")
    return status, headers, body


@control.route("GET", "notifications")
def _notifications(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    wanted = query.get("topic")
    since = float(query.get("since") or 0)
    about = query.get("about") or ""
    with _lock:
        found = list(_published)
    return [
        n
        for n in found
        if about in n["message"]
        and n["time"] > since
        and (not wanted or n["topic"] == wanted or n["topic"].rsplit(":", 1)[-1] == wanted)
    ]


@control.route("DELETE", "notifications")
def _clear(method: str, path: str, query: dict[str, str], body: Any) -> Any:
    with _lock:
        _published.clear()
    return {}


def _forget(token: str) -> None:
    with _lock:
        kept = [n for n in _published if token not in n["message"]]
        _published.clear()
        _published.extend(kept)


control.FORGET.append(_forget)

_original_fanout: Any = None
_original_list: Any = None


def install() -> None:
    global _original_fanout, _original_list
    _original_fanout, _original_list = sns._fanout, sns._list_subscriptions_by_topic
    sns._fanout, sns._list_subscriptions_by_topic = _fanout, _list_subscriptions_by_topic
