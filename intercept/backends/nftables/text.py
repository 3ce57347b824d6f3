"""Plan -> nftables text. Pure.

One rule list of the plan is projected onto the hooks that can carry its verdicts (hooks.py). A projection keeps the
list's order; what it can't carry becomes `accept`, which ends that hook only; what comes after the last rule it can
carry is left out.
"""

from collections.abc import Iterable

from intercept.backends.nftables.hooks import ALIVE, DNS_ZONE, GUARD, NAT, Projection, hooks_of, passes
from intercept.backends.nftables.match import Statement, Table, comment, in_cgroup, lines_of
from intercept.backends.projection import prefix, terse
from intercept.intent.intent import IdRange, WhenDown
from intercept.intent.listeners import LISTENERS
from intercept.plan.rules import InCgroup, Judge, Not, Plan, Rule

STORE = "intent"
SEAL = "seal"
_CHUNK = 120
_BEFORE_NAT = -145


def build(plan: Plan, *, salt: str = "") -> Table:
    """The table's content without what is stored beside the rules.

    A hook with nothing to do has no chain: each of these is gone through by every packet of the namespace.
    """
    table = Table(salt)
    if plan.intent.when_down is WhenDown.OPEN:
        table.sets |= dict.fromkeys((ALIVE + listener for listener in LISTENERS), "type nf_proto; flags timeout")
    for projection, hook, priority in hooks_of(plan):
        chain = f"{projection.name}_{hook}"
        rules, interface = (plan.outbound, "oifname") if hook == "output" else (plan.inbound, "iifname")
        kept = _prefix(plan, rules, projection)
        if not kept:
            continue
        kind = "nat" if projection.name == NAT else "filter"
        table.chains[chain] = (f"type {kind} hook {hook} priority {priority}; policy accept;", [])
        if chain == "raw_output":
            table.chains[chain][1].extend(_zone_of_answers(plan))
        _Writer(table, plan, projection, interface).write(chain, kept)
    if "mangle_prerouting" in table.chains:
        _bring_answers_back(table, plan)
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
    return terse(kept, projection.carries) if projection.name == GUARD else kept


def _statements(rule: Rule, plan: Plan, projection: Projection) -> list[Statement]:
    return projection.render(rule, plan) if projection.carries(rule) else passes(rule, plan, projection)


def _zone_of_answers(plan: Plan) -> list[str]:
    port = plan.intent.listeners.dns
    return [f"meta l4proto udp udp sport {port} counter ct zone set {DNS_ZONE} accept {comment('dns-answers')}"]


def _bring_answers_back(table: Table, plan: Plan) -> None:
    """What the workload answers to a proxy that has called it from the client's address: it would leave this host.

    Such a connection comes over the loopback interface from an address that is not ours, which takes a right of the
    caller's; and `new` keeps a client's own connection, should it have the same ends, from being taken for one.
    """
    if not plan.intent.exempt.uids:
        return
    mark = f"{plan.intent.tproxy_mark:#x}"
    users = table.ids_of("uid", tuple(IdRange(uid, uid) for uid in plan.intent.exempt.uids))
    table.chains["answers_output"] = (
        f"type route hook output priority {_BEFORE_NAT}; policy accept;",
        [
            f'meta skuid @{users} oifname "lo" meta l4proto tcp ct state new fib saddr type != local counter '
            f"ct mark set {mark} accept {comment('as-client')}",
            f"ct direction reply ct mark {mark} counter meta mark set {mark} accept {comment('answers')}",
        ],
    )


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


def table_text(name: str, table: Table, *, flags: str = "", stored: str = "") -> str:
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
