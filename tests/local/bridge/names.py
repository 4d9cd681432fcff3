"""The names that CloudFormation makes itself: of 64 characters, it cuts the stack's part and the resource's."""

from __future__ import annotations

from typing import Any

from ministack.services.cloudformation import provisioners

STACK, LOGICAL, SUFFIX = 25, 24, 13
"""As in `serverlessrepo-Update-Rou-UpdateRoute53RecordToEc2-1GD7M49G9D2VE`."""


def _physical_name(stack_name: str, logical_id: str, **how: Any) -> str:
    name: str = _original_physical_name(stack_name, logical_id, **how)
    whole = len(stack_name) + 1 + len(logical_id) + 1 + SUFFIX
    if how.get("max_len") != 64 or whole <= 64:
        return name
    suffix = name[-SUFFIX:]
    return f"{stack_name[:STACK]}-{logical_id[:LOGICAL]}-{suffix}"


_original_physical_name: Any = None


def install() -> None:
    global _original_physical_name
    _original_physical_name = provisioners._physical_name
    provisioners._physical_name = _physical_name
