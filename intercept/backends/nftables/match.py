"""A rule's conditions in nft's words, and the named sets that they need. Pure."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from zlib import crc32

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

_BOTH_FAMILIES = (4, 6)
_FAMILY_NAME = {4: "ipv4", 6: "ipv6"}
ID_SETS = ("uids_", "gids_")
Statement = tuple[str, str]
"""What must hold besides the rule's conditions, and what is then done (counted)."""


class Table:
    """The content of one table: sets with their spec, chains with their base line ('' for none) and rules."""

    def __init__(self, salt: str = "") -> None:
        """`salt` gives the same content other names of sets, for a table that must not share any with another."""
        self._salt = salt
        self.sets: dict[str, str] = {}
        self.chains: dict[str, tuple[str, list[str]]] = {}
        self.ids: dict[str, tuple[IdRange, ...]] = {}
        """Sets of `sets` whose elements are users or groups: those don't stand in the spec (see nft_elements)."""

    def set_of(self, kind: str, spec: str, elements: Iterable[str]) -> str:
        """The name of a set with these elements, made when there is none yet.

        Named by content: nft takes a set that goes and another that comes under its name for one, whose intervals
        conflict.
        """
        text = f"{spec}; elements = {{ {', '.join(elements)} }}"
        name = f"{kind}_{crc32((self._salt + text).encode()):08x}"
        self.sets[name] = text
        return name

    def ids_of(self, kind: str, ranges: tuple[IdRange, ...]) -> str:
        """The name of a set of users ("uid") or groups ("gid"): named by content, so that it may be made beforehand."""
        content = ",".join(f"{one.first}-{one.last}" for one in ranges)
        name = f"{kind}s_{crc32(content.encode()):08x}"
        self.sets[name] = f"type {kind}; flags interval"
        self.ids[name] = ranges
        return name


def comment(name: str) -> str:
    """Names are of the plan's fixed vocabulary: nothing in them needs quoting."""
    return f'comment "{name}"'


def lines_of(table: Table, rule: Rule, interface: str, statements: list[Statement]) -> list[str]:
    """One line a family where addresses are looked at, else one for both."""
    looks_at_addresses = any(isinstance(_inner(condition), DstIn | SrcIn) for condition in rule.conditions)
    lines = []
    for family in _BOTH_FAMILIES if looks_at_addresses else (None,):
        matches = [_match(table, condition, family, interface) for condition in rule.conditions]
        if None in matches:
            continue
        of_family = f"meta nfproto {_FAMILY_NAME[family]}" if family else ""
        for besides, action in statements:
            words = (of_family, *matches, besides, "counter", action, comment(rule.name))
            lines.append(" ".join(word for word in words if word))
    return lines


def _inner(condition: Condition) -> Condition:
    return condition.condition if isinstance(condition, Not) else condition


def _match(  # noqa: PLR0912 - one branch a kind of condition
    table: Table, condition: Condition, family: int | None, interface: str
) -> str | None:
    """The condition in nft's words; '' when it always holds for this family, None when it never does."""
    negated = isinstance(condition, Not)
    unless = "!= " if negated else ""
    match _inner(condition):
        case Protocol(names):
            return f"meta l4proto {unless}{_one_or_set(names)}"
        case Family(version):
            return f"meta nfproto {unless}{_FAMILY_NAME[version]}"
        case DstPort(ranges):
            return f"th dport {unless}{_ports(table, ranges)}"
        case DstIn(networks):
            return _addresses(table, "daddr", networks, family, negated)
        case SrcIn(networks):
            return _addresses(table, "saddr", networks, family, negated)
        case DstOwn():
            return f"fib daddr type {unless}local"
        case Uid(ranges):
            return f"meta skuid {unless}@{table.ids_of('uid', ranges)}"
        case Gid(ranges):
            return f"meta skgid {unless}@{table.ids_of('gid', ranges)}"
        case Mark(value):
            return f"meta mark {unless}{value:#x}"
        case Interface(names):
            return f"meta {interface} {unless}{_one_or_set(tuple(f'{chr(34)}{name}{chr(34)}' for name in names))}"
        case InCgroup():
            raise ValueError("a cgroup condition stands alone, negated, with the verdict Direct")
        case Begun():
            return f"tcp flags & (fin|syn|rst|ack) {'==' if negated else '!='} syn"
        case Invalid():
            return f"ct state {unless}invalid"
        case Not():
            raise ValueError("Not within Not")


def in_cgroup(condition: InCgroup) -> str:
    level = condition.path.count("/") + 1
    return f'socket cgroupv2 level {level} "{condition.path}"'


def _one_or_set(values: tuple[str, ...]) -> str:
    return values[0] if len(values) == 1 else f"{{ {', '.join(values)} }}"


def _ports(table: Table, ranges: tuple[PortRange, ...]) -> str:
    texts = [str(one.first) if one.first == one.last else f"{one.first}-{one.last}" for one in ranges]
    return texts[0] if len(texts) == 1 else f"@{table.set_of('ports', 'type inet_service; flags interval', texts)}"


def _addresses(
    table: Table, field_name: str, networks: tuple[Network, ...], family: int | None, negated: bool
) -> str | None:
    mine = [network for network in networks if network.version == family]
    if not mine:
        return "" if negated else None
    if any(network.prefixlen == 0 for network in mine):
        return None if negated else ""
    unless = "!= " if negated else ""
    word = "ip" if family == 4 else "ip6"
    if len(mine) == 1:
        return f"{word} {field_name} {unless}{mine[0]}"
    spec = f"type {_FAMILY_NAME[mine[0].version]}_addr; flags interval"
    return f"{word} {field_name} {unless}@{table.set_of(f'nets{family}', spec, _address_spans(mine))}"


def _address_spans(networks: list[Network]) -> Iterator[str]:
    """Merged, so that overlapping networks are no matter of the nft version's `auto-merge`."""
    make = IPv4Address if networks[0].version == 4 else IPv6Address
    spans = sorted((int(n.network_address), int(n.broadcast_address)) for n in networks)
    first, last = spans[0]
    for begin, end in [*spans[1:], (None, None)]:
        if begin is not None and end is not None and begin <= last + 1:
            last = max(last, end)
            continue
        yield str(make(first)) if first == last else f"{make(first)}-{make(last)}"
        if begin is not None and end is not None:
            first, last = begin, end
