"""What happens to the proxies: an overload that comes and goes, under different mechanisms."""

import random
from dataclasses import dataclass, field

from bench.storm.proxies import Mechanisms, SimulatedProxy
from bench.storm.world import Counted, Endpoint, Schedule

PROXIES, ENDPOINTS = 100, 1000
LASTS_S = 60
STORM = (20, 35)
"""From when to when there is more to do than the endpoints can."""
CALM, STORMY = 0.7, 1.3
"""Of what all endpoints together can do."""

CASES: dict[str, Mechanisms] = {
    "nothing": Mechanisms(),
    "retries without a budget": Mechanisms(retries=True, careless=True),
    "retries": Mechanisms(retries=True),
    "hedging without budget and breaker": Mechanisms(hedging=True, careless=True),
    "hedging": Mechanisms(hedging=True),
    "ejection without a cap": Mechanisms(ejection=True, careless=True),
    "ejection": Mechanisms(ejection=True),
    "all without limits": Mechanisms(retries=True, hedging=True, ejection=True, careless=True),
    "all": Mechanisms(retries=True, hedging=True, ejection=True),
}


@dataclass(slots=True)
class _Request:
    proxy: SimulatedProxy
    begun: float
    tried: list[int] = field(default_factory=list)
    retries: int = 0
    under_way: int = 0
    done: bool = False


@dataclass(slots=True)
class Storm:
    """One run. size: the part of all proxies and endpoints that takes part; the load goes with it."""

    mechanisms: Mechanisms
    size: float = 1.0
    seed: int = 1
    counted: Counted = field(default_factory=Counted)
    _schedule: Schedule = field(default_factory=Schedule)
    _dice: random.Random = field(init=False)
    _endpoints: list[Endpoint] = field(init=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._endpoints = [Endpoint() for _ in range(round(ENDPOINTS * self.size))]

    def run(self) -> Counted:
        count = max(1, round(PROXIES * self.size))
        for number in range(count):
            proxy = SimulatedProxy(self.mechanisms, len(self._endpoints), 1000 * self.seed + number)
            self._plan_next(proxy, 0.0, len(self._endpoints) / Endpoint().service_s / count)
        self._schedule.run(LASTS_S)
        return self.counted

    def _plan_next(self, proxy: SimulatedProxy, now: float, capacity: float) -> None:
        load = STORMY if STORM[0] <= now < STORM[1] else CALM

        def arrive(time: float) -> None:
            self._plan_next(proxy, time, capacity)
            self._begin(proxy, time)

        self._schedule.at(now + self._dice.expovariate(capacity * load), arrive)

    def _begin(self, proxy: SimulatedProxy, now: float) -> None:
        request = _Request(proxy, now)
        self.counted.add(self.counted.offered, now)
        proxy.begins(now)
        self._attempt(request, now)
        delay = proxy.hedge_after(now)
        if delay is not None:
            self._schedule.at(now + delay, lambda time: self._hedge(request, time))

    def _hedge(self, request: _Request, now: float) -> None:
        if not request.done and request.proxy.may_hedge(now):
            self._attempt(request, now)

    def _attempt(self, request: _Request, now: float) -> None:
        index = request.proxy.choose(request.tried, now)
        request.tried.append(index)
        request.under_way += 1
        self.counted.add(self.counted.attempts, now)
        answer_at = self._endpoints[index].arrive(now, self._dice)
        gives_up_at = now + request.proxy.mechanisms.timeout_s
        if answer_at is None:
            self.counted.add(self.counted.refused, now)
            self._schedule.at(now + 0.001, lambda time: self._failed(request, index, now, time))
        elif answer_at > gives_up_at:
            self._schedule.at(gives_up_at, lambda time: self._failed(request, index, now, time))
        else:
            self._schedule.at(answer_at, lambda time: self._answered(request, index, now, time))

    def _answered(self, request: _Request, index: int, begun: float, now: float) -> None:
        request.under_way -= 1
        request.proxy.answered(index, now - begun, now)
        if not request.done:
            request.done = True
            self.counted.add(self.counted.good, request.begun)

    def _failed(self, request: _Request, index: int, begun: float, now: float) -> None:
        request.under_way -= 1
        request.proxy.failed(index, now - begun, now)
        if request.done or request.under_way:
            return
        if request.proxy.may_retry(request.retries, now):
            request.retries += 1
            self._attempt(request, now)
        else:
            request.done = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """In numbers: attempts for each request while the storm lasts, the part of the requests that got an answer in time
    in the storm's second half, and the same from five seconds after its end on."""

    amplification: float
    good_in_storm: float
    good_after: float


def outcome(counted: Counted) -> Outcome:
    begin, end = STORM
    middle = (begin + end) // 2
    offered = counted.rate(counted.offered, begin, end)
    return Outcome(
        amplification=counted.rate(counted.attempts, begin, end) / offered,
        good_in_storm=counted.rate(counted.good, middle, end) / counted.rate(counted.offered, middle, end),
        good_after=counted.rate(counted.good, end + 5, end + 15) / counted.rate(counted.offered, end + 5, end + 15),
    )
