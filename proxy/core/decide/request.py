"""The whole decision for one request by the rules of its destination. cext/engine/route/outcome.c does the same in the
engine; one table of cases and tests with random requests hold both to the same answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from proxy.core.decide import cors, session
from proxy.core.policy.cluster import Cluster
from proxy.core.policy.http import Filters, HttpRule, Mirror
from proxy.core.route.match import Request, first

_64 = (1 << 64) - 1


class Why(StrEnum):
    """Why a request gets an answer of our own. The order is that of `enum route_why`, from 1 on."""

    NO_RULE = "no rule"
    UNOBEYED = "a filter that is not obeyed"
    NO_BACKEND = "no backend"
    UNRESOLVED = "a backend that is not there"
    REDIRECTED = "redirect"
    PREFLIGHT = "preflight"


@dataclass(frozen=True, slots=True)
class Decision:
    """status 0: the request goes to a target of a rule."""

    rule: int | None = None
    target: int | None = None
    status: int = 0
    why: Why | None = None
    origin: str | None = None
    """One that the rule's CORS filter allows."""
    mirrors: tuple[Mirror, ...] = ()


Find = Callable[[Request], int | None]


def linear(rules: Sequence[HttpRule]) -> Find:
    """Asks one rule after the other: what all faster ways are measured against."""
    matches = [rule.match for rule in rules]
    return lambda request: first(matches, request)


def decide(rules: Sequence[HttpRule], find: Find, request: Request, random: int, now_s: int = 0) -> Decision:
    """random: any number of 64 bits; the same one gives the same decision. now_s: seconds since 1970; only sessions
    depend on it."""
    number = find(request)
    if number is None:
        return Decision(status=404, why=Why.NO_RULE)
    filters, origin = rules[number].filters, None
    if filters.unobeyed:
        return Decision(number, status=500, why=Why.UNOBEYED)
    if filters.cors is not None:
        origin = cors.allowed_origin(filters.cors, request)
        if cors.is_preflight(request):
            return Decision(number, status=204, why=Why.PREFLIGHT, origin=origin)
    if filters.redirect is not None:
        return Decision(number, status=filters.redirect.status, why=Why.REDIRECTED, origin=origin)
    place = session.place_of(rules[number], request, now_s)
    return _forward(rules[number], number, origin, random, None if place is None else place.target)


def draw(random: int, which: int) -> int:
    """Independent numbers out of one: the first (0) is for the target, the others for mirrors."""
    mixed = (random + which * 0x9E3779B97F4A7C15) & _64
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _64
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _64
    return mixed ^ (mixed >> 31)


def chosen(rule: HttpRule, random: int) -> int | None:
    """Index of the target that a request goes to, by weight. None: all weights are 0, or there is no target."""
    total = sum(target.weight for target in rule.targets)
    if not total:
        return None
    ticket = draw(random, 0) % total
    for index, target in enumerate(rule.targets):
        if ticket < target.weight:
            return index
        ticket -= target.weight
    raise AssertionError("a ticket beyond all weights")


def cluster_of(rules: Sequence[HttpRule], decision: Decision) -> Cluster | None:
    if decision.rule is None or decision.target is None:
        return None
    return rules[decision.rule].targets[decision.target].cluster


def _forward(rule: HttpRule, number: int, origin: str | None, random: int, own: int | None) -> Decision:
    """own: the target that the request's session belongs to."""
    index = chosen(rule, random)
    if index is not None and own is not None:
        index = own
    if index is None:
        return Decision(number, status=500, why=Why.NO_BACKEND, origin=origin)
    target = rule.targets[index]
    if target.cluster is None:
        return Decision(number, index, status=500, why=Why.UNRESOLVED, origin=origin)
    if target.filters.unobeyed:
        return Decision(number, index, status=500, why=Why.UNOBEYED, origin=origin)
    return Decision(number, index, origin=origin, mirrors=_mirrors(rule.filters, target.filters, random))


def _mirrors(of_rule: Filters, of_target: Filters, random: int) -> tuple[Mirror, ...]:
    possible = [one for one in (*of_rule.mirrors, *of_target.mirrors) if one.cluster is not None]
    return tuple(one for which, one in enumerate(possible, 1) if draw(random, which) % one.denominator < one.numerator)[
        :MOST_MIRRORS
    ]


MOST_MIRRORS = 8
