"""Plan -> what the BPF programs' maps hold. Pure.

The programs ask the plan's questions in the plan's order (bpf/include/outbound.h, bpf/hooks/sk_lookup.bpf.c); here only
their answers are laid out. Numbers (users, groups) lie in the same trie as networks, ranges cut into aligned blocks.
"""

import sys
from collections.abc import Iterable
from itertools import pairwise

from bpf.layout import ONE, Flag, Image, Kind, Policy, net_key, number_key, ports_between, prefixes
from intercept.host.facts import LOOPBACK
from intercept.intent.intent import Dns, IdRange, Ipv6, Network, PortRange, SelfCalls, UserPortExclusion, WhenDown
from intercept.intent.parsing import network
from intercept.plan.rules import Plan, Refuse

_PROTOCOLS = {"tcp": 6, "udp": 17}
_ALL_PORTS = ports_between(1, 65535)


def captures_dns(plan: Plan) -> bool:
    return plan.intent.dns is Dns.ALL or bool(plan.resolvers)


def image_of(plan: Plan, own: Iterable[Network], netns_cookie: int) -> Image:
    """own: the namespace's addresses (`HostFacts.own`)."""
    intent = plan.intent
    dns = captures_dns(plan)
    policy = Policy(
        netns_cookie=netns_cookie,
        flags=_flags(plan),
        outbound_port=intent.listeners.outbound,
        inbound_port=intent.listeners.inbound,
        dns_port=intent.listeners.dns if dns else 0,
        telemetry_port=intent.listeners.telemetry,
        exempt_mark=intent.exempt.mark or 0,
        out_exclude=_ports(intent.outbound.exclude_ports),
        out_include=_ports(intent.outbound.include_ports),
        in_include=_ALL_PORTS if intent.inbound.include_ports is None else _ports(intent.inbound.include_ports),
        in_exclude=_ports(intent.inbound.exclude_ports),
    )
    return Image(policy.pack(), _nets(plan, own))


def _flags(plan: Plan) -> int:
    intent = plan.intent
    outbound, exempt = intent.outbound, intent.exempt
    holds = {
        Flag.OUT_ALL: outbound.include_cidrs is None,
        Flag.OUT_CIDRS: bool(outbound.include_cidrs),
        Flag.OUT_PORTS: bool(outbound.include_ports),
        Flag.OUT_EXCLUDES: bool(outbound.exclude_cidrs),
        Flag.IN_EXCLUDES: bool(intent.inbound.exclude_cidrs),
        Flag.GIDS_LISTED: outbound.include_gids is not None,
        Flag.GIDS_EXCLUDED: bool(outbound.exclude_gids),
        Flag.USER_PORTS: bool(outbound.exclude_for),
        Flag.EXEMPT_UIDS: bool(exempt.uids),
        Flag.EXEMPT_GIDS: bool(exempt.gids),
        Flag.EXEMPT_MARK: exempt.mark is not None,
        Flag.EXEMPT_SOURCES: bool(exempt.sources),
        Flag.DNS_ALL: intent.dns is Dns.ALL,
        Flag.DNS_RESOLVERS: intent.dns is Dns.RESOLVERS and bool(plan.resolvers),
        Flag.SELF_DIRECT: intent.self_calls is not SelfCalls.PROXY,
        Flag.HAIRPIN: intent.self_calls is SelfCalls.HAIRPIN,
        Flag.WHEN_DOWN_OPEN: intent.when_down is WhenDown.OPEN,
        Flag.NO_IPV6: intent.ipv6 is Ipv6.OFF,
        Flag.IN_SCOPED: intent.cgroup is not None,
        Flag.UNGUARDED: not any(isinstance(rule.verdict, Refuse) for rule in plan.inbound),
    }
    flags = 0
    for flag, holding in holds.items():
        if holding:
            flags |= flag
    return flags


def _ports(ranges: Iterable[PortRange]) -> int:
    found = 0
    for one in ranges:
        found |= ports_between(one.first, one.last)
    return found


def _nets(plan: Plan, own: Iterable[Network]) -> dict[bytes, bytes]:
    intent = plan.intent
    outbound = intent.outbound
    loopback = [n for n in outbound.include_cidrs or () if any(_within(n, home) for home in LOOPBACK)]
    found: dict[bytes, bytes] = {}
    for kind, networks in (
        (Kind.OWN, own),
        (Kind.OUT_INCLUDE, outbound.include_cidrs or ()),
        (Kind.LOOPBACK_LISTED, loopback),
        (Kind.OUT_EXCLUDE, outbound.exclude_cidrs),
        (Kind.IN_EXCLUDE, intent.inbound.exclude_cidrs),
        (Kind.RESOLVER, [network("resolv.conf", address) for address in plan.resolvers]),
        (Kind.EXEMPT_SOURCE, [network("exempt source", address) for address in intent.exempt.sources]),
    ):
        found.update((net_key(kind, one), ONE) for one in networks)
    for kind, ids in (
        (Kind.EXEMPT_UID, [IdRange(uid, uid) for uid in intent.exempt.uids]),
        (Kind.EXEMPT_GID, [IdRange(gid, gid) for gid in intent.exempt.gids]),
        (Kind.INCLUDE_GID, outbound.include_gids or ()),
        (Kind.EXCLUDE_GID, outbound.exclude_gids),
    ):
        found.update((key, ONE) for one in ids for key in _id_keys(kind, one))
    found.update(_user_ports(outbound.exclude_for))
    return found


def _within(inner: Network, outer: Network) -> bool:
    """Only a network that lies within loopback lists loopback: 0.0.0.0/0 means "all but loopback", as '*' does."""
    same = inner.version == outer.version and inner.prefixlen >= outer.prefixlen
    return same and inner.network_address in outer


def _id_keys(kind: int, ids: IdRange) -> Iterable[bytes]:
    return (number_key(kind, value, bits) for value, bits in prefixes(ids.first, ids.last))


def _user_ports(exclusions: tuple[UserPortExclusion, ...]) -> dict[bytes, bytes]:
    """Users for whom the same exclusions hold are one class; a class has its ports. Two look-ups decide."""
    edges: dict[int, list[tuple[bool, int]]] = {}
    for index, exclusion in enumerate(exclusions):
        for ids in exclusion.uids:
            edges.setdefault(ids.first, []).append((True, index))
            edges.setdefault(ids.last + 1, []).append((False, index))
    found: dict[bytes, bytes] = {}
    classes: dict[frozenset[int], int] = {}
    holding: dict[int, int] = {}
    starts = sorted(edges)
    for start, following in pairwise(starts):
        for begins, index in edges[start]:
            holding[index] = holding.get(index, 0) + (1 if begins else -1)
        members = frozenset(index for index, times in holding.items() if times > 0)
        if not members:
            continue
        number = classes.setdefault(members, len(classes) + 1)
        value = number.to_bytes(4, sys.byteorder)
        for uid, bits in prefixes(start, following - 1):
            found[number_key(Kind.USER_CLASS, uid, bits)] = value
    for members, number in classes.items():
        for index in members:
            found.update((key, ONE) for key in _class_ports(number, exclusions[index]))
    return found


def _class_ports(number: int, exclusion: UserPortExclusion) -> Iterable[bytes]:
    for protocol in exclusion.protocols:
        for ports in exclusion.ports:
            for port, bits in prefixes(ports.first, ports.last, 16):
                pair = _PROTOCOLS[protocol] << 16 | port
                yield number_key(Kind.CLASS_PORT, number, second=pair, second_bits=16 + bits)
