"""What this network namespace is like, as a value: read at the edge, then handed to pure planning and explaining."""

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

from intercept.intent.intent import Network

_RTF_LOCAL = 0x80000000
LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
LINK_LOCAL = IPv6Network("fe80::/10")


class HostFacts(NamedTuple):
    """own: destinations that routing calls local here. resolvers: servers of resolv.conf, in order, without zones.
    resolv_conf_read: whether there was a resolv.conf to read.

    ipv6_missing: why there is no IPv6 here, or None when there is. ip6tables_missing: why iptables mode has to do
    without it. cgroup_id: the kernel's id of the folder that `--cgroup` names; None: no folder is named. interfaces:
    those that routes lead through, the loopback interface aside.
    """

    own: tuple[Network, ...] = LOOPBACK
    resolvers: tuple[str, ...] = ()
    resolv_conf_read: bool = False
    ipv6_missing: str | None = None
    ip6tables_missing: str | None = None
    cgroup_id: int | None = None
    interfaces: tuple[str, ...] = ()


def read_host(resolv_conf: str = "/etc/resolv.conf") -> HostFacts:
    """Facts of the network namespace that the calling thread is in. Needs no privilege."""
    text = _text(resolv_conf)
    ipv6_route = _text("/proc/thread-self/net/ipv6_route")
    return HostFacts(
        own=_own_networks(_text("/proc/thread-self/net/fib_trie"), ipv6_route),
        interfaces=interfaces_in(_text("/proc/thread-self/net/route"), ipv6_route),
        resolvers=resolvers_in(text),
        resolv_conf_read=bool(text),
        ipv6_missing=_ipv6_missing(),
    )


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def resolvers_in(resolv_conf: str) -> tuple[str, ...]:
    """Addresses of the `nameserver` lines; what isn't an address is left out, as resolvers do."""
    found: dict[str, None] = {}
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                address = ip_address(words[1].partition("%")[0])
            except ValueError:
                continue
            mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
            found[str(mapped or address)] = None
    return tuple(found)


def interfaces_in(route: str, ipv6_route: str) -> tuple[str, ...]:
    """The names of /proc/net/route (first column, below a head line) and ipv6_route (last column). Pure."""
    names = {line.split()[0] for line in route.splitlines()[1:] if line.strip()}
    names |= {line.split()[-1] for line in ipv6_route.splitlines() if line.strip()}
    return tuple(sorted(names - {"lo"}))


def _own_networks(fib_trie: str, ipv6_route: str) -> tuple[Network, ...]:
    """The destinations of routing type local: exactly what nft's `fib daddr type local` and addrtype's LOCAL match."""
    found: set[Network] = set(LOOPBACK)
    leaf = ""
    asked_always = True
    for line in fib_trie.splitlines():
        words = line.split()
        if line.endswith(":"):
            # Other tables ("Id 133:") are asked only for packets that a rule leads there, as tproxy's marked ones.
            asked_always = line in ("Main:", "Local:")
        elif not asked_always:
            continue
        elif len(words) == 2 and words[0] == "|--":
            leaf = words[1]
        elif words[-1:] == ["LOCAL"] and leaf and words[0].startswith("/"):
            found.add(IPv4Network(f"{leaf}{words[0]}", strict=False))
    for line in ipv6_route.splitlines():
        fields = line.split()
        # This file doesn't name the table; a default route of type local is only ever made for marked packets.
        if len(fields) >= 9 and int(fields[8], 16) & _RTF_LOCAL and fields[1] != "00":
            found.add(IPv6Network((int(fields[0], 16), int(fields[1], 16))))
    return tuple(sorted(found, key=lambda n: (n.version, int(n.network_address), n.prefixlen)))


def _ipv6_missing() -> str | None:
    if not _text("/proc/thread-self/net/protocols") or not _readable("/proc/thread-self/net/if_inet6"):
        return "the kernel has no IPv6 here"
    if _text("/proc/sys/net/ipv6/conf/all/disable_ipv6").strip() == "1":
        return "IPv6 is disabled here (net.ipv6.conf.all.disable_ipv6=1)"
    if _text("/proc/sys/net/ipv6/conf/lo/disable_ipv6").strip() == "1":
        return (
            "IPv6 is disabled on the loopback interface, where captured connections go (net.ipv6.conf.lo.disable_ipv6)"
        )
    return None


def _readable(path: str) -> bool:
    try:
        with open(path, encoding="ascii"):
            return True
    except OSError:
        return False
