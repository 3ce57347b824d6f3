"""The log's lines that the engine renders have the form of those that Python renders, to the byte."""

from __future__ import annotations

import json
import re
import shlex
from datetime import datetime

import pytest

from cext.engine.engine import EngineError
from cext.engine.values import MAX_TEXT, Action, Ending, Endpoint, Log
from cext.engine.values import Verdict as EngineVerdict
from proxy.core.addresses import Address, ClientAddress, OriginalDestination, UpstreamAddress, parse
from proxy.core.close_reason import CloseReason
from proxy.core.decide.verdict import Verdict
from proxy.core.lanes import Direction, Lane
from proxy.core.report.fields import FIELDS, json_line, text_line
from proxy.core.report.record import ConnectionRecord
from proxy.telemetry.access_log import AccessLog
from tests.netns.cext.engine_world import OTHER, SERVICE, World, closed_port, relay_to, until

pytestmark = pytest.mark.kernel
REASON = 'a reason with "quotes", an = and more'


def verdict(upstream: Address) -> Verdict:
    return Verdict(UpstreamAddress(upstream), "outbound|80||web", "tls", Lane.SPLICE, REASON)


def lines(world: World, count: int) -> list[str]:
    found: list[str] = []

    def more() -> bool:
        text, number = world.lane.lines()
        assert text.count(b"\n") == number
        found.extend(text.decode().splitlines())
        return len(found) >= count

    until(more, f"{count} lines")
    return found


@pytest.mark.parametrize("how", [Log.TEXT, Log.JSON])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_render_the_same_line(world: World, how: Log, host: str) -> None:
    log = AccessLog(json_lines=how is Log.JSON, fd=2)
    protocol, lane, reason = log.texts(verdict(Address("10.0.0.1", 80)))
    log.close()
    world.lane.log(how)
    order = [field.name for field in FIELDS if field.logged]
    server = world.server("alpha", host)
    world.decide(relay_to(server, log_protocol=protocol, log_lane=lane, log_reason=reason))
    for _ in range(3):
        assert world.greeting() == "alpha"
    for line in lines(world, 3):
        if how is Log.JSON:
            told = json.loads(line)
        else:
            moment, _, rest = line.partition(" ")
            # JSON's quotes are not the shell's: the last value is taken as it stands.
            pairs = rest.partition(" lane_reason=")
            told = dict(word.split("=", 1) for word in shlex.split(pairs[0])) | {"lane_reason": json.loads(pairs[2])}
            told["time"] = moment
        assert (told["original_destination"], told["close_reason"]) == (f"{SERVICE.ip}:{SERVICE.port}", "finished")
        assert (int(told["bytes_sent"]), int(told["bytes_received"])) == (9, 15)
        assert re.fullmatch(r"\d+\.\d{3}", re.search(r'duration_ms"?[=:]([0-9.]+)', line)[1])  # type: ignore[index]
        upstream = parse(told["upstream"])
        assert upstream.port == server.place.port
        record = ConnectionRecord(
            id=1,
            direction=Direction(told["direction"]),
            peer=ClientAddress(parse(told["downstream"])),
            destination=OriginalDestination(parse(told["original_destination"])),
            upstream=UpstreamAddress(upstream),
            verdict=verdict(upstream),
            to_upstream=int(told["bytes_sent"]),
            to_downstream=int(told["bytes_received"]),
            state="closed",
            started_at=datetime.fromisoformat(told["time"]).timestamp() + 1e-5,
            age_s=float(told["duration_ms"]) / 1000,
            close_reason=CloseReason(told["close_reason"]),
        )
        assert line == (json_line if how is Log.JSON else text_line)(record)
        assert list(told) == (order if how is Log.JSON else [*order[1:], "time"])


def test_what_did_not_end_as_connections_do_is_told_by_records(world: World) -> None:
    world.lane.log(Log.TEXT)
    world.decide(relay_to(world.server("alpha")))
    assert world.greeting() == "alpha"
    world.decide(EngineVerdict(Action.RELAY, endpoints=(Endpoint(closed_port(), group=1),)), OTHER)
    world.is_refused(OTHER)
    assert [one.ending for one in world.records(1)] == [Ending.CONNECT_FAILED]
    assert len(lines(world, 1)) == 1


def test_many_lines_come_whole_and_none_is_lost(world: World) -> None:
    world.lane.log(Log.JSON)
    world.decide(relay_to(world.server("alpha"), log_reason=json.dumps("x" * 4000).encode()))
    for _ in range(200):
        world.greeting()
    found = [json.loads(line) for line in lines(world, 200)]
    assert len({one["downstream"] for one in found}) == len(found) == 200
    assert world.engine.totals().outstanding == 0


def test_a_text_that_is_too_long_is_refused(world: World) -> None:
    with pytest.raises(EngineError):
        world.decide(relay_to(world.server("alpha"), log_reason=b"x" * (MAX_TEXT + 1)))
