"""Deadlines that callers send with their requests: read, made shorter by the time that has passed, and passed on.

The shortest of all deadlines and timeouts holds; a header never lengthens one."""

from collections.abc import Iterable, Mapping
from fractions import Fraction

GRPC = "grpc-timeout"
ENVOY_TIMEOUT = "x-envoy-upstream-rq-timeout-ms"
ENVOY_EXPECTED = "x-envoy-expected-rq-timeout-ms"
ALWAYS_KNOWN = (GRPC, ENVOY_TIMEOUT, ENVOY_EXPECTED)

_GRPC_UNITS = {
    "H": Fraction(3600),
    "M": Fraction(60),
    "S": Fraction(1),
    "m": Fraction(1, 1000),
    "u": Fraction(1, 10**6),
    "n": Fraction(1, 10**9),
}
_MOST_DIGITS = 8


def told(name: str, value: str) -> float | None:
    """Seconds that a header leaves; None: it sets no deadline, or is not what it should be. name: in lower case, one of
    ALWAYS_KNOWN or the policy's own, which is in milliseconds."""
    digits, unit = (value[:-1], value[-1:]) if name == GRPC else (value, "m")
    if unit not in _GRPC_UNITS or not (digits.isascii() and digits.isdigit()):
        return None
    if name == GRPC and len(digits) > _MOST_DIGITS:
        return None
    if name == ENVOY_TIMEOUT and int(digits) == 0:
        return None
    return float(int(digits) * _GRPC_UNITS[unit])


def left(headers: Mapping[str, str], own: str, timeouts_s: Iterable[float | None], elapsed_s: float) -> float | None:
    """Seconds until the request has to be over; 0 or less: it has expired; None: there is no limit. headers: names in
    lower case. own: the policy's header, or empty. timeouts_s: configured ones; None and 0 set no limit. elapsed_s:
    since the request's head was read, injected delays included."""
    names = (*ALWAYS_KNOWN, own) if own else ALWAYS_KNOWN
    limits = [limit for name in names if name in headers and (limit := told(name, headers[name])) is not None]
    limits += [limit for limit in timeouts_s if limit]
    return min(limits) - elapsed_s if limits else None


def passed_on(name: str, left_s: float) -> str:
    """The header's value for the upstream: never more than is left, and never what would mean no limit."""
    if name == GRPC:
        return _grpc(left_s)
    return str(max(1, int(left_s * 1000)))


def _grpc(left_s: float) -> str:
    """In the finest unit that eight digits hold."""
    exact = Fraction(max(left_s, 0.0))
    for unit in ("n", "u", "m", "S", "M", "H"):
        value = int(exact / _GRPC_UNITS[unit])
        if value < 10**_MOST_DIGITS:
            return f"{value}{unit}"
    return f"{10**_MOST_DIGITS - 1}H"
