"""Where connections or requests may go: targets by weight, and each endpoint with what its choice depends on."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from proxy.core.addresses import UpstreamAddress
from proxy.core.balance.ewma import PeakEwma
from proxy.core.lower.to_cluster import choosing
from proxy.core.policy.cluster import Balancing, Cluster, Locality
from proxy.core.policy.upstream import HttpBalancing
from proxy.core.report.plain import plain
from proxy.core.resilience.health import WHOLE, Health, usable


class Share(NamedTuple):
    """A target of a rule, whatever kind of rule it is."""

    weight: int
    cluster: Cluster | None
    unresolved: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """What was counted of an endpoint of a cluster. latency_us: the estimate of the time to an answer's first byte."""

    outstanding: int = 0
    connections: int = 0
    failures: int = 0
    latency_us: float | None = None


StandingOf = Callable[[Cluster], Mapping[UpstreamAddress, Standing]]
_NOTHING = Standing()


def targets(
    shares: Iterable[Share], health: Health, standing: StandingOf, own: Locality, *, by_request: bool
) -> list[dict[str, Any]]:
    """by_request: an endpoint is chosen for each request, not for a connection."""
    all_of = list(shares)
    total = sum(one.weight for one in all_of)
    found = []
    for one in all_of:
        share = one.weight / total if total else 0.0
        told: dict[str, Any] = {"name": one.name or None, "weight": one.weight, "share": round(share, 4)}
        if one.cluster is None:
            told |= {"cluster": None, "why": one.unresolved or "it has no backend", "endpoints": []}
        else:
            told |= _cluster(one.cluster, health, standing(one.cluster), own, share, by_request=by_request)
        found.append(told)
    return found


def _cluster(
    cluster: Cluster,
    health: Health,
    standing: Mapping[UpstreamAddress, Standing],
    own: Locality,
    share: float,
    *,
    by_request: bool,
) -> dict[str, Any]:
    passing = cluster.balancing is Balancing.PASSTHROUGH
    method = str(cluster.settings.balancing) if by_request and not passing else str(cluster.balancing)
    if by_request and cluster.settings.hash is not None:
        method = "consistent hash"
    told: dict[str, Any] = {
        "cluster": cluster.name,
        "service": str(cluster.service),
        "balancing": method,
        "settings": plain(cluster.settings),
    }
    if passing:
        return {**told, "why": "each goes to its original destination", "endpoints": []}
    if not cluster.endpoints:
        return {**told, "why": "the Service has no ready endpoint", "endpoints": []}
    weights = _weights(cluster, health, own, by_request=by_request)
    heaviest, total = max(weights.values()), sum(weights.values())
    impaired = health.of(cluster.name) or {}
    endpoints = []
    for endpoint in cluster.endpoints:
        fitness, weight = impaired.get(endpoint), weights[endpoint]
        state = "healthy" if fitness is None else "on trial" if fitness.trial else "impaired"
        if fitness is not None and not fitness.percent:
            state = "ejected"
        one = standing.get(endpoint, _NOTHING)
        endpoints.append(
            {
                "address": str(endpoint),
                "weight": round((WHOLE if fitness is None else fitness.percent) / WHOLE, 4),
                "share": round(share * weight / total, 4) if total else 0.0,
                "health": state,
                "why": _why(state, weight, "" if fitness is None else fitness.reason),
                "outstanding": one.outstanding,
                "connections": one.connections,
                "failures": one.failures,
                "latency_ms": None if one.latency_us is None else round(one.latency_us / 1000, 3),
                "score": _score(method, one, weight / heaviest) if by_request and weight else None,
            }
        )
    return {**told, "why": _how(method), "endpoints": endpoints}


def _weights(cluster: Cluster, health: Health, own: Locality, *, by_request: bool) -> dict[UpstreamAddress, int]:
    if by_request:
        made = choosing(cluster, health, own)
        return dict(zip(made.endpoints, made.weights, strict=True))
    percents = {one.endpoint: one.percent for one in usable(cluster, health)}
    return {endpoint: percents.get(endpoint, 0) for endpoint in cluster.endpoints}


def _why(state: str, weight: int, reason: str) -> str:
    if state == "ejected" and weight:
        return f"{reason}; used all the same, for all of its cluster are ejected"
    if state == "healthy" and not weight:
        return "it is in another locality, which is not needed at the moment"
    return reason


def _score(method: str, one: Standing, weight: float) -> float | None:
    """Of two endpoints that are drawn by weight the one with the lower score is taken. None: the method has none."""
    if method == HttpBalancing.EWMA:
        measured = PeakEwma(one.latency_us or 0.0, 1 if one.latency_us is not None else 0)
        return round(measured.score(one.outstanding, weight, 1) / 1000, 3)
    if method == HttpBalancing.LEAST_REQUEST:
        return round((1 + one.outstanding) / weight, 3)
    return None


_HOW = {
    "EWMA": "two endpoints are drawn by weight; the lower score is taken: milliseconds to the first byte, times 1 + "
    "the requests under way",
    "LEAST_REQUEST": "the endpoint with the fewest under way for its weight is taken",
    "ROUND_ROBIN": "the endpoints take turns, by weight",
    "RANDOM": "an endpoint is drawn by weight",
    "consistent hash": "the key's hash names the endpoint",
}


def _how(method: str) -> str:
    return _HOW.get(method, "")
