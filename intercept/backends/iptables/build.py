"""Plan -> iptables rules, by family and table. Pure.

Each table carries the verdicts that it can: `raw` gives captured DNS over UDP its conntrack zone, `mangle` drops, `nat`
redirects, `filter` refuses. That one comes after NAT, so what was redirected is let pass there first; the rest still
bears the addresses that were dialled.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from intercept.backends.iptables import parts
from intercept.backends.iptables.match import Sets, alternatives
from intercept.backends.iptables.rule import Header, XtRule
from intercept.backends.projection import Test, prefix, terse
from intercept.intent.intent import WhenDown
from intercept.intent.listeners import EVERY_LISTENER, Sign
from intercept.plan.rules import Capture, Drop, InCgroup, Judge, Not, Plan, Protocol, Refuse, Rule
from intercept.plan.steering import listener_named

DNS_ZONE = 15053
ALIVE = {sign: f"UP_{sign.listener[0].upper()}{sign.family}" for sign in EVERY_LISTENER}
"""Sets that hold everything while that listener is up."""


class Hook(NamedTuple):
    """A table with the built-in chains that ours hang on, and what it makes of a rule whose verdict it carries out."""

    table: str
    inbound_chain: str
    carries: Callable[[Plan], Test]
    skips: Test
    target: Callable[[Rule, Plan], parts.Target]


class Chain(NamedTuple):
    """built_in: the chain that leads here, '' for those that only rules of ours lead to."""

    built_in: str
    rules: list[XtRule]


Built = dict[str, dict[str, Chain]]
"""Table -> chain -> rules, in the order in which chains may be made: those that are led to first."""


def build(plan: Plan, family: int, name: Callable[[str], str], sets: Sets) -> Built:
    """The rules for one IP version. `name` gives a chain or set its full name; `sets` gathers the sets needed."""
    built: Built = {}
    for hook in _HOOKS:
        chains: dict[str, Chain] = {}
        for suffix, built_in, rules in (("OUT", "OUTPUT", plan.outbound), ("IN", hook.inbound_chain, plan.inbound)):
            writer = _Writer(plan, family, hook, "out" if suffix == "OUT" else "in", name, sets, chains)
            kept = _held_by(hook, plan, rules)
            if kept:
                writer.write(suffix, built_in, kept)
        if chains:
            built[hook.table] = dict(reversed(chains.items()))
    return built


class _Writer:
    def __init__(  # noqa: PLR0917 - all of them are what one chain is written from
        self,
        plan: Plan,
        family: int,
        hook: Hook,
        side: str,
        name: Callable[[str], str],
        sets: Sets,
        chains: dict[str, Chain],
    ) -> None:
        self._plan = plan
        self._family = family
        self._hook = hook
        self._side = side
        self._name = name
        self._sets = sets
        self._chains = chains

    def write(self, suffix: str, built_in: str, rules: list[Rule]) -> None:
        lines: list[XtRule] = list(self._before(suffix))
        self._chains[suffix] = Chain(built_in, lines)
        for rule in rules:
            match rule:
                case Rule(verdict=Judge(judge)):
                    lines += self._expanded(rule, self._leading_to(judge))
                case Rule(conditions=(Not(InCgroup(path)),)):
                    # A packet without a socket belongs to no folder: only what positively does goes on.
                    scoped = f"{suffix}_SC"
                    target = parts.lead_to(self._name(scoped), goto=True)
                    lines.append(XtRule(Header(), (parts.cgroup(f"/{path}"), parts.comment("in-cgroup")), target))
                    lines = []
                    self._chains[scoped] = Chain("", lines)
                case _ if self._hook.carries(self._plan)(rule):
                    lines += self._carried(rule)
                case _:
                    lines += self._expanded(rule, parts.RETURN)

    def _before(self, suffix: str) -> Iterator[XtRule]:
        if self._hook.table == "filter" and suffix in ("OUT", "IN"):
            yield XtRule(Header(), (parts.ct_state("DNAT"), parts.comment("redirected")), parts.RETURN)
        if self._hook.table == "raw" and suffix == "OUT":
            answers = (parts.src_port("udp", self._plan.intent.listeners.dns), parts.comment("dns-answers"))
            yield XtRule(Header(protocol="udp"), answers, parts.zone(DNS_ZONE))
            yield XtRule(Header(protocol="udp"), answers, parts.RETURN)

    def _carried(self, rule: Rule) -> list[XtRule]:
        target = self._hook.target(rule, self._plan)
        if self._hook.table != "raw":
            return self._expanded(rule, target)
        # The zone target doesn't end the list. Zones are only needed where sockets share a port, which is UDP.
        others = [condition for condition in rule.conditions if not isinstance(condition, Protocol)]
        only_udp = Rule(rule.name, (Protocol(("udp",)), *others), rule.verdict, rule.reason)
        return [*self._expanded(only_udp, target), *self._expanded(rule, parts.RETURN)]

    def _expanded(self, rule: Rule, target: parts.Target) -> list[XtRule]:
        """One rule for each way in which its conditions can hold together."""
        alive: tuple[parts.Match, ...] = ()
        if isinstance(rule.verdict, Capture) and self._plan.intent.when_down is WhenDown.OPEN:
            sign = Sign(listener_named(self._plan, rule.verdict.port), self._family)
            alive = (parts.in_set(self._name(ALIVE[sign]), negated=False),)
        return [
            XtRule(way.header, (*way.matches, *alive, parts.comment(rule.name)), target)
            for way in alternatives(rule, self._family, self._side, self._sets)
        ]

    def _leading_to(self, judge: str) -> parts.Target:
        kept = _held_by(self._hook, self._plan, self._plan.chain(judge))
        if not kept:
            return parts.RETURN
        self.write("VIRT", "", kept)
        return parts.lead_to(self._name("VIRT"), goto=True)


def _held_by(hook: Hook, plan: Plan, rules: tuple[Rule, ...]) -> list[Rule]:
    carries = hook.carries(plan)
    kept = prefix(plan, rules, carries, hook.skips)
    return terse(kept, carries) if hook.table == "filter" else kept


def _is_dns(plan: Plan) -> Test:
    return lambda rule: isinstance(rule.verdict, Capture) and rule.verdict.port == plan.intent.listeners.dns


def _redirect(rule: Rule, _plan: Plan) -> parts.Target:
    if not isinstance(rule.verdict, Capture):
        raise TypeError(f"rule {rule.name} captures nothing")
    return parts.redirect(rule.verdict.port)


def _drops(rule: Rule) -> bool:
    return isinstance(rule.verdict, Drop)


_HOOKS = (
    Hook("raw", "PREROUTING", _is_dns, _drops, lambda _rule, _plan: parts.zone(DNS_ZONE)),
    Hook("mangle", "PREROUTING", lambda _plan: _drops, lambda _rule: False, lambda _rule, _plan: parts.DROP),
    Hook("nat", "PREROUTING", lambda _plan: lambda rule: isinstance(rule.verdict, Capture), _drops, _redirect),
    Hook(
        "filter",
        "INPUT",
        lambda _plan: lambda rule: isinstance(rule.verdict, Refuse),
        _drops,
        lambda rule, _plan: parts.reject(reset=Protocol(("tcp",)) in rule.conditions),
    ),
)
