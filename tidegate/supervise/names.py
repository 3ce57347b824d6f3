"""Names in place of addresses, for people: of Services, TLS clients, requests, and the hosts file. Pure."""

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any

from proxy.core.report.printable import printable

LONGEST = 60
"""A longer name helps nobody: then the address is shown."""
_CLUSTER_DOMAIN = ".svc.cluster.local"


def named(
    connections: Iterable[Mapping[str, Any]], requests: Iterable[Mapping[str, Any]], hosts: Mapping[str, str]
) -> dict[str, str]:
    """The destinations of outbound connections that have a name. hosts: address -> name. What the configuration calls a
    destination goes before what the client called it, and that before the hosts file."""
    found: dict[str, str] = {}
    for one in connections:
        if one["direction"] != "outbound":
            continue
        destination = str(one["original_destination"])
        address = destination.rpartition(":")[0].strip("[]")
        name = str(one.get("service") or "").removesuffix(_CLUSTER_DOMAIN) or one.get("sni") or hosts.get(address)
        if name:
            found.setdefault(destination, str(name))
    for one in requests:
        # Where no Service is, the endpoint is where the connection was meant to go.
        if one["direction"] == "outbound" and one.get("service") == "-":
            name = _host(str(one.get("authority", "-")))
            if name:
                found.setdefault(str(one["upstream"]), name)
    return {destination: printable(name) for destination, name in found.items() if len(name) <= LONGEST}


def shown(destination: str, names: Mapping[str, str]) -> str:
    """`name:port`, or the address as it is."""
    name = names.get(destination)
    return destination if name is None else f"{name}:{destination.rpartition(':')[2]}"


def _host(authority: str) -> str:
    """Empty: it is an address, or there is none."""
    host = authority.rpartition("@")[2].partition("/")[0]
    host = re.sub(r":\d+$", "", host) if host.startswith("[") or host.count(":") == 1 else host
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return "" if host in ("", "-") else host
    return ""
