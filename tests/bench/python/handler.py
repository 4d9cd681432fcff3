"""Gives green its share of an alias, as a team would write it: two calls and nothing else."""

import boto3

client = boto3.client("lambda")


def handler(event, context):
    alias = client.get_alias(FunctionName=event["function"], Name=event["alias"])
    updated = client.update_alias(
        FunctionName=event["function"],
        Name=event["alias"],
        FunctionVersion=alias["FunctionVersion"],
        RoutingConfig={"AdditionalVersionWeights": event["weights"]},
        RevisionId=alias["RevisionId"],
    )
    return {"revision": updated["RevisionId"]}
