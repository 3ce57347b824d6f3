"""The answer: from the destination through lane, detection, route and policy to the endpoints. Pure."""

from dataclasses import dataclass
from typing import Any

from proxy.core.decide.lane import Lanes, choose_lane
from proxy.core.lanes import Direction, Lane, Speaking
from proxy.core.lower.to_engine import obstacle, routes_requests, ruling, unclaimed
from proxy.core.policy.policy import Destination, Policy
from proxy.core.report.plain import plain
from proxy.core.resilience.health import Health
from proxy.core.why.asked import Asked
from proxy.core.why.endpoints import Share, StandingOf, targets
from proxy.core.why.rules import http_rules, route

HTTP1 = "http/1.1"
UNSEEN = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What the proxy has in force and what it has learnt. spoken: the protocol by which the last connection to the
    destination was known, UNSEEN where none was looked at."""

    policy: Policy
    lanes: Lanes
    health: Health
    standing: StandingOf
    spoken: str = UNSEEN


def explained(asked: Asked, known: Known) -> dict[str, Any]:
    """`outcome` says in one sentence what becomes of a new connection (or request) at this moment."""
    claimed = known.policy.claimed(asked.direction, asked.destination)
    told: dict[str, Any] = {
        "direction": str(asked.direction),
        "destination": str(asked.destination),
        "source": asked.source or None,
        "service": _service(claimed, asked),
        "lane": _lane(claimed, asked, known),
        "detection": _detection(claimed, asked, known),
    }
    if claimed is None:
        return told | {
            "route": _no_route("no Service claims the destination"),
            "policy": {},
            "targets": [],
            "outcome": f"passed through to {asked.destination}",
        }
    parsed = told["lane"]["lane"] == Lane.PARSED
    found, shares, status = _routed(claimed, asked, parsed=parsed)
    listed = targets(shares, known.health, known.standing, known.policy.home, by_request=parsed)
    told |= {"route": found, "policy": _policy(claimed, asked), "targets": listed}
    return told | {"outcome": _outcome(told, status)}


def _service(claimed: Destination | None, asked: Asked) -> dict[str, Any]:
    if claimed is None:
        side = "clusterIP and port" if asked.direction is Direction.OUTBOUND else "endpoint"
        return {"name": None, "why": f"no Service of the configuration has {asked.destination} as its {side}"}
    return {
        "name": str(claimed.service),
        "port": claimed.port,
        "why": f"the Service claims {asked.destination}",
        "protocol": str(claimed.protocol),
        "protocol_reason": claimed.protocol_reason,
    }


def _speaking(claimed: Destination | None, asked: Asked, known: Known) -> tuple[Speaking, str | None]:
    """What is done about the protocol, and why connections are decided one by one (None: they are not)."""
    lanes = known.lanes.of(asked.direction, asked.destination.port)
    if claimed is None:
        return unclaimed(asked.direction, lanes).speaking, None
    made = ruling(claimed, lanes, known.health)
    if made is not None:
        return made.speaking, None
    one_by_one = obstacle(claimed, by_request=routes_requests(claimed, Speaking.DETECTED)) or obstacle(claimed)
    return Speaking.OPAQUE, one_by_one


def _lane(claimed: Destination | None, asked: Asked, known: Known) -> dict[str, Any]:
    lanes = known.lanes.of(asked.direction, asked.destination.port)
    speaking, one_by_one = _speaking(claimed, asked, known)
    if claimed is None:
        lane, reason = unclaimed(asked.direction, lanes).verdict.lane, "no Service claims the destination"
    else:
        lane, reason = choose_lane(claimed, lanes.forced, lanes.available)
    if lane is Lane.DIRECT:
        return {"lane": str(lane), "reason": reason, "decided": "by the kernel at connect(), past the proxy"}
    if one_by_one is not None:
        why = f"{reason}; its connections are decided one by one: {one_by_one}"
        return {"lane": str(Lane.SPLICE), "reason": why, "decided": "by the proxy, for each connection"}
    decided = "by the engine's table"
    if speaking is Speaking.DETECTED and known.spoken not in (UNSEEN, HTTP1):
        return {"lane": str(Lane.SPLICE), "reason": f"{reason}; it speaks no HTTP/1", "decided": decided}
    return {"lane": str(lane), "reason": reason, "decided": decided}


def _detection(claimed: Destination | None, asked: Asked, known: Known) -> dict[str, Any]:
    speaking, _ = _speaking(claimed, asked, known)
    declared = None if claimed is None or str(claimed.protocol) == "detect" else str(claimed.protocol)
    if speaking is Speaking.OPAQUE:
        why = "its bytes are not looked at in this lane"
        if declared is not None and claimed is not None:
            why += f"; the configuration says {declared} ({claimed.protocol_reason})"
        return {"mode": str(speaking), "protocol": declared or "tcp", "why": why}
    if speaking is Speaking.HTTP and claimed is not None:
        why = f"declared: {claimed.protocol_reason}; what is no HTTP gets 400"
        return {"mode": str(speaking), "protocol": HTTP1, "why": why}
    if known.spoken == UNSEEN:
        return {
            "mode": str(speaking),
            "protocol": None,
            "why": "no connection to it is remembered: first bytes will decide between HTTP/1 (parsed) and all else",
        }
    return {"mode": str(speaking), "protocol": known.spoken, "why": "by the first bytes of the last connection to it"}


def _routed(claimed: Destination, asked: Asked, *, parsed: bool) -> tuple[dict[str, Any], list[Share], int | None]:
    rules = http_rules(claimed)
    own = [Share(one.weight, one.cluster, one.unresolved) for one in claimed.targets]
    if rules and not parsed:
        return _no_route(f"{rules[0].route} is for requests, which this lane does not see"), own, None
    if not rules:
        if claimed.route:
            return {"kind": "TCPRoute", "route": claimed.route, "why": "it is attached to the Service"}, own, None
        return _no_route("no route is attached: the Service's own endpoints"), own, None
    if asked.request is None:
        names = sorted({rule.route for rule in rules})
        why = f"{len(rules)} rules of {', '.join(names)}: --method, --path and --header say of which request"
        return _no_route(why), [], None
    found, rule = route(rules, asked.request)
    if rule is None or (found["status"] is not None and rule.filters.redirect is not None):
        return found, [], found["status"]
    shares = [Share(one.weight, one.cluster, one.unresolved, one.name) for one in rule.targets]
    found["timeouts"] = plain(rule.timeouts)
    found["retries"] = None if rule.retries is None else plain(rule.retries)
    return found, shares, found["status"]


def _no_route(why: str) -> dict[str, Any]:
    return {"kind": None, "route": None, "why": why}


def _policy(claimed: Destination, asked: Asked) -> dict[str, Any]:
    told: dict[str, Any] = {"requests": plain(claimed.http)}
    if claimed.denied:
        told["denied_sources"] = list(claimed.denied.networks)
        told["denied"] = bool(asked.source) and asked.source in claimed.denied
    if claimed.rate_limit is not None:
        told["rate_limit"] = {"per_second": claimed.rate_limit.per_s, "burst": claimed.rate_limit.burst}
    if claimed.affinity_s is not None:
        told["session_affinity_s"] = claimed.affinity_s
    for target in claimed.targets:
        if target.cluster is not None and target.weight:
            told["connections"] = plain(target.cluster.timeouts) | {"max": target.cluster.max_connections}
            break
    return told


def _outcome(told: dict[str, Any], status: int | None) -> str:
    if told["policy"].get("denied"):
        return f"refused: {told['source']} is a denied source"
    if status is not None:
        return f"answered {status} by the proxy: {told['route']['why']}"
    reachable = [one for target in told["targets"] if target["share"] for one in target["endpoints"] if one["share"]]
    if len(reachable) == 1:
        return f"sent to {reachable[0]['address']}"
    if reachable:
        return f"sent to one of {len(reachable)} endpoints"
    if any(target["share"] and target.get("balancing") == "PASSTHROUGH" for target in told["targets"]):
        return f"passed through to {told['destination']}"
    if not told["targets"]:
        return "it depends on the request"
    unresolved = [target["why"] for target in told["targets"] if target["share"]]
    return f"refused: {unresolved[0] if unresolved else 'every weight is 0'}"
