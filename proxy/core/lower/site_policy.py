"""What a TrafficPolicy asks of all requests to a destination, as the engine's struct."""

from proxy.core.lower import site_layout as layout
from proxy.core.lower.site_parts import Parts
from proxy.core.policy.settings import Fault, HttpSettings
from proxy.core.route.match import Kind

_MOST = 0xFFFFFFFF


def request_policy(parts: Parts, settings: HttpSettings) -> bytes:
    """One struct, or nothing where the engine need not look at the policy when a request comes."""
    rate, shedding, hedging, fault = settings.rate_limit, settings.shedding, settings.hedging, _of_requests(settings)
    if not (rate or shedding or hedging or fault or settings.deadline_header):
        return b""
    delay, abort = (fault.delay, fault.abort) if fault else (None, None)
    return layout.POLICY.pack(
        rate.per_s if rate else 0.0,
        shedding.drop_percent if shedding else 0.0,
        delay.percent if delay else 0.0,
        abort.percent if abort else 0.0,
        hedging.quantile if hedging else 0.0,
        hedging.budget_percent if hedging else 0.0,
        *parts.piece(rate.per_header if rate else ""),
        *parts.piece(shedding.per_header if shedding else ""),
        *parts.piece(settings.deadline_header),
        *_conditions(parts, fault),
        rate.burst if rate else 0,
        _milliseconds(delay.delay_s) if delay else 0,
        abort.status if abort else 0,
        _milliseconds(hedging.min_delay_s) if hedging else 0,
    )


def _of_requests(settings: HttpSettings) -> Fault | None:
    """None: no request is to be broken. The engine evaluates no regular expression, and a fault that is for fewer
    requests than it can tell is for none (mesh/compile/in_force.py names it)."""
    fault = settings.fault
    if fault is None or (fault.delay is None and fault.abort is None):
        return None
    return None if any(one.kind is Kind.REGEX for one in fault.headers) else fault


def _conditions(parts: Parts, fault: Fault | None) -> tuple[int, int]:
    first = len(parts.conditions) // layout.CONDITION.size
    headers = fault.headers if fault else ()
    for one in headers:
        parts.conditions += layout.CONDITION.pack(
            layout.HEADER, layout.EXACT, *parts.piece(one.name), *parts.piece(one.value)
        )
    return first, len(headers)


def _milliseconds(seconds: float) -> int:
    return max(1, min(round(seconds * 1000), _MOST))
