"""What each lane has counted of a cluster's endpoints, in the terms of health keeping."""

from collections.abc import Callable, Mapping

from proxy.core.addresses import UpstreamAddress
from proxy.core.balance.loads import Loads
from proxy.core.lanes import Lane
from proxy.core.resilience.tally import Tally
from proxy.lanes.direct.lane import DirectLane
from proxy.lanes.parsed.lane import RequestLane
from proxy.lanes.splice.lane import SpliceLane

Source = Callable[[str], Mapping[UpstreamAddress, Tally]]
"""A cluster's name -> what its endpoints did since some beginning."""


def of_splice(lane: SpliceLane) -> Source:
    """Connections that carry requests are not among them: the parsed lane tells of the requests."""

    def tallies(cluster: str) -> dict[UpstreamAddress, Tally]:
        found: dict[UpstreamAddress, Tally] = {}
        for group, counters in lane.counters_of(cluster):
            if group.verdict.lane is Lane.PARSED:
                continue
            _add(found, group.endpoint, counters.opened, counters.connect_failures)
        return found

    return tallies


def of_punted(loads: Callable[[], Loads]) -> Source:
    """Of connections that are decided one by one."""

    def tallies(cluster: str) -> dict[UpstreamAddress, Tally]:
        return {endpoint: Tally(load.connected, load.failures) for endpoint, load in loads().members(cluster)}

    return tallies


def of_direct(lane: DirectLane) -> Source:
    """The kernel's counts, as of the companion's last report."""

    def tallies(cluster: str) -> dict[UpstreamAddress, Tally]:
        found: dict[UpstreamAddress, Tally] = {}
        for endpoint, counts in lane.counts_of(cluster):
            _add(found, endpoint, counts.opened, counts.failed)
        return found

    return tallies


def of_all(
    splice: SpliceLane, requests: RequestLane, direct: DirectLane, loads: Callable[[], Loads]
) -> dict[str, Source]:
    """By the lane's name."""
    return {
        "splice": of_splice(splice),
        "parsed": requests.tallies,
        "direct": of_direct(direct),
        "punted": of_punted(loads),
    }


def _add(found: dict[UpstreamAddress, Tally], endpoint: UpstreamAddress, good: int, bad: int) -> None:
    known = found.get(endpoint, Tally())
    found[endpoint] = Tally(known.good + good, known.bad + bad)
