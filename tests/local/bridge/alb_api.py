"""The load balancer API's own rules: weighted actions kept whole, Lambda targets, target health."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ministack.core.arn import ArnParseError, parse_arn
from ministack.core.responses import request_scope
from ministack.services import alb, lambda_svc

from . import control, policies, query_protocol

Answer = tuple[int, dict[str, str], bytes]
Action = dict[str, Any]

PRINCIPAL = "elasticloadbalancing.amazonaws.com"
MAX_GROUPS = 5
"""Target groups of one forward action."""
MAX_WEIGHT = 999
MAX_STICKY_SECONDS = 604_800
_ENDS = ("forward", "redirect", "fixed-response")
_HEALTH = "_health"
"""Where a target keeps the health it was given by hand."""
_NO_HEALTH_CHECK = {
    "State": "unavailable",
    "Reason": "Target.HealthCheckDisabled",
    "Description": "Health checks are not enabled for this target",
}
_NOT_IN_USE = {
    "State": "unused",
    "Reason": "Target.NotInUse",
    "Description": "Target group is not configured to receive traffic from the load balancer",
}
_NOT_REGISTERED = {
    "State": "unused",
    "Reason": "Target.NotRegistered",
    "Description": "Target is not registered to the target group",
}
_BY_HAND = {
    "healthy": {"State": "healthy"},
    "unhealthy": {
        "State": "unhealthy",
        "Reason": "Target.ResponseCodeMismatch",
        "Description": "Health checks failed with these codes: [500]",
    },
    "initial": {
        "State": "initial",
        "Reason": "Elb.InitialHealthChecking",
        "Description": "Initial health checks in progress",
    },
}


class Refused(Exception):
    """An error answer."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


# ── Actions ──────────────────────────────────────────────────────────────────────────────────


def _parse_actions(params: dict[str, Any], prefix: str = "DefaultActions") -> list[Action]:
    try:
        shape = query_protocol.shape("elbv2", "Actions")
        actions = query_protocol.read(shape, functools.partial(alb._p, params), prefix) or []
    except ValueError as error:
        raise Refused("ValidationError", str(error)) from None
    return sorted((_as_told(action) for action in actions), key=lambda action: action.get("Order", 1))


def _as_told(action: Action) -> Action:
    """An action as AWS describes it: defaults filled in, and one group told in both of its ways."""
    action = dict(action)
    if action.get("Type") == "forward":
        single = {"TargetGroups": [{"TargetGroupArn": action.get("TargetGroupArn")}]}
        config = dict(action.get("ForwardConfig") or single)
        config["TargetGroups"] = [{"Weight": 1, **group} for group in config.get("TargetGroups") or []]
        config["TargetGroupStickinessConfig"] = {"Enabled": False, **(config.get("TargetGroupStickinessConfig") or {})}
        action["ForwardConfig"] = config
        if len(config["TargetGroups"]) == 1:
            action.setdefault("TargetGroupArn", config["TargetGroups"][0]["TargetGroupArn"])
    for kind in ("AuthenticateOidcConfig", "AuthenticateCognitoConfig"):
        if kind in action:
            action[kind] = {
                "SessionCookieName": alb.OIDC_DEFAULT_COOKIE_NAME,
                "Scope": "openid",
                "SessionTimeout": alb.OIDC_DEFAULT_SESSION_TIMEOUT,
                "OnUnauthenticatedRequest": "authenticate",
                **action[kind],
            }
    return action


def _action_xml(action: Action) -> str:
    told = _as_told(action)
    if "AuthenticateOidcConfig" in told:
        # Never told again: who changes the action later sets UseExistingClientSecret.
        hidden = ("ClientSecret", "UseExistingClientSecret")
        told["AuthenticateOidcConfig"] = {k: v for k, v in told["AuthenticateOidcConfig"].items() if k not in hidden}
    return f"<member>{query_protocol.write(query_protocol.shape('elbv2', 'Action'), told)}</member>"


def groups(action: Action) -> list[dict[str, Any]]:
    """The target groups of a forward action, with their weights."""
    return list(_as_told(action)["ForwardConfig"]["TargetGroups"]) if action.get("Type") == "forward" else []


def _check_actions(actions: list[Action], listener: dict[str, Any], before: list[Action]) -> None:
    """Refuses what AWS refuses; `before` are the actions that these replace."""
    orders = [action.get("Order") for action in actions]
    if len(actions) > 1 and (None in orders or len(set(orders)) < len(orders)):
        raise Refused("ValidationError", "You must specify a unique order for each of the actions")
    if [a["Type"] for a in actions if a["Type"] in _ENDS] != [actions[-1]["Type"]]:
        raise Refused(
            "InvalidLoadBalancerAction",
            f"The actions must end with exactly one action of these types: {', '.join(_ENDS)}",
        )
    for action in actions:
        if action["Type"] == "forward":
            _check_forward(action, listener["LoadBalancerArn"])
        elif action["Type"].startswith("authenticate-") and listener.get("Protocol") != "HTTPS":
            raise Refused(
                "InvalidLoadBalancerAction", f"Actions of type '{action['Type']}' are supported only on HTTPS listeners"
            )
    has_secret = bool(_secrets(before))
    for config in _oidc(actions):
        if not config.get("ClientSecret") and not (config.get("UseExistingClientSecret") and has_secret):
            raise Refused("ValidationError", "A client secret must be specified for 'authenticate-oidc' actions")


def _check_forward(action: Action, load_balancer: str) -> None:
    config = action["ForwardConfig"]
    arns = [group.get("TargetGroupArn") for group in config["TargetGroups"]]
    if action.get("TargetGroupArn") is not None and arns != [action["TargetGroupArn"]]:
        raise Refused(
            "ValidationError",
            "You must specify the same target group in TargetGroupArn and ForwardConfig, or only one of the two",
        )
    if len(arns) > MAX_GROUPS:
        raise Refused("TooManyTargetGroups", f"A forward action can have at most {MAX_GROUPS} target groups")
    if len(set(arns)) < len(arns):
        raise Refused("ValidationError", "A target group can only be specified once in a forward action")
    for group in config["TargetGroups"]:
        arn = group.get("TargetGroupArn")
        if arn not in alb._tgs:
            raise Refused("TargetGroupNotFound", f"Target group '{arn}' not found")
        if not 0 <= group["Weight"] <= MAX_WEIGHT:
            raise Refused("ValidationError", "The weight for each target group must be between 0 and 999, inclusive")
        if load_balancers(arn) - {load_balancer}:
            raise Refused(
                "TargetGroupAssociationLimit",
                f"Target group '{arn}' cannot be associated with more than one load balancer",
            )
    sticky = config["TargetGroupStickinessConfig"]
    if sticky["Enabled"] and not 1 <= sticky.get("DurationSeconds", 0) <= MAX_STICKY_SECONDS:
        raise Refused(
            "ValidationError",
            f"Target group stickiness duration must be between 1 and {MAX_STICKY_SECONDS} seconds, inclusive",
        )


@dataclass(slots=True)
class _Index:
    """What every request asks of all rules, made anew after each write: walks over them made the local AWS slower with
    each load balancer of a test that was over."""

    rules: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Listener -> its rules, in the order in which they are tried."""
    load_balancers: dict[str, set[str]] = field(default_factory=dict)
    """Target group -> the load balancers that have a rule with it, whatever its weight there."""
    listeners: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Load balancer -> its listeners."""
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """DNS name -> load balancer."""
    made_at: tuple[int, ...] = ()
    """How many writes there had been, and how many of each there were: stacks make some without a call."""


_writes = 0
_index = _Index()


def _indexed() -> _Index:
    global _index
    now = (_writes, *(len(each._data) for each in (alb._lbs, alb._listeners, alb._rules)))
    if _index.made_at == now:
        return _index
    # Of before the walk: what is written meanwhile makes it old.
    found = _Index(made_at=now)
    listeners = {listener["ListenerArn"]: listener for listener in list(alb._listeners._data.values())}
    for listener in listeners.values():
        found.listeners.setdefault(listener["LoadBalancerArn"], []).append(listener)
    for rule in sorted(list(alb._rules._data.values()), key=alb._rule_sort_key):
        listener = listeners.get(rule["ListenerArn"])
        if listener is None:
            continue
        found.rules.setdefault(rule["ListenerArn"], []).append(rule)
        for group in (group for action in rule["Actions"] for group in groups(action)):
            found.load_balancers.setdefault(group["TargetGroupArn"], set()).add(listener["LoadBalancerArn"])
    for load_balancer in list(alb._lbs._data.values()):
        for host in (load_balancer["DNSName"], f"{load_balancer['LoadBalancerName']}.alb.localhost"):
            found.hosts[host.lower()] = load_balancer
    _index = found
    return found


def load_balancers(group: str) -> set[str]:
    """The load balancers that have a rule with this target group, whatever its weight there."""
    return _indexed().load_balancers.get(group, set())


def rules(listener: str) -> list[dict[str, Any]]:
    """A listener's rules, in the order in which they are tried."""
    return _indexed().rules.get(listener, [])


def listeners(load_balancer: str) -> list[dict[str, Any]]:
    """A load balancer's listeners."""
    return _indexed().listeners.get(load_balancer, [])


def _find_lb_for_host(host: str) -> dict[str, Any] | None:
    return _indexed().hosts.get(host.split(":")[0].lower())


def _writing(handler: Callable[[dict[str, Any]], Answer]) -> Callable[[dict[str, Any]], Answer]:
    def handle(params: dict[str, Any]) -> Answer:
        global _writes
        try:
            return handler(params)
        finally:
            _writes += 1

    return handle


# ── Listeners and rules ──────────────────────────────────────────────────────────────────────


def _create_listener(params: dict[str, Any]) -> Answer:
    arn = alb._p(params, "LoadBalancerArn")
    if arn in alb._lbs:
        future = {"LoadBalancerArn": arn, "Protocol": alb._p(params, "Protocol", "HTTP")}
        _check_actions(_some(_parse_actions(params)), future, [])
    return _original["CreateListener"](params)


def _modify_listener(params: dict[str, Any]) -> Answer:
    listener = alb._listeners.get(alb._p(params, "ListenerArn"))
    actions = _parse_actions(params)
    before = listener["DefaultActions"] if listener is not None else []
    if listener is not None and actions:
        protocol = alb._p(params, "Protocol") or listener.get("Protocol")
        _check_actions(actions, {**listener, "Protocol": protocol}, before)
    status, headers, body = _original["ModifyListener"](params)
    if status < 400 and listener is not None:
        _keep_secrets(listener["DefaultActions"], before)
    return status, headers, body


def _create_rule(params: dict[str, Any]) -> Answer:
    listener = alb._listeners.get(alb._p(params, "ListenerArn"))
    if listener is not None:
        _check_actions(_some(_parse_actions(params, "Actions")), listener, [])
        taken = [r["Priority"] for r in alb._rules.values() if r["ListenerArn"] == listener["ListenerArn"]]
        if alb._p(params, "Priority") in taken:
            raise Refused("PriorityInUse", f"Priority '{alb._p(params, 'Priority')}' is currently in use")
    return _original["CreateRule"](params)


def _modify_rule(params: dict[str, Any]) -> Answer:
    """What is given replaces all of its kind: conditions, or actions."""
    rule = alb._rules.get(alb._p(params, "RuleArn"))
    actions = _parse_actions(params, "Actions")
    before = rule["Actions"] if rule is not None else []
    if rule is not None and not rule["IsDefault"] and actions:
        _check_actions(actions, alb._listeners[rule["ListenerArn"]], before)
    status, headers, body = _original["ModifyRule"](params)
    if status < 400 and rule is not None:
        _keep_secrets(rule["Actions"], before)
    return status, headers, body


def _some(actions: list[Action]) -> list[Action]:
    if not actions:
        raise Refused("ValidationError", "At least one action must be specified")
    return actions


def _oidc(actions: list[Action]) -> list[dict[str, Any]]:
    return [action["AuthenticateOidcConfig"] for action in actions if "AuthenticateOidcConfig" in action]


def _secrets(actions: list[Action]) -> list[str]:
    return [config["ClientSecret"] for config in _oidc(actions) if config.get("ClientSecret")]


def _keep_secrets(actions: list[Action], before: list[Action]) -> None:
    """What UseExistingClientSecret asks for."""
    for config in _oidc(actions):
        if config.pop("UseExistingClientSecret", False):
            config["ClientSecret"] = _secrets(before)[0]


def _describe_rules(params: dict[str, Any]) -> Answer:
    wanted = alb._parse_member_list(params, "RuleArns")
    listener = alb._p(params, "ListenerArn")
    if not wanted and not listener:
        raise Refused("ValidationError", "You must specify either listener rule ARNs or a listener ARN")
    if any(arn not in alb._rules for arn in wanted):
        raise Refused("RuleNotFound", "One or more rules not found")
    if listener and listener not in alb._listeners:
        raise Refused("ListenerNotFound", "One or more listeners not found")
    return _original["DescribeRules"](params)


def _describe_listeners(params: dict[str, Any]) -> Answer:
    if any(arn not in alb._listeners for arn in alb._parse_member_list(params, "ListenerArns")):
        raise Refused("ListenerNotFound", "One or more listeners not found")
    return _original["DescribeListeners"](params)


# ── Target groups and targets ────────────────────────────────────────────────────────────────


def _create_target_group(params: dict[str, Any]) -> Answer:
    """A Lambda group has no port, and no health checks unless they are asked for."""
    if alb._p(params, "TargetType") == "lambda":
        defaults = {
            "HealthCheckEnabled": "false",
            "HealthCheckIntervalSeconds": "35",
            "HealthCheckTimeoutSeconds": "30",
        }
        params = {**defaults, **params}
    return _original["CreateTargetGroup"](params)


def _target_group_xml(group: dict[str, Any]) -> str:
    told = {**group, "LoadBalancerArns": sorted(load_balancers(group["TargetGroupArn"]))}
    if group.get("TargetType") == "lambda":
        for field in ("Protocol", "Port", "VpcId", "HealthCheckProtocol", "HealthCheckPort"):
            told.pop(field, None)
    return f"<member>{query_protocol.write(query_protocol.shape('elbv2', 'TargetGroup'), told)}</member>"


def _describe_target_groups(params: dict[str, Any]) -> Answer:
    if any(arn not in alb._tgs for arn in alb._parse_member_list(params, "TargetGroupArns")):
        raise Refused("TargetGroupNotFound", "One or more target groups not found")
    for arn, group in alb._tgs.items():
        group["LoadBalancerArns"] = sorted(load_balancers(arn))
    return _original["DescribeTargetGroups"](params)


def _delete_target_group(params: dict[str, Any]) -> Answer:
    arn = alb._p(params, "TargetGroupArn")
    if load_balancers(arn):
        raise Refused("ResourceInUse", f"Target group '{arn}' is currently in use by a listener or a rule")
    return _original["DeleteTargetGroup"](params)


def _register_targets(params: dict[str, Any]) -> Answer:
    arn = alb._p(params, "TargetGroupArn")
    group = alb._tgs.get(arn)
    if group is not None and group.get("TargetType") == "lambda":
        wanted = {target["Id"] for target in alb._parse_targets_param(params)}
        for function in wanted:
            _check_function(function, arn)
        if len(wanted | {target["Id"] for target in alb._targets.get(arn, [])}) > 1:
            raise Refused("TooManyTargets", "A target group of type 'lambda' can have only one target")
    return _original["RegisterTargets"](params)


def _check_function(arn: str, group: str) -> None:
    try:
        is_function = parse_arn(arn).service == "lambda"
    except ArnParseError:
        is_function = False
    if not is_function:
        raise Refused("InvalidTarget", f"The target ID '{arn}' is not a valid ARN of a Lambda function")
    if lambda_svc._get_func_record_for_ref(arn)[0] is None:
        raise Refused("InvalidTarget", f"The following targets do not exist: '{arn}'")
    if not policies.may_invoke(arn, PRINCIPAL, group):
        raise Refused(
            "AccessDenied",
            f"elasticloadbalancing principal does not have permission to invoke {arn} from target group {group}",
            403,
        )


def health(group: str, target: dict[str, Any]) -> dict[str, str]:
    """A registered target's health: what it was told by hand, else healthy."""
    if not load_balancers(group):
        return _NOT_IN_USE
    if not alb._tgs[group].get("HealthCheckEnabled", True):
        return _NO_HEALTH_CHECK
    return _BY_HAND[target.get(_HEALTH, "healthy")]


def _describe_target_health(params: dict[str, Any]) -> Answer:
    arn = alb._p(params, "TargetGroupArn")
    if arn not in alb._tgs:
        raise Refused("TargetGroupNotFound", f"Target groups '{arn}' not found")
    group, registered = alb._tgs[arn], alb._targets.get(arn, [])
    has_port = group.get("TargetType") != "lambda"
    known = {target["Id"]: target for target in registered}
    told = []
    for target in alb._parse_targets_param(params) or registered:
        shown = {"Id": target["Id"]}
        if has_port:
            shown["Port"] = known.get(target["Id"], target).get("Port") or group.get("Port")
        found = known.get(target["Id"])
        state = health(arn, found) if found is not None else _NOT_REGISTERED
        told.append({"Target": shown, "TargetHealth": state})
        if has_port:
            told[-1]["HealthCheckPort"] = str(shown["Port"])
    xml = query_protocol.write(query_protocol.shape("elbv2", "TargetHealthDescriptions"), told)
    return alb._xml(200, "DescribeTargetHealth", f"<TargetHealthDescriptions>{xml}</TargetHealthDescriptions>")


@control.route("POST", "targets/health")
def _set_health(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """The health of a group's targets, or of one of them, as its health checks would find it."""
    arn, state = body["targetGroupArn"], body["state"]
    if state not in _BY_HAND:
        raise ValueError(f"state must be one of {', '.join(_BY_HAND)}")
    with request_scope(parse_arn(arn).account_id, parse_arn(arn).region):
        chosen = [t for t in alb._targets.get(arn, []) if body.get("target") in (None, t["Id"])]
        for target in chosen:
            target[_HEALTH] = state
    if not chosen:
        raise ValueError("no such target is registered")
    return {"targets": [t["Id"] for t in chosen]}


# ── ministack's seams ────────────────────────────────────────────────────────────────────────

_original: dict[str, Callable[[dict[str, Any]], Answer]] = {}


def _refusing(handler: Callable[[dict[str, Any]], Answer]) -> Callable[[dict[str, Any]], Answer]:
    def handle(params: dict[str, Any]) -> Answer:
        try:
            return handler(params)
        except Refused as refused:
            return alb._error(refused.code, refused.message, refused.status)

    return handle


def install() -> None:
    _original.update(alb._ACTION_MAP)
    for action, handler in {
        "CreateListener": _create_listener,
        "ModifyListener": _modify_listener,
        "DescribeListeners": _describe_listeners,
        "CreateRule": _create_rule,
        "ModifyRule": _modify_rule,
        "DescribeRules": _describe_rules,
        "CreateTargetGroup": _create_target_group,
        "DescribeTargetGroups": _describe_target_groups,
        "DeleteTargetGroup": _delete_target_group,
        "RegisterTargets": _register_targets,
        "DescribeTargetHealth": _describe_target_health,
    }.items():
        assert action in _original, f"ministack no longer has {action}"
        alb._ACTION_MAP[action] = _refusing(handler)
    for action, handler in alb._ACTION_MAP.items():
        if not action.startswith("Describe"):
            alb._ACTION_MAP[action] = _writing(handler)
    alb.find_lb_for_host = _find_lb_for_host
    alb._parse_actions = _parse_actions
    alb._action_xml = _action_xml
    alb._tg_xml = _target_group_xml
