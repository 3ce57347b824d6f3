"""The vocabulary of the case table: what is asked of `init`, who then dials whom, and what must come of it.

Hosts and networks are named, not numbered; every dial is made for IPv4 and for IPv6 unless it says otherwise, so that
each case has its twin. In flags `{peer}` stands for both families' addresses, comma separated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.lab.actor import Identity
from tests.lab.lab import ROOT_USER, WORKLOAD
from tests.lab.third_party_proxy import ProxyOptions

OUTBOUND, INBOUND, DNS, TELEMETRY = 15001, 15006, 15053, 15020

HOSTS: Mapping[str, tuple[str, str]] = {
    "peer": ("10.0.0.1", "fd00::1"),
    "resolver": ("10.0.0.53", "fd00::53"),
    "far": ("192.0.2.1", "2001:db8:2::1"),
    "far2": ("198.51.100.1", "2001:db8:3::1"),
    "public-dns": ("8.8.8.8", "2001:4860:4860::8888"),
    "self": ("10.0.0.2", "fd00::2"),
    "loopback": ("127.0.0.1", "::1"),
    "local-resolver": ("127.0.0.53", "::1"),
    "other-loopback": ("127.9.9.9", "::1"),
    "peer-net1": ("10.0.1.1", "fd01::1"),
    "self-net1": ("10.0.1.2", "fd01::2"),
    "self-vnet0": ("10.0.2.1", "fd02::1"),
    "guest": ("10.0.2.2", "fd02::2"),
    "near": ("1.2.3.5", "2001:db8:123::5"),
    "near-odd": ("1.2.3.66", "2001:db8:123::66"),
}
NETWORKS: Mapping[str, tuple[str, str]] = {
    "peer-net": ("10.0.0.0/24", "fd00::/64"),
    "far-net": ("192.0.2.0/24", "2001:db8:2::/48"),
    "all-loopback": ("127.0.0.0/8", "::1/128"),
    "guest-net": ("10.0.2.0/24", "fd02::/64"),
    "near-net": ("1.2.3.0/24", "2001:db8:123::/48"),
    "everything": ("0.0.0.0/0", "::/0"),
}
BOTH = (4, 6)


def address(host: str, family: int) -> str:
    return HOSTS[host][0 if family == 4 else 1]


def fill(flag: str) -> str:
    """`{name}` becomes the named host's or network's addresses of both families."""
    for name, pair in (*HOSTS.items(), *NETWORKS.items()):
        flag = flag.replace("{" + name + "}", ",".join(pair))
    return flag


@dataclass(frozen=True, slots=True)
class Captured:
    """Accepted by the proxy's listener on this port, which recovered the destination that was dialled."""

    listener: int = OUTBOUND


@dataclass(frozen=True, slots=True)
class Direct:
    """Reached the target itself, at the address and port that were dialled."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Refused at once by capture's own rule."""


@dataclass(frozen=True, slots=True)
class Unserved:
    """Refused at once because it went direct and nobody serves there."""


Expectation = Captured | Direct | Refused | Unserved


@dataclass(frozen=True, slots=True)
class Dial:
    """One exchange, made for each of `families`.

    `options` are those of `Actor.tcp` and `Actor.udp`. `explained` False: `explain` has no flag for what decides here.
    `via` is the interface that `explain` is told about.
    """

    to: str
    port: int
    expect: Expectation
    who: Identity = WORKLOAD
    where: str = "app"
    udp: bool = False
    families: tuple[int, ...] = BOTH
    options: Mapping[str, Any] = field(default_factory=dict)
    explained: bool = True
    via: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """`id` is that of capture-cases.yaml, or `id+what` for a neighbour of one, or a name of ours.

    `may_refuse`: backend -> the flag that it may name when it exits with 3 (the contract allows that); None for flags
    that no contract lets it refuse. `servers` and `proxy` run as given; cgroups are named, the runner makes them.
    """

    id: str
    flags: tuple[str, ...]
    dials: tuple[Dial, ...]
    may_refuse: Mapping[str, str] = field(default_factory=dict)
    resolv_conf: str | None = None
    relay: bool = False
    proxy: ProxyOptions = field(default_factory=ProxyOptions)
    warns: str | None = None
    argv_after: tuple[str, ...] = ()
    """What stands after `--` (for `--from`)."""


PROXY_USER = Identity(1337, 1337)
ROOT = ROOT_USER


def user(uid: int = 1000, gid: int = 1000, *groups: int) -> Identity:
    return Identity(uid, gid, groups)


def dials(targets: Mapping[tuple[str, int], Expectation], **common: Any) -> tuple[Dial, ...]:
    """Several dials that have everything but target and expectation in common."""
    return tuple(Dial(to, port, expect, **common) for (to, port), expect in targets.items())


def from_peer(to: str, port: int, expect: Expectation, **more: Any) -> Dial:
    return Dial(to, port, expect, who=ROOT_USER, where="peer", **more)


def from_guest(to: str, port: int, expect: Expectation, **more: Any) -> Dial:
    return Dial(to, port, expect, who=ROOT_USER, where="guest", **more)
