"""Lambda's control plane: the calls behind `lambda-api.json`."""

from __future__ import annotations

import functools
from typing import Any

from replay import ACCOUNT, REGION, Replay, Scenarios, until
from test_bridge import ROLE, zipped

API = Scenarios("lambda-api")
SUITES = [API]

ECHO = {"index.py": "def handler(event, context):\n    return event\n"}
VERSION = {"index.py": "def handler(event, context):\n    return context.function_version\n"}
BUCKET = "arn:aws:s3:::test-bucket"
S3 = {"Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com", "SourceArn": BUCKET}


@functools.cache
def archive(kind: str = "echo") -> bytes:
    return zipped({"echo": ECHO, "version": VERSION}[kind])


def settled(client: Any, name: str, qualifier: str | None = None) -> None:
    """Waits until a function, or a version, is Active and no update is in progress."""
    asked = {"FunctionName": name, **({"Qualifier": qualifier} if qualifier else {})}

    def reached() -> bool:
        config = client.get_function_configuration(**asked)
        return config.get("State") == "Active" and config.get("LastUpdateStatus", "Successful") == "Successful"

    until(reached, f"{name} is settled")


def created(client: Any, name: str, **more: Any) -> Any:
    """CreateFunction with the defaults of the recordings that say nothing else; waits until it is Active."""
    asked = {
        "FunctionName": name,
        "Runtime": "python3.12",
        "Role": ROLE,
        "Handler": "index.handler",
        "Code": {"ZipFile": archive()},
        **more,
    }
    answer = client.create_function(**{key: value for key, value in asked.items() if value is not None})
    settled(client, answer["FunctionName"])
    return answer


def helped(client: Any, name: str, **more: Any) -> Any:
    """The same as the recorders' helper makes it, and what that returns."""
    defaults = {"Handler": "handler.handler", "Timeout": 30, "Environment": {"Variables": {}}}
    answer = created(client, name, **{**defaults, **more})
    return {"CreateEventSourceMappingResponse": None, "CreateFunctionResponse": answer}


@API.of("function_lifecycle")
def lifecycle(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    r.match("create_response", helped(client, name, MemorySize=256, Timeout=5))
    r("get_function_response", client.get_function, FunctionName=name)
    r(
        "update_func_conf_response",
        client.update_function_configuration,
        FunctionName=name,
        Runtime="python3.11",
        Description="Changed-Description",
        MemorySize=512,
        Timeout=10,
        Environment={"Variables": {"ENV_A": "a"}},
    )
    settled(client, name)
    r("get_function_response_postupdate", client.get_function, FunctionName=name)
    r("update_code_response", client.update_function_code, FunctionName=name, ZipFile=archive("version"))
    settled(client, name)
    r("get_function_response_postcodeupdate", client.get_function, FunctionName=name)
    r("delete_response", client.delete_function, FunctionName=name)
    r("delete_postdelete", client.delete_function, FunctionName=name)


@API.of("function_advanced_logging_configuration")
def logging_configuration(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    r.match("create_response", helped(client, name, MemorySize=256, Timeout=5, LoggingConfig={"LogFormat": "JSON"}))
    r("get_function_response", client.get_function, FunctionName=name)
    r("function_config", client.get_function_configuration, FunctionName=name)
    wanted = {"LogFormat": "JSON", "ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO", "LogGroup": "cool_lambda"}
    r("updated_config", client.update_function_configuration, FunctionName=name, LoggingConfig=wanted)
    settled(client, name)
    r("received_config", client.get_function_configuration, FunctionName=name)


@API.of("advanced_logging_configuration_format_switch")
def logging_format(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    r.match("create_response", helped(client, name, MemorySize=256, Timeout=5))
    r("get_function_response", client.get_function, FunctionName=name)
    r("function_config", client.get_function_configuration, FunctionName=name)
    for step, kind in (("", "JSON"), ("_v2", "Text")):
        wanted = {"LogFormat": kind}
        r(f"updated_config{step}", client.update_function_configuration, FunctionName=name, LoggingConfig=wanted)
        settled(client, name)
        r(f"received_config{step}", client.get_function_configuration, FunctionName=name)


@API.of("redundant_updates")
def redundant_updates(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    r.match("create_response", helped(client, name, Description="Initial description"))
    update = functools.partial(
        client.update_function_configuration, FunctionName=name, Description="1st update description"
    )
    r("first_update_result", update)
    settled(client, name)
    r("get_fn_config_result", client.get_function_configuration, FunctionName=name)
    r("get_fn_result", client.get_function, FunctionName=name)
    r("redundant_update_result", update)
    settled(client, name)
    r("get_fn_result_after_redundant_update", client.get_function, FunctionName=name)


@API.of(
    "ops_on_nonexisting_version[get_function]",
    "ops_on_nonexisting_version[get_function_configuration]",
)
def missing_version(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique("i-exist")
    helped(client, name)
    r("version_not_found_exception", getattr(client, r.parameter), FunctionName=name, Qualifier="1221")


@API.of("delete_on_nonexisting_version")
def delete_missing_version(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique("i-exist")
    helped(client, name)
    client.delete_function(FunctionName=name, Qualifier="1233")
    client.delete_function(FunctionName=name)
    r("delete_function_response_non_existent", client.delete_function, FunctionName=name)
    r(
        "delete_function_response_non_existent_with_qualifier",
        client.delete_function,
        FunctionName=name,
        Qualifier="1233",
    )


@API.of("vpc_config")
def vpc(r: Replay) -> None:
    client, ec2, name = r.client("lambda"), r.client("ec2"), r.unique()
    network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    configs = [
        {
            "SubnetIds": [ec2.create_subnet(VpcId=network, CidrBlock=f"10.0.{nth}.0/24")["Subnet"]["SubnetId"]],
            "SecurityGroupIds": [
                ec2.create_security_group(VpcId=network, GroupName=f"{name}-{nth}", Description="test")["GroupId"]
            ],
        }
        for nth in (0, 1)
    ]
    r.match("create_response", helped(client, name, MemorySize=256, Timeout=5, VpcConfig=configs[0]))
    r("get_function_response", client.get_function, FunctionName=name)
    for step, config in (("update", configs[1]), ("delete", {"SubnetIds": [], "SecurityGroupIds": []})):
        update = client.update_function_configuration
        r(f"{step}_vpcconfig_update_response", update, FunctionName=name, VpcConfig=config)
        settled(client, name)
        r(f"{step}_vpcconfig_get_function_response", client.get_function, FunctionName=name)


@API.of("invalid_invoke")
def invalid_name(r: Replay) -> None:
    name = f"arn:aws:lambda:{REGION}:123400000000@function:myfn"
    r("invoke_function_name_pattern_exc", r.client("lambda").invoke, FunctionName=name, Payload=b"{}")


@API.of("lambda_concurrent_code_updates")
def concurrent_code(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    r.match("create-function-response", created(client, name, Handler="handler.handler"))
    client.update_function_code(FunctionName=name, ZipFile=archive("version"))
    r("update-during-in-progress-update-exc", client.update_function_code, FunctionName=name, ZipFile=archive())


@API.of("lambda_concurrent_config_updates")
def concurrent_configuration(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    r.match("create-function-response", helped(client, name))
    update = client.update_function_configuration
    update(FunctionName=name, Environment={"Variables": {"TEST": "TEST1"}})
    variables = {"Variables": {"TEST": "TEST2"}}
    r("update-during-in-progress-update-exc", update, FunctionName=name, Environment=variables)


# ── Images ───────────────────────────────────────────────────────────────────────────────────

IMAGES = [f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{name}:latest" for name in ("alpine", "debian")]


def image(client: Any, name: str, **more: Any) -> Any:
    settings = {"Environment": {"Variables": {"CUSTOM_ENV": "test"}}, "PackageType": "Image", **more}
    return created(client, name, Code={"ImageUri": IMAGES[0]}, Runtime=None, Handler=None, **settings)


@API.of("lambda_image_crud")
def image_crud(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    r.match("create-image-response", image(client, name))
    r("get-function-code-response", client.get_function, FunctionName=name)
    r("get-function-config-response", client.get_function_configuration, FunctionName=name)
    r("image-to-zipfile-error", client.update_function_code, FunctionName=name, ZipFile=archive())
    r("update-function-code-response", client.update_function_code, FunctionName=name, ImageUri=IMAGES[1])
    settled(client, name)
    r("get-function-code-response-after-update", client.get_function, FunctionName=name)
    r("get-function-config-response-after-update", client.get_function_configuration, FunctionName=name)


@API.of("lambda_image_versions")
def image_versions(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    r.match("create_image_response", image(client, name, Publish=True))
    got = r("get_function_result", client.get_function, FunctionName=name)
    r("list_versions_result", client.list_versions_by_function, FunctionName=name)
    update = client.update_function_configuration
    r("first_update_response", update, FunctionName=name, Description="Second version :)")
    settled(client, name)
    r("first_update_get_function", client.get_function, FunctionName=name)
    publish = functools.partial(client.publish_version, FunctionName=name)
    second = functools.partial(publish, Description="Second version description :)")
    r("invalid_sha_publish", second, CodeSha256="a" * 64)
    r("first_publish_response", second, CodeSha256=got["Configuration"]["CodeSha256"])
    r("second_update_response", update, FunctionName=name, Description="Third version :)")
    settled(client, name)
    r("second_update_get_function", client.get_function, FunctionName=name)
    r("second_publish_response", publish, Description="Third version description :)")


# ── Versions ─────────────────────────────────────────────────────────────────────────────────


@API.of("publish_version_on_create")
def publish_on_create(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    r.match("create_response", created(client, name, Publish=True))
    r("get_function_result", client.get_function, FunctionName=name)
    r("get_function_version_result", client.get_function, FunctionName=name, Qualifier="1")
    r("get_function_latest_result", client.get_function, FunctionName=name, Qualifier="$LATEST")
    r("list_versions_result", client.list_versions_by_function, FunctionName=name)
    repeated = {"FunctionName": name, "Description": "Repeated version description :)"}
    r("repeated_publish_response", client.publish_version, **repeated)
    r("list_versions_result_after_publish", client.list_versions_by_function, FunctionName=name)


@API.of("publish_with_wrong_sha256")
def wrong_hash(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    r.match("create_response", created(client, name))
    got = r("get_fn_response", client.get_function, FunctionName=name)
    r("publish_wrong_sha256_exc", client.publish_version, FunctionName=name, CodeSha256="somenonexistentsha256")
    sha = got["Configuration"]["CodeSha256"]
    r("publish_result", client.publish_version, FunctionName=name, CodeSha256=sha)


@API.of("publish_with_wrong_revisionid")
def wrong_revision(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    r.match("create_response", created(client, name))
    got = r("get_fn_response", client.get_function, FunctionName=name)
    stranger = "cc2b8ad4-9f6b-4f0d-9c0e-4b6a8f2d0001"
    r("publish_wrong_revisionid_exc", client.publish_version, FunctionName=name, RevisionId=stranger)
    revision = got["Configuration"]["RevisionId"]
    r("publish_result", client.publish_version, FunctionName=name, RevisionId=revision)


@API.of("publish_with_update")
def publish_with_update(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    r.match("create_response", created(client, name))
    r("get_function_result", client.get_function, FunctionName=name)
    update = functools.partial(client.update_function_code, FunctionName=name, Publish=True)
    r("update_function_code_result", update, ZipFile=archive("version"))
    r("get_function_version_result", client.get_function, FunctionName=name, Qualifier="1")
    r("get_function_latest_result", client.get_function, FunctionName=name, Qualifier="$LATEST")


@API.of("function_revisions_basic")
def revisions(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    r.match("create_function_response_rev1", helped(client, name, Handler="index.handler"))
    got = r("get_function_response_rev2", client.get_function, FunctionName=name)
    code = functools.partial(client.update_function_code, FunctionName=name, ZipFile=archive())
    r("update_function_revision_exception", code, RevisionId="wrong")
    r("update_function_code_response_rev3", code, RevisionId=got["Configuration"]["RevisionId"])
    settled(client, name)
    got = r("get_function_response_rev4", client.get_function, FunctionName=name)
    config = functools.partial(client.update_function_configuration, FunctionName=name, Runtime="python3.8")
    r("update_function_configuration_revision_exception", config, RevisionId="wrong")
    r("update_function_configuration_response_rev5", config, RevisionId=got["Configuration"]["RevisionId"])
    settled(client, name)
    r("get_function_response_rev6", client.get_function, FunctionName=name)


@API.of("function_revisions_version_and_alias")
def revisions_of_versions(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    r.match("create_function_response_rev1", helped(client, name))
    got = r("get_function_active_rev2", client.get_function, FunctionName=name)
    r("publish_version_revision_exception", client.publish_version, FunctionName=name, RevisionId="wrong")
    revision = got["Configuration"]["RevisionId"]
    r("publish_version_response_rev_v1", client.publish_version, FunctionName=name, RevisionId=revision)
    settled(client, name, "1")
    r("get_function_published_version_rev_v2", client.get_function, FunctionName=name, Qualifier="1")
    r("get_function_latest_rev3", client.get_function, FunctionName=name)
    alias = {"FunctionName": name, "Name": "revision_alias"}
    made = r("create_alias_response_rev_a1", client.create_alias, FunctionVersion="1", **alias)
    r("get_function_latest_rev4", client.get_function, FunctionName=name)
    r("get_function_published_version_rev_v3", client.get_function, FunctionName=name, Qualifier="1")
    r("update_alias_revision_exception", client.update_alias, RevisionId="wrong", **alias)
    changed = {"Description": "something changed", "RevisionId": made["RevisionId"]}
    r("update_alias_response_rev_a2", client.update_alias, **changed, **alias)


@API.of("function_revisions_permissions")
def revisions_of_permissions(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    helped(client, name)
    asked = {"StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    r("add_permission_revision_exception", client.add_permission, FunctionName=name, RevisionId="wrong", **asked)


# ── Aliases ──────────────────────────────────────────────────────────────────────────────────


def two_versions(r: Replay, client: Any, name: str, **more: Any) -> None:
    r.match("create_response", created(client, name, Environment={"Variables": {"testenv": "staging"}}, **more))
    r("publish_v1", client.publish_version, FunctionName=name)
    client.update_function_configuration(FunctionName=name, Environment={"Variables": {"testenv": "prod"}})
    settled(client, name)
    r("publish_v2", client.publish_version, FunctionName=name)


@API.of("alias_lifecycle")
def aliases(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique("alias-fn")
    two_versions(r, client, name)
    create = functools.partial(client.create_alias, FunctionName=name)
    get = functools.partial(client.get_alias, FunctionName=name)
    said = {"Description": "custom-alias"}
    split = {"RoutingConfig": {"AdditionalVersionWeights": {"2": 0.2}}}
    made = r("create_alias_1_1", create, Name="aliasname1_1", FunctionVersion="1", **said, **split)
    r("get_alias_1_1", get, Name="aliasname1_1")
    r("get_function_alias_1_1", client.get_function, FunctionName=name, Qualifier="aliasname1_1")
    r("get_function_byarn_alias_1_1", client.get_function, FunctionName=made["AliasArn"])
    r("get_function_alias_notfound_exc", client.get_function, FunctionName=name, Qualifier="aliasdoesnotexist")
    missing = made["AliasArn"].replace("aliasname1_1", "aliasdoesnotexist")
    r("get_function_alias_byarn_notfound_exc", client.get_function, FunctionName=missing)
    for step, version, described in (("1_2", "1", said), ("1_3", "1", {}), ("2", "2", said)):
        r(f"create_alias_{step}", create, Name=f"aliasname{step}", FunctionVersion=version, **described)
        r(f"get_alias_{step}", get, Name=f"aliasname{step}")
    pages = client.get_paginator("list_aliases").paginate(FunctionName=name, PaginationConfig={"PageSize": 1})
    r.match("list_aliases_for_fnname", pages.build_full_result())
    update = functools.partial(client.update_alias, FunctionName=name)
    cleared = {"RoutingConfig": {"AdditionalVersionWeights": {}}}
    r("update_alias_1_1", update, Name="aliasname1_1", **cleared)
    r("get_alias_1_1_after_update", get, Name="aliasname1_1")
    r("list_aliases_for_fnname_after_update", client.list_aliases, FunctionName=name)
    r("update_alias_1_2", update, Name="aliasname1_2")
    r("get_alias_1_2_after_update", get, Name="aliasname1_2")
    r("list_aliases_for_fnname_after_update_2", client.list_aliases, FunctionName=name)
    r("list_aliases_for_version", client.list_aliases, FunctionName=name, FunctionVersion="1")
    r("delete_alias_response", client.delete_alias, FunctionName=name, Name="aliasname1_1")
    r("list_aliases_for_fnname_afterdelete", client.list_aliases, FunctionName=name)


@API.of("notfound_and_invalid_routingconfigs")
def refused_aliases(r: Replay) -> None:
    client, name = r.client("lambda", parameter_validation=False), r.unique("alias-fn")
    two_versions(r, client, name, Publish=True)
    create = functools.partial(client.create_alias, FunctionName=name)

    def refused(step: str, version: str, weights: dict[str, float], alias: str = "custom", **more: Any) -> None:
        routing = {"AdditionalVersionWeights": weights}
        r(step, functools.partial(create, **more), Name=alias, FunctionVersion=version, RoutingConfig=routing)

    refused("routing_config_exc_toomany", "1", {"1": 0.8, "2": 0.2})
    refused("routing_config_exc_toohigh", "1", {"2": 2})
    refused("routing_config_exc_subzero", "1", {"2": -1})
    refused("routing_config_exc_sameversion", "1", {"1": 0.5})
    refused("target_version_doesnotexist", "10", {"2": 0.5})
    refused("routing_config_exc_version_doesnotexist", "1", {"10": 0.5})
    refused("target_version_exc_version_latest", "$LATEST", {"1": 0.5})
    refused("routing_config_exc_version_latest", "1", {"$LATEST": 0.5})
    r("create-alias-latest", create, Name="custom-latest", FunctionVersion="$LATEST")
    refused("routing_config_exc_fn_doesnotexist", "1", {"2": 0.5}, FunctionName=f"{name}-unknown")
    refused("create_alias_empty_routingconfig", "1", {}, "custom-empty-routingconfig")
    refused("create_alias_response", "1", {"2": 0.5})
    refused("routing_config_exc_already_exist", "1", {"2": 0.5})
    r("alias_does_not_exist_esc", client.get_alias, FunctionName=name, Name="non-existent")


@API.of("alias_naming")
def alias_names(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique("alias-fn")
    r.match("create_response", created(client, name, Environment={"Variables": {"testenv": "staging"}}))
    r("publish_v1", client.publish_version, FunctionName=name)
    create = functools.partial(client.create_alias, FunctionName=name, FunctionVersion="1", Description="custom-alias")
    r("create_alias_date", create, Name="2024-01-02")
    r("get_alias_date", client.get_alias, FunctionName=name, Name="2024-01-02")
    r("create_alias_number_exception", create, Name="2024")


# ── Concurrency ──────────────────────────────────────────────────────────────────────────────


@API.of("function_concurrency")
def concurrency(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    helped(client, name)
    put = functools.partial(client.put_function_concurrency, FunctionName=name)
    r("put_function_concurrency_with_reserved_0", put, ReservedConcurrentExecutions=0)
    r("put_function_concurrency_with_reserved_1", put, ReservedConcurrentExecutions=1)
    r("get_function_concurrency", client.get_function_concurrency, FunctionName=name)
    r("delete_response", client.delete_function_concurrency, FunctionName=name)
    r("get_function_concurrency_after_delete", client.get_function_concurrency, FunctionName=name)


@API.of("account_settings")
def account(r: Replay) -> None:
    answer = r.client("lambda").get_account_settings()
    names = {part: sorted(answer[part]) for part in ("AccountLimit", "AccountUsage")}
    r.match("acc_settings_modded", {**answer, **names})


# ── Permissions ──────────────────────────────────────────────────────────────────────────────


@API.of("lambda_permission_fn_versioning")
def permissions_of_versions(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    helped(client, name)
    add = functools.partial(client.add_permission, **S3)
    get = functools.partial(client.get_policy, FunctionName=name)
    r("add_permission", add, FunctionName=name, StatementId="s3")
    r("get_policy", get)
    r("publish_version_result", client.publish_version, FunctionName=name)
    settled(client, name, "1")
    r("get_function_result_after_publishing", client.get_function, FunctionName=name)
    r("get_policy_after_publishing_latest", get)
    r("get_policy_after_publishing_new_version", get, Qualifier="1")
    add(FunctionName=f"{name}:1", StatementId="s3", Qualifier="1")
    r("get_policy_version", get, Qualifier="1")
    alias = "permission-alias"
    made = r("create_alias_response", client.create_alias, FunctionName=name, Name=alias, FunctionVersion="1")
    r("get_alias", client.get_alias, FunctionName=name, Name=alias)
    stale = {"Qualifier": alias, "RevisionId": "wrong"}
    r("add_permission_alias_revision_exception", add, FunctionName=name, StatementId="s3", **stale)
    fresh = {"Qualifier": alias, "RevisionId": made["RevisionId"]}
    add(FunctionName=f"{name}:{alias}", StatementId="s3", **fresh)
    r("get_policy_alias", get, Qualifier=alias)
    policy = r("get_policy_after_adding_to_new_version", get)
    add(FunctionName=name, StatementId="s3_2", RevisionId=policy["RevisionId"])
    r("get_policy_after_adding_2", get)


@API.of("permission_exceptions")
def refused_permissions(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    helped(client, name)
    add = client.add_permission

    def refused(step: str, **more: Any) -> None:
        r(f"add_permission_{step}", add, **{"FunctionName": name, "StatementId": "s3", **S3, **more})

    bare = {"Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    r("add_permission_invalid_statement_id", add, FunctionName=name, StatementId="example.com", **bare)
    refused("fn_qualifier_mismatch", FunctionName=f"{name}:alias-not-42", Qualifier="42")
    refused("fn_qualifier_latest", FunctionName=f"{name}:$LATEST", Qualifier="$LATEST")
    stranger = {"Principal": "invalid.nonaws.com", "SourceAccount": ACCOUNT}
    statement = {"FunctionName": name, "StatementId": "lambda", "Action": "lambda:InvokeFunction"}
    r("add_permission_principal_invalid", add, **statement, **stranger)
    r("get_policy_fn_doesnotexist", client.get_policy, FunctionName="doesnotexist")
    r("get_policy_fn_version_doesnotexist", client.get_policy, FunctionName=name, Qualifier="77")
    refused("fn_doesnotexist", FunctionName="doesnotexist")
    remove = functools.partial(client.remove_permission, StatementId="s3")
    r("remove_permission_policy_doesnotexist", remove, FunctionName=name)
    refused("fn_alias_doesnotexist", FunctionName=f"{name}:alias-doesnotexist")
    refused("fn_version_doesnotexist", Qualifier="42")
    refused("fn_qualifier_invalid", Qualifier="invalid-qualifier-with-?-char")
    refused("fn_qualifier_valid_doesnotexist", Qualifier="valid-with-$-but-doesnotexist")
    add(FunctionName=name, StatementId="s3", **S3)
    refused("conflicting_statement_id")
    r("remove_permission_fn_doesnotexist", remove, FunctionName="doesnotexist")
    r("remove_permission_fn_alias_doesnotexist", remove, FunctionName=name, Qualifier="alias-doesnotexist")


# ── URLs, tags, SnapStart ────────────────────────────────────────────────────────────────────


@API.of("url_config_exceptions")
def refused_urls(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique("test-function")
    helped(client, name, Runtime="nodejs20.x", Handler="lambda_handler.handler")
    r("fn_version_result", client.publish_version, FunctionName=name)
    r("create_alias_result", client.create_alias, FunctionName=name, Name="urlalias", FunctionVersion="1")
    missing = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:doesnotexist"
    asked: dict[str, dict[str, str]] = {
        "name_doesnotexist": {"FunctionName": "doesnotexist"},
        "arn_doesnotexist": {"FunctionName": missing},
        "name_doesnotexist_qualifier": {"FunctionName": "doesnotexist", "Qualifier": "1"},
        "qualifier_version": {"FunctionName": name, "Qualifier": "1"},
        "qualifier_version_doesnotexist": {"FunctionName": name, "Qualifier": "2"},
        "qualifier_alias_doesnotexist": {"FunctionName": name, "Qualifier": "v1"},
        "qualifier_alias_doesnotmatch_arn": {"FunctionName": f"{name}:urlalias-doesnotmatch", "Qualifier": "urlalias"},
        "qualifier_latest": {"FunctionName": name, "Qualifier": "$LATEST"},
    }
    for verb, more in (
        ("create", {"AuthType": "NONE"}),
        ("get", {}),
        ("delete", {}),
        ("update", {"AuthType": "AWS_IAM"}),
    ):
        calls = asked if verb == "create" else {**asked, "config_doesnotexist": {"FunctionName": name}}
        for step, arguments in calls.items():
            operation = f"{verb}_function_url_config"
            r(f"{operation}_{step}", getattr(client, operation), **arguments, **more)


@API.of("url_config_lifecycle")
def urls(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique("test-function")
    helped(client, name, Runtime="nodejs20.x", Handler="lambda_handler.handler")
    r("url_creation", client.create_function_url_config, FunctionName=name, AuthType="NONE")
    r("failed_duplication", client.create_function_url_config, FunctionName=name, AuthType="NONE")
    r("get_url_config", client.get_function_url_config, FunctionName=name)
    r("updated_url_config", client.update_function_url_config, FunctionName=name, AuthType="AWS_IAM")
    client.delete_function_url_config(FunctionName=name)
    r("failed_getter", client.get_function_url_config, FunctionName=name)


@API.of("tag_versions")
def tags(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique("fn-tag")
    arn = helped(client, name)["CreateFunctionResponse"]["FunctionArn"]
    client.publish_version(FunctionName=name)
    for step, qualifier in (("tag_resource_exception", "1"), ("tag_resource_latest_exception", "$LATEST")):
        r(step, client.tag_resource, Resource=f"{arn}:{qualifier}", Tags={"key_b": "value_b"})


@API.of("snapstart_lifecycle[java21]")
def snap_start(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    r.match(
        "create_function_response",
        created(client, name, Runtime="java21", Handler="echo.Handler", MemorySize=1024, Timeout=5),
    )
    client.publish_version(FunctionName=name, Description="version1")
    settled(client, name, "1")
    r("get_function_response_latest", client.get_function, FunctionName=name)
    r("get_function_response_version_1", client.get_function, FunctionName=f"{name}:1")


@API.of("lambda_provisioned_lifecycle")
def provisioned(r: Replay) -> None:
    client, name = r.client("lambda"), r.unique()
    helped(client, name)
    r("publish_version_result", client.publish_version, FunctionName=name)
    alias = {"FunctionName": name, "Qualifier": "live"}
    version = {"FunctionName": name, "Qualifier": "1"}
    one = {"ProvisionedConcurrentExecutions": 1}
    put, delete = client.put_provisioned_concurrency_config, client.delete_provisioned_concurrency_config
    get = client.get_provisioned_concurrency_config
    r("create_alias_result", client.create_alias, FunctionName=name, FunctionVersion="1", Name="live")
    r("put_provisioned_on_version", put, **version, **one)
    r("put_provisioned_on_alias_versionconflict", put, **alias, **one)
    r("delete_provisioned_version", delete, **version)
    r("get_provisioned_version_postdelete", get, **version)
    r("put_provisioned_on_alias", put, **alias, **one)
    r("put_provisioned_on_version_conflict", put, **version, **one)
    r("delete_alias_result", client.delete_alias, FunctionName=name, Name="live")
    r("get_provisioned_alias_postaliasdelete", get, **alias)
    r("list_response_postdeletes", client.list_provisioned_concurrency_configs, FunctionName=name)


@API.of("provisioned_concurrency_exceptions")
def provisioned_exceptions(r: Replay) -> None:
    client, name = r.client("lambda", parameter_validation=False), r.unique()
    helped(client, name)
    r("publish_version_result", client.publish_version, FunctionName=name)
    put, delete = client.put_provisioned_concurrency_config, client.delete_provisioned_concurrency_config
    get, listed = client.get_provisioned_concurrency_config, client.list_provisioned_concurrency_configs
    for step, call, more in (
        ("put", put, {"ProvisionedConcurrentExecutions": 1}),
        ("get", get, {}),
        ("delete", delete, {}),
    ):
        kind = {"FunctionName": name, **more}
        r(f"{step}_provisioned_latest", call, Qualifier="$LATEST", **kind)
        unknown = "doesnotexist" if step == "put" else "noalias"
        r(f"{step}_provisioned_qualifier_doesnotexist", call, Qualifier=unknown, **kind)
        r(f"{step}_provisioned_version_doesnotexist", call, Qualifier="10", **kind)
    missing = {"FunctionName": "doesnotexist"}
    one = {"ProvisionedConcurrentExecutions": 1}
    r("put_provisioned_functionname_doesnotexist_alias", put, **missing, Qualifier="noalias", **one)
    r("put_provisioned_functionname_doesnotexist_version", put, **missing, Qualifier="1", **one)
    r("put_provisioned_invalid_param_0", put, FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=0)
    r("get_provisioned_functionname_doesnotexist", get, **missing, Qualifier="noalias")
    r("get_provisioned_config_doesnotexist", get, FunctionName=name, Qualifier="1")
    r("delete_provisioned_functionname_doesnotexist", delete, **missing, Qualifier="1")
    r("delete_provisioned_config_doesnotexist", delete, FunctionName=name, Qualifier="1")
    r("list_provisioned_functionname_doesnotexist", listed, **missing)
    r("list_provisioned_noconfigs", listed, FunctionName=name)
