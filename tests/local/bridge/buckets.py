"""Buckets that CloudFormation makes: they have their tags, and go with their stack only when they are empty."""

from __future__ import annotations

from typing import Any

from ministack.services import s3
from ministack.services.cloudformation import provisioners


def install() -> None:
    handlers = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    make, delete = handlers["create"], handlers["delete"]

    def create(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        made = make(logical_id, props, stack_name)
        tags = {str(tag["Key"]): str(tag["Value"]) for tag in props.get("Tags") or []}
        if tags:
            s3._bucket_tags[made[0]] = tags
        return made

    def empty_first(physical_id: str, props: dict[str, Any]) -> Any:
        if (s3._buckets.get(physical_id) or {}).get("objects"):
            raise ValueError("The bucket you tried to delete is not empty")
        return delete(physical_id, props)

    handlers["create"], handlers["delete"] = create, empty_first
