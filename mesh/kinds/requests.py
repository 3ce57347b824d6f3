"""What a TrafficPolicy asks for requests: timeouts, deadlines, retries, hedging, rates, shedding, faults on purpose."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from mesh.kinds.http import ValueMatch
from mesh.kinds.meta import Own
from mesh.yaml.names import HeaderName
from mesh.yaml.texts import Duration, seconds

Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
CountOrNone = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Percentage = Annotated[float, Meta(ge=0, le=100)]
CONDITIONS = (
    "5xx",
    "gateway-error",
    "connect-failure",
    "reset",
    "refused-stream",
    "per-try-timeout",
    "retriable-4xx",
)


class RequestTimeouts(Own, frozen=True, kw_only=True):
    request: Duration | None = None
    headers: Duration | None = None
    idle: Duration | None = None


class Deadline(Own, frozen=True, kw_only=True):
    header: HeaderName


class Backoff(Own, frozen=True, kw_only=True):
    base: Duration = "25ms"
    max: Duration = "250ms"

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if seconds(self.base) > seconds(self.max):
            yield self.line, f"base: {self.base!r} is not valid: at most max, {self.max}"


class RetryBudget(Own, frozen=True, kw_only=True):
    percent: Percentage = 20.0
    min_per_second: Annotated[float, Meta(ge=0, le=1e6)] = 3.0


class Retries(Own, frozen=True, kw_only=True):
    attempts: CountOrNone = 2
    per_try_timeout: Duration | None = None
    retry_on: Annotated[tuple[str, ...], Meta(min_length=1, max_length=64)] | None = None
    backoff: Backoff = Backoff()
    budget: RetryBudget = RetryBudget()
    buffer_bytes: Annotated[int, Meta(ge=0, le=2**30)] = 65536

    def mistakes(self) -> Iterator[tuple[int, str]]:
        for one in self.retry_on or ():
            status = one.isascii() and one.isdigit() and 100 <= int(one[:4]) <= 599 and len(one) == 3
            if one not in CONDITIONS and not status:
                allowed = ", ".join(CONDITIONS)
                yield self.line, f"retryOn: {one!r} is not valid: one of {allowed}, or a status such as 503"


class Hedging(Own, frozen=True, kw_only=True):
    quantile: Annotated[float, Meta(ge=0, le=1)] = 0.9
    budget_percent: Percentage = 5.0
    min_delay: Duration = "1ms"

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.quantile in (0, 1):
            yield self.line, f"quantile: {self.quantile:g} is not valid: more than 0 and less than 1"


class RequestRate(Own, frozen=True, kw_only=True):
    requests_per_second: Annotated[float, Meta(ge=0.001, le=1e9)] = 50.0
    burst: Count = 20
    per_header: HeaderName | None = None


class Shedding(Own, frozen=True, kw_only=True):
    drop_percent: Percentage = 10.0
    per_header: HeaderName | None = None


class FaultPercentage(Own, frozen=True, kw_only=True):
    value: Percentage


NEVER = FaultPercentage(value=0.0)
"""Of delays and aborts that leave the percentage out, as in Istio."""


class FaultDelay(Own, frozen=True, kw_only=True):
    fixed_delay: Duration
    percentage: FaultPercentage = NEVER


class FaultAbort(Own, frozen=True, kw_only=True):
    http_status: Annotated[int, Meta(ge=200, le=599)]
    percentage: FaultPercentage = NEVER


class FaultTcp(Own, frozen=True, kw_only=True):
    percentage: FaultPercentage = FaultPercentage(value=1.0)
    refuse: bool = False
    reset_after_bytes: CountOrNone | None = None
    close_after_bytes: CountOrNone | None = None
    bytes_per_second: Count | None = None

    def mistakes(self) -> Iterator[tuple[int, str]]:
        ends = (self.refuse or None, self.reset_after_bytes, self.close_after_bytes)
        given = sum(one is not None for one in ends)
        if given > 1:
            yield self.line, "refuse, resetAfterBytes and closeAfterBytes: only one of them may be given"
        if self.refuse and self.bytes_per_second is not None:
            yield self.line, "bytesPerSecond: is not valid with refuse: a refused connection carries nothing"
        if not given and self.bytes_per_second is None:
            names = "refuse, resetAfterBytes, closeAfterBytes and bytesPerSecond"
            yield self.line, f"{names}: at least one of them must be given"


class Fault(Own, frozen=True, kw_only=True):
    """`headers`: delay and abort are for requests only that have all of them."""

    delay: FaultDelay | None = None
    abort: FaultAbort | None = None
    tcp: FaultTcp | None = None
    headers: Annotated[tuple[ValueMatch, ...], Meta(max_length=16)] = ()

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.delay is None and self.abort is None and self.tcp is None:
            yield self.line, "delay, abort and tcp: at least one of them must be given"
        if self.headers and self.delay is None and self.abort is None:
            yield self.line, "headers: is not valid without delay or abort: a connection has no headers"
