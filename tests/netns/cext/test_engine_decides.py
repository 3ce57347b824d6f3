"""What the engine does by itself with a connection: verdicts, endpoints, counters."""

from __future__ import annotations

import errno
from collections import Counter

import pytest

from cext.engine.engine import EngineError
from cext.engine.values import (
    ANYTHING,
    Action,
    Balance,
    Counters,
    Ending,
    Endpoint,
    SocketAddress,
    Verdict,
)
from tests.netns.cext.engine_world import OTHER, OUTBOUND, SERVICE, World, ends_by_reset, relay_to, until

pytestmark = pytest.mark.kernel


class TestDecided:
    def test_relays_to_an_endpoint_and_records_it(self, world: World) -> None:
        server = world.server("alpha")
        world.decide(relay_to(server, id=42))
        assert world.greeting() == "alpha"
        (record,) = world.records(1)
        assert record.ending is Ending.FINISHED
        assert (record.scope, record.verdict, record.group, record.attempts) == (OUTBOUND, 42, 100, 1)
        assert (record.original, record.upstream) == (SERVICE, server.place)
        assert record.peer.ip == "10.9.9.1"
        assert (record.bytes_sent, record.bytes_received) == (9, 15)
        assert record.connect_us is not None
        assert 0 < record.connect_us <= record.duration_us
        assert world.counters(100) == Counters(100, 1, 1, 0, (1, 0, 0, 0, 0, 0, 0), 0, 0, 9, 15, 0)
        assert world.counters(7).admitted == 0

    def test_counters_and_the_list_are_live(self, world: World) -> None:
        server = world.server("alpha")
        world.decide(relay_to(server))
        sock = world.connect()
        assert sock.recv(100) == b"alpha\n"
        sock.sendall(b"12345")
        assert sock.recv(100) == b"12345"
        # Bytes are counted once they are written, and the client may be faster than that.
        until(lambda: world.lane.connections()[0].bytes_received == 11, "the answer's bytes are counted")
        (live,) = world.lane.connections()
        assert (live.original, live.upstream, live.ending) == (SERVICE, server.place, None)
        assert live.bytes_sent == 5
        assert world.counters(100) == Counters(100, 1, 0, 0, (0,) * 7, 0, 0, 5, 11, 0)
        assert world.counters(7).admitted == 1
        assert world.engine.live() == []
        world.engine.abort(live.id)
        ends_by_reset(sock)
        assert world.records(1)[0].ending is Ending.ABORTED

    def test_ipv6(self, world: World) -> None:
        server = world.server("six", "::1")
        place = SocketAddress("fd09::1", 7000)
        world.decide(relay_to(server), place)
        assert world.greeting(place) == "six"
        (record,) = world.records(1)
        assert (record.original, record.upstream, record.peer.ip) == (place, server.place, "fd09::1")

    @pytest.mark.parametrize("balance", list(Balance))
    def test_balances_by_weight(self, world: World, balance: Balance) -> None:
        servers = [world.server(name) for name in ("three", "one", "none")]
        endpoints = tuple(
            Endpoint(one.place, group=1, weight=weight) for one, weight in zip(servers, (3, 1, 0), strict=True)
        )
        world.decide(Verdict(Action.RELAY, endpoints=endpoints, balance=balance))
        got = Counter(world.greeting() for _ in range(200))
        if balance is Balance.ROUND_ROBIN:
            assert got == {"three": 150, "one": 50}
        elif balance is Balance.BY_SOURCE:
            assert len(got) == 1, "one client has one endpoint"
            assert "none" not in got
        else:
            assert set(got) == {"three", "one"}
            assert 20 < got["one"] < 90  # p below 1e-6 on either side

    def test_passes_to_the_original_destination(self, world: World) -> None:
        world.server("itself", "10.9.9.2", OTHER.port)
        world.decide(Verdict(Action.PASS, group=5), ANYTHING)
        assert world.greeting(OTHER) == "itself"
        (record,) = world.records(1)
        assert (record.upstream, record.original, record.group) == (OTHER, OTHER, 5)
        assert world.counters(5).opened == 1

    def test_the_most_exact_verdict_wins(self, world: World) -> None:
        exact, port, rest = world.server("exact"), world.server("port"), world.server("rest")
        world.decide(relay_to(rest), ANYTHING)
        world.decide(relay_to(port), SocketAddress("0.0.0.0", 7000))
        world.decide(relay_to(exact), SERVICE)
        asked = (SERVICE, SocketAddress("10.9.9.2", 7000), OTHER)
        assert [world.greeting(place) for place in asked] == ["exact", "port", "rest"]
        world.lane.remove_verdict(OUTBOUND, SERVICE)
        assert world.greeting(SERVICE) == "port"
        world.lane.remove_verdict(OUTBOUND, SocketAddress("0.0.0.0", 7000))
        assert world.greeting(SERVICE) == "rest"
        world.lane.remove_verdict(OUTBOUND, SERVICE)

    def test_refuses(self, world: World) -> None:
        world.decide(Verdict(Action.REFUSE, id=3, group=9))
        world.is_refused()
        assert world.records(1)[0].ending is Ending.REFUSED
        assert world.counters(9).refused == 1

    def test_limits_connections(self, world: World) -> None:
        world.decide(relay_to(world.server("alpha"), max_connections=2))
        first, second = world.connect(), world.connect()
        assert first.recv(10) == second.recv(10) == b"alpha\n"
        world.is_refused()
        assert world.records(1)[0].ending is Ending.LIMITED
        first.close()
        world.records(2)
        assert world.greeting() == "alpha"

    def test_bad_verdicts_change_nothing(self, world: World) -> None:
        world.decide(relay_to(world.server("alpha")))
        for bad in (
            Verdict(Action.RELAY),
            Verdict(Action.RELAY, endpoints=(Endpoint(OTHER, group=1, weight=0),)),
            Verdict(Action.PASS, endpoints=(Endpoint(OTHER, group=1),)),
            Verdict(Action.RELAY, endpoints=(Endpoint(SocketAddress("10.9.9.1", 0), group=1),)),
        ):
            with pytest.raises(EngineError) as caught:
                world.decide(bad)
            assert caught.value.errno == errno.EINVAL
        with pytest.raises(ValueError, match="nonsense"):
            world.decide(relay_to(), SocketAddress("nonsense", 1))
        assert world.greeting() == "alpha"
