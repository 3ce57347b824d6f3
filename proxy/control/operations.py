"""The commands of the control channel: probes, open connections, drain, and what the companion tells of capture."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from proxy.control.channel import ControlError, Operation
from proxy.control.health import Readiness
from proxy.core.addresses import OriginalDestination, parse
from proxy.core.decide.probes import DEFAULT_LIFETIME_S, ProbeError
from proxy.core.report.fields import report
from proxy.core.report.record import ConnectionRecord
from proxy.lanes.drain import SERVING, Drain


def common_operations(
    expect: Callable[[OriginalDestination, str, float], None],
    connections: Callable[[], Iterable[ConnectionRecord]],
    drain: Drain,
) -> dict[str, Operation]:
    """What every control connection may ask for. expect: registers a probe's destination and token for so many
    seconds, or raises ProbeError."""

    def expect_probe(request: Mapping[str, Any]) -> Any:
        lifetime = _number(request, "lifetime_s", DEFAULT_LIFETIME_S)
        try:
            expect(OriginalDestination(parse(_text(request, "destination"))), _text(request, "token"), lifetime)
        except ProbeError as wrong:
            raise ControlError(f"token: {wrong}") from None
        except ControlError:
            raise
        except ValueError as wrong:
            raise ControlError(f"destination: {wrong}") from None
        return {"ok": True}

    def begin_drain(request: Mapping[str, Any]) -> Any:
        timeout = _number(request, "timeout_s", None)
        # Answered first: with nothing open, "drained" would otherwise come before the answer.
        drain.begin_soon(timeout, then_exit=False, workload_ended=request.get("workload_ended") is True)
        return {"ok": True}

    return {
        "expect-probe": expect_probe,
        "connections": lambda _: [report(record) for record in connections()],
        "drain": begin_drain,
    }


def companion_operations(
    drain: Drain,
    readiness: Readiness,
    serve_dns_of: Callable[[tuple[str, ...]], None],
    waits: Callable[[], bool] = lambda: False,
) -> dict[str, Operation]:
    """What the companion alone tells. serve_dns_of: gets the names of interfaces whose DNS is captured. waits: whether
    the proxy that we take over from still accepts in our place."""

    def capture(request: Mapping[str, Any]) -> Any:
        problem = request.get("problem")
        if problem is not None and not isinstance(problem, str):
            raise ControlError("'problem' is a text or null")
        interfaces = request.get("dns_interfaces", [])
        if not isinstance(interfaces, list) or not all(isinstance(name, str) for name in interfaces):
            raise ControlError("'dns_interfaces' is a list of names")
        readiness.set_capture(problem if drain.state == SERVING else None)
        serve_dns_of(tuple(interfaces))
        accepting = drain.state == SERVING and not waits()
        return {"ok": True, "accepting": accepting, "handed_over": drain.handed_over}

    return {"capture": capture}


def _text(request: Mapping[str, Any], key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str):
        raise ControlError(f"{key!r} is missing or no string")
    return value


def _number(request: Mapping[str, Any], key: str, default: float | None) -> float:
    value = request.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ControlError(f"{key!r} is missing or no number of seconds")
    return float(value)
