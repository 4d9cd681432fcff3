"""The Route 53 API's own rules: weighted record sets, atomic batches, changes that take time, health."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from ministack.core.responses import get_account_id
from ministack.services import route53

from . import cloudwatch, control, states

Answer = tuple[int, dict[str, str], bytes]
RecordSet = dict[str, Any]

MAX_WEIGHT = 255
METRICS_REGION = "us-east-1"
"""Where Route 53's metrics are, wherever else the account works."""
HEALTH_EVERY_SECONDS = 10.0
"""How often the state of health checks is recorded. AWS: each minute."""
CHECKERS = (
    "us-east-1",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "sa-east-1",
)
"""Where health checks are made from, unless a check says so."""
_POLICIES = ("Weight", "Region", "Failover", "MultiValueAnswer", "GeoLocation", "CidrRoutingConfig")
_HEALTHY = "_healthy"
"""Where a health check keeps the state it was given by hand."""


@dataclass
class Settings:
    """What `POST /_local/dns/settings` changes."""

    insyncSeconds: float = 30.0  # noqa: N815 - as the control API has it
    """How long a change is PENDING, in AWS's seconds: shorter by the scale of waits."""


SETTINGS = Settings()


# ── Batches ──────────────────────────────────────────────────────────────────────────────────


class Refused(Exception):
    """An error answer."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def _change_resource_record_sets(zone_id: str, body: bytes) -> Answer:
    """All changes or none; what the batch makes of the zone is judged as a whole."""
    root = route53._parse_body(body)
    batch = route53._find(root, "ChangeBatch") if root is not None else None
    changes = route53._find(batch, "Changes") if batch is not None else None
    if changes is None or not len(changes):
        return route53._error_response("InvalidInput", "Invalid XML ; a ChangeBatch with Changes is expected")
    with route53._lock:
        zone = route53._zones.get(zone_id)
        if zone is None:
            return route53._error_response("NoSuchHostedZone", f"No hosted zone found with ID: {zone_id}", 404)
        try:
            asked = [_change(element) for element in route53._findall(changes, "Change")]
            after = apply(zone["name"], route53._records[zone_id], asked)
            for record in after:
                if record.get("HealthCheckId") and record["HealthCheckId"] not in route53._health_checks:
                    missing = record["HealthCheckId"]
                    raise Refused("NoSuchHealthCheck", f"No health check exists with the ID {missing}", 404)
        except Refused as refused:
            return route53._error_response(refused.code, refused.message, refused.status)
        change = _new_change(route53._text(batch, "Comment"))
        history = _past(zone_id) or [(0.0, list(route53._records[zone_id]))]
        _history[get_account_id(), zone_id] = [*history, (change["insync_at"], after)]
        route53._records[zone_id] = after

    def build(root: Element) -> None:
        route53._build_change_info_el(root, change)

    return route53._xml_response("ChangeResourceRecordSetsResponse", build)


def _change(element: Element) -> tuple[str, RecordSet]:
    action, described = route53._text(element, "Action"), route53._find(element, "ResourceRecordSet")
    if action not in ("CREATE", "DELETE", "UPSERT") or described is None:
        raise Refused("InvalidInput", "Invalid request: a Change has an Action and a ResourceRecordSet")
    try:
        record = route53._parse_record_set(described)
    except ValueError as error:
        raise Refused("InvalidInput", str(error)) from None
    record["Name"] = as_named(record["Name"])
    if "AliasTarget" in record:
        record["AliasTarget"]["DNSName"] = as_named(record["AliasTarget"]["DNSName"])
    where = (
        f"Change with [Action={action}, Name={record['Name']}, Type={record['Type']}, "
        f"SetIdentifier={record.get('SetIdentifier')}]"
    )
    policies = [policy for policy in _POLICIES if policy in record]
    if policies and not record.get("SetIdentifier"):
        raise Refused("InvalidInput", f"Invalid request: Missing field 'SetIdentifier' in {where}")
    if record.get("SetIdentifier") and len(policies) != 1:
        raise Refused(
            "InvalidInput",
            f"Invalid request: Expected exactly one of [{', '.join(_POLICIES)}], but found {len(policies)} in {where}",
        )
    if not 0 <= record.get("Weight", 0) <= MAX_WEIGHT:
        raise Refused("InvalidInput", f"Invalid request: Weight must be between 0 and {MAX_WEIGHT} in {where}")
    plain = [field for field in ("TTL", "ResourceRecords") if record.get(field)]
    if ("AliasTarget" in record) == bool(plain) or len(plain) == 1:
        found = "more than one" if plain and "AliasTarget" in record else "none"
        raise Refused(
            "InvalidInput",
            "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or "
            f"TrafficPolicyInstanceId], but found {found} in {where}",
        )
    return action, record


def as_named(name: str) -> str:
    """A name as Route 53 keeps it: lower case, a dot at its end, `*` in octal."""
    return str(route53._normalise_name(name)).lower().replace("*", "\\052")


def apply(zone: str, before: list[RecordSet], changes: list[tuple[str, RecordSet]]) -> list[RecordSet]:
    """The zone's record sets after a batch; Refused when AWS would refuse it."""
    after = list(before)
    done: dict[tuple[str, ...], list[str]] = {}
    problems: list[str] = []
    for action, record in changes:
        key = route53._rs_key(record)
        existing = next((r for r in after if route53._rs_key(r) == key), None)
        earlier = done.setdefault(key, [])
        if earlier and (earlier, action) != (["DELETE"], "CREATE"):
            problems.append(
                "The request contains an invalid set of changes for a resource record set "
                f"'{record['Type']} {record['Name']}'"
            )
        elif action == "CREATE" and existing is not None:
            problems.append(f"Tried to create resource record set {_shown(record)} but it already exists")
        elif action == "DELETE" and existing is None:
            problems.append(f"Tried to delete resource record set {_shown(record)} but it was not found")
        elif action == "DELETE" and route53._rs_values(existing) != route53._rs_values(record):
            problems.append(
                f"Tried to delete resource record set {_shown(record)} "
                "but the values provided do not match the current values"
            )
        elif action == "DELETE":
            after.remove(existing)
        elif existing is not None:
            after[after.index(existing)] = record
        else:
            after.append(record)
        earlier.append(action)
    problems = problems or [p for _, record in changes for p in _conflicts(zone, record, after)]
    if problems:
        raise Refused("InvalidChangeBatch", f"[{', '.join(dict.fromkeys(problems))}]")
    return after


def _conflicts(zone: str, record: RecordSet, after: list[RecordSet]) -> list[str]:
    """What is wrong with a record set among the others of its name."""
    name, kind = record["Name"], record["Type"]
    if record not in after:
        return []
    if name != zone and not name.endswith("." + zone):
        return [f"RRSet with DNS name {name} is not permitted in zone {zone}"]
    others = [r for r in after if r["Name"] == name and r is not record]
    if clash := next((r["Type"] for r in others if (r["Type"] == "CNAME") != (kind == "CNAME")), None):
        return [
            f"RRSet of type {kind} with DNS name {name} is not permitted because a conflicting RRSet of type {clash} "
            f"with the same DNS name already exists in zone {zone}"
        ]
    if kind == "CNAME" and name == zone:
        return [f"RRSet of type CNAME with DNS name {name} is not permitted at apex in zone {zone}"]
    group = [r for r in others if r["Type"] == kind]
    shown = f"RRSet with DNS name {name}, type {kind}"
    if record.get("SetIdentifier"):
        shown += f", SetIdentifier {record['SetIdentifier']}"
    if group and not record.get("SetIdentifier"):
        return [f"{shown} cannot be created as other RRSets exist with the same name and type."]
    policy = _policy(record)
    if any(_policy(r) != policy for r in group):
        word = {"Weight": "weighted", "Region": "latency", "Failover": "failover"}.get(policy or "", "such")
        return [f"{shown} cannot be created as a non-{word} set exists with the same name and type."]
    if policy == "Weight" and record.get("TTL") and any(r.get("TTL") not in (None, record["TTL"]) for r in group):
        return [f"{shown} cannot be created as weighted sets must contain the same TTL."]
    return []


def _policy(record: RecordSet) -> str | None:
    return next((policy for policy in _POLICIES if policy in record), None)


def _shown(record: RecordSet) -> str:
    identifier = f", set-identifier='{record['SetIdentifier']}'" if record.get("SetIdentifier") else ""
    return f"[name='{record['Name']}', type='{record['Type']}'{identifier}]"


def _list_resource_record_sets(zone_id: str, query: dict[str, Any]) -> Answer:
    """A start is a place in the order, given from the left: a name, then a type, then an identifier."""
    given = [bool(query.get(field)) for field in ("name", "type", "identifier")]
    if given != sorted(given, reverse=True):
        return route53._error_response("InvalidInput", "Invalid request: a start needs all that comes before it")
    if query.get("name"):
        name = query["name"][0] if isinstance(query["name"], list) else query["name"]
        query = {**query, "name": as_named(name)}
    return _original_list(zone_id, query)  # type: ignore[no-any-return]


# ── Changes ──────────────────────────────────────────────────────────────────────────────────

_history: dict[tuple[str, str], list[tuple[float, list[RecordSet]]]] = {}
"""By account and zone: since when which record sets answer queries. The last may be yet to come."""


def _new_change(comment: str = "") -> dict[str, Any]:
    change: dict[str, Any] = _original_new_change(comment)
    change["insync_at"] = time.time() + SETTINGS.insyncSeconds * states.wait_scale()
    return change


def _get_change(change_id: str) -> Answer:
    """PENDING until its time has come."""
    with route53._lock:
        change = route53._changes.get(change_id)
        if change is None:
            return route53._error_response("NoSuchChange", f"Could not find resource with ID: {change_id}", 404)
        status = "PENDING" if time.time() < change["insync_at"] else "INSYNC"

    def build(root: Element) -> None:
        route53._build_change_info_el(root, {**change, "status": status})

    return route53._xml_response("GetChangeResponse", build)


def _past(zone_id: str) -> list[tuple[float, list[RecordSet]]]:
    """A zone's history from what answers now on; none when it never changed."""
    history = _history.get((get_account_id(), zone_id), [])
    now = time.time()
    while len(history) > 1 and history[1][0] <= now:
        del history[0]
    return history


def answering(zone_id: str) -> list[RecordSet]:
    """The record sets by which a zone's name servers answer now: a change acts when it is INSYNC."""
    with route53._lock:
        history = _past(zone_id)
        return list(history[0][1] if history else route53._records.get(zone_id, []))


@control.route("POST", "dns/settings")
def _set(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    global SETTINGS
    SETTINGS = Settings(**body)
    return {"insyncSeconds": SETTINGS.insyncSeconds}


# ── Health checks ────────────────────────────────────────────────────────────────────────────


def is_healthy(check: dict[str, Any] | None) -> bool:
    """What the checkers find: what they were told by hand, else that all is well."""
    if check is None or check["config"].get("Disabled"):
        return True
    return bool(check.get(_HEALTHY, True)) != bool(check["config"].get("Inverted"))


def _health_check_status(check_id: str, action: str) -> Answer:
    with route53._lock:
        check = route53._health_checks.get(check_id)
    if check is None:
        return route53._error_response("NoSuchHealthCheck", f"No health check exists with the ID {check_id}", 404)
    healthy = is_healthy(check)
    status = (
        "Success: HTTP Status Code 200, OK"
        if healthy
        else "Failure: HTTP Status Code 500, Internal Server Error. Resolved IP: 192.0.2.1"
    )
    observed = check["config"].get("Type") not in ("CALCULATED", "CLOUDWATCH_METRIC")
    if action == "LastFailureReason":
        observed = observed and not healthy

    def build(root: Element) -> None:
        observations = SubElement(root, "HealthCheckObservations")
        for n, region in enumerate((check["config"].get("Regions") or CHECKERS) if observed else ()):
            observation = SubElement(observations, "HealthCheckObservation")
            SubElement(observation, "Region").text = region
            SubElement(observation, "IPAddress").text = f"198.51.100.{n + 1}"
            report = SubElement(observation, "StatusReport")
            SubElement(report, "Status").text = status
            SubElement(report, "CheckedTime").text = route53._now_iso()

    return route53._xml_response(f"GetHealthCheck{action}Response", build)


def _record_health() -> None:
    with route53._lock:
        checks = [(account, check) for (account, _), check in route53._health_checks._data.items()]
    for account, check in checks:
        _record(account, check)


def _record(account: str, check: dict[str, Any]) -> None:
    healthy = float(is_healthy(check))
    dimensions = (("HealthCheckId", check["id"]),)
    for name, value, unit in (
        ("HealthCheckStatus", healthy, "None"),
        ("HealthCheckPercentageHealthy", 100.0 * healthy, "Percent"),
    ):
        cloudwatch.record("AWS/Route53", name, value, dimensions, unit=unit, account=account, region=METRICS_REGION)


def _keep_recording() -> None:
    while True:
        _record_health()
        time.sleep(HEALTH_EVERY_SECONDS)


@control.route("POST", "dns/health")
def _set_health(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """What the checkers of a health check find from now on."""
    if body["status"] not in ("healthy", "unhealthy"):
        raise ValueError("status must be healthy or unhealthy")
    check = route53._health_checks[body["healthCheckId"]]
    check[_HEALTHY] = body["status"] == "healthy"
    _record(get_account_id(), check)
    return {}


# ── ministack's seams ────────────────────────────────────────────────────────────────────────


async def _handle_request(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Answer:
    parts = path.strip("/").split("/")
    if method == "GET" and len(parts) == 4 and parts[1] == "healthcheck":
        known = {"status": "Status", "lastfailurereason": "LastFailureReason"}
        if parts[3] in known:
            return _health_check_status(parts[2], known[parts[3]])
    return await _original_handle_request(method, path, headers, body, query)  # type: ignore[no-any-return]


_original_list: Any = None
_original_new_change: Any = None
_original_handle_request: Any = None


def install() -> None:
    global _original_list, _original_new_change, _original_handle_request
    _original_list = route53._list_resource_record_sets
    _original_new_change = route53._new_change
    _original_handle_request = route53.handle_request
    route53._list_resource_record_sets = _list_resource_record_sets
    route53._change_resource_record_sets = _change_resource_record_sets
    route53._new_change = _new_change
    route53._get_change = _get_change
    route53.handle_request = _handle_request
    threading.Thread(target=_keep_recording, daemon=True, name="route53-health").start()
