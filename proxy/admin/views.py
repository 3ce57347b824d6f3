"""What the admin endpoint and the control channel may ask of the running proxy, as plain values and functions."""

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from proxy.control.channel import ControlError, Operation
from proxy.core.addresses import Address, OriginalDestination, UpstreamAddress, parse
from proxy.core.balance.loads import EndpointLoad
from proxy.core.decide.probes import DEFAULT_LIFETIME_S, ProbeError
from proxy.core.decide.verdict import PASSTHROUGH
from proxy.core.lanes import Direction
from proxy.core.report import policy as policy_dump
from proxy.core.report.record import ConnectionRecord
from proxy.feed.reload import Reloader
from proxy.lanes.drain import SERVING, Drain
from proxy.lanes.punted.connections import Connections
from proxy.lanes.punted.verdicts import Verdicts
from proxy.lanes.splice.lane import SpliceLane
from proxy.settings import LOG_LEVELS, ProxySettings


@dataclass(slots=True)
class CaptureHealth:
    """What the companion last told of the capture that feeds us; None: it works, or nobody looks after it."""

    problem: str | None = None

    def set(self, problem: str | None) -> None:
        if problem != self.problem:
            log = logging.getLogger("tidegate.proxy")
            if problem is None:
                log.info("capture works again")
            else:
                log.error("capture is broken: %s", problem)
        self.problem = problem


def control_operations(
    expect: Callable[[OriginalDestination, str, float], None],
    connections: Callable[[], Iterable[ConnectionRecord]],
    drain: Drain,
    health: CaptureHealth,
) -> dict[str, Operation]:
    """The commands of the control channel by name. expect: registers a probe's destination and token for so many
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

    def capture(request: Mapping[str, Any]) -> Any:
        problem = request.get("problem")
        if problem is not None and not isinstance(problem, str):
            raise ControlError("'problem' is a text or null")
        health.set(problem)
        return {"ok": True, "accepting": drain.state == SERVING}

    return {
        "capture": capture,
        "expect-probe": expect_probe,
        "connections": lambda _: connection_list(connections()),
        "drain": begin_drain,
    }


def live_records(connections: Connections, lane: SpliceLane) -> Iterator[ConnectionRecord]:
    """Every open connection, whoever decided on it."""
    yield from lane.live()
    yield from (connection.record() for connection in connections.live())


def connection_list(records: Iterable[ConnectionRecord]) -> list[Any]:
    return [record.as_report() for record in records]


def listener_list(lane: SpliceLane) -> list[Any]:
    return [
        {
            "direction": str(one.direction),
            "port": one.bound.port,
            "addresses": list(one.bound.addresses),
            "state": lane.state,
            "accepted": lane.accepted(index),
            "transparent": one.bound.transparent,
        }
        for index, one in enumerate(lane.listeners)
    ]


def cluster_list(connections: Connections, lane: SpliceLane, verdicts: Verdicts) -> list[Any]:
    """Clusters with what is open in each: the two pass-through ones, and those of the policy in force."""
    active = dict.fromkeys(PASSTHROUGH.values(), 0)
    for connection in connections.live():
        if connection.verdict.cluster in active:
            active[connection.verdict.cluster] += 1
    kept: dict[tuple[str, UpstreamAddress], EndpointLoad] = {}
    for group, counters in lane.counters():
        name = group.verdict.cluster
        if name in active:
            active[name] += counters.opened - counters.closed
        load = EndpointLoad(counters.opened - counters.closed, counters.opened, counters.connect_failures)
        known = kept.get((name, group.verdict.upstream), EndpointLoad())
        kept[name, group.verdict.upstream] = known + load
    passing = [
        {
            "name": PASSTHROUGH[direction],
            "direction": str(direction),
            "type": "original-destination",
            "endpoints": [],
            "connections_active": active[PASSTHROUGH[direction]],
        }
        for direction in Direction
    ]
    return passing + policy_dump.clusters(verdicts.policy, verdicts.ledger, kept)


def config_dump(settings: ProxySettings, reloader: Reloader | None) -> dict[str, Any]:
    """The settings in force, under their own names, and the configuration; the last refused one is named."""
    found = {field.name: _plain(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
    return {"settings": found, "configuration": None if reloader is None else _configuration(reloader)}


def _configuration(reloader: Reloader) -> dict[str, Any]:
    refused = reloader.refused
    return {
        "sources": list(reloader.names),
        "digest": reloader.policy.digest,
        "loaded_at": reloader.loaded_at,
        "warnings": list(reloader.warnings),
        "refused": None if refused is None else {"at": refused.at, "errors": list(refused.errors)},
        "destinations": policy_dump.destinations(reloader.policy),
    }


def log_level() -> str:
    return logging.getLevelName(logging.getLogger().level).lower()


def set_log_level(level: str) -> None:
    """Raises ValueError naming what is allowed."""
    if level not in LOG_LEVELS:
        raise ValueError(f"level {level!r} is not one of {', '.join(LOG_LEVELS)}")
    logging.getLogger().setLevel(level.upper())


def reload_configuration() -> None:
    logging.getLogger("tidegate.proxy").info("SIGHUP: there is no configuration to read again")


def _plain(value: object) -> Any:
    if isinstance(value, Address):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


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
