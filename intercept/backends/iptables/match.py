"""A plan rule's conditions as iptables can say them: for each condition the ways in which it can hold. Pure.

Where a list is short each of its members is a way of its own; where it is long it becomes an ipset, one way.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from intercept.backends.iptables import parts
from intercept.backends.iptables.rule import Header
from intercept.intent.intent import IdRange, Network, PortRange
from intercept.plan.rules import (
    Begun,
    Condition,
    DstIn,
    DstOwn,
    DstPort,
    Family,
    Gid,
    InCgroup,
    Interface,
    Invalid,
    Mark,
    Not,
    Protocol,
    Rule,
    SrcIn,
    Uid,
)

_FEW_NETWORKS = 3
ANY = Header()


class Way(NamedTuple):
    """header: what the entry itself has to say. matches: what else has to match."""

    header: Header = ANY
    matches: tuple[parts.Match, ...] = ()

    def also(self, other: "Way") -> "Way":
        """Both."""
        return Way(self.header.also(other.header), (*self.matches, *other.matches))


class Sets:
    """The ipsets that the rules need: name -> content, the same content only once."""

    def __init__(self, name: Callable[[str], str]) -> None:
        self._name = name
        self.ports: dict[str, tuple[PortRange, ...]] = {}
        self.networks: dict[str, tuple[Network, ...]] = {}

    def of_ports(self, ranges: tuple[PortRange, ...]) -> str:
        known = next((name for name, content in self.ports.items() if content == ranges), None)
        name = known or self._name(f"P{len(self.ports)}")
        self.ports[name] = ranges
        return name

    def of_networks(self, networks: tuple[Network, ...]) -> str:
        known = next((name for name, content in self.networks.items() if content == networks), None)
        name = known or self._name(f"N{len(self.networks)}")
        self.networks[name] = networks
        return name


ALWAYS = [Way(ANY)]
NEVER: list[Way] = []


def alternatives(rule: Rule, family: int, side: str, sets: Sets) -> list[Way]:
    """Every way in which the rule can hold; side is `in` or `out`, after the interface that a packet has there."""
    found: list[Way] = []
    for protocol in _protocols(rule):
        together = [Way(Header(protocol=protocol))]
        for options in _ways_of(rule.conditions, family, side, sets, protocol):
            together = [before.also(one) for before in together for one in options]
        found += together
    return found


def _protocols(rule: Rule) -> tuple[str | None, ...]:
    """The rule has to be said once for each of them."""
    for condition in rule.conditions:
        if isinstance(condition, Protocol):
            return condition.names
    # A port belongs to a protocol.
    has_port = any(isinstance(_inner(condition), DstPort) for condition in rule.conditions)
    return ("tcp", "udp") if has_port else (None,)


def _inner(condition: Condition) -> Condition:
    return condition.condition if isinstance(condition, Not) else condition


def _ways_of(
    conditions: Sequence[Condition], family: int, side: str, sets: Sets, protocol: str | None
) -> list[list[Way]]:
    found: list[list[Way]] = []
    destination_taken = False
    for condition in conditions:
        inner = _inner(condition)
        if isinstance(inner, DstIn):
            found.append(_destinations(inner.networks, family, isinstance(condition, Not), destination_taken, sets))
            destination_taken = True
        else:
            found.append(_ways(condition, family, side, sets, protocol))
    return found


def _ways(  # noqa: PLR0912 - one branch a kind of condition
    condition: Condition, family: int, side: str, sets: Sets, protocol: str | None
) -> list[Way]:
    negated = isinstance(condition, Not)
    match _inner(condition):
        case Protocol(names):
            if not negated:
                return ALWAYS  # the rule is being said for one of them
            # "neither tcp nor udp" doesn't fit into one rule, and every rule that captures names its protocol anyway.
            return [Way(Header(protocol=names[0], not_protocol=True))] if len(names) == 1 else NEVER
        case Family(version):
            return ALWAYS if (version == family) is not negated else NEVER
        case DstPort(ranges):
            return [Way(ANY, (_ports(ranges, protocol or "tcp", negated, sets),))]
        case SrcIn(networks):
            return _sources(networks, family, sets)
        case DstOwn():
            return [Way(ANY, (parts.dst_local(negated),))]
        case Uid(ranges):
            return _owners("uid", ranges, negated)
        case Gid(ranges):
            return _owners("gid", ranges, negated)
        case Mark(value):
            return [Way(ANY, (parts.mark(value, negated),))]
        case Interface(names):
            return [Way(_interface(side, name)) for name in names]
        case Begun():
            return [Way(Header(protocol="tcp"), (parts.tcp_begun(),))]
        case Invalid():
            return [Way(ANY, (parts.ct_state("INVALID"),))]
        case InCgroup():
            raise ValueError("a cgroup condition stands alone, negated, with the verdict Direct")
        case DstIn() | Not():
            raise ValueError("judged by the caller")


def _interface(side: str, name: str) -> Header:
    return Header(in_interface=name) if side == "in" else Header(out_interface=name)


def _ports(ranges: tuple[PortRange, ...], protocol: str, negated: bool, sets: Sets) -> parts.Match:
    if len(ranges) == 1:
        return parts.dst_port(protocol, ranges[0], negated)
    if parts.slots(ranges) <= parts.MULTIPORT_SLOTS:
        return parts.multiport(ranges, negated)
    return parts.in_set(sets.of_ports(ranges), negated)


def _destinations(networks: tuple[Network, ...], family: int, negated: bool, taken: bool, sets: Sets) -> list[Way]:
    mine = tuple(network for network in networks if network.version == family)
    if not mine:
        return ALWAYS if negated else NEVER
    if any(network.prefixlen == 0 for network in mine):
        return NEVER if negated else ALWAYS
    if len(mine) == 1 and not taken:
        return [Way(Header(destination=mine[0], not_destination=negated))]
    if not negated and not taken and len(mine) <= _FEW_NETWORKS:
        return [Way(Header(destination=network)) for network in mine]
    return [Way(ANY, (parts.in_set(sets.of_networks(mine), negated),))]


def _sources(networks: tuple[Network, ...], family: int, sets: Sets) -> list[Way]:
    mine = tuple(network for network in networks if network.version == family)
    if any(network.prefixlen == 0 for network in mine):
        return ALWAYS
    if len(mine) <= _FEW_NETWORKS:
        return [Way(Header(source=network)) for network in mine]
    return [Way(ANY, (parts.in_set(sets.of_networks(mine), negated=False, side="src"),))]


def _owners(kind: str, ranges: tuple[IdRange, ...], negated: bool) -> list[Way]:
    if negated:
        return [Way(ANY, tuple(parts.owner(kind, one, negated=True) for one in ranges))]
    return [Way(ANY, (parts.owner(kind, one, negated=False),)) for one in ranges]
