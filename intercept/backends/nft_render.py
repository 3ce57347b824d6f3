"""Plan -> nftables text. Pure.

One rule list of the plan is projected onto the hooks that can carry its verdicts: `nat` redirects, `guard` (before NAT,
so that it sees what was dialled) refuses and drops, `raw` gives captured DNS over UDP a conntrack zone, `mangle` is
TPROXY's. A projection keeps the list's order; what it can't carry becomes `accept`, which ends that hook only; what
comes after the last rule it can carry is left out.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from intercept.backends.contract import LISTENERS
from intercept.backends.nft_match import Statement, Table, comment, in_cgroup, lines_of
from intercept.backends.projection import listener_named, prefix, terse
from intercept.intent import WhenDown
from intercept.rules import Capture, Drop, InCgroup, Judge, Not, Plan, Protocol, Refuse, Rule, Steer

DNS_ZONE = 15053
"""Captured DNS over UDP lives in a conntrack zone of its own: the proxy may ask the same server from the same port."""
ALIVE = "alive_"
"""Prefix of the sets, one a listener, in which the families stand that it listens on."""
STORE = "intent"
SEAL = "seal"
_CHUNK = 120


class Projection(NamedTuple):
    """carries: whether this hook can carry out a rule's verdict. skips: rules that have no place in this hook."""

    name: str
    carries: Callable[[Rule], bool]
    render: Callable[[Rule, Plan], list[Statement]]
    skips: Callable[[Rule], bool] = lambda _rule: False


def build(plan: Plan, *, salt: str = "") -> Table:
    """The table's content without what is stored beside the rules.

    A hook with nothing to do has no chain: each of these is gone through by every packet of the namespace.
    """
    table = Table(salt)
    if plan.intent.when_down is WhenDown.OPEN:
        table.sets |= dict.fromkeys((ALIVE + listener for listener in LISTENERS), "type nf_proto; flags timeout")
    raw = _raw(plan)
    hooks = (
        (raw, "output", -300),
        (raw, "prerouting", -300),
        (_GUARD, "output", -150),
        (_GUARD, "prerouting", -150),
        (_MANGLE, "prerouting", -145),
        (_NAT, "output", -100),
        (_NAT, "prerouting", -100),
    )
    for projection, hook, priority in hooks:
        chain = f"{projection.name}_{hook}"
        rules, interface = (plan.outbound, "oifname") if hook == "output" else (plan.inbound, "iifname")
        kept = _prefix(plan, rules, projection)
        if not kept:
            continue
        kind = "nat" if projection is _NAT else "filter"
        table.chains[chain] = (f"type {kind} hook {hook} priority {priority}; policy accept;", [])
        if chain == "raw_output":
            table.chains[chain][1].extend(_zone_of_answers(plan))
        _Writer(table, plan, projection, interface).write(chain, kept)
    return table


class _Writer:
    """Writes rules into the chains of one hook."""

    def __init__(self, table: Table, plan: Plan, projection: Projection, interface: str) -> None:
        self._table = table
        self._plan = plan
        self._projection = projection
        self._interface = interface

    def write(self, chain: str, rules: list[Rule]) -> None:
        lines = self._table.chains[chain][1]
        for rule in rules:
            match rule:
                case Rule(verdict=Judge(target)):
                    lines += self._lines(rule, [("", self._leading_to(target))])
                case Rule(conditions=(Not(InCgroup() as folder),)):
                    # `!=` doesn't match a packet that has no socket at all, and such a packet isn't the cgroup's
                    # either: only what positively belongs to the folder goes on.
                    lines.append(f"{in_cgroup(folder)} counter goto {chain}_scoped {comment('in-cgroup')}")
                    lines = []
                    self._table.chains[f"{chain}_scoped"] = ("", lines)
                case _:
                    lines += self._lines(rule, _statements(rule, self._plan, self._projection))

    def _lines(self, rule: Rule, statements: list[Statement]) -> list[str]:
        return lines_of(self._table, rule, self._interface, statements)

    def _leading_to(self, judge: str) -> str:
        kept = _prefix(self._plan, self._plan.chain(judge), self._projection)
        if not kept:
            return "accept"
        target = f"{self._projection.name}_{judge}"
        self._table.chains[target] = ("", [])
        self.write(target, kept)
        return f"goto {target}"


def _prefix(plan: Plan, rules: tuple[Rule, ...], projection: Projection) -> list[Rule]:
    kept = prefix(plan, rules, projection.carries, projection.skips)
    return terse(kept, projection.carries) if projection is _GUARD else kept


def _statements(rule: Rule, plan: Plan, projection: Projection) -> list[Statement]:
    return projection.render(rule, plan) if projection.carries(rule) else _passes(rule, plan, projection)


def _passes(rule: Rule, plan: Plan, projection: Projection) -> list[Statement]:
    if isinstance(rule.verdict, Capture) and plan.intent.when_down is WhenDown.OPEN and projection is not _GUARD:
        return [(_alive(rule, plan), "accept")]
    if projection is _MANGLE and rule.name == "begun":
        # What follows the handshake belongs to a transparent socket of the proxy: same mark, same route.
        return [("socket transparent 1", f"meta mark set {plan.intent.tproxy_mark:#x} accept"), ("", "accept")]
    return [("", "accept")]


def _alive(rule: Rule, plan: Plan) -> str:
    if plan.intent.when_down is not WhenDown.OPEN:
        return ""
    return f"meta nfproto @{ALIVE}{listener_named(plan, _listener(rule))}"


def _listener(rule: Rule) -> int:
    if not isinstance(rule.verdict, Capture):
        raise TypeError(f"rule {rule.name} captures nothing")
    return rule.verdict.port


def _redirect(rule: Rule, plan: Plan) -> list[Statement]:
    return [(_alive(rule, plan), f"redirect to :{_listener(rule)}")]


def _tproxy(rule: Rule, plan: Plan) -> list[Statement]:
    # tproxy doesn't match when no transparent socket listens; the second statement then refuses at once instead of
    # letting the connection through to the application.
    return [
        (
            f"{_alive(rule, plan)} tproxy to :{_listener(rule)}".strip(),
            f"meta mark set {plan.intent.tproxy_mark:#x} accept",
        ),
        (_alive(rule, plan), "reject with tcp reset"),
    ]


def _guard(rule: Rule, _plan: Plan) -> list[Statement]:
    if isinstance(rule.verdict, Drop):
        return [("", "drop")]
    tcp = Protocol(("tcp",)) in rule.conditions
    return [("", "reject with tcp reset" if tcp else "reject with icmpx type port-unreachable")]


def _zone(rule: Rule, plan: Plan) -> list[Statement]:
    return [(f"{_alive(rule, plan)} meta l4proto udp".strip(), f"ct zone set {DNS_ZONE} accept")]


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
    return [f"meta l4proto udp udp sport {port} counter ct zone set {DNS_ZONE} accept {comment('dns-answers')}"]


def sets_text(name: str, table: Table, which: Iterable[str], *, flags: str = "") -> str:
    """Some sets of the table alone, as `nft -f` reads them."""
    return "\n".join([*_opening(name, {one: table.sets[one] for one in which}, flags), "}"]) + "\n"


def _opening(name: str, sets: dict[str, str], flags: str) -> list[str]:
    lines = [f"table inet {name} {{", *([f"\tflags {flags}"] if flags else [])]
    for set_name, spec in sets.items():
        lines += [f"\tset {set_name} {{", *(f"\t\t{part.strip()}" for part in spec.split("; ")), "\t}"]
    return lines


def with_ids(table: Table) -> dict[str, str]:
    """The sets' specs with the elements of the id sets too, as a person would write them."""
    return {
        name: f"{spec}; elements = {{ {', '.join(f'{one.first}-{one.last}' for one in table.ids[name])} }}"
        if table.ids.get(name)
        else spec
        for name, spec in table.sets.items()
    }


def text(name: str, table: Table, *, flags: str = "", stored: str = "") -> str:
    """The table as `nft -f` reads it. `stored` goes into comments of a chain that no hook and no rule leads to.

    Sets stand as they are in `table.sets`.
    """
    lines = _opening(name, table.sets, flags)
    for chain, (base, rules) in table.chains.items():
        lines += [f"\tchain {chain} {{", *([f"\t\t{base}"] if base else []), *(f"\t\t{rule}" for rule in rules), "\t}"]
    if stored:
        lines.append(f"\tchain {STORE} {{")
        for number, start in enumerate(range(0, len(stored), _CHUNK)):
            lines.append(f'\t\taccept comment "{number:05d}{stored[start : start + _CHUNK]}"')
        lines.append("\t}")
    lines.append("}")
    return "\n".join(lines) + "\n"


def comments_of(rules: list[str]) -> list[str]:
    """The rule names that stand in lines of a chain, in order."""
    return [rule.rpartition('comment "')[2].rstrip('"') for rule in rules]
