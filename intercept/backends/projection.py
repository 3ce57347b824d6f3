"""Which part of a rule list a hook has to hold. Pure; shared by the netfilter backends."""

from collections.abc import Callable

from intercept.backends.contract import LISTENERS
from intercept.rules import Judge, Plan, Rule

Test = Callable[[Rule], bool]


def listener_named(plan: Plan, port: int) -> str:
    """Which of the plan's listeners (LISTENERS) has that port."""
    listeners = plan.intent.listeners
    return next(name for name in LISTENERS if getattr(listeners, name) == port)


def prefix(plan: Plan, rules: tuple[Rule, ...], carries: Test, skips: Test) -> list[Rule]:
    """The list up to the last rule that has an effect in a hook that `carries` out some verdicts.

    What it can't carry out ends the list for that packet, so order is kept; rules it `skips` have no place there.
    """
    kept = tuple(rule for rule in rules if not skips(rule))
    effective = [
        index
        for index, rule in enumerate(kept)
        if carries(rule)
        or (isinstance(rule.verdict, Judge) and prefix(plan, plan.chain(rule.verdict.chain), carries, skips))
    ]
    return list(kept[: effective[-1] + 1]) if effective else []
