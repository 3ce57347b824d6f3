"""What a TrafficPolicy says of requests to a Service as a whole: times, retries, limits, faults on purpose.

It belongs to the destination that was called, whatever cluster a request is then sent to. What holds for endpoints is
in `upstream`."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from proxy.core.route.match import Text


class Failure(StrEnum):
    """Kinds of failure that a retry may answer, beside statuses."""

    CONNECT = "connect-failure"
    RESET = "reset"
    """The upstream closed or reset before the answer's head was whole."""
    REFUSED_STREAM = "refused-stream"
    PER_TRY_TIMEOUT = "per-try-timeout"


@dataclass(frozen=True, slots=True)
class RequestTimeouts:
    """Seconds. None: not said, the proxy's own setting holds; 0: no limit."""

    request_s: float | None = None
    """From the end of the request's head to the end of the answer."""
    headers_s: float | None = None
    """For a request's head to arrive."""
    idle_s: float | None = None
    """Without a byte in either direction while a request is under way."""


@dataclass(frozen=True, slots=True)
class Retries:
    attempts: int = 2
    """Repeats, beside the first try."""
    per_try_s: float | None = None
    failures: frozenset[Failure] = frozenset({Failure.CONNECT, Failure.RESET, Failure.PER_TRY_TIMEOUT})
    statuses: frozenset[int] = frozenset({502, 503, 504})
    backoff_base_s: float = 0.025
    backoff_max_s: float = 0.25
    budget_percent: float = 20.0
    budget_min_per_s: float = 3.0
    buffer_bytes: int = 65536


@dataclass(frozen=True, slots=True)
class Hedging:
    quantile: float = 0.9
    budget_percent: float = 5.0
    min_delay_s: float = 0.001


@dataclass(frozen=True, slots=True)
class RequestRate:
    """`per_s` in the long run, `burst` at once; each value of the header has a bucket of its own if one is named."""

    per_s: float
    burst: int
    per_header: str = ""


@dataclass(frozen=True, slots=True)
class Shedding:
    drop_percent: float
    per_header: str = ""
    """Requests are dropped by the value of this header: all of one caller or none."""


class Delay(NamedTuple):
    percent: float
    delay_s: float


class Abort(NamedTuple):
    percent: float
    status: int


@dataclass(frozen=True, slots=True)
class TcpFault:
    """Of `percent` of the connections. None: that kind of fault is not asked for."""

    percent: float
    reset_after_bytes: int | None = None
    close_after_bytes: int | None = None
    """The answer is cut off, with an orderly close."""
    bytes_per_s: int | None = None
    """The answer drips."""
    refuse: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    delay: Delay | None = None
    abort: Abort | None = None
    tcp: TcpFault | None = None
    headers: tuple[Text, ...] = ()
    """Delay and abort are for requests only that have all of these."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Of one destination. `side` has been obeyed already: a destination has what acts where it stands, outbound or
    inbound. Without a policy all fields are as here, and the contract's defaults hold."""

    timeouts: RequestTimeouts = field(default_factory=RequestTimeouts)
    deadline_header: str = ""
    """In lower case; its value is in milliseconds. Empty: only the headers that are always known."""
    retries: Retries | None = None
    """None: the one retry that the contract's defaults have."""
    hedging: Hedging | None = None
    rate_limit: RequestRate | None = None
    shedding: Shedding | None = None
    fault: Fault | None = None

    @property
    def of_requests(self) -> bool:
        """Whether anything is asked that takes a request to see: faults of connections do not."""
        if self is DEFAULT_SETTINGS:
            return False
        fault = self.fault
        if fault is not None and fault.delay is None and fault.abort is None:
            return replace(self, fault=None) != DEFAULT_SETTINGS
        return self != DEFAULT_SETTINGS


DEFAULT_SETTINGS = HttpSettings()
