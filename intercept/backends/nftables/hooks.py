"""The hooks of our nftables table: what each makes of a rule. Pure.

`nat` redirects, `mangle` is TPROXY's, `guard` drops, `raw` gives captured DNS over UDP a conntrack zone. All of them
come before NAT, and see what was dialled.

What is refused is refused by `nat`, which looks at the first packet of a connection only; by `mangle` where that one
steers; by `guard` where nothing is redirected, for then there may be no conntrack to call `nat`.
"""

from collections.abc import Callable
from typing import NamedTuple

from intercept.backends.nftables.match import Statement
from intercept.intent.intent import WhenDown
from intercept.plan.rules import Capture, Drop, Plan, Protocol, Refuse, Rule, Steer
from intercept.plan.steering import listener_named

DNS_ZONE = 15053
"""Captured DNS over UDP lives in a conntrack zone of its own: the proxy may ask the same server from the same port."""
ALIVE = "alive_"
"""Prefix of the sets, one a listener, in which the families stand that it listens on."""
NAT, MANGLE, GUARD = "nat", "mangle", "guard"


class Projection(NamedTuple):
    """carries: whether this hook can carry out a rule's verdict. skips: rules that have no place in this hook."""

    name: str
    carries: Callable[[Rule], bool]
    render: Callable[[Rule, Plan], list[Statement]]
    skips: Callable[[Rule], bool] = lambda _rule: False


def hooks_of(plan: Plan) -> tuple[tuple[Projection, str, int], ...]:
    """Projection, hook, priority; in the order in which a packet comes by. Not all of them have to have rules."""
    redirects, steers = _captures(plan, Steer.REDIRECT), _captures(plan, Steer.TPROXY)
    raw = _raw(plan)
    return (
        (raw, "output", -300),
        (raw, "prerouting", -300),
        (_guard(refuses=not redirects), "output", -150),
        (_guard(refuses=not (redirects or steers)), "prerouting", -150),
        (_mangle(refuses=steers), "prerouting", -145),
        (_nat(refuses=redirects), "output", -100),
        (_nat(refuses=redirects and not steers), "prerouting", -100),
    )


def passes(rule: Rule, plan: Plan, projection: Projection) -> list[Statement]:
    """What stands in a hook for a rule that it can't carry out."""
    if isinstance(rule.verdict, Capture) and plan.intent.when_down is WhenDown.OPEN and projection.name != GUARD:
        return [(_alive(rule, plan), "accept")]
    if projection.name == MANGLE and rule.name == "begun":
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


def _refusal(rule: Rule) -> list[Statement]:
    tcp = Protocol(("tcp",)) in rule.conditions
    return [("", "reject with tcp reset" if tcp else "reject with icmpx type port-unreachable")]


def _redirect(rule: Rule, plan: Plan) -> list[Statement]:
    if isinstance(rule.verdict, Refuse):
        return _refusal(rule)
    return [(_alive(rule, plan), f"redirect to :{_listener(rule)}")]


def _tproxy(rule: Rule, plan: Plan) -> list[Statement]:
    if isinstance(rule.verdict, Refuse):
        return _refusal(rule)
    # tproxy doesn't match when no transparent socket listens; the second statement then refuses at once instead of
    # letting the connection through to the application.
    return [
        (
            f"{_alive(rule, plan)} tproxy to :{_listener(rule)}".strip(),
            f"meta mark set {plan.intent.tproxy_mark:#x} accept",
        ),
        (_alive(rule, plan), "reject with tcp reset"),
    ]


def _drop_or_refuse(rule: Rule, _plan: Plan) -> list[Statement]:
    return [("", "drop")] if isinstance(rule.verdict, Drop) else _refusal(rule)


def _zone(rule: Rule, plan: Plan) -> list[Statement]:
    return [(f"{_alive(rule, plan)} meta l4proto udp".strip(), f"ct zone set {DNS_ZONE} accept")]


def _captures(plan: Plan, steer: Steer) -> bool:
    rules = (*plan.outbound, *plan.inbound, *plan.virtual)
    return any(isinstance(rule.verdict, Capture) and rule.verdict.steer is steer for rule in rules)


def _drops(rule: Rule) -> bool:
    return isinstance(rule.verdict, Drop)


def _steers(steer: Steer, *, refuses: bool) -> Callable[[Rule], bool]:
    def carries(rule: Rule) -> bool:
        if isinstance(rule.verdict, Capture):
            return rule.verdict.steer is steer
        return refuses and isinstance(rule.verdict, Refuse)

    return carries


def _nat(*, refuses: bool) -> Projection:
    return Projection(NAT, _steers(Steer.REDIRECT, refuses=refuses), _redirect, _drops)


def _guard(*, refuses: bool) -> Projection:
    return Projection(
        GUARD, lambda rule: _drops(rule) or (refuses and isinstance(rule.verdict, Refuse)), _drop_or_refuse
    )


def _mangle(*, refuses: bool) -> Projection:
    return Projection(MANGLE, _steers(Steer.TPROXY, refuses=refuses), _tproxy, _drops)


def _raw(plan: Plan) -> Projection:
    def is_dns(rule: Rule) -> bool:
        return isinstance(rule.verdict, Capture) and rule.verdict.port == plan.intent.listeners.dns

    # conntrack hasn't looked at the packet yet: its states mean nothing here.
    return Projection("raw", is_dns, _zone, _drops)
