"""Application Auto Scaling, as far as it concerns functions: scalable targets and their policies. Nothing scales."""

from __future__ import annotations

import json
import time
from typing import Any

from . import control, http1

_targets: dict[tuple[str, str], dict[str, Any]] = {}
_policies: dict[tuple[str, str, str], dict[str, Any]] = {}


def _register(data: dict[str, Any]) -> dict[str, Any]:
    key = (data["ResourceId"], data["ScalableDimension"])
    new = {"CreationTime": time.time(), "RoleARN": "arn:aws:iam::000000000000:role/scaling"}
    _targets[key] = {**_targets.get(key, new), **data}
    return {"ScalableTargetARN": f"arn:aws:application-autoscaling:us-east-1:000000000000:scalable-target/{key[0]}"}


def _deregister(data: dict[str, Any]) -> dict[str, Any]:
    _targets.pop((data["ResourceId"], data["ScalableDimension"]), None)
    return {}


def _put_policy(data: dict[str, Any]) -> dict[str, Any]:
    arn = f"arn:aws:autoscaling:us-east-1:000000000000:scalingPolicy:{data['PolicyName']}"
    _policies[data["ResourceId"], data["ScalableDimension"], data["PolicyName"]] = {
        "PolicyARN": arn,
        "CreationTime": time.time(),
        **data,
    }
    return {"PolicyARN": arn, "Alarms": []}


def _is_asked_for(data: dict[str, Any], one: dict[str, Any]) -> bool:
    ids = data.get("ResourceIds") or ([data["ResourceId"]] if data.get("ResourceId") else None)
    dimension = data.get("ScalableDimension")
    return (
        one["ServiceNamespace"] == data["ServiceNamespace"]
        and (ids is None or one["ResourceId"] in ids)
        and dimension in (None, one["ScalableDimension"])
    )


_OPERATIONS = {
    "RegisterScalableTarget": _register,
    "DeregisterScalableTarget": _deregister,
    "PutScalingPolicy": _put_policy,
    "DescribeScalableTargets": lambda data: {
        "ScalableTargets": [one for one in _targets.values() if _is_asked_for(data, one)]
    },
    "DescribeScalingPolicies": lambda data: {
        "ScalingPolicies": [one for one in _policies.values() if _is_asked_for(data, one)]
    },
}


def _serve(action: str, data: Any) -> http1.Response:
    operation = _OPERATIONS.get(action)
    status = 200 if operation else 400
    answer = operation(data) if operation else {"__type": "ValidationException", "message": f"no operation {action}"}
    return http1.Response(status, [(b"content-type", b"application/x-amz-json-1.1")], json.dumps(answer).encode())


control.SERVICES["AnyScaleFrontendService"] = _serve
