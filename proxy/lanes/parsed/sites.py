"""The engine's sites, kept as the policy says: the rules of each destination, under a number that stays."""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from cext.engine import sites
from cext.engine.engine import Engine
from proxy.core.decide.heads import Reached
from proxy.core.lanes import Direction
from proxy.core.lower.site_layout import LAYOUT
from proxy.core.lower.to_engine import Site
from proxy.core.lower.to_site import NumberOf, SiteTable, site_table
from proxy.core.policy.cluster import Cluster
from proxy.core.policy.http import HttpRule, HttpTarget
from proxy.core.policy.policy import Destination
from proxy.core.policy.upstream import Limits
from proxy.core.route.match import EVERYTHING, Kind, Match
from proxy.core.route.table import RuleTable
from proxy.lanes.parsed.decider import Decider, Known

for _name, _layout in LAYOUT.items():
    if _layout.size != sites.struct_size(_name):
        raise ImportError(f"site_layout.py and cext/engine/route/spec.h disagree about {_name}: rebuild the extension")

GRACE_S = 60.0
"""A request is decided within microseconds of finding its site; so long after, none has the former one in hands."""


HTTP_ROUTE = "HTTPRoute"
NO_LIMITS = Limits()
NOWHERE = Site(Direction.OUTBOUND, "", -1)


@dataclass(frozen=True, slots=True)
class PreparedSite:
    """What is put in force for a destination. Made outside of the event loop."""

    rules: tuple[HttpRule, ...]
    table: SiteTable
    known: Known | None
    """None: the engine never asks."""


def rules_of(destination: Destination, *, ask_always: bool) -> tuple[HttpRule, ...]:
    """Those of HTTPRoutes; gRPC passes as it is. Where there are none, all requests go to the destination's own
    targets: the engine needs no rule to know that, unless it is to ask all the same, has endpoints to choose from,
    or a TrafficPolicy asks something of requests."""
    routed = tuple(rule for rule in destination.http_rules if rule.kind == HTTP_ROUTE)
    if routed or not (ask_always or destination.http.of_requests or _has_choice(destination)):
        return routed
    own = tuple(HttpTarget(one.weight, one.cluster, one.unresolved) for one in destination.targets)
    return (HttpRule(EVERYTHING, own, destination.route, "0"),)


def prepare(destination: Destination, number_of: NumberOf, *, ask_always: bool = False) -> PreparedSite | None:
    """None: the destination has no rules for requests. Raises regex.BadPattern."""
    rules = rules_of(destination, ask_always=ask_always)
    if not rules:
        return None
    matches = [rule.match for rule in rules]
    asks = ask_always or any(map(_has_regex, matches))
    reached = Reached(destination.port)
    table = site_table(rules, number_of, reached, destination.http, ask_always=ask_always)
    return PreparedSite(rules, table, Known(rules, RuleTable(matches), reached) if asks else None)


class Sites:
    """Belongs to the event loop."""

    def __init__(self, engine: Engine, decider: Decider, now: Callable[[], float]) -> None:
        self._engine = engine
        self._decider = decider
        self._now = now
        self._numbers: dict[Site, int] = {}
        self._sites: dict[int, Site] = {}
        """By number. A number is a site's for ever: clients' connections outlive publications."""
        self._fresh = itertools.count(1)
        self._tags = itertools.count(1)
        self._in_force: dict[Site, tuple[SiteTable, int]] = {}
        """With the tag that the engine's table has."""
        self._rules: dict[Site, tuple[HttpRule, ...]] = {}
        self._retired: list[tuple[float, int]] = []

    def number(self, site: Site) -> int:
        """For the site's verdict. 0: it has no rules."""
        return self._numbers[site] if site in self._in_force else 0

    def rule(self, number: int, rule: int) -> HttpRule | None:
        """What a record's numbers mean; None: it is not in force any more."""
        rules = self._rules.get(self._sites.get(number, NOWHERE), ())
        return rules[rule] if 0 <= rule < len(rules) else None

    def exchange(self, prepared: Mapping[Site, PreparedSite | None], gone: Collection[Site]) -> Iterator[None]:
        """For new requests, also on connections that are open; a step for each site. Verdicts that name a site for the
        first time are to be published after it, and a site is to be taken away after its verdict."""
        for site, one in prepared.items():
            self._put(site, one)
            yield
        for site in gone:
            self._put(site, None)
            yield

    def forget_retired(self) -> None:
        """Call it about once a second."""
        while self._retired and self._retired[0][0] <= self._now():
            self._decider.forget(self._retired.pop(0)[1])

    def _put(self, site: Site, prepared: PreparedSite | None) -> None:
        before = self._in_force.get(site)
        if prepared is None:
            if before is not None:
                sites.remove_site(self._engine, self._numbers[site])
                self._retire(site)
            return
        if before is not None and before[0] == prepared.table:
            self._rules[site] = prepared.rules
            if prepared.known is not None:
                self._decider.learn(before[1], prepared.known)
            return
        tag = next(self._tags)
        if prepared.known is not None:
            self._decider.learn(tag, prepared.known)
        number = self._numbers.get(site) or next(self._fresh)
        table = prepared.table._asdict()
        flags, port, text = table.pop("flags"), table.pop("port"), table.pop("text")
        sites.set_site(self._engine, number, tag=tag, flags=flags, port=port, text=text, arrays=table)
        if before is not None:
            self._retire(site)
        self._numbers[site], self._sites[number], self._in_force[site] = number, site, (prepared.table, tag)
        self._rules[site] = prepared.rules

    def _retire(self, site: Site) -> None:
        self._retired.append((self._now() + GRACE_S, self._in_force.pop(site)[1]))
        self._rules.pop(site, None)


def _has_choice(destination: Destination) -> bool:
    """Whether requests may go to one endpoint or another, are limited in number, or have answers that tell clients
    which endpoint it was."""
    clusters = [one.cluster for one in destination.targets if one.cluster is not None]
    return any(len(one.endpoints) > 1 or _gives_cookies(one) or one.settings.limits != NO_LIMITS for one in clusters)


def _gives_cookies(cluster: Cluster) -> bool:
    hashed = cluster.settings.hash
    return hashed is not None and hashed.cookie_ttl_s is not None


def _has_regex(match: Match) -> bool:
    return match.path.kind is Kind.REGEX or any(one.kind is Kind.REGEX for one in (*match.headers, *match.parameters))
