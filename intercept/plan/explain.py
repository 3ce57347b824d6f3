"""Why is this connection captured or not: the plan's own rules, evaluated. Pure; tests hold it to the kernel."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from intercept.intent import parsing
from intercept.intent.intent import IdRange, Network, PortRange, WhenDown
from intercept.plan.rules import (
    INBOUND,
    OUTBOUND,
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
    Uid,
)

Address = IPv4Address | IPv6Address
_UNSPECIFIED: dict[int, Address] = {4: IPv4Address("127.0.0.1"), 6: IPv6Address("::1")}


class State(StrEnum):
    NEW = "new"
    BEGUN = "begun"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection (or its first packet) as a rule sees it. None: not known, so no rule that names one matches.

    `local`: the destination is an address of this namespace; None: to be found out by whoever knows the namespace.
    """

    direction: str
    destination: Address
    port: int
    protocol: str = "tcp"
    source: Address | None = None
    uid: int | None = None
    gid: int | None = None
    mark: int = 0
    interface: str | None = None
    local: bool | None = None
    in_cgroup: bool = True
    state: State = State.NEW

    @classmethod
    def outbound(
        cls, *, uid: int | None = None, gid: int | None = None, in_cgroup: bool = True, protocol: str = "tcp"
    ) -> "Connection":
        """A caller here; aim it with `to`."""
        nowhere = _UNSPECIFIED[4]
        return cls(OUTBOUND, nowhere, 1, protocol, uid=uid, gid=gid, in_cgroup=in_cgroup, local=True)

    def to(self, address: Address, port: int, *, local: bool | None) -> "Connection":
        """The same caller (or arrival) with another destination."""
        return replace(self, destination=as_on_the_wire(address), port=port, local=local)


@dataclass(frozen=True, slots=True)
class Decision:
    decision: str
    """capture, direct or drop"""
    listener: int | None
    rule: str
    reason: str
    mode: str

    def as_dict(self) -> dict[str, object]:
        return {
            "decision": self.decision,
            "listener": self.listener,
            "rule": self.rule,
            "reason": self.reason,
            "mode": self.mode,
        }


def as_on_the_wire(address: Address) -> Address:
    """What a packet to that address carries: v4-mapped is IPv4, and connecting to 0.0.0.0 or :: means loopback."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return _UNSPECIFIED[address.version] if address.is_unspecified else address


def connection_from_flags(direction: str, flags: Mapping[str, str | None]) -> Connection:
    """What `explain outbound|inbound` asks about: --dst IP:PORT, --protocol, --uid, --gid, --src, --interface.

    Whether the destination is local is left open. Users and groups default to 0, as of a process started by root.
    """
    address, port = parsing.endpoint("--dst", flags.get("--dst") or "")
    source = flags.get("--src")
    interface = flags.get("--interface")
    owned = direction == OUTBOUND
    return Connection(
        direction=direction,
        destination=as_on_the_wire(address),
        port=port,
        protocol=parsing.choice("--protocol", flags.get("--protocol") or "tcp", ("tcp", "udp")),
        source=None if source is None else as_on_the_wire(parsing.address("--src", source)),
        uid=parsing.one_id("--uid", flags.get("--uid") or "0") if owned else None,
        gid=parsing.one_id("--gid", flags.get("--gid") or "0") if owned else None,
        interface=None if interface is None else parsing.one_interface("--interface", interface),
    )


def explain(plan: Plan, connection: Connection) -> Decision:
    """First rule that matches, in the order in which the kernel tries them; none means direct."""
    rules = plan.chain(connection.direction)
    while True:
        rule = next((rule for rule in rules if _matches(rule, connection)), None)
        if rule is None:
            return Decision("direct", None, "default", _nothing_matched(connection), str(plan.mode))
        if not isinstance(rule.verdict, Judge):
            return _decided(plan, rule)
        rules = plan.chain(rule.verdict.chain)


def _decided(plan: Plan, rule: Rule) -> Decision:
    match rule.verdict:
        case Capture(port):
            open_when_down = plan.intent.when_down is WhenDown.OPEN
            reason = f"{rule.reason}; direct while the proxy is down" if open_when_down else rule.reason
            return Decision("capture", port, rule.name, reason, str(plan.mode))
        case Refuse() | Drop():
            return Decision("drop", None, rule.name, rule.reason, str(plan.mode))
        case Direct() | Judge():
            return Decision("direct", None, rule.name, rule.reason, str(plan.mode))


def _nothing_matched(connection: Connection) -> str:
    return (
        f"no rule captures it: nothing that is included {'outbound' if connection.direction != INBOUND else 'inbound'}"
    )


def _matches(rule: Rule, connection: Connection) -> bool:
    return all(_holds(condition, connection) for condition in rule.conditions)


def _holds(condition: Condition, connection: Connection) -> bool:  # noqa: PLR0912 - one branch a kind of condition
    match condition:
        case Not(inner):
            return not _holds(inner, connection)
        case Protocol(names):
            return connection.protocol in names
        case Family(version):
            return connection.destination.version == version
        case DstPort(ranges):
            return _in_ranges(connection.port, ranges)
        case DstIn(networks):
            return _in_networks(connection.destination, networks)
        case SrcIn(networks):
            return connection.source is not None and _in_networks(connection.source, networks)
        case DstOwn():
            return bool(connection.local)
        case Uid(ranges):
            return connection.uid is not None and _in_ranges(connection.uid, ranges)
        case Gid(ranges):
            return connection.gid is not None and _in_ranges(connection.gid, ranges)
        case Mark(value):
            return connection.mark == value
        case Interface(names):
            return connection.interface in names
        case InCgroup():
            return connection.in_cgroup
        case Begun():
            return connection.state is State.BEGUN
        case Invalid():
            return connection.state is State.INVALID


def _in_ranges(value: int, ranges: tuple[PortRange, ...] | tuple[IdRange, ...]) -> bool:
    return any(one.first <= value <= one.last for one in ranges)


def _in_networks(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == one.version and address in one for one in networks)
