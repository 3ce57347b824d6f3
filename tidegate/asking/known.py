"""What running proxies are configured with, for commands whose filter names something of it."""

from collections.abc import Sequence
from typing import Any

from proxy.core.near import meant
from tidegate.admin import Admin
from tidegate.asking.whom import Whom
from tidegate.netns import inside


def destinations(one: Whom, timeout_s: float) -> list[dict[str, Any]]:
    """Outbound ones. Raises Unreachable."""
    with inside(one.netns):
        dump = Admin(one.admin, timeout_s=timeout_s).get("/config_dump")
    found: list[dict[str, Any]] = (dump["configuration"] or _NOTHING)["destinations"]["outbound"]
    return found


def doubts(whom: Sequence[Whom], service: str, route: str) -> list[str]:
    """Sentences about a Service or a route that none of the proxies knows: what is shown will be nothing, for now."""
    if not service and not route:
        return []
    services: set[str] = set()
    routes: set[str] = set()
    for one in whom:
        try:
            for destination in destinations(one, 5.0):
                services.add(destination["service"])
                routes |= {rule["route"] for rule in destination["http_rules"]} | {destination["route"] or ""}
        except Exception:  # the command itself says what is wrong with the proxy
            return []
    return [*_doubt("Service", service, services), *_doubt("route", route, routes - {""})]


def _doubt(kind: str, asked_for: str, known: set[str]) -> list[str]:
    short = {one.partition("/")[2] for one in known}
    if not asked_for or asked_for in known or asked_for in short:
        return []
    near = meant(asked_for, known if "/" in asked_for else short)
    return [f"no {kind} {asked_for!r} is configured{near or '; `tidegate config check` names what is'}"]


_NOTHING: dict[str, Any] = {"destinations": {"outbound": []}}
