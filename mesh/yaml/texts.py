"""Texts with a grammar that a pattern can't describe: addresses, networks, durations. Each check raises Invalid."""

import re
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated

from msgspec import Meta

from mesh.yaml.sink import Invalid

_GO_UNITS = {"h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1000, "us": 1, "µs": 1, "ns": 0.001}
_GO_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(h|ms|m|us|µs|ns|s)")
_GATEWAY_DURATION = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")
LONGEST_DURATION_S = 365 * 86400.0
Network = IPv4Network | IPv6Network


def seconds(text: str) -> float:
    """A Go duration (`10s`, `1h30m`, `250ms`), as Istio writes them. Raises Invalid."""
    position, total = 0, 0.0
    for part in _GO_PART.finditer(text):
        if part.start() != position:
            break
        position = part.end()
        total += float(part[1]) * _GO_UNITS[part[2]]
    if not text or position != len(text):
        raise Invalid("a duration such as 10s, 250ms or 1h30m")
    if not 0.001 <= total / 1e6 <= LONGEST_DURATION_S:
        raise Invalid("a duration of 1ms to 8760h")
    return total / 1e6


def seconds_or_none(text: str) -> float:
    """A Go duration, or 0. Raises Invalid."""
    return 0.0 if text in ("0", "0s") else seconds(text)


def gateway_seconds(text: str) -> float:
    """A GEP-2257 duration, where 0 means that there is no limit. Raises Invalid."""
    if not _GATEWAY_DURATION.fullmatch(text):
        raise Invalid("a duration of up to four parts such as 10s, 500ms, 1h30m (GEP-2257)")
    return 0.0 if not text.strip("0hms") else seconds(text)


def canonical_ip(text: str) -> str:
    """The address as `proxy.core.addresses` writes it. Raises Invalid."""
    try:
        address = ip_address(text)
    except ValueError:
        raise Invalid("an IPv4 or IPv6 address") from None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise Invalid("an address without a zone ('%…')")
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
    return str(address)


def network(text: str) -> Network:
    """One address, or a network without host bits. Raises Invalid."""
    if "%" in text or text.count("/") > 1 or ("/" in text and not text.rpartition("/")[2].isdigit()):
        raise Invalid("an address or a network ADDRESS/PREFIX-LENGTH")
    try:
        found = ip_network(text)
    except ValueError:
        try:
            meant = ip_network(text, strict=False)
        except ValueError:
            raise Invalid("an address or a network ADDRESS/PREFIX-LENGTH") from None
        raise Invalid(f"a network without host bits below the mask (did you mean {meant}?)") from None
    mapped = found.network_address.ipv4_mapped if isinstance(found, IPv6Network) else None
    if mapped is not None:
        raise Invalid(f"plain IPv4: connections carry {mapped} here, not its IPv6 form")
    return found


def _cluster_ip(text: str) -> None:
    if text not in ("", "None"):
        canonical_ip(text)


Ip = Annotated[str, Meta(extra={"check": canonical_ip})]
ClusterIp = Annotated[str, Meta(extra={"check": _cluster_ip})]
Cidr = Annotated[str, Meta(extra={"check": network})]
Duration = Annotated[str, Meta(extra={"check": seconds})]
DurationOrNone = Annotated[str, Meta(extra={"check": seconds_or_none})]
GatewayDuration = Annotated[str, Meta(extra={"check": gateway_seconds})]
Port = Annotated[int, Meta(ge=1, le=65535)]
Weight = Annotated[int, Meta(ge=0, le=1_000_000)]
