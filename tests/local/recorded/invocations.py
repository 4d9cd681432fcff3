"""Invocations, their errors by kind, concurrency and URLs: the calls behind `lambda-invoke.json`.

Functions in Python are played by AWS's own runtime client for Python, as `provided.al2023`.
"""

from __future__ import annotations

import base64
import functools
import http.client
import json
import sys
from typing import Any
from urllib.parse import urlsplit

from controls import archive, created, helped, settled
from replay import ACCOUNT, PLAYS, Replay, Scenarios, until
from test_bridge import zipped

INVOKE = Scenarios("lambda-invoke")
UNCAUGHT = Scenarios("lambda-uncaught")
SUITES = [INVOKE, UNCAUGHT]

BOOTSTRAP = f'#!/bin/sh\nexec {sys.executable} -m awslambdaric "$_HANDLER"\n'
ECHO = "def handler(event, context):\n    print(event)\n    return event\n"


@functools.cache
def python(code: str, file: str = "handler.py") -> bytes:
    """A package whose handler's module is `file`."""
    return zipped({file: code, "bootstrap": BOOTSTRAP})


def played(r: Replay, code: str = ECHO, file: str = "handler.py", **more: Any) -> tuple[Any, str, Any]:
    """A client, the name of a function in Python, and what its creation answered."""
    client, name = r.client("lambda"), r.unique("test-function")
    handler = f"{file.removesuffix('.py')}.handler"
    settings = {"Runtime": PLAYS, "Handler": handler, "Code": {"ZipFile": python(code, file)}, **more}
    return client, name, helped(client, name, **settings)


# ── Errors by kind ───────────────────────────────────────────────────────────────────────────


@INVOKE.of("lambda_handler_error")
def handler_error(r: Replay) -> None:
    code = 'def handler(event, context):\n    raise Exception("Handler fails")\n'
    client, name, _ = played(r, code, "lambda_handler_error.py")
    r("invocation_error", client.invoke, FunctionName=name)


@INVOKE.of("lambda_handler_exit")
def handler_exit(r: Replay) -> None:
    code = "import sys\n\n\ndef handler(event, context):\n    sys.exit(0)\n"
    client, name, _ = played(r, code, "lambda_handler_exit.py")
    r("invocation_error", client.invoke, FunctionName=name)


@INVOKE.of("lambda_runtime_exit")
def runtime_exit(r: Replay) -> None:
    client, name, _ = played(r, "import os\n\nos._exit(0)\n", "lambda_runtime_exit.py")
    r("invocation_error", client.invoke, FunctionName=name)


@INVOKE.of("lambda_runtime_error")
def runtime_error(r: Replay) -> None:
    client, name, _ = played(r, 'raise Exception("Runtime startup fails")\n', "lambda_runtime_error.py")
    r("invocation_error", client.invoke, FunctionName=name)


@UNCAUGHT.of("uncaught_exception_invoke[python3.13]")
def uncaught(r: Replay) -> None:
    code = "def handler(event, context):\n    raise Exception(f\"Failed: {event['error_msg']}\")\n"
    client, name, made = played(r, code, MemorySize=1024, Timeout=3, Environment=None)
    r.match("create_function_result", made["CreateFunctionResponse"])
    r("error_result", client.invoke, FunctionName=name, Payload=b'{"error_msg": "some_error_msg"}')


WAITS = "import time\n\n\ndef handler(event, context):\n    time.sleep(event['wait'])\n"


@INVOKE.of("lambda_invoke_with_timeout", "lambda_invoke_no_timeout")
def timeouts(r: Replay) -> None:
    limit, wait = (1, 2) if "with" in r.name else (2, 1)
    client, name, made = played(r, WAITS, Timeout=limit)
    r.match("create-result", made)
    r("invoke-result", client.invoke, FunctionName=name, Payload=json.dumps({"wait": wait}))


@INVOKE.of(
    r"lambda_invoke_payload_encoding_error[body-n\x87r\x9e\xe9\xb5\xd7I\xee\x9bmt]",
    r"lambda_invoke_payload_encoding_error[message-\x99\xeb,j\x07\xa1zYh]",
)
def bad_payload(r: Replay) -> None:
    client, name, _ = played(r)
    kind, _, text = r.parameter.partition("-")
    payload = text.encode().decode("unicode_escape").encode("latin-1")
    r(f"invoke_function_invalid_payload_{kind}", client.invoke, FunctionName=name, Payload=payload)


@INVOKE.of("invoke_exceptions")
def missing_function(r: Replay) -> None:
    r("invoke_function_doesnotexist", r.client("lambda").invoke, FunctionName="doesnotexist")


# ── Versions and aliases ─────────────────────────────────────────────────────────────────────

SAYS = """def handler(event, context):
    return {{
        "version_id": "{}",
        "invoked_arn": context.invoked_function_arn,
        "version_from_ctx": context.function_version,
    }}
"""


def says(version: int) -> bytes:
    return python(SAYS.format(f"version{version}"))


def versioned(r: Replay, **more: Any) -> tuple[Any, str]:
    client, name = r.client("lambda"), r.unique()
    made = created(
        client,
        name,
        Runtime=PLAYS,
        Handler="handler.handler",
        Code={"ZipFile": says(1)},
        Description="No version :(",
        **more,
    )
    r.match("create_response", made)
    return client, name


@INVOKE.of("lambda_versions_with_code_changes")
def code_changes(r: Replay) -> None:
    client, name = versioned(r)
    invoke = functools.partial(client.invoke, FunctionName=name, Payload=b"{}")
    publish = functools.partial(client.publish_version, FunctionName=name)
    r("first_publish_response", publish, Description="First version description :)")
    r("update_lambda_response", client.update_function_code, FunctionName=name, ZipFile=says(2))
    settled(client, name)
    r("invocation_result_latest", invoke)
    r("invocation_result_v1", invoke, Qualifier="1")
    r("second_publish_response", publish, Description="Second version description :)")
    r("invocation_result_v2", invoke, Qualifier="2")
    update = {"FunctionName": name, "ZipFile": says(3), "Publish": True}
    r("update_lambda_response_with_publish", client.update_function_code, **update)
    settled(client, name, "3")
    r("invocation_result_v3", invoke, Qualifier="3")
    r("invocation_result_latest_end", invoke)
    r("invocation_result_v2_end", invoke, Qualifier="2")
    r("invocation_result_v1_end", invoke, Qualifier="1")


@INVOKE.of("lambda_alias_moving")
def alias_moving(r: Replay) -> None:
    client, name = versioned(r)
    client.publish_version(FunctionName=name, Description="First version description :)")
    alias = r("create_alias_response", client.create_alias, FunctionName=name, FunctionVersion="1", Name="alias1")
    invoke = functools.partial(client.invoke, FunctionName=name, Qualifier="alias1", Payload=b"{}")
    r("invocation_result_qualifier_v1", invoke)
    r("invocation_result_qualifier_v1_arn", client.invoke, FunctionName=alias["AliasArn"], Payload=b"{}")
    r("update_lambda_response", client.update_function_code, FunctionName=name, ZipFile=says(2))
    settled(client, name)
    r("invocation_result_qualifier_v1_after_update", invoke)
    published = {"FunctionName": name, "Description": "Second version description :)"}
    r("second_publish_response", client.publish_version, **published)
    r("invocation_result_qualifier_v1_after_publish", invoke)
    r("update_alias_response", client.update_alias, FunctionName=name, Name="alias1", FunctionVersion="2")
    r("invocation_result_qualifier_v2", invoke)
    r("invocation_exc_not_existent", invoke, Qualifier="non-existent-alias")


@INVOKE.of("alias_routingconfig")
def routing(r: Replay) -> None:
    client, name = versioned(r, Publish=True)
    del r.answers["create_response"]
    client.update_function_code(FunctionName=name, ZipFile=says(2))
    settled(client, name)
    client.publish_version(FunctionName=name)
    alias = {"FunctionName": name, "FunctionVersion": "1", "Name": "alias1"}
    split = {"AdditionalVersionWeights": {"2": 0.5}}
    r("create_alias_response", client.create_alias, RoutingConfig=split, **alias)
    hit = {client.invoke(FunctionName=name, Qualifier="alias1")["ExecutedVersion"] for _ in range(40)}
    if hit != {"1", "2"}:
        raise AssertionError(f"of 40 invocations only {hit} were hit")


CONTEXT = """import logging

NAMES = ["aws_request_id", "client_context", "function_name", "function_version", "invoked_function_arn"]
NAMES += ["log_group_name", "log_stream_name", "memory_limit_in_mb"]


def handler(event, context):
    print("Lambda log message - print function")
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger().info("Lambda log message - logging module")
    return {"context": {name: getattr(context, name) for name in NAMES}, "event": event}
"""


@INVOKE.of("invocation_with_qualifier")
def qualifier(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    code = {"Code": {"ZipFile": python(CONTEXT)}, "Runtime": PLAYS, "Handler": "handler.handler"}
    r.match("creation-response", created(client, name, Timeout=10, Publish=True, **code))
    payload = b'{"foo": "bar with \'quotes\\""}'
    asked = {"FunctionName": name, "Payload": payload, "Qualifier": "1", "LogType": "Tail"}
    answer = r("invocation-response", client.invoke, **asked)
    lines = base64.b64decode(answer["LogResult"]).decode().splitlines()
    r.match("log_result", {"log_result": [line for line in lines if not line.startswith("REPORT")]})


@INVOKE.of("invocation_with_logs[python3.10]")
def logs(r: Replay) -> None:
    client, name, _ = played(r)
    answer = r("invoke", client.invoke, FunctionName=name, Payload=b"{}", LogType="Tail")
    lines = base64.b64decode(answer["LogResult"]).decode().splitlines(keepends=True)
    r.match("logs", {"logs": lines})


@INVOKE.of("request_id_invoke")
def request_id(r: Replay) -> None:
    code = "import logging\n\n\ndef handler(event, context):\n    logging.getLogger().setLevel(logging.INFO)\n"
    code += '    logging.getLogger().info("RequestId log message")\n    return context.aws_request_id\n'
    client, name, _ = played(r, code)
    r("invoke_result", client.invoke, FunctionName=name)
    # Recorded were the lines that name the request, which INIT_START does not.
    lines = [line for line in log_lines(r, name, "REPORT") if "RequestId" in line]
    r.match("log_entries", {"logs": lines})


def log_lines(r: Replay, name: str, last: str, count: int = 1) -> list[str]:
    """What is in a function's log, once so many lines begin with `last`."""
    client = r.client("logs")

    def read() -> list[str] | None:
        try:
            events = client.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        except client.exceptions.ResourceNotFoundException:
            return None
        lines = [event["message"].rstrip() for event in events]
        return lines if sum(line.startswith(last) for line in lines) >= count else None

    return list(until(read, f"{last} in the log of {name}"))


@INVOKE.of("request_id_async_invoke_with_retry")
def request_id_of_retries(r: Replay) -> None:
    client, name, _ = played(r, 'def handler(event, context):\n    raise Exception("failing")\n')
    client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1)
    r("invoke_result", client.invoke, FunctionName=name, InvocationType="Event", Payload=b"{}")
    r.match("end_messages", [line for line in log_lines(r, name, "END", 2) if line.startswith("END")])


# ── Concurrency ──────────────────────────────────────────────────────────────────────────────


@INVOKE.of("lambda_concurrency_crud", "lambda_concurrency_update")
def reserved(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    helped(client, name)
    crud = "crud" in r.name
    if crud:
        r("get_function_concurrency_default", client.get_function_concurrency, FunctionName=name)
    count = 0 if crud else 3
    put = {"FunctionName": name, "ReservedConcurrentExecutions": count}
    r("put_function_concurrency", client.put_function_concurrency, **put)
    r("get_function_concurrency_updated", client.get_function_concurrency, FunctionName=name)
    if not crud:
        r("get_function_concurrency_info", client.get_function, FunctionName=name)
    client.delete_function_concurrency(FunctionName=name)
    r("get_function_concurrency_deleted", client.get_function_concurrency, FunctionName=name)


@INVOKE.of("reserved_concurrency_async_queue")
def throttled(r: Replay) -> None:
    client, name, _ = played(r, WAITS)
    config = r("fn", client.get_function_configuration, FunctionName=name, Qualifier="$LATEST")
    put = {"FunctionName": name, "ReservedConcurrentExecutions": 1}
    r("put_fn_concurrency", client.put_function_concurrency, **put)
    client.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"wait": 3}')
    invoke = functools.partial(client.invoke, FunctionName=config["FunctionArn"], Payload=b'{"wait": 0}')

    def refused() -> bool:
        try:
            invoke()
        except client.exceptions.TooManyRequestsException as error:
            r.match("too_many_requests_exc", error.response)
            return True
        return False

    until(refused, "the only execution is taken")


@INVOKE.of("reserved_concurrency")
def no_concurrency(r: Replay) -> None:
    client, name, _ = played(r, Timeout=20)
    config = r("fn", client.get_function_configuration, FunctionName=name, Qualifier="$LATEST")
    put = {"FunctionName": name, "ReservedConcurrentExecutions": 0}
    r("put_reserved", client.put_function_concurrency, **put)
    r("exc_no_cap_requestresponse", client.invoke, FunctionName=config["FunctionArn"])
    sqs = r.client("sqs")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    target = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
    settings = {"MaximumRetryAttempts": 0, "DestinationConfig": {"OnFailure": {"Destination": target}}}
    put_config = client.put_function_event_invoke_config
    r("put_event_invoke_conf", put_config, FunctionName=config["FunctionArn"], **settings)
    r("invoke_result", client.invoke, FunctionName=config["FunctionArn"], InvocationType="Event")
    asked = {"QueueUrl": queue, "AttributeNames": ["All"], "WaitTimeSeconds": 1}
    r.match("msg", until(lambda: sqs.receive_message(**asked).get("Messages"), "the message")[0])


@INVOKE.of("basic_invoke")
def basic(r: Replay) -> None:
    client = r.client("lambda")
    for suffix in ("", "_2"):
        name = r.unique()
        made = created(client, name, Code={"ZipFile": python(ECHO, "index.py")}, Runtime=PLAYS)
        r.match(f"lambda_create_fn{suffix}", made)
        r(f"lambda_get_fn{suffix}", client.get_function, FunctionName=name)
        if not suffix:
            first = name
    r("lambda_invoke_result", client.invoke, FunctionName=first, Payload=b"{}")


# ── URLs ─────────────────────────────────────────────────────────────────────────────────────


def url(r: Replay, client: Any, name: str, step: str = "create_lambda_url_config", **more: Any) -> str:
    """Makes a URL that anybody may call, and returns it."""
    made = r(step, client.create_function_url_config, FunctionName=name, AuthType="NONE", **more)
    qualified = {key: more[key] for key in ("Qualifier",) if key in more}
    add = functools.partial(client.add_permission, FunctionName=name, Principal="*", **qualified)
    add(StatementId="invoke", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True)
    return str(made["FunctionUrl"])


def permitted(r: Replay, client: Any, name: str, **more: Any) -> Any:
    add = functools.partial(client.add_permission, FunctionName=name, StatementId="urlPermission", **more)
    return add(Action="lambda:InvokeFunctionUrl", Principal="*", FunctionUrlAuthType="NONE")


def called(r: Replay, address: str, path: str = "/", body: bytes | None = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", r.aws.port, timeout=30)
    host = urlsplit(address).hostname
    assert host is not None
    connection.request("POST", path, body, {"Host": host, "Content-Type": "text/plain"})
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return answer, content


RETURNS = {
    "dict": '{"hello": "world"}',
    "http-response": '{"statusCode": 200, "body": "body123"}',
    "http-response-json": '{"statusCode": 200, "body": "{\\"hello\\": \\"world\\"}"}',
    "list-mixed": '["hello", 3, True]',
    "string": '"hello"',
    "integer": "3",
    "float": "3.1",
    "boolean": "True",
}


@INVOKE.of(*(f"lambda_url_invocation[{name}]" for name in RETURNS))
def url_invocation(r: Replay) -> None:
    client, name, _ = played(r, f"def handler(event, context):\n    return {RETURNS[r.parameter]}\n")
    address = url(r, client, name)
    r.match("add_permission", permitted(r, client, name))
    answer, content = called(r, address, "/custom_path/extend?test_param=test_value", b"{'key':'value'}")
    headers = {key: answer.getheader(key) for key in ("Content-Type", "Content-Length")}
    r.match("lambda_url_invocation", {"statuscode": answer.status, "headers": headers, "content": content})


@INVOKE.of("lambda_url_invocation_exception")
def url_exception(r: Replay) -> None:
    client, name, _ = played(r, 'def handler(event, context):\n    raise Exception("unhandled")\n')
    r("get_fn_result", client.get_function, FunctionName=name)
    address = url(r, client, name)
    r.match("add_permission", permitted(r, client, name))
    answer, content = called(r, address, body=b"{}")
    if (answer.status, content) != (502, "Internal Server Error"):
        raise AssertionError(f"the URL answered {answer.status} {content}; AWS 502 Internal Server Error")


@INVOKE.of("lambda_permission_url_invocation")
def url_without_permission(r: Replay) -> None:
    client, name, _ = played(r)
    made = client.create_function_url_config(FunctionName=name, AuthType="NONE")
    answer, content = called(r, made["FunctionUrl"])
    if answer.status != 403:
        raise AssertionError(f"the URL answered {answer.status}; AWS 403")
    r.match("lambda_url_invocation_missing_permission", content)


@INVOKE.of("lambda_url_persists_after_alias_delete")
def url_of_alias(r: Replay) -> None:
    client, name, _ = played(r, "def handler(event, context):\n    return {}\n")
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, FunctionVersion="1", Name="of-url")
    address = url(r, client, name, InvokeMode="BUFFERED", Qualifier="of-url")
    permitted(r, client, name, Qualifier="of-url")
    answer, _content = called(r, address, body=b"text")
    r.match("invoke_aliased_url_response", {"status_code": answer.status})
    r("delete_alias_resp", client.delete_alias, FunctionName=name, Name="of-url")
    answer, content = called(r, address, body=b"text")
    headers = {"x-amzn-ErrorType": answer.getheader("x-amzn-ErrorType")}
    told = {"status_code": answer.status, "headers": headers, "content": content}
    r.match("invoke_deleted_alias_url_response_delayed", told)


@INVOKE.of("lambda_update_function_url_config")
def url_update(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    helped(client, name, Runtime="nodejs20.x", Handler="lambda_url.handler")
    create = {"FunctionName": name, "AuthType": "NONE", "InvokeMode": "BUFFERED"}
    r("create_lambda_url_config", client.create_function_url_config, **create)
    r("get_url_config", client.get_function_url_config, FunctionName=name)
    update = functools.partial(client.update_function_url_config, FunctionName=name)
    r("modify_lambda_url_config", update, InvokeMode="RESPONSE_STREAM")
    r("get_url_config_2", client.get_function_url_config, FunctionName=name)
    r("modify_lambda_url_config_none", update)
    r("get_url_config_3", client.get_function_url_config, FunctionName=name)


@INVOKE.of(
    "lambda_url_echo_invoke[None]", "lambda_url_echo_invoke[BUFFERED]", "lambda_url_echo_invoke[RESPONSE_STREAM]"
)
def url_echo(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    helped(client, name, Runtime="nodejs20.x", Handler="lambda_url.handler", Code={"ZipFile": archive()})
    url(r, client, name, **({} if r.parameter == "None" else {"InvokeMode": r.parameter}))
    r.match("add_permission", permitted(r, client, name))
