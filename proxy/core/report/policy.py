"""A policy as plain values, for people and tools that look at /config_dump and /clusters."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from proxy.core.addresses import UpstreamAddress
from proxy.core.balance.ledger import Ledger
from proxy.core.balance.loads import EndpointLoad
from proxy.core.policy.policy import Claims, Cluster, Destination, Policy
from proxy.core.report.plain import plain
from proxy.core.resilience.health import HEALTHY, WHOLE, Fitness, Health


def destinations(policy: Policy) -> dict[str, list[dict[str, Any]]]:
    """Every claimed destination of both directions, by address."""
    return {"outbound": _claims(policy.outbound), "inbound": _claims(policy.inbound)}


Loads = Mapping[tuple[str, UpstreamAddress], EndpointLoad]
"""By cluster and endpoint."""


Answered = Mapping[tuple[str, str], Mapping[str, int]]
"""By cluster and endpoint: requests by the class of their status."""
_NONE: Answered = MappingProxyType({})


def clusters(
    policy: Policy, ledger: Ledger, kept: Loads, health: Health = HEALTHY, answered: Answered = _NONE
) -> Iterator[dict[str, Any]]:
    """Each cluster once, with the endpoints of all address families. kept: of connections that the ledger does not know
    of, because they were not decided one by one."""
    named: dict[str, list[Cluster]] = {}
    for cluster in policy.clusters:
        named.setdefault(cluster.name, []).append(cluster)
    weights = _weights(policy)
    return (_cluster(group, ledger, kept, weights, health=health, answered=answered) for group in named.values())


def _claims(claims: Claims) -> list[dict[str, Any]]:
    return [
        {"address": f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}", **_destination(destination)}
        for (ip, port), destination in claims.items()
    ]


def _destination(one: Destination) -> dict[str, Any]:
    return {
        "name": one.name,
        "service": str(one.service),
        "port": one.port,
        "protocol": str(one.protocol),
        "protocol_reason": one.protocol_reason,
        "lane": str(one.lane),
        "route": one.route,
        "l7_routes": list(one.l7_routes),
        "targets": [
            {"weight": target.weight, "cluster": target.cluster.name}
            if target.cluster is not None
            else {"weight": target.weight, "unresolved": target.unresolved}
            for target in one.targets
        ],
        "session_affinity_s": one.affinity_s,
        "denied_sources": list(one.denied.networks),
        "rate_limit": None
        if one.rate_limit is None
        else {"per_second": one.rate_limit.per_s, "burst": one.rate_limit.burst},
        "http_rules": [plain(rule) for rule in one.http_rules],
        "http": plain(one.http),
    }


def _cluster(
    group: list[Cluster],
    ledger: Ledger,
    kept: Loads,
    weights: dict[str, int],
    *,
    health: Health,
    answered: Answered,
) -> dict[str, Any]:
    one = group[0]
    impaired = health.of(one.name) or {}
    endpoints = sorted({endpoint for cluster in group for endpoint in cluster.endpoints})
    none = EndpointLoad()
    loads = [(at, ledger.loads.load(one.name, at) + kept.get((one.name, at), none)) for at in endpoints]
    return {
        "name": one.name,
        "direction": "outbound",
        "type": "service",
        "service": str(one.service),
        "port": one.port,
        "balancing": str(one.balancing),
        "weight": weights.get(one.name, 0),
        "max_connections": one.max_connections,
        "timeouts_s": {
            "connect": one.timeouts.connect_s,
            "idle": one.timeouts.idle_s,
            "lifetime": one.timeouts.lifetime_s,
        },
        "session_affinity_s": one.affinity_s,
        "settings": plain(one.settings),
        "connections_active": ledger.loads.active(one.name)
        + sum(load.active for (name, _), load in kept.items() if name == one.name),
        "endpoints": [
            {
                "address": str(endpoint),
                **_fitness(impaired.get(endpoint)),
                "connections_active": load.active,
                "connections_total": load.connected,
                "connect_failures": load.failures,
                "requests": dict(answered.get((one.name, str(endpoint)), {})),
            }
            for endpoint, load in loads
        ],
    }


def _fitness(one: Fitness | None) -> dict[str, Any]:
    """weight: what is left of the endpoint's own, which is 1."""
    if one is None:
        return {"weight": 1, "health": "healthy", "why": ""}
    state = "on trial" if one.trial else "impaired" if one.percent else "ejected"
    return {"weight": one.percent / WHOLE, "health": state, "why": one.reason}


def _weights(policy: Policy) -> dict[str, int]:
    """The weight that routes give a cluster: the highest, where several destinations send to it."""
    found: dict[str, int] = {}
    for destination in policy.outbound.values():
        for target in destination.targets:
            if target.cluster is not None:
                found[target.cluster.name] = max(found.get(target.cluster.name, 0), target.weight)
    return found
