"""Provisioned concurrency: its calls in `lambda-api.json` and `lambda-invoke.json`."""

from __future__ import annotations

import functools
from typing import Any

from controls import helped, settled
from invocations import played
from replay import Replay, Scenarios, until

API = Scenarios("lambda-api")
INVOKE = Scenarios("lambda-invoke")
SUITES = [API, INVOKE]


def soon(r: Replay, name: str, **how: Any) -> None:
    """Has allocations of a function end within a second."""
    r.aws.local("POST", "provisioned", {"function": name, "seconds": 0.5, **how})


def provisioned(client: Any, name: str, qualifier: str, status: str = "READY") -> Any:
    get = functools.partial(client.get_provisioned_concurrency_config, FunctionName=name, Qualifier=qualifier)

    def reached() -> Any:
        config = get()
        return config if config["Status"] == status else None

    return until(reached, f"{name}:{qualifier} is {status}")


@API.of("provisioned_concurrency_exceptions")
def refused_provisioning(r: Replay) -> None:
    client, name = r.client("lambda", parameter_validation=False), r.unique()
    helped(client, name)
    r("publish_version_result", client.publish_version, FunctionName=name)
    for verb in ("get", "delete"):
        call = getattr(client, f"{verb}_provisioned_concurrency_config")
        r(f"{verb}_provisioned_config_doesnotexist", call, FunctionName=name, Qualifier="1")
        missing = {"FunctionName": "doesnotexist", "Qualifier": "noalias" if verb == "get" else "1"}
        r(f"{verb}_provisioned_functionname_doesnotexist", call, **missing)
        r(f"{verb}_provisioned_qualifier_doesnotexist", call, FunctionName=name, Qualifier="noalias")
        r(f"{verb}_provisioned_version_doesnotexist", call, FunctionName=name, Qualifier="10")
        r(f"{verb}_provisioned_latest", call, FunctionName=name, Qualifier="$LATEST")
    r("list_provisioned_noconfigs", client.list_provisioned_concurrency_configs, FunctionName=name)
    missing = {"FunctionName": "doesnotexist"}
    r("list_provisioned_functionname_doesnotexist", client.list_provisioned_concurrency_configs, **missing)

    def refused(step: str, qualifier: str, count: int = 1, function: str = name) -> None:
        put = client.put_provisioned_concurrency_config
        asked = {"FunctionName": function, "Qualifier": qualifier, "ProvisionedConcurrentExecutions": count}
        r(f"put_provisioned_{step}", put, **asked)

    refused("invalid_param_0", "1", 0)
    refused("functionname_doesnotexist_alias", "noalias", function="doesnotexist")
    refused("functionname_doesnotexist_version", "1", function="doesnotexist")
    refused("qualifier_doesnotexist", "doesnotexist")
    refused("version_doesnotexist", "10")
    refused("latest", "$LATEST")


@API.of("lambda_provisioned_lifecycle")
def provisioning(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    helped(client, name)
    soon(r, name)
    r("publish_version_result", client.publish_version, FunctionName=name)
    r("create_alias_result", client.create_alias, FunctionName=name, Name="alias-1", FunctionVersion="1")
    put = functools.partial(
        client.put_provisioned_concurrency_config, FunctionName=name, ProvisionedConcurrentExecutions=1
    )
    get = functools.partial(client.get_provisioned_concurrency_config, FunctionName=name)
    r("put_provisioned_on_version", put, Qualifier="1")
    r("put_provisioned_on_alias_versionconflict", put, Qualifier="alias-1")
    provisioned(client, name, "1")
    r("delete_provisioned_version", client.delete_provisioned_concurrency_config, FunctionName=name, Qualifier="1")
    r("get_provisioned_version_postdelete", get, Qualifier="1")
    r("put_provisioned_on_alias", put, Qualifier="alias-1")
    r("put_provisioned_on_version_conflict", put, Qualifier="1")
    r("delete_alias_result", client.delete_alias, FunctionName=name, Name="alias-1")
    r("get_provisioned_alias_postaliasdelete", get, Qualifier="alias-1")
    r("list_response_postdeletes", client.list_provisioned_concurrency_configs, FunctionName=name)


@INVOKE.of("provisioned_concurrency", "provisioned_concurrency_on_alias", "provisioned_concurrency_init_failure")
def allocation(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    helped(client, name)
    fails = "failure" in r.name
    soon(r, name, **({"fail": "FUNCTION_ERROR_INIT_FAILURE"} if fails else {}))
    client.publish_version(FunctionName=name)
    qualifier = "1"
    if "alias" in r.name:
        qualifier = "prod"
        client.create_alias(FunctionName=name, Name=qualifier, FunctionVersion="1")
    asked = {"FunctionName": name, "Qualifier": qualifier}
    count = 1 if fails else 5
    step = "put_provisioned" if fails else "put_provisioned_5"
    r(step, client.put_provisioned_concurrency_config, ProvisionedConcurrentExecutions=count, **asked)
    r("get_provisioned_prewait", client.get_provisioned_concurrency_config, **asked)
    r.match("get_provisioned_postwait", provisioned(client, name, qualifier, "FAILED" if fails else "READY"))


@INVOKE.of("lambda_provisioned_concurrency_scheduling")
def scheduling(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    helped(client, name)
    soon(r, name)
    client.publish_version(FunctionName=name)
    client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1)
    r.match("get_provisioned_postwait", provisioned(client, name, "1"))


@INVOKE.of("lambda_provisioned_concurrency_moves_with_alias")
def moving(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    r.match("create-result", helped(client, name, Timeout=2))
    soon(r, name)
    config = r("get-function-configuration", client.get_function_configuration, FunctionName=name, Qualifier="$LATEST")
    first = {"RevisionId": config["RevisionId"], "Description": "my-first-version"}
    r("publish_version_1", client.publish_version, FunctionName=name, **first)
    r("get_function_configuration_version_1", client.get_function_configuration, FunctionName=name, Qualifier="1")
    r("create_alias", client.create_alias, FunctionName=name, FunctionVersion="1", Name="prod")
    r("get_function_before_provisioned", client.get_function, FunctionName=name, Qualifier="1")
    client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="prod", ProvisionedConcurrentExecutions=1)
    provisioned(client, name, "prod")
    r("get_function_after_provisioned", client.get_function, FunctionName=name, Qualifier="prod")
    client.update_function_configuration(FunctionName=name, Timeout=10)
    settled(client, name)
    updated = r("get_function_after_update", client.get_function_configuration, FunctionName=name)
    r("publish_version_2", client.publish_version, FunctionName=name, RevisionId=updated["RevisionId"])
    r("update_alias", client.update_alias, FunctionName=name, FunctionVersion="2", Name="prod")
    get = client.get_provisioned_concurrency_config
    r("get_provisioned_config_after_alias_move", get, FunctionName=name, Qualifier="prod")
    provisioned(client, name, "prod")
    r("provisioned_concurrency_notfound", get, FunctionName=name, Qualifier="1")


@INVOKE.of("reserved_provisioned_overlap")
def overlap(r: Replay) -> None:
    client, name, _ = played(r)
    soon(r, name)
    client.publish_version(FunctionName=name)
    put = functools.partial(client.put_provisioned_concurrency_config, FunctionName=name)
    r("put_provisioned_5", put, Qualifier="1", ProvisionedConcurrentExecutions=2)
    get = client.get_provisioned_concurrency_config
    r("get_provisioned_prewait", get, FunctionName=name, Qualifier="1")
    r.match("get_provisioned_postwait", provisioned(client, name, "1"))
    reserve = functools.partial(client.put_function_concurrency, FunctionName=name)
    r("reserved_lower_than_provisioned_exc", reserve, ReservedConcurrentExecutions=1)
    reserve(ReservedConcurrentExecutions=2)
    r("get_concurrency", client.get_function_concurrency, FunctionName=name)
    r("reserved_equals_provisioned_latest_invoke_exc", client.invoke, FunctionName=name)
    r("update_func_config", client.update_function_configuration, FunctionName=name, Timeout=15)
    settled(client, name)
    client.publish_version(FunctionName=name)
    another = {"Qualifier": "2", "ProvisionedConcurrentExecutions": 1}
    r("reserved_equals_provisioned_another_provisioned_exc", put, **another)
    more = {"Qualifier": "1", "ProvisionedConcurrentExecutions": 3}
    r("reserved_equals_provisioned_increase_provisioned_exc", put, **more)


@INVOKE.of("lambda_concurrency_block")
def block(r: Replay) -> None:
    client, name, _ = played(r)
    soon(r, name)
    r("v1_result", client.publish_version, FunctionName=name)
    reserve = {"FunctionName": name, "ReservedConcurrentExecutions": 1}
    r("reserved_concurrency_result", client.put_function_concurrency, **reserve)
    invoke = functools.partial(client.invoke, FunctionName=name, Payload=b'{"hello": "world"}')
    r("invoke_latest_before_block", invoke, Qualifier="$LATEST")
    put = {"FunctionName": name, "Qualifier": "1", "ProvisionedConcurrentExecutions": 1}
    r("provisioned_concurrency_result", client.put_provisioned_concurrency_config, **put)
    r("invoke_latest_first_exc", invoke, Qualifier="$LATEST")
    provisioned(client, name, "1")
    r("invoke_v1_after_block", invoke, Qualifier="1")
    r("invoke_latest_second_exc", invoke, Qualifier="$LATEST")
