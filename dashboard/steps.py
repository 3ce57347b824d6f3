"""A request's way through the proxy, a step a line: capture, detection, route, endpoint, attempts, answer."""

from collections.abc import Iterable, Mapping
from typing import Any

from proxy.core.report.flags import FLAGS, NONE

Json = Mapping[str, Any]


def steps(told: Json, routes: Iterable[Json], endpoints: Iterable[Json]) -> list[dict[str, str]]:
    """told: a request as `tap` tells it. routes, endpoints: rows of the tables, as they are now."""
    service, route = str(told["service"]), str(told["route"])
    of_service = [row for row in routes if row["service"] == service]
    return [
        {"step": "capture", "says": _capture(told)},
        {"step": "destination", "says": _destination(told, of_service)},
        {"step": "detection", "says": _detection(told, of_service)},
        {"step": "route", "says": _route(route, of_service)},
        {"step": "endpoint", "says": _endpoint(told, endpoints)},
        {"step": "attempts", "says": _attempts(told)},
        {"step": "answer", "says": _answer(told)},
    ]


def _capture(told: Json) -> str:
    way = "called by the workload" if told["direction"] == "outbound" else "called the workload"
    listener = "outbound" if told["direction"] == "outbound" else "inbound"
    return f"{told['source']}, {way}: taken by the {listener} listener"


def _destination(told: Json, of_service: list[Json]) -> str:
    if told["service"] == "-":
        return "no Service claims it: passed through to its original address"
    addresses = sorted({address for row in of_service for address in row["addresses"]})
    return f"Service {told['service']}" + (f", reached at {', '.join(addresses[:4])}" if addresses else "")


def _detection(told: Json, of_service: list[Json]) -> str:
    reasons = {row["protocol_reason"] for row in of_service if row["protocol_reason"]}
    return f"{told['protocol']} ({', '.join(sorted(reasons)) or 'detected by its first bytes'}): parsed lane"


def _route(route: str, of_service: list[Json]) -> str:
    if route == "-":
        return "no route: the Service's own endpoints" if of_service else "none"
    # A record names a rule as NAMESPACE/ROUTE, or with the rule's name behind it.
    matches = [row["match"] for row in of_service if route in (row["route"], f"{row['route']}/{row['rule']}")]
    return route + (f": {'; or '.join(dict.fromkeys(matches[:4]))}" if matches else ", which is no longer configured")


def _endpoint(told: Json, endpoints: Iterable[Json]) -> str:
    if told["upstream"] == "-":
        return "none was chosen"
    for row in endpoints:
        if row["address"] == told["upstream"]:
            why = f" ({row['why']})" if row["why"] else ""
            return f"{told['upstream']} of {row['cluster']}, by {row['balancing']}; now {row['health']}{why}"
    return str(told["upstream"])


def _attempts(told: Json) -> str:
    upstream = "" if told["upstream_ms"] is None else f", {told['upstream_ms']:.1f} ms of it with upstream"
    return f"{told['attempts']}; {told['duration_ms']:.1f} ms in all{upstream}, {told['proxy_ms']:.2f} ms in the proxy"


def _answer(told: Json) -> str:
    flags = [] if told["flags"] == NONE else str(told["flags"]).split(",")
    meanings = "".join(f"; {flag}: {FLAGS.get(flag, 'a flag that this page does not know')}" for flag in flags)
    return f"{told['status'] or 'none'}, {told['bytes_received']} bytes{meanings}"
