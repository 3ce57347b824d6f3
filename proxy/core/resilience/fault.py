"""Faults on purpose: which requests are delayed or answered in place of the upstream, which connections are broken."""

from typing import NamedTuple

from proxy.core.dice import Random
from proxy.core.policy.settings import Fault, TcpFault


class RequestFault(NamedTuple):
    delay_s: float
    abort: int | None
    """The status to answer with, after the delay; None: the request goes on."""


NO_FAULT = RequestFault(0.0, None)


def of_request(fault: Fault, applies: bool, random: Random) -> RequestFault:
    """Delay and abort are drawn one independently of the other. applies: the request has the headers that the fault is
    for (proxy/core/route/match.py tells)."""
    if not applies:
        return NO_FAULT
    delayed = fault.delay is not None and random() * 100.0 < fault.delay.percent
    aborted = fault.abort is not None and random() * 100.0 < fault.abort.percent
    return RequestFault(
        fault.delay.delay_s if fault.delay is not None and delayed else 0.0,
        fault.abort.status if fault.abort is not None and aborted else None,
    )


def of_connection(fault: Fault, random: Random) -> TcpFault | None:
    """None: the connection is left alone."""
    if fault.tcp is None or random() * 100.0 >= fault.tcp.percent:
        return None
    return fault.tcp
