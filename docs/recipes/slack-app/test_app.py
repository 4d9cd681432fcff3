"""Tests of app.py, without a network: python -m unittest discover -s docs/recipes/slack-app"""

import base64
import hashlib
import hmac
import json
import os
import unittest
import urllib.parse

import app

NOW = 1_700_000_000
SECRET = {"signingSecret": "8f742231b10e8888abcd99yyyzzz85a5", "webhookUrl": "https://hooks.slack.com/services/T/B/X"}
MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:crossfade-deployment"
EXECUTION = "arn:aws:states:eu-west-1:123456789012:execution:crossfade-deployment:r1"


def row(status, kind=None):
    made = {
        "status": {"S": status}, "application": {"S": "chat"}, "weight": {"N": "10"}, "steps": {"S": "[]"},
    }
    if kind:
        made |= {"token": {"S": "a token"}, "asked": {"S": json.dumps({"kind": kind})}}
    return made


class Late(Exception):
    pass


class Fake:
    """Both services, as far as they are called."""

    class exceptions:  # As boto3 names it.
        TaskTimedOut = TaskDoesNotExist = InvalidToken = ConditionalCheckFailedException = Late

    def __init__(self, item, late=False):
        self.item, self.late, self.calls = item, late, []

    def __call__(self, _service):
        return self

    def get_item(self, **asked):
        self.calls.append(("get_item", asked))
        return {"Item": self.item} if self.item else {}

    def _do(self, name, asked):
        self.calls.append((name, asked))
        if self.late:
            raise Late

    def send_task_success(self, **asked):
        self._do("send_task_success", asked)

    def update_item(self, **asked):
        self._do("update_item", asked)

    def start_execution(self, **asked):
        self._do("start_execution", asked)


def press(action, user="U1", at=NOW, secret=SECRET["signingSecret"], encoded=False, tampered=False):
    payload = {
        "type": "block_actions", "user": {"id": user, "username": "ada"},
        "actions": [{"action_id": action, "value": "r1"}], "response_url": "https://hooks.slack.com/actions/1",
    }
    body = urllib.parse.urlencode({"payload": json.dumps(payload)})
    signed = hmac.new(secret.encode(), f"v0:{at}:{body}".encode(), hashlib.sha256).hexdigest()
    if tampered:
        body = body.replace("r1", "r2")
    sent = base64.b64encode(body.encode()).decode() if encoded else body
    headers = {"X-Slack-Request-Timestamp": str(at), "X-Slack-Signature": f"v0={signed}"}
    return {"requestContext": {"http": {}}, "headers": headers, "body": sent, "isBase64Encoded": encoded}


class Case(unittest.TestCase):
    def setUp(self):
        os.environ.update(LEDGER="ledger", MACHINE=MACHINE, SECRET="arn:secret", ALLOWED_USERS="")
        self.posted = []

    def handle(self, event, fake):
        return app.handle(event, fake, lambda: SECRET, lambda url, content: self.posted.append((url, content)), NOW)

    def done(self, event, fake):
        """What was called after the row was read."""
        self.assertEqual(self.handle(event, fake)["statusCode"], 200)
        return [(name, asked) for name, asked in fake.calls if name != "get_item"]


class Signatures(Case):
    def test_takes_slacks_own_example(self):
        # https://docs.slack.dev/authentication/verifying-requests-from-slack
        body = (
            b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
            b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
            b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
            b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
        )
        headers = {
            "x-slack-request-timestamp": "1531420618",
            "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        }
        self.assertTrue(app.is_signed(SECRET["signingSecret"], headers, body, 1531420618))

    def test_takes_good_ones(self):
        for encoded in (False, True):
            for age in (-300, 0, 300):
                fake = Fake(row("HELD", "approval"))
                event = press("approve", at=NOW - age, encoded=encoded)
                self.assertEqual(len(self.done(event, fake)), 1, age)

    def test_refuses_bad_stale_and_missing_ones(self):
        bare = press("approve") | {"headers": {}}
        odd = press("approve")
        odd["headers"]["X-Slack-Request-Timestamp"] = "soon"
        foreign = press("approve")
        foreign["headers"]["X-Slack-Signature"] = "v0=é"
        for event in (
            press("approve", secret="another"), press("approve", tampered=True),
            press("approve", at=NOW - 301), press("approve", at=NOW + 301), bare, odd, foreign,
        ):
            fake = Fake(row("HELD", "approval"))
            self.assertEqual(self.handle(event, fake)["statusCode"], 401)
            self.assertEqual(fake.calls, [])
            self.assertEqual(self.posted, [])

    def test_has_no_page_without_slack(self):
        os.environ["SECRET"] = ""
        self.assertEqual(self.handle(press("approve"), Fake(None))["statusCode"], 404)


class Buttons(Case):
    def test_answers_what_waits(self):
        for kind, words in app.ANSWERS.items():
            for word in words:
                fake = Fake(row("HELD", kind))
                [(name, asked)] = self.done(press(word), fake)
                self.assertEqual((name, asked["taskToken"]), ("send_task_success", "a token"))
                answer = {"decision": word, "by": "ada", "reason": "from Slack"}
                self.assertEqual(json.loads(asked["output"]), answer)
                read = fake.calls[0][1]
                self.assertEqual(read["Key"], {"pk": {"S": "DEPLOYMENT#" + EXECUTION}, "sk": {"S": "-"}})

    def test_leaves_requests_in_flight(self):
        for word in app.REQUESTS:
            [(name, asked)] = self.done(press(word), Fake(row("IN_FLIGHT")))
            self.assertEqual(name, "update_item")
            values = asked["ExpressionAttributeValues"]
            self.assertEqual(json.loads(values[":wish"]["S"])["verb"], word)
            self.assertEqual(values.get(":weight"), {"N": "10"} if word == "next" else None)
            self.assertEqual(":weight" in asked["ConditionExpression"], word == "next")

    def test_rolls_back_what_does_not_wait(self):
        for status, kind in (("IN_FLIGHT", None), ("PROMOTED", None), ("HELD", "approval")):
            [(name, asked)] = self.done(press("rollBack"), Fake(row(status, kind)))
            self.assertEqual((name, asked["stateMachineArn"]), ("start_execution", MACHINE))
            request = {"action": "rollback", "application": "chat", "reason": "from Slack (ada)"}
            self.assertEqual(json.loads(asked["input"]), request)

    def test_refuses_what_does_not_fit(self):
        for word, item in (
            ("approve", row("IN_FLIGHT")), ("approve", row("HELD", "hold")), ("resume", row("HELD", "approval")),
            ("hold", row("HELD", "hold")), ("promote", row("ROLLED_BACK")), ("rollBack", row("ROLLED_BACK")),
            ("approve", None), ("dance", row("IN_FLIGHT")),
        ):
            self.posted.clear()
            self.assertEqual(self.done(press(word), Fake(item)), [], word)
            [(url, told)] = self.posted
            self.assertEqual((url, told["response_type"]), ("https://hooks.slack.com/actions/1", "ephemeral"))
            self.assertTrue(told["text"].startswith("Nothing was done: "), told)

    def test_says_who_came_too_late(self):
        for item, word in ((row("HELD", "hold"), "resume"), (row("IN_FLIGHT"), "next")):
            self.handle(press(word), Fake(item, late=True))
            self.assertIn("too late", self.posted.pop()[1]["text"])

    def test_asks_only_those_who_may(self):
        os.environ["ALLOWED_USERS"] = "U7,U8"
        self.assertEqual(self.done(press("approve"), Fake(row("HELD", "approval"))), [])
        self.assertEqual(len(self.done(press("approve", user="U8"), Fake(row("HELD", "approval")))), 1)


class Messages(Case):
    def test_has_the_buttons_that_fit(self):
        for kind, words in app.BUTTONS.items():
            detail = {"kind": kind, "application": "chat", "release": "r1", "reason": "<!channel> 3 of 9"}
            self.assertEqual(self.handle({"source": "crossfade", "detail": detail}, Fake(None)), {})
            url, told = self.posted.pop()
            self.assertEqual(url, SECRET["webhookUrl"])
            elements = told["blocks"][-1]["elements"]
            self.assertEqual([one["action_id"] for one in elements], list(words))
            self.assertEqual({one["value"] for one in elements}, {"r1"})
            for one in elements:
                self.assertEqual("confirm" in one, one["action_id"] in ("promote", "rollBack"))

    def test_says_nothing_where_nothing_can_be_pressed(self):
        detail = {"kind": "RolledBack", "release": "r1", "reason": ""}
        self.handle({"source": "crossfade", "detail": detail}, Fake(None))
        self.assertEqual(self.posted, [])


class Direct(Case):
    def test_answers_a_custom_action(self):
        fake = Fake(row("HELD", "approval"))
        done = self.handle({"release": "r1", "decision": "approve"}, fake)
        self.assertEqual(done, {"done": "a chat channel answered approve"})
        self.assertEqual(json.loads(fake.calls[-1][1]["output"])["by"], "a chat channel")

    def test_fails_loudly(self):
        for event in ({"release": "r1", "decision": "dance"}, {"release": "r1", "decision": "approve"}):
            with self.assertRaises(app.Refused):
                self.handle(event, Fake(row("IN_FLIGHT")))


if __name__ == "__main__":
    unittest.main()
