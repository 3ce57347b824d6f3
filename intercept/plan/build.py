"""Intent + HostFacts -> Plan. Pure. The order of the rules is the whole decision, and it stands here only."""

from collections.abc import Iterator

from intercept.host.facts import LINK_LOCAL, LOOPBACK, HostFacts
from intercept.intent.intent import Dns, IdRange, Intent, Ipv6, Mode, Network, PortRange, SelfCalls
from intercept.intent.parsing import network
from intercept.plan.limits import ip6tables_missing, left_uncaptured, refuse_what_mode_cannot, warnings_about
from intercept.plan.rules import (
    VIRTUAL,
    Begun,
    Capture,
    Condition,
    Direct,
    Drop,
    DstIn,
    DstOwn,
    DstPort,
    Family,
    Gid,
    InCgroup,
    Interface,
    Invalid,
    Judge,
    Mark,
    Not,
    Plan,
    Protocol,
    Refuse,
    Rule,
    SrcIn,
    Steer,
    Uid,
)

__all__ = ["Plan", "build"]

TCP = Protocol(("tcp",))
UDP = Protocol(("udp",))
EITHER = Protocol(("tcp", "udp"))
DNS_PORT = (PortRange(53, 53),)


def build(intent: Intent, host: HostFacts, mode: Mode) -> Plan:
    """The plan for `mode` (not AUTO). Raises Unsupported, naming flag and mode, for what the mode can't do."""
    refuse_what_mode_cannot(intent, host, mode)
    resolvers = host.resolvers if intent.dns is Dns.RESOLVERS else ()
    served = _Builder(intent, resolvers, mode)
    return Plan(
        mode=mode,
        intent=intent,
        outbound=tuple(served.outbound()),
        inbound=tuple(served.inbound()),
        virtual=tuple(served.virtual()) if intent.virtual_interfaces else (),
        not_captured=tuple(left_uncaptured(intent, host, mode)),
        warnings=tuple(warnings_about(intent, host, mode)),
        resolvers=resolvers,
        cgroup_id=host.cgroup_id if intent.cgroup is not None else None,
        families=(4,) if intent.ipv6 is Ipv6.OFF or ip6tables_missing(host, mode) else (4, 6),
    )


class _Builder:
    def __init__(self, intent: Intent, resolvers: tuple[str, ...], mode: Mode) -> None:
        self._intent = intent
        self._mode = mode
        self._scope_is_outbound_only = mode is Mode.IPTABLES and intent.cgroup is not None
        ports = intent.listeners
        self._dns = intent.dns is Dns.ALL or bool(resolvers)
        self._resolvers = tuple(network("resolv.conf", address) for address in resolvers)
        self._tcp_listeners = _ranges(ports.outbound, ports.inbound, *((ports.dns,) if self._dns else ()))

    def outbound(self) -> Iterator[Rule]:
        intent = self._intent
        if intent.cgroup is not None:
            yield Rule("outside-cgroup", (Not(InCgroup(intent.cgroup)),), Direct(), f"not in cgroup {intent.cgroup}")
        yield from self._excluded_interfaces("leaves by an interface of --exclude-interfaces")
        yield from self._gate()
        yield from self._excluded_ports()
        yield from self._own_listeners()
        yield from self._exempt()
        for exclusion in intent.outbound.exclude_for:
            conditions = (Protocol(tuple(sorted(exclusion.protocols))), DstPort(exclusion.ports), Uid(exclusion.uids))
            yield Rule(
                "exclude-outbound-for", conditions, Direct(), "a port that --exclude-outbound-for leaves this user"
            )
        if intent.outbound.include_gids is not None:
            gids = Gid(intent.outbound.include_gids)
            yield Rule("include-outbound-gids", (Not(gids),), Direct(), "the group is not in --include-outbound-gids")
        if intent.outbound.exclude_gids:
            gids = Gid(intent.outbound.exclude_gids)
            yield Rule("exclude-outbound-gids", (gids,), Direct(), "the group is in --exclude-outbound-gids")
        yield from self._by_destination()

    def virtual(self) -> Iterator[Rule]:
        """As outbound, but nobody owns these packets: the rules about users, groups and marks have no meaning here."""
        yield from self._gate()
        yield from self._excluded_ports()
        yield from self._own_listeners()
        yield from self._by_destination()

    def inbound(self) -> Iterator[Rule]:
        intent = self._intent
        inbound = intent.inbound
        yield Rule(
            "loopback-interface", (Interface(("lo",)),), Direct(), "arrives on the loopback interface: a local call"
        )
        yield from self._excluded_interfaces("arrives on an interface of --exclude-interfaces")
        if intent.virtual_interfaces:
            came_by = Interface(intent.virtual_interfaces)
            yield Rule("virtual-interfaces", (came_by,), Judge(VIRTUAL), "arrives on a virtual interface")
        if self._scope_is_outbound_only:
            return
        yield Rule("not-local", (Not(DstOwn()),), Direct(), "is forwarded through this namespace, not for it")
        if intent.cgroup is not None:
            yield Rule("outside-cgroup", (Not(InCgroup(intent.cgroup)),), Direct(), f"not for cgroup {intent.cgroup}")
        yield from self._gate()
        if inbound.exclude_ports:
            conditions = (DstPort(inbound.exclude_ports),)
            yield Rule("exclude-inbound-ports", conditions, Direct(), "the port is in --exclude-inbound-ports")
        if inbound.exclude_cidrs:
            sources = (SrcIn(inbound.exclude_cidrs),)
            yield Rule("exclude-inbound-cidrs", sources, Direct(), "the source is in --exclude-inbound-cidrs")
        yield from self._own_listeners()
        telemetry = DstPort(_ranges(intent.listeners.telemetry))
        yield Rule("telemetry-port", (TCP, telemetry), Direct(), "the proxy's telemetry port")
        steer = Steer.TPROXY if self._mode is Mode.TPROXY else Steer.REDIRECT
        capture = Capture(intent.listeners.inbound, steer)
        if inbound.include_ports is None:
            yield Rule("include-inbound-ports", (TCP,), capture, "--include-inbound-ports is '*'")
        elif inbound.include_ports:
            ports = DstPort(inbound.include_ports)
            yield Rule("include-inbound-ports", (TCP, ports), capture, "the port is in --include-inbound-ports")

    def _excluded_interfaces(self, reason: str) -> Iterator[Rule]:
        if self._intent.exclude_interfaces:
            names = Interface(self._intent.exclude_interfaces)
            yield Rule("exclude-interfaces", (names,), Direct(), f"it {reason}")

    def _gate(self) -> Iterator[Rule]:
        """What isn't the beginning of something we capture stops here, before the longer part of the list."""
        if self._intent.drop_invalid:
            yield Rule("drop-invalid", (Invalid(),), Drop(), "conntrack calls the packet INVALID (--drop-invalid)")
        if self._intent.ipv6 is Ipv6.OFF:
            yield Rule("ipv6-off", (Family(6),), Direct(), "--ipv6 is off")
        protocols = EITHER if self._dns else TCP
        yield Rule("protocol", (Not(protocols),), Direct(), f"only {' and '.join(protocols.names)} can be captured")
        yield Rule("begun", (TCP, Begun()), Direct(), "belongs to a connection that began before")

    def _excluded_ports(self) -> Iterator[Rule]:
        ports = self._intent.outbound.exclude_ports
        if ports:
            yield Rule("exclude-outbound-ports", (DstPort(ports),), Direct(), "the port is in --exclude-outbound-ports")

    def _own_listeners(self) -> Iterator[Rule]:
        reason = "a listener of the proxy, dialled straight: refused, for it would loop"
        yield Rule("own-listener", (TCP, DstPort(self._tcp_listeners), DstOwn()), Refuse(), reason)
        if self._dns:
            port = DstPort(_ranges(self._intent.listeners.dns))
            yield Rule("own-listener-dns", (UDP, port, DstOwn()), Refuse(), reason)

    def _exempt(self) -> Iterator[Rule]:
        exempt = self._intent.exempt
        if exempt.sources:
            sources = SrcIn(tuple(network("exempt source", source) for source in exempt.sources))
            yield Rule("exempt-source", (sources,), Direct(), "from the address that the proxy binds for its own calls")
        identities: list[tuple[str, Condition]] = []
        if exempt.uids:
            identities.append(("uid", Uid(tuple(IdRange(uid, uid) for uid in exempt.uids))))
        if exempt.gids:
            identities.append(("gid", Gid(tuple(IdRange(gid, gid) for gid in exempt.gids))))
        if exempt.mark is not None:
            identities.append(("mark", Mark(exempt.mark)))
        if self._intent.self_calls is SelfCalls.HAIRPIN:
            # Excludes always win: what never goes to the inbound listener from outside doesn't from here either.
            telemetry = _ranges(self._intent.listeners.telemetry)
            apart = Not(DstPort(_union(*telemetry, *self._intent.inbound.exclude_ports)))
            for kind, who in identities:
                conditions = (TCP, DstOwn(), Not(DstIn(LOOPBACK)), apart, who)
                capture = Capture(self._intent.listeners.inbound)
                yield Rule(
                    f"hairpin-{kind}", conditions, capture, "the proxy's call to an own address (--self-calls hairpin)"
                )
        for kind, who in identities:
            yield Rule(f"exempt-{kind}", (who,), Direct(), f"the proxy's own traffic (--proxy-{kind})")

    def _by_destination(self) -> Iterator[Rule]:
        intent = self._intent
        outbound = intent.outbound
        capture = Capture(intent.listeners.outbound)
        if outbound.exclude_cidrs:
            excluded = (DstIn(outbound.exclude_cidrs),)
            yield Rule("exclude-outbound-cidrs", excluded, Direct(), "the destination is in --exclude-outbound-cidrs")
        if intent.ipv6 is not Ipv6.OFF:
            # Steering changes the address and so loses the interface that was asked for.
            reason = "an IPv6 link-local destination, which means nothing without its interface"
            yield Rule("link-local", (DstIn((LINK_LOCAL,)),), Direct(), reason)
        if self._dns:
            servers = (DstIn(self._resolvers),) if self._resolvers else ()
            reason = f"DNS (--dns {intent.dns})"
            yield Rule("dns", (EITHER, DstPort(DNS_PORT), *servers), Capture(intent.listeners.dns), reason)
            yield Rule("udp", (UDP,), Direct(), "UDP other than captured DNS")
        if intent.self_calls is not SelfCalls.PROXY:
            own = (DstOwn(), Not(DstIn(LOOPBACK)))
            yield Rule("self-call", own, Direct(), f"an address of this namespace (--self-calls {intent.self_calls})")
        listed = _loopback_listed(outbound.include_cidrs)
        unlisted = (DstIn(LOOPBACK), Not(DstIn(listed))) if listed else (DstIn(LOOPBACK),)
        reason = "a loopback address that --include-outbound-cidrs doesn't list"
        yield Rule("loopback", unlisted, Direct(), reason)
        if outbound.include_ports:
            ports = (DstPort(outbound.include_ports),)
            yield Rule("include-outbound-ports", (TCP, *ports), capture, "the port is in --include-outbound-ports")
        if outbound.include_cidrs is None:
            yield Rule("include-outbound-cidrs", (TCP,), capture, "--include-outbound-cidrs is '*'")
        elif outbound.include_cidrs:
            included = (DstIn(outbound.include_cidrs),)
            yield Rule(
                "include-outbound-cidrs", (TCP, *included), capture, "the destination is in --include-outbound-cidrs"
            )


def _ranges(*ports: int) -> tuple[PortRange, ...]:
    return tuple(PortRange(port, port) for port in sorted(set(ports)))


def _union(*ranges: PortRange) -> tuple[PortRange, ...]:
    """The same ports in ranges that neither touch nor overlap, which no backend would take in one set."""
    merged: list[PortRange] = []
    for one in sorted(ranges, key=lambda ports: ports.first):
        if merged and one.first <= merged[-1].last + 1:
            merged[-1] = PortRange(merged[-1].first, max(merged[-1].last, one.last))
        else:
            merged.append(one)
    return tuple(merged)


def _loopback_listed(include: tuple[Network, ...] | None) -> tuple[Network, ...]:
    """Only a network that lies within loopback lists it: 0.0.0.0/0 means the same as '*', "all but loopback"."""
    return tuple(n for n in include or () if any(_within(n, loopback) for loopback in LOOPBACK))


def _within(inner: Network, outer: Network) -> bool:
    if inner.version != outer.version or inner.prefixlen < outer.prefixlen:
        return False
    return inner.network_address in outer
