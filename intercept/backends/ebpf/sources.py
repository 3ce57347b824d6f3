"""Which local address routing gives a socket for each destination, mirrored for programs that can't ask it.

Each route is asked for real: a UDP socket that is connected to an address within it, which sends nothing. So preferred
sources, source address selection and what rules say of a plain socket are the kernel's own. What a rule says of users,
marks or ports only is not: `not_captured` names that.
"""

import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path

from bpf import layout
from cext.libbpf import libbpf
from intercept.host.facts import LINK_LOCAL
from intercept.intent.intent import Network

MOST_ROUTES = 4096
"""With more, those of the shortest prefixes are mirrored, which hold most destinations."""
_DISCARD = 9
_RTF_UP, _RTF_REJECT, _RTF_CACHE = 0x1, 0x200, 0x01000000
_SOURCE_SIZE = 16
_USUAL = {0, 32766, 32767}
# The first address of a default route is none that a socket may go to.
_SAMPLES: dict[int, IPv4Address | IPv6Address] = {4: IPv4Address("198.51.100.1"), 6: IPv6Address("2001:db8::1")}


def mirror(maps: Mapping[str, int]) -> None:
    """Make the map what routing says now. What is right already is not written."""
    wanted = dict(_entries(routes_in(_text("route"), _text("ipv6_route"))))
    keys = libbpf.map_keys(maps["tg_sources"], layout.NET_KEY_SIZE)
    there = {key: libbpf.map_lookup(maps["tg_sources"], key, _SOURCE_SIZE) for key in keys}
    for key in there.keys() - wanted.keys():
        libbpf.map_delete(maps["tg_sources"], key)
    changed = [(key, value) for key, value in wanted.items() if there.get(key) != value]
    libbpf.map_update_many(maps["tg_sources"], changed)


def decided_elsewhere() -> bool:
    """Whether routing has rules besides the usual ones, as VRFs have: they may choose by user, mark or interface."""
    from intercept.host.rtnetlink import rule_priorities

    return not _USUAL.issuperset(rule_priorities(socket.AF_INET) + rule_priorities(socket.AF_INET6))


def routes_in(route: str, ipv6_route: str) -> list[Network]:
    """The destinations of /proc/net/route and ipv6_route that lead somewhere. Pure."""
    found: set[Network] = set()
    for line in route.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 8 and int(fields[3], 16) & _RTF_UP and not int(fields[3], 16) & _RTF_REJECT:
            address, mask = (int.from_bytes(bytes.fromhex(fields[n])[::-1], "big") for n in (1, 7))
            found.add(IPv4Network((address, mask.bit_count())))
    for line in ipv6_route.splitlines():
        fields = line.split()
        if len(fields) < 10 or int(fields[8], 16) & (_RTF_REJECT | _RTF_CACHE) or not int(fields[8], 16) & _RTF_UP:
            continue
        network = IPv6Network((int(fields[0], 16), int(fields[1], 16)))
        if not network.subnet_of(LINK_LOCAL) and not network.is_multicast:
            found.add(network)
    return sorted(found, key=lambda n: (n.prefixlen, n.version, int(n.network_address)))[:MOST_ROUTES]


def sample_of(network: Network) -> IPv4Address | IPv6Address:
    """An address within it that a socket may go to. Pure."""
    if network.prefixlen == 0:
        return _SAMPLES[network.version]
    one = int(network.network_address) + (network.prefixlen < network.max_prefixlen - 1)
    return IPv4Address(one) if network.version == 4 else IPv6Address(one)


def _entries(routes: Iterable[Network]) -> Iterator[tuple[bytes, bytes]]:
    for network in routes:
        source = _source_toward(sample_of(network))
        if source is not None:
            yield layout.net_key(0, network), layout.address_bytes(source)


def _source_toward(destination: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address | None:
    """None: nothing goes there."""
    family = socket.AF_INET if destination.version == 4 else socket.AF_INET6
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((str(destination), _DISCARD))
        return ip_address(probe.getsockname()[0].partition("%")[0])
    return None


def _text(name: str) -> str:
    try:
        return Path(f"/proc/thread-self/net/{name}").read_text(encoding="ascii")
    except OSError:
        return ""
