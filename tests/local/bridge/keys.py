"""Customers' KMS keys on buckets and functions, and repositories that Lambda is not let into yet.

What a caller's role must allow because of them is in `iam_actions`; here is where it is read from.
"""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

from ministack.services import ecr, lambda_svc, s3

from . import iam_actions

LAMBDA = "lambda.amazonaws.com"


def _of_function(reference: str, account: str) -> str | None:
    name, _ = lambda_svc._resolve_request_scoped_name_and_qualifier(reference)
    function = lambda_svc._functions.get(name)
    return (function["config"].get("KMSKeyArn") or None) if function else None


def _of_bucket(bucket: str, account: str) -> str | None:
    said = s3._bucket_encryption.get(bucket)
    if not said:
        return None
    key = ElementTree.fromstring(said).find(".//{*}KMSMasterKeyID")
    return key.text if key is not None else None


def _lets_lambda_in(repository: str, account: str) -> bool:
    if ecr._repositories.get(repository) is None:
        return True
    policy = json.loads(ecr._repo_policies.get(repository) or "{}")
    statements = policy.get("Statement") or []
    return any(LAMBDA in json.dumps(one.get("Principal")) for one in statements)


def let_lambda_in(repository: str) -> None:
    """What Lambda does to the policy of a repository when it takes the first image from it."""
    if _lets_lambda_in(repository, ""):
        return
    policy: dict[str, Any] = json.loads(ecr._repo_policies.get(repository) or "{}")
    statement = {
        "Sid": "LambdaECRImageRetrievalPolicy",
        "Effect": "Allow",
        "Principal": {"Service": LAMBDA},
        "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
    }
    statements = [*(policy.get("Statement") or ()), statement]
    ecr._repo_policies[repository] = json.dumps({"Version": "2008-10-17", **policy, "Statement": statements})


_original_update_code: Any = None


def _update_code(name: str, data: dict[str, Any]) -> Any:
    answer = _original_update_code(name, data)
    if answer[0] < 400 and data.get("ImageUri"):
        repository = str(data["ImageUri"]).split("@")[0].split("/", 1)[-1].rsplit(":", 1)[0]
        if ecr._repositories.get(repository) is not None:
            let_lambda_in(repository)
    return answer


def install() -> None:
    global _original_update_code
    _original_update_code = lambda_svc._update_code
    lambda_svc._update_code = _update_code
    iam_actions.key_of_function = _of_function
    iam_actions.key_of_bucket = _of_bucket
    iam_actions.lets_lambda_in = _lets_lambda_in
