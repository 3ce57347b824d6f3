"""The answer of `tidegate why` as rows for a person. Pure."""

from collections.abc import Iterator
from typing import Any

from proxy.core.report.printable import printable
from tidegate.rows import Row
from tidegate.tapped import line

MOST_ENDPOINTS = 20
MOST_RULES = 10

_TONES = {"capture": "good", "direct": "doubtful", "drop": "bad"}
_HEALTH = {"healthy": "plain", "on trial": "doubtful", "impaired": "doubtful", "ejected": "bad"}


def rows_of(told: dict[str, Any]) -> list[Row]:
    """told: what `why --json` prints."""
    found = _past(told) if "found" in told else _now(told)
    return [row._replace(text=printable(row.text)) for row in found]


def _now(told: dict[str, Any]) -> Iterator[Row]:
    capture, proxy = told["capture"], told["proxy"]
    decision = capture["decision"]
    if decision is None:
        yield Row("capture", capture["reason"], "doubtful")
    else:
        rule = "" if capture["rule"] == "none" else f" (rule {capture['rule']}, {capture['mode']})"
        yield Row("capture", f"{decision}: {capture['reason']}{rule}", _TONES[decision])
    if proxy is None:
        yield Row("proxy", told["proxy_unreachable"], "bad")
        return
    if decision in ("direct", "drop"):
        yield Row("proxy", "it does not get this connection; what follows holds for one that does", "doubtful")
    yield from explained(proxy)


def _past(told: dict[str, Any]) -> Iterator[Row]:
    for one in told["found"]:
        what = one["request"] if one["what"] == "request" else one["connection"]
        yield Row(one["what"], _told_line(one["what"], what))
        for flag, meaning in one.get("flags", {}).items():
            yield Row("because", f"{flag}: {meaning}", "bad")
        if one["what"] == "connection":
            decided = one["decided"]
            refusal = f"; refused: {decided['refusal']}" if decided["refusal"] else ""
            yield Row("was", f"{decided['lane']}: {decided['reason']}; cluster {decided['cluster']}{refusal}")
        else:
            yield Row("was", _taken(what))
        if "now" in one:
            yield Row("now", "a new one like it:")
            yield from explained(one["now"])


def _told_line(kind: str, told: dict[str, Any]) -> str:
    if kind == "request":
        return line(told, None)
    since = "open" if not told["close_reason"] else told["close_reason"]
    return (
        f"{told['direction']} {told['downstream']} to {told['original_destination']} at {told['upstream']}, "
        f"{told['protocol']}, {since}, {told['duration_ms']:.1f}ms"
    )


def _taken(request: dict[str, Any]) -> str:
    route = "no route" if request["route"] == "-" else f"route {request['route']}"
    service = "no Service" if request["service"] == "-" else f"Service {request['service']}"
    sent = "no endpoint" if request["upstream"] == "-" else f"sent to {request['upstream']}"
    tries = "" if request["attempts"] < 2 else f" in {request['attempts']} attempts"
    return f"{service}, {route}, {sent}{tries}"


def explained(told: dict[str, Any]) -> Iterator[Row]:
    service, lane, detection = told["service"], told["lane"], told["detection"]
    yield Row("service", f"{service['name'] or 'none'}: {service['why']}")
    yield Row("lane", f"{lane['lane']}: {lane['reason']} ({lane['decided']})")
    yield Row("protocol", f"{detection['protocol'] or 'not known yet'}: {detection['why']}")
    yield from _route(told["route"])
    yield from _policy(told["policy"])
    for target in told["targets"]:
        yield from _target(target)
    refused = told["outcome"].startswith(("refused", "answered 4", "answered 5"))
    yield Row("outcome", told["outcome"], "bad" if refused else "good")


def _route(route: dict[str, Any]) -> Iterator[Row]:
    passed = route.get("passed_over", [])
    for one in passed[:MOST_RULES]:
        yield Row("passed over", f"{one['route']} rule {one['rule']}: {one['why_not']}")
    more = len(passed) - MOST_RULES + route.get("left_out", 0)
    if more > 0:
        yield Row("passed over", f"and {more} more rules: --json has them")
    if route["route"] is None:
        yield Row("route", f"none: {route['why']}", "bad" if route.get("status") else "plain")
        return
    rule = f" rule {route['rule']}" if route.get("rule") is not None else ""
    match = f" ({route['match']})" if route.get("match") else ""
    yield Row("route", f"{route['route']}{rule}: {route['why']}{match}")
    for key in ("timeouts", "retries", "filters"):
        if route.get(key):
            yield Row("rule's " + key, _flat(route[key]))


def _policy(policy: dict[str, Any]) -> Iterator[Row]:
    for key, value in policy.items():
        if key != "denied" and value not in ({}, None, {"max": None}):
            yield Row("policy", f"{key.replace('_', ' ')}: {_flat(value)}", "bad" if policy.get("denied") else "plain")


def _target(target: dict[str, Any]) -> Iterator[Row]:
    name = target["cluster"] or target["name"] or "a backend"
    how = f"{target['balancing']}: {target['why']}" if "balancing" in target else target["why"]
    yield Row(
        "target", f"{name}, {100 * target['share']:.4g} % of it; {how}", "bad" if not target["cluster"] else "plain"
    )
    if target.get("settings"):
        yield Row("settings", _flat(target["settings"]))
    for one in target["endpoints"][:MOST_ENDPOINTS]:
        yield Row("endpoint", _endpoint(one), _HEALTH[one["health"]])
    if len(target["endpoints"]) > MOST_ENDPOINTS:
        yield Row("endpoint", f"and {len(target['endpoints']) - MOST_ENDPOINTS} more: --json has them")


def _endpoint(one: dict[str, Any]) -> str:
    parts = [one["address"], one["health"]]
    if one["why"]:
        parts[-1] += f" ({one['why']})"
    parts += [f"weight {one['weight']:.4g}", f"share {100 * one['share']:.4g} %"]
    if one["score"] is not None:
        parts.append(f"score {one['score']:.4g}")
    if one["latency_ms"] is not None:
        parts.append(f"first byte {one['latency_ms']:.4g}ms")
    parts += [f"{one['outstanding']} requests under way", f"{one['connections']} connections"]
    if one["failures"]:
        parts.append(f"{one['failures']} failed connects")
    return ", ".join(parts)


def _flat(value: Any) -> str:
    """A value of the policy in one line."""
    if isinstance(value, dict):
        return " ".join(f"{key}={_flat(one)}" for key, one in value.items() if one is not None) or "defaults"
    if isinstance(value, list):
        return "[" + ", ".join(_flat(one) for one in value) + "]"
    return str(value)
