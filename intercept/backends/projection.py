"""Which part of a rule list a hook has to hold. Pure; shared by the netfilter backends."""

from collections.abc import Callable

from intercept.rules import Judge, Plan, Rule

Test = Callable[[Rule], bool]


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
