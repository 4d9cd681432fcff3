"""Answers Crossfade's releases from a chat: buttons of a Slack message, or a direct invocation.

Three kinds of events come in:

- a request of Slack's through the function URL: a button was pressed. Only what Slack signed within five minutes counts;
- an event of Crossfade's from EventBridge: posts it to the channel, with the buttons that fit;
- a direct invocation, `{"release": NAME, "decision": WORD}`: what a custom action of Amazon Q Developer in chat
  applications runs. IAM says who may.

Environment: LEDGER (the table), MACHINE (the ARN of the state machine of releases), ALLOWED_USERS (ids of Slack users,
separated by commas; empty for all of the channel), SECRET (the ARN of a secret with `signingSecret` and
`webhookUrl`, as JSON; empty where there is no Slack).
"""

import base64
import hashlib
import hmac
import json
import os
import time
import urllib.parse
import urllib.request
from datetime import datetime, timezone

MOST_AGE = 300
"""How old a request may be, seconds: https://docs.slack.dev/authentication/verifying-requests-from-slack."""

ANSWERS = {"approval": ("approve", "reject", "promote"), "hold": ("resume", "next", "promote", "rollBack")}
"""What ends a wait, by what is asked."""

REQUESTS = ("hold", "next", "promote")
"""What a release in flight takes in at its next look."""

BUTTONS = {
    "Started": ("hold", "rollBack"),
    "Shifted": ("next", "hold", "rollBack"),
    "ApprovalNeeded": ("approve", "reject"),
    "Held": ("resume", "next", "promote", "rollBack"),
    "Promoted": ("rollBack",),
}
"""The buttons of a message, by the notice's kind."""

NAMES = {
    "approve": "Approve", "reject": "Reject", "hold": "Hold", "resume": "Resume", "next": "Next step",
    "promote": "Promote", "rollBack": "Roll back",
}
ASKS_AGAIN = {
    "promote": "This skips the remaining steps, their bakes and an approval that has not been given yet.",
    "rollBack": "This returns all traffic to blue.",
}


class Refused(Exception):
    """Nothing was done; the text says why."""


def is_signed(secret, headers, body, now):
    """Returns whether Slack sent this body, within the last five minutes: version v0 of its signatures."""
    stamp, given = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
    if not (stamp.isascii() and stamp.isdigit()) or abs(now - int(stamp)) > MOST_AGE:
        return False
    signed = hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(b"v0=" + signed.encode(), given.encode())


def decide(clients, release, decision, by, reason=None):
    """Does what an operator decided, and returns it in a sentence.

    A release that waits is answered by its task token, once. One that is in flight takes in a request at its next look. A
    rollback of what does not wait is an execution of its own, as by hand.
    """
    execution = os.environ["MACHINE"].replace(":stateMachine:", ":execution:") + ":" + release
    key = {"pk": {"S": "DEPLOYMENT#" + execution}, "sk": {"S": "-"}}
    row = clients("dynamodb").get_item(TableName=os.environ["LEDGER"], Key=key, ConsistentRead=True).get("Item")
    if row is None:
        raise Refused(f"there is no release {release}")
    status = row["status"]["S"]
    words = {"by": by, "reason": reason} if reason else {"by": by}
    asked = json.loads(row["asked"]["S"]) if "asked" in row else {}
    if status == "HELD" and "token" in row and decision in ANSWERS.get(asked.get("kind"), ()):
        states = clients("stepfunctions")
        try:
            states.send_task_success(
                taskToken=row["token"]["S"], output=json.dumps({"decision": decision, **words})
            )
        except (states.exceptions.TaskTimedOut, states.exceptions.TaskDoesNotExist, states.exceptions.InvalidToken):
            raise Refused("too late: it was answered already, or the wait is over") from None
        return f"{by} answered {decision}"
    if decision == "rollBack" and status in ("IN_FLIGHT", "HELD", "PROMOTED"):
        request = {"action": "rollback", "application": row["application"]["S"], "reason": f"{reason or 'from chat'} ({by})"}
        clients("stepfunctions").start_execution(stateMachineArn=os.environ["MACHINE"], input=json.dumps(request))
        return f"{by} takes it back"
    if status == "IN_FLIGHT" and decision in REQUESTS:
        if decision == "next" and "steps" not in row:
            raise Refused("it has not shifted yet: there is no bake to be ended")
        wish = {"verb": decision, "at": datetime.now(timezone.utc).isoformat(), **words}
        table = clients("dynamodb")
        values = {":wish": {"S": json.dumps(wish)}, ":inFlight": {"S": "IN_FLIGHT"}}
        condition = "#status = :inFlight"
        if decision == "next":
            # One step from the weight that was seen, and from no other.
            condition += " AND weight = :weight"
            values[":weight"] = row["weight"]
        try:
            table.update_item(
                TableName=os.environ["LEDGER"], Key=key, UpdateExpression="SET wish = :wish",
                ConditionExpression=condition,
                ExpressionAttributeNames={"#status": "status"}, ExpressionAttributeValues=values,
            )
        except table.exceptions.ConditionalCheckFailedException:
            raise Refused("too late: it has gone on meanwhile") from None
        return f"{by} requested {decision}, at its next look"
    raise Refused(f"{decision} does not fit: the release is {status}" + (f" ({asked['kind']})" if asked else ""))


def message(detail):
    """Returns the Slack message of a notice, or None where there is nothing to press."""
    buttons = BUTTONS.get(detail["kind"], ())
    if not buttons:
        return None
    title = f"{detail['kind']}: {detail.get('application', '')} ({detail['release']})"
    elements = []
    for word in buttons:
        button = {
            "type": "button", "action_id": word, "value": detail["release"],
            "text": {"type": "plain_text", "text": NAMES[word]},
        }
        if word in ASKS_AGAIN:
            button["confirm"] = {
                "title": {"type": "plain_text", "text": NAMES[word] + "?"},
                "text": {"type": "plain_text", "text": ASKS_AGAIN[word]},
                "confirm": {"type": "plain_text", "text": NAMES[word]},
                "deny": {"type": "plain_text", "text": "Cancel"},
            }
        elements.append(button)
    return {
        "text": title,
        "blocks": [
            # Plain text: a reason quotes names that others chose.
            {"type": "header", "text": {"type": "plain_text", "text": title[:150]}},
            {"type": "section", "text": {"type": "plain_text", "text": (detail["reason"] or "-")[:2900]}},
            {"type": "actions", "elements": elements},
        ],
    }


def pressed(event, clients, secret, post, now):
    """Answers a request of Slack's through the function URL."""
    body = event.get("body") or ""
    body = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
    if not is_signed(secret["signingSecret"], headers, body, now):
        return {"statusCode": 401, "body": ""}
    payload = json.loads(urllib.parse.parse_qs(body.decode())["payload"][0])
    if payload.get("type") != "block_actions":
        return {"statusCode": 400, "body": ""}
    user, action = payload["user"], payload["actions"][0]
    allowed = [one for one in os.environ.get("ALLOWED_USERS", "").split(",") if one]
    try:
        if allowed and user["id"] not in allowed:
            raise Refused("you may not decide about releases here")
        if action["action_id"] not in NAMES:
            raise Refused(f"{action['action_id']} is no decision")
        done = decide(clients, action["value"], action["action_id"], user.get("username") or user["id"], "from Slack")
        told = {"replace_original": False, "response_type": "in_channel", "text": f"{action['value']}: {done}"}
    except Refused as why:
        told = {"replace_original": False, "response_type": "ephemeral", "text": f"Nothing was done: {why}"}
    post(payload["response_url"], told)
    return {"statusCode": 200, "body": ""}


def handle(event, clients, secret, post, now):
    """Handles an event. `clients`, `secret`, `post` and `now` reach the world outside."""
    if "requestContext" in event:
        # Any client can reach the URL.
        if not os.environ.get("SECRET"):
            return {"statusCode": 404, "body": ""}
        return pressed(event, clients, secret(), post, now)
    if event.get("source") == "crossfade":
        told = message(event["detail"])
        if told is not None:
            post(secret()["webhookUrl"], told)
        return {}
    if event.get("decision") not in NAMES:
        raise Refused(f"expected a decision, one of {', '.join(NAMES)}, and not {event.get('decision')!r}")
    return {"done": decide(clients, str(event["release"]), event["decision"], event.get("by") or "a chat channel")}


def _clients(name):
    import boto3

    return boto3.client(name)


def _secret():
    return json.loads(_clients("secretsmanager").get_secret_value(SecretId=os.environ["SECRET"])["SecretString"])


def _post(url, content):
    request = urllib.request.Request(url, json.dumps(content).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=2) as answer:
        answer.read()


def handler(event, _context):
    """What Lambda calls."""
    return handle(event, _clients, _secret, _post, time.time())
