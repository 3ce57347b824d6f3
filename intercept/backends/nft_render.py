"""Plan -> nftables text. Pure.

One rule list of the plan is projected onto the hooks that can carry its verdicts: `nat` redirects, `guard` (before NAT,
so that it sees what was dialled) refuses and drops, `raw` gives captured DNS over UDP a conntrack zone, `mangle` is
TPROXY's. A projection keeps the list's order; what it can't carry becomes `accept`, which ends that hook only; what
comes after the last rule it can carry is left out.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from intercept.intent import IdRange, Network, PortRange, WhenDown
from intercept.rules import (
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
    Verdict,
)

DNS_ZONE = 15053
"""Captured DNS over UDP lives in a conntrack zone of its own: the proxy may ask the same server from the same port."""
ALIVE = "alive"
STORE = "intent"
SEAL = "seal"
_COMMENT = 120
_BOTH_FAMILIES = (4, 6)
_FAMILY_NAME = {4: "ipv4", 6: "ipv6"}


Statement = tuple[str, str]
"""What must hold besides the rule's conditions, and what is then done (counted)."""


@dataclass(frozen=True, slots=True)
class Projection:
    """carries: whether this hook can carry a rule's verdict. passes: rules that have no place in this hook at all."""

    name: str
    carries: Callable[[Rule], bool]
    render: Callable[[Rule, Plan], "list[Statement]"]
    skips: Callable[[Rule], bool] = lambda _rule: False


@dataclass
class Table:
    """The content of one table, in the order of the text: sets, chains with their base line (if any) and rules."""

    sets: dict[str, str] = field(default_factory=dict)
    chains: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    _names: dict[tuple[str, str], str] = field(default_factory=dict)

    def set_of(self, kind: str, spec: str, elements: Iterable[str]) -> str:
        """The name of a set with these elements, made when there is none yet."""
        text = f"{spec}; elements = {{ {', '.join(elements)} }}"
        name = self._names.setdefault((kind, text), f"{kind}_{sum(k == kind for k, _ in self._names) + 1}")
        self.sets.setdefault(name, text)
        return name


def build(plan: Plan) -> Table:
    """The table's content without what is stored beside the rules."""
    table = Table()
    if plan.intent.when_down is WhenDown.OPEN:
        table.sets[ALIVE] = "type nf_proto; flags timeout"
    hooks = (
        ("raw_output", "output", -300, plan.outbound, _raw(plan), "oifname"),
        ("raw_prerouting", "prerouting", -300, plan.inbound, _raw(plan), "iifname"),
        ("guard_output", "output", -150, plan.outbound, _GUARD, "oifname"),
        ("guard_prerouting", "prerouting", -150, plan.inbound, _GUARD, "iifname"),
        ("mangle_prerouting", "prerouting", -145, plan.inbound, _MANGLE, "iifname"),
        ("nat_output", "output", -100, plan.outbound, _NAT, "oifname"),
        ("nat_prerouting", "prerouting", -100, plan.inbound, _NAT, "iifname"),
    )
    for chain, hook, priority, rules, projection, interface in hooks:
        kind = "nat" if projection is _NAT else "filter"
        base = f"type {kind} hook {hook} priority {priority}; policy accept;"
        _project(table, plan, chain, base, rules, projection, interface)
    return table


def _project(
    table: Table, plan: Plan, chain: str, base: str, rules: tuple[Rule, ...], projection: Projection, interface: str
) -> bool:
    """Add `chain` (and those it leads to) unless nothing in it would have an effect; whether it was added."""
    kept = _prefix(plan, rules, projection)
    extra = _zone_of_answers(plan) if chain == "raw_output" and kept else []
    if not kept:
        return False
    lines: list[str] = list(extra)
    table.chains[chain] = (base, lines)
    for rule in kept:
        if isinstance(rule.verdict, Judge):
            target = f"{projection.name}_{rule.verdict.chain}"
            there = target in table.chains or _project(
                table, plan, target, "", plan.chain(rule.verdict.chain), projection, interface
            )
            statement = f"goto {target}" if there else "accept"
            lines += _lines(table, rule, interface, [("", statement)])
        elif (
            len(rule.conditions) == 1
            and isinstance(rule.conditions[0], Not)
            and isinstance(rule.conditions[0].condition, InCgroup)
        ):
            # `!=` doesn't match a packet that has no socket at all, and such a packet isn't the cgroup's either: only
            # what positively belongs to the folder goes on.
            scoped = f"{chain}_scoped"
            lines += [f"{_in_cgroup(rule.conditions[0].condition)} counter goto {scoped} {_comment('in-cgroup')}"]
            lines = []
            table.chains[scoped] = ("", lines)
        else:
            lines += _lines(table, rule, interface, _statements(rule, plan, projection))
    return True


def _prefix(plan: Plan, rules: tuple[Rule, ...], projection: Projection) -> list[Rule]:
    """Up to the last rule that has an effect in this projection."""
    rules = tuple(rule for rule in rules if not projection.skips(rule))
    effective = [
        index
        for index, rule in enumerate(rules)
        if projection.carries(rule)
        or (isinstance(rule.verdict, Judge) and _prefix(plan, plan.chain(rule.verdict.chain), projection))
    ]
    return list(rules[: effective[-1] + 1]) if effective else []


def _statements(rule: Rule, plan: Plan, projection: Projection) -> list[Statement]:
    return projection.render(rule, plan) if projection.carries(rule) else _passes(rule, plan, projection)


def _passes(rule: Rule, plan: Plan, projection: Projection) -> list[Statement]:
    if isinstance(rule.verdict, Capture) and plan.intent.when_down is WhenDown.OPEN and projection is not _GUARD:
        return [(_alive(plan), "accept")]
    if projection is _MANGLE and rule.name == "begun":
        # What follows the handshake belongs to a transparent socket of the proxy: same mark, same route.
        return [("socket transparent 1", f"meta mark set {plan.intent.tproxy_mark:#x} accept"), ("", "accept")]
    return [("", "accept")]


def _alive(plan: Plan) -> str:
    return f"meta nfproto @{ALIVE}" if plan.intent.when_down is WhenDown.OPEN else ""


def _redirect(rule: Rule, plan: Plan) -> list[Statement]:
    assert isinstance(rule.verdict, Capture)
    return [(_alive(plan), f"redirect to :{rule.verdict.port}")]


def _tproxy(rule: Rule, plan: Plan) -> list[Statement]:
    assert isinstance(rule.verdict, Capture)
    # tproxy doesn't match when no transparent socket listens; the second statement then refuses at once instead of
    # letting the connection through to the application.
    return [
        (
            f"{_alive(plan)} tproxy to :{rule.verdict.port}".strip(),
            f"meta mark set {plan.intent.tproxy_mark:#x} accept",
        ),
        (_alive(plan), "reject with tcp reset"),
    ]


def _guard(rule: Rule, _plan: Plan) -> list[Statement]:
    if isinstance(rule.verdict, Drop):
        return [("", "drop")]
    tcp = Protocol(("tcp",)) in rule.conditions
    return [("", "reject with tcp reset" if tcp else "reject with icmpx type port-unreachable")]


def _zone(_rule: Rule, plan: Plan) -> list[Statement]:
    return [(f"{_alive(plan)} meta l4proto udp".strip(), f"ct zone set {DNS_ZONE} accept")]


def _is_capture(steer: Steer) -> Callable[[Rule], bool]:
    return lambda rule: isinstance(rule.verdict, Capture) and rule.verdict.steer is steer


_NAT = Projection("nat", _is_capture(Steer.REDIRECT), _redirect, lambda rule: isinstance(rule.verdict, Drop))
_MANGLE = Projection("mangle", _is_capture(Steer.TPROXY), _tproxy, lambda rule: isinstance(rule.verdict, Drop))
_GUARD = Projection("guard", lambda rule: isinstance(rule.verdict, (Refuse, Drop)), _guard)


def _raw(plan: Plan) -> Projection:
    def is_dns(rule: Rule) -> bool:
        return isinstance(rule.verdict, Capture) and rule.verdict.port == plan.intent.listeners.dns

    # conntrack hasn't looked at the packet yet: its states mean nothing here.
    return Projection("raw", is_dns, _zone, lambda rule: isinstance(rule.verdict, Drop))


def _zone_of_answers(plan: Plan) -> list[str]:
    port = plan.intent.listeners.dns
    return [f"meta l4proto udp udp sport {port} counter ct zone set {DNS_ZONE} accept {_comment('dns-answers')}"]


def _comment(name: str) -> str:
    return f'comment "{name}"'


def _lines(table: Table, rule: Rule, interface: str, statements: list[Statement]) -> list[str]:
    """One line a family where addresses are looked at, else one for both."""
    looks_at_addresses = any(isinstance(_inner(condition), DstIn | SrcIn) for condition in rule.conditions)
    lines = []
    for family in _BOTH_FAMILIES if looks_at_addresses else (None,):
        matches = [_match(table, condition, family, interface) for condition in rule.conditions]
        if None in matches:
            continue
        of_family = f"meta nfproto {_FAMILY_NAME[family]}" if family else ""
        for besides, action in statements:
            words = (of_family, *matches, besides, "counter", action, _comment(rule.name))
            lines.append(" ".join(word for word in words if word))
    return lines


def _inner(condition: Condition) -> Condition:
    return condition.condition if isinstance(condition, Not) else condition


def _match(table: Table, condition: Condition, family: int | None, interface: str) -> str | None:
    """The condition in nft's words; '' when it always holds for this family, None when it never does."""
    negated = isinstance(condition, Not)
    unless = "!= " if negated else ""
    match _inner(condition):
        case Protocol(names):
            return f"meta l4proto {unless}{_one_or_set(names)}"
        case Family(version):
            return f"meta nfproto {unless}{_FAMILY_NAME[version]}"
        case DstPort(ranges):
            return f"th dport {unless}{_spans(table, 'ports', 'inet_service', ranges)}"
        case DstIn(networks):
            return _addresses(table, "daddr", networks, family, negated)
        case SrcIn(networks):
            return _addresses(table, "saddr", networks, family, negated)
        case DstOwn():
            return f"fib daddr type {unless}local"
        case Uid(ranges):
            return f"meta skuid {unless}{_spans(table, 'uids', 'uid', ranges)}"
        case Gid(ranges):
            return f"meta skgid {unless}{_spans(table, 'gids', 'gid', ranges)}"
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


def _in_cgroup(condition: Condition) -> str:
    assert isinstance(condition, InCgroup)
    level = condition.path.count("/") + 1
    return f'socket cgroupv2 level {level} "{condition.path}"'


def _one_or_set(values: tuple[str, ...]) -> str:
    return values[0] if len(values) == 1 else f"{{ {', '.join(values)} }}"


def _spans(table: Table, kind: str, nft_type: str, ranges: tuple[PortRange, ...] | tuple[IdRange, ...]) -> str:
    if not ranges:
        # Nothing is in an empty list; a named set without elements says so in both the plain and the negated form.
        return f"@{_empty(table, kind, nft_type)}"
    texts = [str(one.first) if one.first == one.last else f"{one.first}-{one.last}" for one in ranges]
    if len(texts) == 1:
        return texts[0]
    return f"@{table.set_of(kind, f'type {nft_type}; flags interval', texts)}"


def _empty(table: Table, kind: str, nft_type: str) -> str:
    name = f"{kind}_none"
    table.sets[name] = f"type {nft_type}; flags interval"
    return name


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


def text(name: str, table: Table, *, flags: str = "", stored: str = "") -> str:
    """The table as `nft -f` reads it. `stored` goes into comments of a chain that no hook and no rule leads to."""
    lines = [f"table inet {name} {{"]
    if flags:
        lines.append(f"\tflags {flags}")
    for set_name, spec in table.sets.items():
        lines += [f"\tset {set_name} {{", *(f"\t\t{part.strip()}" for part in spec.split("; ")), "\t}"]
    # Chains that are led to come before those that lead there.
    for chain, (base, rules) in reversed(table.chains.items()):
        lines += [f"\tchain {chain} {{", *([f"\t\t{base}"] if base else []), *(f"\t\t{rule}" for rule in rules), "\t}"]
    if stored:
        lines.append(f"\tchain {STORE} {{")
        for number, start in enumerate(range(0, len(stored), _COMMENT)):
            lines.append(f'\t\taccept comment "{number:05d}{stored[start : start + _COMMENT]}"')
        lines.append("\t}")
    lines.append("}")
    return "\n".join(lines) + "\n"


def comments_of(rules: list[str]) -> list[str]:
    """The rule names that stand in lines of a chain, in order."""
    return [rule.rpartition('comment "')[2].rstrip('"') for rule in rules]
