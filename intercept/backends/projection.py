"""Which part of a rule list a hook has to hold. Pure; shared by the netfilter backends."""

from collections.abc import Callable

from intercept.plan.rules import Condition, Direct, Judge, Not, Plan, Protocol, Rule

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


def terse(rules: list[Rule], carries: Test) -> list[Rule]:
    """Without the rules that only let pass what none of the following would do anything with.

    For hooks that every packet goes through; where connections come by once, such a rule is there to be counted.
    """
    return [
        rule
        for index, rule in enumerate(rules)
        if not _lets_pass_in_vain(rule, [later for later in rules[index + 1 :] if _acts(later, carries)])
    ]


def _acts(rule: Rule, carries: Test) -> bool:
    return carries(rule) or isinstance(rule.verdict, Judge)


def _lets_pass_in_vain(rule: Rule, acting: list[Rule]) -> bool:
    match rule:
        case Rule(conditions=(Not(condition),), verdict=Direct()):
            return all(any(_implies(one, condition) for one in later.conditions) for later in acting)
    return False


def _implies(one: Condition, other: Condition) -> bool:
    if isinstance(one, Protocol) and isinstance(other, Protocol):
        return set(one.names) <= set(other.names)
    return one == other
