"""What is thought of one cluster's endpoints, put together from all that is known of them.

The lanes tell what they counted and what came in a row, probes tell their results, and time does the rest. What follows
is one opinion of each endpoint, which holds for every lane."""

from collections.abc import Collection, Mapping

from proxy.core.addresses import UpstreamAddress
from proxy.core.policy.upstream import Outlier, UpstreamSettings
from proxy.core.resilience.health import WHOLE, Fitness
from proxy.core.resilience.outlier import OutlierDetector
from proxy.core.resilience.probed import Probed
from proxy.core.resilience.slow_start import percent as warm_percent
from proxy.core.resilience.status_weights import after_answers
from proxy.core.resilience.success_rate import Answers
from proxy.core.resilience.tally import Tally

NO_EJECTION = Outlier(consecutive_5xx=0, consecutive_local=0, max_ejection_percent=0)


def is_watched(settings: UpstreamSettings) -> bool:
    """Whether anything is to be found out about the endpoints."""
    return bool(settings.outlier or settings.status_weights or settings.health_checks or settings.warmup)


class ClusterHealth:
    def __init__(self, settings: UpstreamSettings, members: Collection[UpstreamAddress]) -> None:
        self.settings = settings
        self._members = frozenset(members)
        self._outliers: OutlierDetector[UpstreamAddress] = OutlierDetector(settings.outlier or NO_EJECTION)
        self._tallies: dict[tuple[str, UpstreamAddress], Tally] = {}
        self._rows: dict[UpstreamAddress, int] = {}
        """Failures since the last success, in lanes that only count."""
        self._interval: dict[UpstreamAddress, Answers] = {}
        self._interval_end: float | None = None
        self._factors: dict[UpstreamAddress, float] = {}
        self._probed: dict[tuple[UpstreamAddress, int], Probed] = {}
        self._born: dict[UpstreamAddress, float] = {}
        """When an endpoint came that the first policy did not have."""

    @property
    def members(self) -> frozenset[UpstreamAddress]:
        return self._members

    def exchange(self, settings: UpstreamSettings, members: Collection[UpstreamAddress], now: float) -> None:
        """A new policy. What is known of endpoints that stay is kept."""
        new = frozenset(members)
        self._born |= dict.fromkeys(new - self._members, now)
        if settings.health_checks != self.settings.health_checks:
            self._probed.clear()
        self.settings, self._members = settings, new
        self._outliers.settings = settings.outlier or NO_EJECTION
        for known in (self._rows, self._interval, self._factors, self._born):
            for gone in known.keys() - new:
                del known[gone]
        self._tallies = {key: one for key, one in self._tallies.items() if key[1] in new}
        self._probed = {key: one for key, one in self._probed.items() if key[0] in new}

    def counted(self, lane: str, tallies: Mapping[UpstreamAddress, Tally], elapsed_s: float, now: float) -> None:
        """What a lane has counted so far. elapsed_s: since it told the last time."""
        for endpoint, tally in tallies.items():
            if endpoint not in self._members:
                continue
            before = self._tallies.get((lane, endpoint))
            self._tallies[lane, endpoint] = tally
            if before is not None:
                self._take(endpoint, tally.since(before), elapsed_s, now)

    def in_a_row(self, endpoint: UpstreamAddress, why: str, now: float) -> None:
        self._outliers.failed_in_a_row(endpoint, why, now, self._members)

    def tried(self, endpoint: UpstreamAddress, passed: bool, now: float) -> None:
        self._outliers.tried(endpoint, passed, now)

    def probed(self, endpoint: UpstreamAddress, check: int, problem: str | None) -> None:
        """check: its index in the settings."""
        if endpoint in self._members and check < len(self.settings.health_checks):
            known = self._probed.get((endpoint, check), Probed())
            self._probed[endpoint, check] = known.result(self.settings.health_checks[check], problem)

    def time_passes(self, now: float) -> None:
        """To be called again and again."""
        if self._interval_end is None:
            self._interval_end = now + self._outliers.settings.interval_s
        elif now >= self._interval_end:
            self._outliers.interval(self._interval, now, self._members)
            self._interval.clear()
            self._interval_end = now + self._outliers.settings.interval_s

    def fitness(self, now: float) -> dict[UpstreamAddress, Fitness]:
        """Of the endpoints that are not whole."""
        opinions = [self._outliers.opinions(now), self._failing_probes(), self._lighter(), self._warming(now)]
        found: dict[UpstreamAddress, Fitness] = {}
        for each in opinions:
            for endpoint, opinion in each.items():
                known = found.get(endpoint)
                found[endpoint] = opinion if known is None else _both(known, opinion)
        out = [endpoint for endpoint, one in found.items() if not one.percent]
        well = 100 * (len(self._members) - len(out))
        if out and well < self._outliers.settings.min_health_percent * len(self._members):
            # Too few are left: what they can't bear would fail, too.
            return {endpoint: one for endpoint, one in found.items() if one.percent}
        return found

    def _take(self, endpoint: UpstreamAddress, more: Tally, elapsed_s: float, now: float) -> None:
        known = self._interval.get(endpoint, Answers(0, 0))
        self._interval[endpoint] = Answers(known.good + more.good, known.total + more.good + more.bad)
        if self.settings.status_weights:
            factor = self._factors.pop(endpoint, 1.0)
            table = dict(self.settings.status_weights)
            factor = after_answers(factor, table, more.statuses, more.good + more.bad, elapsed_s)
            if factor < 1.0:
                self._factors[endpoint] = factor
        if not more.sequential:
            self._count_row(endpoint, more, now)

    def _count_row(self, endpoint: UpstreamAddress, more: Tally, now: float) -> None:
        """Of a lane that counts and does not tell in which order: a success between two looks ends the row."""
        if more.good:
            self._rows.pop(endpoint, None)
            self._outliers.tried(endpoint, True, now)
            return
        if not more.bad:
            return
        row = self._rows[endpoint] = self._rows.get(endpoint, 0) + more.bad
        if self._outliers.tried(endpoint, False, now, "it took no connection on trial"):
            return
        limit = self._row_limit()
        if (
            limit
            and row >= limit
            and self._outliers.failed_in_a_row(
                endpoint, f"{row} connections in a row could not be made", now, self._members
            )
        ):
            del self._rows[endpoint]

    def _row_limit(self) -> int:
        """How many failures to connect in a row eject."""
        one = self._outliers.settings
        limits = (one.consecutive_local,) if one.split_local else (one.consecutive_5xx, one.consecutive_gateway)
        return min((limit for limit in limits if limit), default=0)

    def _failing_probes(self) -> dict[UpstreamAddress, Fitness]:
        return {
            endpoint: Fitness(0, f"health check failed: {one.why}")
            for (endpoint, _), one in self._probed.items()
            if not one.well
        }

    def _lighter(self) -> dict[UpstreamAddress, Fitness]:
        return {
            endpoint: Fitness(percent, "answers with statuses that cost weight")
            for endpoint, factor in self._factors.items()
            if (percent := max(1, round(WHOLE * factor))) < WHOLE
        }

    def _warming(self, now: float) -> dict[UpstreamAddress, Fitness]:
        warmup = self.settings.warmup
        if warmup is None:
            return {}
        ages = {endpoint: now - born for endpoint, born in self._born.items()}
        return {
            endpoint: Fitness(percent, "warming up")
            for endpoint, age in ages.items()
            if (percent := max(1, int(warm_percent(age, warmup)))) < WHOLE
        }


def _both(one: Fitness, other: Fitness) -> Fitness:
    percent = one.percent * other.percent // WHOLE
    if not percent and one.percent and other.percent:
        percent = 1
    return Fitness(percent, f"{one.reason}; {other.reason}", one.trial or other.trial)
