"""What a TrafficPolicy asks for requests: timeouts, deadlines, retries, hedging, rates and shedding."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from mesh.kinds.filters import HeaderName
from mesh.kinds.meta import Own
from mesh.yaml.texts import Duration, seconds

Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
CountOrNone = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Percentage = Annotated[float, Meta(ge=0, le=100)]
CONDITIONS = ("5xx", "gateway-error", "connect-failure", "reset", "refused-stream", "retriable-4xx")


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
    min_per_second: CountOrNone = 3


class Retries(Own, frozen=True, kw_only=True):
    attempts: CountOrNone = 2
    per_try_timeout: Duration | None = None
    retry_on: tuple[str, ...] = ()
    backoff: Backoff = Backoff()
    budget: RetryBudget = RetryBudget()
    buffer_bytes: Annotated[int, Meta(ge=0, le=2**30)] = 65536

    def mistakes(self) -> Iterator[tuple[int, str]]:
        for one in self.retry_on:
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
    requests_per_second: Annotated[float, Meta(ge=0.001, le=1e9)]
    burst: Count | None = None
    per_header: HeaderName | None = None


class Shedding(Own, frozen=True, kw_only=True):
    drop_percent: Percentage
    per_header: HeaderName | None = None
