"""Requests as policy and health have them: the engine's clusters, then the sites that name them, and the door."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cext.engine.clusters import Clusters, EndpointCounts
from cext.engine.door import Decide, Door
from cext.engine.engine import Engine
from proxy.core.addresses import UpstreamAddress
from proxy.core.lanes import Direction, Speaking
from proxy.core.lower.site_layout import NO_CLUSTER
from proxy.core.lower.to_engine import Ruling, Site
from proxy.core.lower.to_site import NumberOf
from proxy.core.policy.cluster import Cluster, Locality
from proxy.core.policy.policy import Policy
from proxy.core.resilience.health import Health
from proxy.core.resilience.tally import Tally
from proxy.lanes.parsed.clusters import EngineClusters, GroupOf, HealthEvents
from proxy.lanes.parsed.decider import Decider
from proxy.lanes.parsed.sites import PreparedSite, Sites, prepare
from proxy.lanes.parsed.uses import ClusterUses

TICK_S = 1.0
BREATH = 16
"""Sites that are prepared between two breaths."""
_log = logging.getLogger("tidegate.proxy")


@dataclass(frozen=True, slots=True)
class Asking:
    """filter: the file of a Python filter. Where there is one, all requests are asked about, and with `all`, too."""

    filter: Path | None = None
    all: bool = False

    @property
    def always(self) -> bool:
        return self.all or self.filter is not None


class Prepared(NamedTuple):
    """By site, for those that differ. No site and no cluster: the verdict says where requests go."""

    sites: Mapping[Site, PreparedSite | None]
    clusters: Mapping[Site, tuple[Cluster, ...]]
    own: Locality


class RequestLane:
    """Belongs to the event loop, but for `prepared`, which runs in the compiling thread while nothing is exchanged."""

    def __init__(
        self,
        engine: Engine,
        asking: Asking,
        group_of: GroupOf,
        events: HealthEvents,
        connect_timeout_s: float,
    ) -> None:
        """group_of: whose counters count the connections to an endpoint of a cluster. Raises BadSetting for a filter
        that can't be loaded."""
        self._asking = asking
        decider = Decider()
        self._close_filter: Callable[[], None] = lambda: None
        decide = decider.decide if asking.filter is None else self._filtered(decider, asking.filter)
        self._door = Door(decide, decider.failed)
        self._door.open(engine)
        self._sites = Sites(engine, decider, time.monotonic)
        self._clusters = EngineClusters(Clusters(engine), events, connect_timeout_s, group_of)
        self._uses = ClusterUses()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def number(self, site: Site) -> int:
        """For the site's verdict. 0: it has no rules."""
        return self._sites.number(site)

    def counts(self, cluster: str) -> Mapping[UpstreamAddress, EndpointCounts]:
        """Of requests to a cluster's endpoints, as of now."""
        return self._clusters.counts(cluster)

    def tallies(self, cluster: str) -> Mapping[UpstreamAddress, Tally]:
        """How requests to a cluster's endpoints ended, for health keeping."""
        return self._clusters.tallies(cluster)

    def prepared(
        self, policy: Policy, rulings: Mapping[Site, Ruling | None], breathe: Callable[[], None] = lambda: None
    ) -> Prepared:
        """For those whose requests the engine sees. Raises regex.BadPattern."""
        sites: dict[Site, PreparedSite | None] = {}
        clusters: dict[Site, tuple[Cluster, ...]] = {}
        for count, (site, ruling) in enumerate(rulings.items()):
            if not site.ip:
                continue
            if count % BREATH == 0:
                breathe()
            named: dict[int, Cluster] = {}
            one = None
            if ruling is not None and ruling.speaking is not Speaking.OPAQUE:
                one = self._prepared(policy, site, self._naming(named))
            sites[site], clusters[site] = one, tuple(named.values())
        return Prepared(sites, clusters, policy.home)

    def _prepared(self, policy: Policy, site: Site, number_of: NumberOf) -> PreparedSite | None:
        """Where a call arrives, rules are not asked: only what acts there (`side: inbound`) makes a site."""
        if site.direction is Direction.OUTBOUND:
            return prepare(policy.outbound[site.ip, site.port], number_of, ask_always=self._asking.always)
        destination = policy.inbound[site.ip, site.port]
        return prepare(destination, number_of) if destination.http.of_requests else None

    def exchange(self, prepared: Prepared, health: Health) -> Iterator[None]:
        """Before the verdicts that name the sites. What the sites named before stays until `forget`."""
        changed: dict[int, Cluster] = {}
        for site, named in prepared.clusters.items():
            numbered = {self._clusters.number(one): one for one in named}
            self._uses.put(site, numbered)
            changed |= numbered
            yield
        yield from self._clusters.exchange(changed.values(), health, prepared.own)
        yield from self._sites.exchange({site: one for site, one in prepared.sites.items() if one is not None}, ())

    def forget(self, prepared: Prepared, gone: Collection[Site]) -> Iterator[None]:
        """After the verdicts: what they do not name any more."""
        without = [site for site, one in prepared.sites.items() if one is None]
        for site in gone:
            self._uses.put(site, ())
        yield from self._sites.exchange({}, (*without, *gone))
        self._clusters.forget(self._uses.take_idle())

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        loop.add_reader(self._clusters.news_fd, self._clusters.take_news)
        self._tick(loop)

    def close(self) -> None:
        """Before the engine's close."""
        if self._loop is not None:
            self._loop.remove_reader(self._clusters.news_fd)
        if self._timer is not None:
            self._timer.cancel()

    def release(self) -> None:
        """After the engine's close: until then a filter may have to be interrupted."""
        self._close_filter()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(TICK_S, self._tick, loop)
        self._sites.forget_retired()

    def _naming(self, named: dict[int, Cluster]) -> Callable[[Cluster], int]:
        def number(cluster: Cluster) -> int:
            found = self._clusters.number(cluster)
            if found != NO_CLUSTER:
                named[found] = cluster
                self._uses.numbered(found)
            return found

        return number

    def _filtered(self, decider: Decider, path: Path) -> Decide:
        """Imported here: most proxies have no filter."""
        from proxy.lanes.parsed.filters.budget import Budget
        from proxy.lanes.parsed.filters.decider import FilteredDecider
        from proxy.lanes.parsed.filters.load import load

        hooks = load(path)

        def bypassed(hook: str, why: str) -> None:
            if why == "budget":
                _log.warning("%s: %s took too long, requests go on without it for a second", hooks.name, hook)

        budget = Budget(bypassed)
        self._close_filter = budget.close
        return FilteredDecider(decider, hooks, budget).decide
