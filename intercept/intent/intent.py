"""What the user wants captured, as one immutable value. Whoever holds an Intent may rely on it being valid.

Only `intercept.intent.from_flags` (from flags), `intercept.plan.stored` (from what the kernel keeps),
`intercept.peers` (from other tools' flags) and tests make one. No field ever holds unparsed text that reaches a rule.
Named tuples, because importing them costs `init` a third of what data classes do; `_replace` makes a changed one.
"""

from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

Network = IPv4Network | IPv6Network


class Mode(StrEnum):
    AUTO = "auto"
    EBPF = "ebpf"
    NFTABLES = "nftables"
    IPTABLES = "iptables"
    TPROXY = "tproxy"


class SelfCalls(StrEnum):
    PROXY = "proxy"
    BYPASS = "bypass"
    HAIRPIN = "hairpin"


class Dns(StrEnum):
    OFF = "off"
    RESOLVERS = "resolvers"
    ALL = "all"


class Ipv6(StrEnum):
    AUTO = "auto"
    REQUIRED = "required"
    OFF = "off"


class WhenDown(StrEnum):
    CLOSED = "closed"
    OPEN = "open"


class PortRange(NamedTuple):
    """Both ends included; 1 <= first <= last <= 65535."""

    first: int
    last: int


class IdRange(NamedTuple):
    """Numeric user or group ids, both ends included."""

    first: int
    last: int


class UserPortExclusion(NamedTuple):
    """`--exclude-outbound-for`: these users reach these ports directly. protocols is a subset of {"tcp", "udp"}."""

    protocols: frozenset[str]
    ports: tuple[PortRange, ...]
    uids: tuple[IdRange, ...]


class Listeners(NamedTuple):
    outbound: int = 15001
    inbound: int = 15006
    dns: int = 15053
    telemetry: int = 15020


ALL: None = None
"""In a field of type `tuple | None`: everything ('*'). The empty tuple is nothing."""


class Outbound(NamedTuple):
    include_cidrs: tuple[Network, ...] | None = ALL
    exclude_cidrs: tuple[Network, ...] = ()
    include_ports: tuple[PortRange, ...] = ()
    exclude_ports: tuple[PortRange, ...] = ()
    include_gids: tuple[IdRange, ...] | None = ALL
    exclude_gids: tuple[IdRange, ...] = ()
    exclude_for: tuple[UserPortExclusion, ...] = ()


class Inbound(NamedTuple):
    include_ports: tuple[PortRange, ...] | None = ALL
    exclude_ports: tuple[PortRange, ...] = ()
    exclude_cidrs: tuple[Network, ...] = ()


class Exempt(NamedTuple):
    """Whose own traffic is never captured: the proxy's."""

    uids: tuple[int, ...] = (1337,)
    gids: tuple[int, ...] = (1337,)
    mark: int | None = None
    sources: tuple[str, ...] = ()
    """Source addresses that the proxy binds for its own calls (Istio's 127.0.0.6 and ::6)."""


class Intent(NamedTuple):
    mode: Mode = Mode.AUTO
    listeners: Listeners = Listeners()
    outbound: Outbound = Outbound()
    inbound: Inbound = Inbound()
    exempt: Exempt = Exempt()
    exclude_interfaces: tuple[str, ...] = ()
    virtual_interfaces: tuple[str, ...] = ()
    cgroup: str | None = None
    """Path below the cgroup v2 mount, without leading slash, normalised; None: the whole network namespace."""
    self_calls: SelfCalls = SelfCalls.PROXY
    dns: Dns = Dns.OFF
    ipv6: Ipv6 = Ipv6.AUTO
    drop_invalid: bool = False
    when_down: WhenDown = WhenDown.CLOSED
    tproxy_mark: int = 1337
    tproxy_table: int = 133
    inbound_explicit: bool = False
    """The user asked for inbound ports by name: a backend that can't scope inbound must refuse, not leave it out."""
