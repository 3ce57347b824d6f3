"""Which listeners a plan steers to, and for which IP versions. Pure."""

from intercept.intent.listeners import LISTENERS
from intercept.plan.rules import INBOUND, OUTBOUND, VIRTUAL, Capture, Condition, DstIn, Family, Plan, Rule, SrcIn


def listener_named(plan: Plan, port: int) -> str:
    """Which of the plan's listeners (LISTENERS) has that port."""
    listeners = plan.intent.listeners
    return next(name for name in LISTENERS if getattr(listeners, name) == port)


def steered(plan: Plan) -> dict[str, frozenset[int]]:
    """Each name of LISTENERS -> the IP versions in which some connection is captured for it; empty: none is."""
    found: dict[str, set[int]] = {name: set() for name in LISTENERS}
    for chain in (OUTBOUND, INBOUND, VIRTUAL):
        for rule in plan.chain(chain):
            if isinstance(rule.verdict, Capture):
                found[listener_named(plan, rule.verdict.port)].update(_versions(rule, plan.families))
    return {name: frozenset(versions) for name, versions in found.items()}


def _versions(rule: Rule, families: tuple[int, ...]) -> list[int]:
    return [version for version in families if all(_possible(one, version) for one in rule.conditions)]


def _possible(condition: Condition, version: int) -> bool:
    match condition:
        case DstIn(networks) | SrcIn(networks):
            return any(network.version == version for network in networks)
        case Family(only):
            return only == version
    return True
