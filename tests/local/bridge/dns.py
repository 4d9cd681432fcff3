"""DNS as users meet it: weights, health, resolvers that remember, and requests to what a name points to."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from ministack.core.arn import parse_arn
from ministack.core.responses import request_scope
from ministack.services import alb, route53

from . import alb_api, alb_traffic, control, route53_api, states
from .route53_api import RecordSet

ALIAS_TTL = 60
"""Seconds that resolvers keep an answer that came from an alias to a load balancer or an API."""
NEGATIVE_TTL = 900
"""Seconds that they keep the answer that there is no such name: the TTL of a zone's SOA record."""
CACHE_KEPT = 100_000


@dataclass
class Found:
    """An answer to a query; `values` is empty when there is no such name."""

    name: str
    type: str
    values: list[str] = field(default_factory=list)
    setIdentifier: str | None = None  # noqa: N815 - as the control API tells it
    ttl: int = NEGATIVE_TTL
    cached: bool = False


# ── Name servers ─────────────────────────────────────────────────────────────────────────────


def resolve(name: str, kind: str) -> Found:
    """What the name servers of the zone with the longest matching name say now."""
    name = route53_api.as_named(name)
    zones = [z for z in route53._zones.values() if name == z["name"] or name.endswith("." + z["name"])]
    if not zones:
        return Found(name, kind)
    zone = max(zones, key=lambda z: len(z["name"]))
    records = [r for r in route53_api.answering(zone["id"]) if r["Name"] == name]
    candidates = [r for r in records if r["Type"] == kind] or [r for r in records if r["Type"] == "CNAME"]
    if not candidates:
        return Found(name, kind)
    chosen = choose(candidates)
    alias = chosen.get("AliasTarget")
    return Found(
        name,
        chosen["Type"],
        [alias["DNSName"]] if alias else list(chosen["ResourceRecords"]),
        chosen.get("SetIdentifier"),
        ALIAS_TTL if alias else int(chosen["TTL"]),
    )


def choose(candidates: list[RecordSet]) -> RecordSet:
    """One of a weighted group. Those of weight 0 only count when no other is healthy, or there is none."""
    healthy = [r for r in candidates if _is_healthy(r)] or candidates
    weights = [int(r.get("Weight", 1)) for r in healthy]
    return random.choices(healthy, weights if any(weights) else None)[0]


def _is_healthy(record: RecordSet) -> bool:
    if record.get("HealthCheckId"):
        return route53_api.is_healthy(route53._health_checks.get(record["HealthCheckId"]))
    alias = record.get("AliasTarget")
    if alias and alias["EvaluateTargetHealth"]:
        load_balancer = alb.find_lb_for_host(_host(alias["DNSName"]))
        return load_balancer is None or _has_healthy_targets(load_balancer["LoadBalancerArn"])
    return True


def _has_healthy_targets(load_balancer: str) -> bool:
    """Whether each group that has targets has one that is not unhealthy."""
    for group in list(alb._tgs):
        targets = alb._targets.get(group, [])
        if load_balancer in alb_api.load_balancers(group) and targets:
            if all(alb_api.health(group, t)["State"] == "unhealthy" for t in targets):
                return False
    return True


def _host(value: str) -> str:
    return value.rstrip(".").removeprefix("dualstack.")


# ── Resolvers ────────────────────────────────────────────────────────────────────────────────

_cache: dict[tuple[str, str, str], tuple[float, Found]] = {}
"""By resolver, name and type: until when, and what."""
_lock = threading.Lock()


def ask(name: str, kind: str, resolver: str | None) -> Found:
    """Through a resolver that remembers for the TTL; without one, the name servers themselves."""
    if resolver is None:
        return resolve(name, kind)
    key, now = (resolver, route53_api.as_named(name), kind), time.time()
    with _lock:
        until, found = _cache.get(key, (0.0, None))
        if found is not None and now < until:
            return Found(**{**asdict(found), "cached": True})
    found = resolve(name, kind)
    with _lock:
        if len(_cache) >= CACHE_KEPT:
            _cache.clear()
        # Shorter by the scale of waits.
        _cache[key] = (now + found.ttl * states.wait_scale(), found)
    return found


# ── Control ──────────────────────────────────────────────────────────────────────────────────

Server = Callable[[str, str, alb_traffic.Request], Awaitable[dict[str, Any] | None]]
SERVERS: list[Server] = []
"""Who may answer requests to a host: functions of (the host that DNS gave, the name asked for, request)."""


async def _load_balancer(host: str, name: str, request: alb_traffic.Request) -> dict[str, Any] | None:
    load_balancer = alb.find_lb_for_host(host)
    if load_balancer is None:
        return None
    arn = load_balancer["LoadBalancerArn"]
    listeners = alb_api.listeners(arn)
    # Where there are two, the one with TLS.
    listener = max(listeners, key=lambda x: x.get("Protocol") == "HTTPS", default=None)
    if listener is None:
        return None
    with request_scope(parse_arn(arn).account_id, parse_arn(arn).region):
        return asdict(await alb_traffic.serve(listener["ListenerArn"], request))


SERVERS.append(_load_balancer)


@control.route("POST", "dns/resolve")
def _resolve(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    return asdict(ask(body["name"], body.get("type", "A"), body.get("resolver")))


@control.route("POST", "dns/request")
async def _request(method: str, path: str, asked: dict[str, str], body: Any) -> Any:
    """Resolve a name, and send a request to what it points to. Status 0: nobody is there."""
    settings = dict(body)
    name, kind, resolver = settings.pop("name"), settings.pop("type", "A"), settings.pop("resolver", None)
    request = alb_traffic.Request(**settings)
    request.headers.setdefault("host", name)
    found = ask(name, kind, resolver)
    for value in found.values[:1]:
        for server in SERVERS:
            served = await server(_host(value), name, request)
            if served is not None:
                return {**served, "dns": asdict(found)}
    return {"status": 0, "dns": asdict(found)}
