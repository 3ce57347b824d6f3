"""Requests to an explicit proxy: what an authority names, and whether a client may go to an address."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from proxy.core.addresses import Address, is_loopback
from proxy.core.policy.cluster import CLUSTER_DOMAIN, ServiceName
from proxy.core.policy.policy import Policy

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", re.ASCII)
MAX_NAME = 253


class BadAuthority(ValueError):
    """The authority can't be one; the message says why."""


@dataclass(frozen=True, slots=True)
class Authority:
    """host: a name in small letters without a dot at its end, or an IP address in canonical text. zone: of a
    link-local address, as the client wrote it."""

    host: str
    port: int
    is_address: bool = False
    zone: str = ""


class Refused(NamedTuple):
    """How a request is answered that goes nowhere. flag: Envoy's response flag, "" for none."""

    status: int
    flag: str
    text: str


def parse_authority(text: str, default_port: int) -> Authority:
    """`HOST`, `HOST:PORT`, `[IPV6]:PORT`. default_port: where none is named; 0: one has to be. Raises BadAuthority."""
    if text.startswith("["):
        inside, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise BadAuthority("an IPv6 address stands in brackets, with a port behind them")
        address, _, zone = inside.replace("%25", "%", 1).partition("%")
        return _literal(address, zone, _port(rest[1:], default_port), version=6)
    host, colon, port_text = text.rpartition(":")
    if not colon:
        host, port_text = text, ""
    port = _port(port_text, default_port)
    if ":" in host:
        raise BadAuthority("an IPv6 address stands in brackets")
    name = host.lower().removesuffix(".")
    if _looks_like_ipv4(name):
        return _literal(name, "", port, version=4)
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise BadAuthority("the host can't be the name of one")
    return Authority(name, port)


def _port(text: str, default_port: int) -> int:
    if not text and default_port:
        return default_port
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise BadAuthority("the port is not a number between 1 and 65535")
    return int(text)


def _looks_like_ipv4(host: str) -> bool:
    return host.rpartition(".")[2].isdigit()


def _literal(text: str, zone: str, port: int, *, version: int) -> Authority:
    try:
        address = ip_address(text)
    except ValueError:
        address = None
    if address is None or address.version != version or not text.isascii():
        raise BadAuthority("the host is no IP address")
    return Authority(str(unmapped(address)), port, is_address=True, zone=zone)


def unmapped(address: object) -> object:
    """An IPv4 address that is written as an IPv6 one is the IPv4 address."""
    inside = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if inside is None else inside


@dataclass(frozen=True, slots=True)
class Limits:
    """own_ports: at which the proxy itself listens. is_own: whether an address is one of this network namespace."""

    own_ports: frozenset[int]
    is_own: Callable[[str], bool]
    link_local: bool = False

    def judge(self, address: Address, client: str | None) -> Refused | None:
        """None: the client may have a connection to the address. client: its address; None: it is not known."""
        parsed = ip_address(address.ip)
        if parsed.is_unspecified:
            return Refused(403, "", "the unspecified address is no destination")
        if parsed.is_link_local and not self.link_local:
            return Refused(403, "", "link-local destinations are not allowed (--explicit-allow-link-local)")
        if address.port in self.own_ports and (parsed.is_loopback or self.is_own(address.ip)):
            return Refused(403, "", "a port of the proxy's own is no destination")
        if parsed.is_loopback and (client is None or not (is_loopback(client) or self.is_own(client))):
            return Refused(403, "", "loopback destinations are for clients of this host only")
        return None

    def allowed(self, addresses: Iterable[Address], client: str | None) -> list[Address] | Refused:
        """Those that the client may have, or why it may have none of them. There must be one."""
        found: list[Address] = []
        refused: Refused | None = None
        for address in addresses:
            one = self.judge(address, client)
            if one is None:
                found.append(address)
            refused = refused or one
        return found or refused or Refused(503, "UF", "the name has no address")


class ServicePlaces:
    """Where the ports of a policy's Services are, by the names that clients in a cluster have for them."""

    def __init__(self, policy: Policy, home: str) -> None:
        """home: the namespace that a NAME alone is looked for in first; empty: it is not known."""
        self._home = home
        self._places: dict[tuple[ServiceName, int], list[Address]] = {}
        self._namespaces: dict[str, list[str]] = {}
        for (ip, port), destination in policy.outbound.items():
            self._places.setdefault((destination.service, port), []).append(Address(ip, port))
        for service, _ in self._places:
            known = self._namespaces.setdefault(service.name, [])
            if service.namespace not in known:
                known.append(service.namespace)

    def find(self, host: str, port: int) -> list[Address] | Refused | None:
        """None: it is no port of a Service."""
        short = host.removesuffix(f".{CLUSTER_DOMAIN}").removesuffix(".svc")
        name, dot, namespace = short.partition(".")
        if not dot and short != host:
            return None
        if dot:
            return self._places.get((ServiceName(namespace, name), port))
        namespaces = self._namespaces.get(name, [])
        if self._home in namespaces:
            return self._places.get((ServiceName(self._home, name), port))
        if len(namespaces) > 1:
            where = ", ".join(sorted(namespaces)[:3])
            return Refused(503, "UF", f"Service {name} is in several namespaces ({where}): name one, NAME.NAMESPACE")
        return self._places.get((ServiceName(namespaces[0], name), port)) if namespaces else None
