"""The engine's verdict table, kept as the policy says, and what its numbers mean."""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from cext.engine.acceptor import Acceptor
from cext.engine.values import MAX_TEXT, Action, Balance, Counters, Endpoint, Keepalive, Record, SocketAddress, Spoken
from cext.engine.values import Verdict as EngineVerdict
from proxy.core.addresses import OriginalDestination, UpstreamAddress
from proxy.core.decide.verdict import NOWHERE, Verdict
from proxy.core.dice import hash_of
from proxy.core.lanes import Direction, Lane, Speaking
from proxy.core.lower.to_engine import Ruling, Site, Spread
from proxy.core.policy.cluster import Cluster
from proxy.lanes.parsed.spoken import SPEAKS, told
from proxy.lanes.splice.retired import RetiredVerdicts
from proxy.lanes.terms import SCOPES, address

_BALANCE = {
    Spread.RANDOM: Balance.RANDOM,
    Spread.ROUND_ROBIN: Balance.ROUND_ROBIN,
    Spread.LEAST: Balance.LEAST,
    Spread.BY_SOURCE: Balance.BY_SOURCE,
}
MAX_ATTEMPTS = 16
PUNTED = 0
_PUNT = EngineVerdict(Action.PUNT, id=PUNTED)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where a policy says nothing; seconds, 0: none."""

    connect_s: float
    idle_s: float


@dataclass(frozen=True, slots=True)
class Group:
    """Whose connections one set of counters counts: those of a direction to an endpoint that are told about with
    `of`. NOWHERE: each goes to its original destination."""

    direction: Direction
    endpoint: UpstreamAddress
    of: Verdict

    @property
    def verdict(self) -> Verdict:
        """What is told about them; made when it is asked for, for there are many groups."""
        return replace(self.of, upstream=self.endpoint)


LogTexts = Callable[[Verdict], tuple[bytes, bytes, bytes]]
"""Protocol, lane and lane reason of a connection as its line in the access log has them."""


class VerdictTable:
    """Belongs to the event loop. Sites that are `held` are punted whatever the policy says."""

    def __init__(
        self, lane: Acceptor, defaults: Defaults, log_texts: LogTexts, number_of: Callable[[Site], int] = lambda _: 0
    ) -> None:
        """number_of: the number of the rules for a site's requests; 0: there are none."""
        self._lane = lane
        self._log_texts = log_texts
        self._number_of = number_of
        self._defaults = defaults
        self._wanted: dict[Site, Ruling | None] = {}
        self._held: set[Site] = set()
        self._there: dict[Site, int] = {}
        """The engine's verdict of each site; PUNTED: one that has it decided by us."""
        self._told: dict[int, Ruling] = {}
        """By the engine's verdict: also those that were replaced, while connections have them."""
        self._retired = RetiredVerdicts(lane.connection_batches)
        self._groups: list[Group] = []
        self._group_ids: dict[tuple[object, ...], dict[UpstreamAddress, int]] = {}
        self._by_cluster: dict[str, list[int]] = {}
        self._ids = itertools.count(1)

    def exchange(self, rulings: Mapping[Site, Ruling | None], gone: Collection[Site]) -> Iterator[None]:
        """For new connections; the engine changes each site at one stroke. rulings: those that differ; gone: sites of
        which nothing is said any more. A step for each."""
        for site, ruling in rulings.items():
            self._wanted[site] = ruling
            self._refresh(site)
            yield
        for site in gone:
            self._wanted.pop(site, None)
            self._refresh(site)
            yield

    def hold(self, destination: OriginalDestination) -> None:
        """Have connections to the destination punted, in both directions."""
        for direction in Direction:
            site = Site(direction, destination.ip, destination.port)
            self._held.add(site)
            self._refresh(site)

    def release(self, destination: OriginalDestination) -> None:
        """As the policy has it again."""
        for direction in Direction:
            site = Site(direction, destination.ip, destination.port)
            self._held.discard(site)
            self._refresh(site)

    def verdict(self, record: Record) -> Verdict:
        """What is to be told about a connection of the engine's. Its upstream is not always the connection's."""
        upstream = None if record.upstream is None else UpstreamAddress(address(record.upstream))
        ruling = self._told[record.verdict]
        verdict = ruling.told(upstream)
        return verdict if ruling.speaking is Speaking.OPAQUE else told(verdict, record.spoken)

    def counted(self, counters: Counters) -> Group | None:
        """None: that of verdicts without a group, which has nothing to count."""
        return self.group(counters.group)

    def group(self, number: int) -> Group | None:
        return self._groups[number - 1] if 0 < number <= len(self._groups) else None

    def request_group(self, cluster: Cluster, endpoint: UpstreamAddress) -> int:
        """Of connections to an endpoint that is chosen for requests."""
        of = Verdict(NOWHERE, cluster.name, "http", Lane.PARSED, "requests decide", cluster.service)
        return self._http_group(Direction.OUTBOUND, endpoint, of, Speaking.DETECTED)

    def groups_of(self, cluster: str) -> Iterator[tuple[int, Group]]:
        """Groups of a cluster's endpoints, in whatever direction and lane."""
        for number in self._by_cluster.get(cluster, ()):
            yield number, self._groups[number - 1]

    def _refresh(self, site: Site) -> None:
        scope = SCOPES[site.direction]
        place = SocketAddress(site.ip, site.port) if site.ip else None
        before = self._there.pop(site, PUNTED)
        if before != PUNTED:
            self._retired.add(before)
        if site not in self._wanted and site not in self._held:
            self._lane.remove_verdict(scope, place)
            return
        ruling = None if site in self._held else self._wanted[site]
        now = self._there[site] = PUNTED if ruling is None else next(self._ids)
        self._lane.set_verdict(scope, place, _PUNT if ruling is None else self._engine_verdict(site, ruling, now))

    def _engine_verdict(self, site: Site, ruling: Ruling, id_: int) -> EngineVerdict:
        self._told[id_] = ruling
        timeouts, defaults = ruling.verdict.timeouts, self._defaults
        protocol, lane, reason = self._log_texts(ruling.verdict)
        endpoints = tuple(
            Endpoint(
                SocketAddress(*share.endpoint),
                group=self._opaque_group(site.direction, share.endpoint, share.of, ruling.speaking),
                weight=share.weight,
                http_group=self._http_group(site.direction, share.endpoint, share.of, ruling.speaking),
            )
            for share in ruling.shares
        )
        general = NOWHERE if endpoints else ruling.verdict.upstream
        return EngineVerdict(
            Action.RELAY if endpoints else Action.PASS,
            id=id_,
            # With endpoints it counts requests that are answered without any of them.
            group=self._opaque_group(site.direction, general, ruling.verdict, ruling.speaking),
            http_group=self._http_group(site.direction, general, ruling.verdict, ruling.speaking),
            endpoints=endpoints,
            balance=_BALANCE[ruling.spread],
            affinity=0 if ruling.affinity is None else hash_of(ruling.affinity.of.encode()),
            affinity_ms=0 if ruling.affinity is None else max(1, round(ruling.affinity.seconds * 1000)),
            denied=ruling.denied,
            max_attempts=MAX_ATTEMPTS,
            connect_timeout_ms=_milliseconds(timeouts.connect_s, defaults.connect_s),
            idle_timeout_ms=_milliseconds(timeouts.idle_s, defaults.idle_s),
            lifetime_ms=_milliseconds(timeouts.lifetime_s, 0),
            speaks=SPEAKS[ruling.speaking],
            site=self._number_of(site),
            keepalive=None if timeouts.keepalive is None else Keepalive(*timeouts.keepalive.whole()),
            log_protocol=protocol,
            log_lane=lane,
            log_reason=reason[:MAX_TEXT],
            service=b"" if ruling.verdict.service is None else str(ruling.verdict.service).encode(),
        )

    def _opaque_group(self, direction: Direction, endpoint: UpstreamAddress, of: Verdict, speaking: Speaking) -> int:
        one = of if speaking is Speaking.OPAQUE else told(of, Spoken.OTHER)
        return self._group(direction, endpoint, one)

    def _http_group(self, direction: Direction, endpoint: UpstreamAddress, of: Verdict, speaking: Speaking) -> int:
        """0: its connections are no HTTP."""
        return 0 if speaking is Speaking.OPAQUE else self._group(direction, endpoint, told(of, Spoken.HTTP1))

    def _group(self, direction: Direction, endpoint: UpstreamAddress, of: Verdict) -> int:
        """The same for all that the metrics don't tell apart: counters are never given up
        (cext/engine/decide/verdict.h)."""
        ids = self._group_ids.setdefault((direction, of.cluster, of.protocol, of.lane, of.service), {})
        id_ = ids.get(endpoint)
        if id_ is None:
            self._groups.append(Group(direction, endpoint, of))
            id_ = ids[endpoint] = len(self._groups)
            self._by_cluster.setdefault(of.cluster, []).append(id_)
        return id_

    def forget_retired(self) -> None:
        """Bounded work; call it about once a second."""
        for id_ in self._retired.forget():
            self._told.pop(id_, None)


def _milliseconds(seconds: float | None, default_s: float) -> int:
    """At least 1 where there is a limit: the engine takes 0 for none."""
    chosen = default_s if seconds is None else seconds
    return max(1, round(chosen * 1000)) if chosen else 0
