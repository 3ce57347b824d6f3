"""From netfilter to eBPF and back with no moment in which a connection is refused.

For a moment both are in force. To each, what the other has steered or redirected looks like a connection dialled
straight to a listener, which is refused. So both stand without that guard while both are there.
"""

import json

from intercept.backends import backend
from intercept.intent.intent import Mode
from intercept.plan.rules import Direct, Plan, Refuse, Rule
from intercept.plan.stored import document_of


def crosses(one: Mode, other: Mode) -> bool:
    """Whether just one of the two steers sockets, so that the other sees steered connections as direct dials."""
    return (one is Mode.EBPF) != (other is Mode.EBPF)


def change_over(old: Plan, new: Plan, *, name: str, wait_s: float) -> None:
    """Put `new` in force, then take `old` away. Raises with `old` as it was."""
    leaving, coming = backend(old.mode), backend(new.mode)
    leaving.apply(unguarded(old), interim(document_of(old)), name=name, wait_s=wait_s)
    try:
        coming.apply(unguarded(new), interim(document_of(new)), name=name, wait_s=wait_s)
    except BaseException:
        leaving.apply(old, document_of(old), name=name, wait_s=wait_s)
        raise
    leaving.remove(name, wait_s=wait_s)
    coming.apply(new, document_of(new), name=name, wait_s=wait_s)


def unguarded(plan: Plan) -> Plan:
    """The same capture, with dialling a listener straight left alone instead of refused."""

    def without(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return tuple(
            Rule(rule.name, rule.conditions, Direct(), rule.reason) if isinstance(rule.verdict, Refuse) else rule
            for rule in rules
        )

    changed = {"outbound": without(plan.outbound), "inbound": without(plan.inbound), "virtual": without(plan.virtual)}
    return Plan(**{name: changed.get(name, getattr(plan, name)) for name in Plan.__match_args__})


def interim(document: str) -> str:
    """The document of something that is not to stay: applying the final one never takes it for the same."""
    return json.dumps({**json.loads(document), "interim": True}, sort_keys=True, separators=(",", ":"))
