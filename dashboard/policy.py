"""The tables of routes and endpoints, from /config_dump and /clusters."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from proxy.core.policy.upstream import HttpBalancing

Json = Mapping[str, Any]


def claimed(dump: Json) -> dict[str, str]:
    """Services by the addresses that lead to them."""
    return {one["address"]: one["service"] for one in _destinations(dump)}


def routes(dump: Json, clusters: Iterable[Json]) -> list[dict[str, Any]]:
    """A row for each rule of a Service's port. backends: those whose weight can be set have a name."""
    names = {one["name"]: str(one.get("service", "")).rpartition("/")[2] for one in clusters}
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in _destinations(dump):
        for row in _rules(one, names):
            key = (row["service"], row["port"], row["route"], row["rule"], row["match"])
            found.setdefault(key, row | {"addresses": []})["addresses"].append(one["address"])
    return list(found.values())


def _rules(one: Json, names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    common = {key: one[key] for key in ("service", "port", "protocol", "protocol_reason", "lane")}
    for rule in one["http_rules"]:
        backends = [_backend(target, target.get("name", "")) for target in rule.get("targets", ())]
        match = _in_words(rule.get("match") or {})
        yield common | {"route": rule["route"], "rule": str(rule["rule"]), "match": match, "backends": backends}
    if not one["http_rules"]:
        named = bool(one["route"])
        backends = [
            _backend(target, names.get(target.get("cluster", ""), "") if named else "") for target in one["targets"]
        ]
        yield common | {"route": one["route"] or "-", "rule": "", "match": "everything", "backends": backends}


def _backend(target: Json, name: str) -> dict[str, Any]:
    cluster = target.get("cluster") or ""
    return {
        "name": name,
        "weight": target["weight"],
        "cluster": cluster,
        "problem": target.get("unresolved", ""),
    }


def _in_words(match: Any) -> str:
    """A rule's match as /config_dump has it, which leaves out what is as by default."""
    if not isinstance(match, Mapping):
        return str(match)
    words = [f"{name} {_flat(value)}" for name, value in match.items() if value not in (None, [], {}, "")]
    return ", ".join(words) or "everything"


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(_flat(one) for one in value.values())
    if isinstance(value, list | tuple):
        return " ".join(_flat(one) for one in value)
    return str(value)


def endpoints(clusters: Iterable[Json]) -> list[dict[str, Any]]:
    return [
        {
            "cluster": cluster["name"],
            "service": cluster.get("service", "-"),
            "balancing": (cluster.get("settings") or {}).get("balancing", HttpBalancing.EWMA.value),
            "balancing_connections": cluster.get("balancing", "-"),
            **{key: one.get(key) for key in ("address", "weight", "health", "why")},
            **{key: one.get(key, 0) for key in ("connections_active", "connections_total", "connect_failures")},
            "requests": one.get("requests", {}),
        }
        for cluster in clusters
        for one in cluster["endpoints"]
    ]


def _destinations(dump: Json) -> list[Json]:
    configuration = dump.get("configuration")
    return [] if configuration is None else list(configuration["destinations"]["outbound"])
