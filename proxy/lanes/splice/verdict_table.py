"""The engine's verdict table, kept as the policy says, and what its numbers mean."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cext.engine.lane import MAX_TEXT, Action, Balance, Counters, Endpoint, Place, Record, SpliceLane
from cext.engine.lane import Verdict as EngineVerdict
from proxy.core.addresses import Address, OriginalDestination, UpstreamAddress
from proxy.core.decide.verdict import Verdict
from proxy.core.lanes import Direction
from proxy.core.lower.to_engine import Ruling, Site

SCOPES = {Direction.OUTBOUND: 1, Direction.INBOUND: 2}
DIRECTIONS = {number: direction for direction, number in SCOPES.items()}
MAX_ATTEMPTS = 16
_PUNT = EngineVerdict(Action.PUNT)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where a policy says nothing; seconds, 0: none."""

    connect_s: float
    idle_s: float


@dataclass(frozen=True, slots=True)
class Group:
    """Whose connections one set of counters counts: those of a direction that are told about with `verdict`. Its
    upstream is their endpoint; NOWHERE: each its original destination."""

    direction: Direction
    verdict: Verdict


LogTexts = Callable[[Verdict], tuple[bytes, bytes, bytes]]
"""Protocol, lane and lane reason of a connection as its line in the access log has them."""


class _InForce(NamedTuple):
    ruling: Ruling | None
    id: int


class _Told(NamedTuple):
    general: Verdict
    by_endpoint: Mapping[UpstreamAddress, Verdict]


class VerdictTable:
    """Belongs to the event loop. Sites that are `held` are punted whatever the policy says."""

    def __init__(self, lane: SpliceLane, defaults: Defaults, log_texts: LogTexts) -> None:
        self._lane = lane
        self._log_texts = log_texts
        self._defaults = defaults
        self._wanted: Mapping[Site, Ruling | None] = {}
        self._held: set[Site] = set()
        self._there: dict[Site, _InForce] = {}
        self._told: dict[int, _Told] = {}
        self._retired: set[int] = set()
        self._leaving: set[int] = set()
        self._groups: dict[int, Group] = {}
        self._group_ids: dict[tuple[object, ...], int] = {}
        self._ids = itertools.count(1)

    def put_in_force(self, wanted: Mapping[Site, Ruling | None]) -> None:
        """For new connections. The engine changes each site at one stroke; only sites that differ are touched."""
        self.forget_retired()
        self._wanted = wanted
        for site in {*self._there, *wanted, *self._held}:
            self._refresh(site)

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
        told = self._told[record.verdict]
        if record.upstream is None or not told.by_endpoint:
            return told.general
        return told.by_endpoint.get(UpstreamAddress(address(record.upstream)), told.general)

    def counted(self, counters: Counters) -> Group | None:
        """None: nobody's, which have nothing to count."""
        return self._groups.get(counters.group)

    def _refresh(self, site: Site) -> None:
        scope = SCOPES[site.direction]
        place = Place(site.ip, site.port) if site.ip else None
        before = self._there.get(site)
        if site not in self._wanted and site not in self._held:
            if before is not None:
                del self._there[site]
                self._retire(before)
                self._lane.remove_verdict(scope, place)
            return
        ruling = None if site in self._held else self._wanted[site]
        if before is not None:
            if before.ruling == ruling:
                return
            self._retire(before)
        now = self._there[site] = _InForce(ruling, 0 if ruling is None else next(self._ids))
        self._lane.set_verdict(scope, place, _PUNT if ruling is None else self._engine_verdict(site, ruling, now.id))

    def _engine_verdict(self, site: Site, ruling: Ruling, id_: int) -> EngineVerdict:
        self._told[id_] = _Told(ruling.verdict, {share.verdict.upstream: share.verdict for share in ruling.shares})
        timeouts, defaults = ruling.verdict.timeouts, self._defaults
        protocol, lane, reason = self._log_texts(ruling.verdict)
        endpoints = tuple(
            Endpoint(
                Place(share.verdict.upstream.ip, share.verdict.upstream.port, share.verdict.upstream.scope),
                self._group(site.direction, share.verdict),
                share.weight,
            )
            for share in ruling.shares
        )
        return EngineVerdict(
            Action.RELAY if endpoints else Action.PASS,
            id=id_,
            group=0 if endpoints else self._group(site.direction, ruling.verdict),
            endpoints=endpoints,
            balance=Balance.ROUND_ROBIN if ruling.round_robin else Balance.RANDOM,
            max_attempts=MAX_ATTEMPTS,
            connect_timeout_ms=_milliseconds(timeouts.connect_s, defaults.connect_s),
            idle_timeout_ms=_milliseconds(timeouts.idle_s, defaults.idle_s),
            lifetime_ms=_milliseconds(timeouts.lifetime_s, 0),
            log_protocol=protocol,
            log_lane=lane,
            log_reason=reason[:MAX_TEXT],
        )

    def _group(self, direction: Direction, verdict: Verdict) -> int:
        """The same for all that the metrics don't tell apart: counters are never given up
        (cext/engine/decide/verdict.h)."""
        key = (direction, verdict.upstream, verdict.cluster, verdict.protocol, verdict.lane, verdict.service)
        id_ = self._group_ids.get(key)
        if id_ is None:
            id_ = self._group_ids[key] = len(self._group_ids) + 1
            self._groups[id_] = Group(direction, verdict)
        return id_

    def _retire(self, before: _InForce) -> None:
        if before.ruling is not None:
            self._retired.add(before.id)

    def forget_retired(self) -> None:
        """To be called now and then. What nobody uses goes at the call after: a record may be under way to us."""
        if not self._retired and not self._leaving:
            return
        for id_ in self._leaving:
            self._told.pop(id_, None)
        used = {record.verdict for record in self._lane.connections()}
        self._leaving = self._retired - used
        self._retired &= used


def address(place: Place) -> Address:
    """Both hold canonical text of the kernel's making."""
    return Address(place.ip, place.port, place.zone)


def _milliseconds(seconds: float | None, default_s: float) -> int:
    """At least 1 where there is a limit: the engine takes 0 for none."""
    chosen = default_s if seconds is None else seconds
    return max(1, round(chosen * 1000)) if chosen else 0
