"""What a TrafficPolicy says of requests to a Service, in the terms of proxy.core."""

from dataclasses import replace

from mesh.kinds.requests import Fault as FaultSpec
from mesh.kinds.requests import FaultTcp
from mesh.kinds.requests import RequestTimeouts as TimesSpec
from mesh.kinds.requests import Retries as RetriesSpec
from mesh.kinds.traffic_policy import TrafficPolicySpec
from mesh.yaml.texts import seconds
from proxy.core.lanes import Direction
from proxy.core.policy.settings import (
    Abort,
    Delay,
    Failure,
    Fault,
    Hedging,
    HttpSettings,
    RequestRate,
    RequestTimeouts,
    Retries,
    Shedding,
    TcpFault,
)
from proxy.core.route.match import Kind, Text

_ANY_FAILURE = frozenset(Failure)
_GATEWAY = frozenset({502, 503, 504})
_CONDITIONS: dict[str, tuple[frozenset[Failure], frozenset[int]]] = {
    # A failure for which the proxy would have to answer 502, 503 or 504 is one of these errors, as in Envoy.
    "5xx": (_ANY_FAILURE, frozenset(range(500, 600))),
    "gateway-error": (_ANY_FAILURE, _GATEWAY),
    "retriable-4xx": (frozenset(), frozenset({409})),
    **{str(one): (frozenset({one}), frozenset()) for one in Failure},
}
HEADERS_S, IDLE_S = 60.0, 300.0
"""Where `timeouts` leaves a field out."""


def http_settings(spec: TrafficPolicySpec, direction: Direction) -> HttpSettings:
    """What holds where a call leaves, or where it arrives: rate limit, shedding and faults act on one side only."""
    found = HttpSettings()
    if direction is Direction.OUTBOUND:
        hedging = spec.hedging
        found = HttpSettings(
            timeouts=_timeouts(spec.timeouts),
            deadline_header="" if spec.deadline is None else spec.deadline.header.lower(),
            retries=None if spec.retries is None else _retries(spec.retries),
            hedging=None
            if hedging is None
            else Hedging(hedging.quantile, hedging.budget_percent, seconds(hedging.min_delay)),
        )
    if spec.side != direction:
        return found
    rate, shedding = spec.rate_limit, spec.shedding
    return replace(
        found,
        rate_limit=None
        if rate is None
        else RequestRate(rate.requests_per_second, rate.burst, (rate.per_header or "").lower()),
        shedding=None if shedding is None else Shedding(shedding.drop_percent, (shedding.per_header or "").lower()),
        fault=None if spec.fault is None else _fault(spec.fault),
    )


def _timeouts(spec: TimesSpec | None) -> RequestTimeouts:
    if spec is None:
        return RequestTimeouts()
    return RequestTimeouts(
        request_s=None if spec.request is None else seconds(spec.request),
        headers_s=HEADERS_S if spec.headers is None else seconds(spec.headers),
        idle_s=IDLE_S if spec.idle is None else seconds(spec.idle),
    )


def _retries(spec: RetriesSpec) -> Retries:
    failures, statuses = Retries().failures, Retries().statuses
    if spec.retry_on is not None:
        meant = [_CONDITIONS.get(one) or (frozenset(), frozenset({int(one)})) for one in spec.retry_on]
        failures = frozenset[Failure]().union(*(one for one, _ in meant))
        statuses = frozenset[int]().union(*(one for _, one in meant))
    return Retries(
        attempts=spec.attempts,
        per_try_s=None if spec.per_try_timeout is None else seconds(spec.per_try_timeout),
        failures=failures,
        statuses=statuses,
        backoff_base_s=seconds(spec.backoff.base),
        backoff_max_s=seconds(spec.backoff.max),
        budget_percent=spec.budget.percent,
        budget_min_per_s=spec.budget.min_per_second,
        buffer_bytes=spec.buffer_bytes,
    )


def _fault(spec: FaultSpec) -> Fault:
    delay, abort = spec.delay, spec.abort
    kinds = {"Exact": Kind.EXACT, "RegularExpression": Kind.REGEX}
    return Fault(
        delay=None if delay is None else Delay(delay.percentage.value, seconds(delay.fixed_delay)),
        abort=None if abort is None else Abort(abort.percentage.value, abort.http_status),
        tcp=None if spec.tcp is None else _tcp_fault(spec.tcp),
        headers=tuple(Text(one.name.lower(), one.value, kinds[one.type]) for one in spec.headers),
    )


def _tcp_fault(spec: FaultTcp) -> TcpFault:
    return TcpFault(
        percent=spec.percentage.value,
        reset_after_bytes=spec.reset_after_bytes,
        close_after_bytes=spec.close_after_bytes,
        bytes_per_s=spec.bytes_per_second,
        refuse=spec.refuse,
    )
