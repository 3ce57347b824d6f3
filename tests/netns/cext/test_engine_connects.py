"""Upstreams that refuse, are silent or missing; connections that are punted or refused."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import subprocess
import time
from contextlib import ExitStack

import pytest

from cext.engine.values import (
    ANYTHING,
    Action,
    Balance,
    Ending,
    Endpoint,
    Original,
    SocketAddress,
    Verdict,
)
from tests.netns.cext.engine_world import OTHER, OUTBOUND, SERVICE, World, closed_port, ends_by_reset, relay_to, until

pytestmark = pytest.mark.kernel


class TestConnecting:
    def test_tries_the_next_endpoint_on_refusal(self, world: World) -> None:
        server = world.server("alive")
        dead = Endpoint(closed_port(), group=200, weight=1000)
        alive = Endpoint(server.place, group=201)
        world.decide(Verdict(Action.RELAY, endpoints=(dead, alive), balance=Balance.ROUND_ROBIN))
        assert {world.greeting() for _ in range(5)} == {"alive"}
        assert max(record.attempts for record in world.records(5)) == 2
        assert {record.upstream for record in world.records(5)} == {server.place}
        assert world.counters(200).opened == 0
        assert world.counters(200).connect_failures >= 4
        assert world.counters(201).opened == 5

    def test_resets_when_nobody_accepts(self, world: World) -> None:
        endpoints = tuple(Endpoint(closed_port(), group=200) for _ in range(3))
        world.decide(Verdict(Action.RELAY, endpoints=endpoints))
        world.is_refused()
        (record,) = world.records(1)
        assert (record.ending, record.error, record.attempts) == (Ending.CONNECT_FAILED, errno.ECONNREFUSED, 3)
        assert record.connect_us is None
        assert world.counters(200).connect_failures == 3

    def test_max_attempts(self, world: World) -> None:
        endpoints = tuple(Endpoint(closed_port(), group=200) for _ in range(3))
        world.decide(Verdict(Action.RELAY, endpoints=endpoints, max_attempts=2))
        world.is_refused()
        assert world.records(1)[0].attempts == 2

    def test_an_endpoint_that_does_not_answer_costs_its_timeout(self, world: World) -> None:
        server = world.server("alive")
        silent = Endpoint(SocketAddress("127.0.0.1", 9999), group=200, weight=100_000)
        endpoints = (silent, Endpoint(server.place, group=201))
        world.decide(Verdict(Action.RELAY, endpoints=endpoints, connect_timeout_ms=300))
        begin = time.monotonic()
        assert world.greeting() == "alive"
        assert time.monotonic() - begin >= 0.3
        world.decide(Verdict(Action.RELAY, endpoints=(silent,), connect_timeout_ms=300))
        world.is_refused()
        record = world.records(2)[1]
        assert (record.ending, record.error) == (Ending.CONNECT_TIMEOUT, errno.ETIMEDOUT)

    def test_a_client_that_gives_up_ends_the_attempt(self, world: World) -> None:
        silent = Endpoint(SocketAddress("127.0.0.1", 9999), group=200)
        world.decide(Verdict(Action.RELAY, endpoints=(silent,), connect_timeout_ms=60_000))
        sock = world.connect()
        until(lambda: len(world.lane.connections()) == 1, "the connection")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        assert world.records(1)[0].ending is Ending.DOWNSTREAM_RESET

    def test_what_the_client_said_meanwhile_is_delivered(self, world: World) -> None:
        """Also when it has half-closed before anybody was connected."""
        server = world.server("alive")
        endpoints = (
            Endpoint(SocketAddress("127.0.0.1", 9999), group=200, weight=100_000),
            Endpoint(server.place, group=201),
        )
        world.decide(Verdict(Action.RELAY, endpoints=endpoints, connect_timeout_ms=200))
        assert world.greeting() == "alive"

    def test_idle_timeout_and_lifetime_of_a_verdict(self, world: World) -> None:
        server = world.server("alpha")
        world.decide(relay_to(server, idle_timeout_ms=200))
        world.is_refused()
        world.decide(relay_to(server, lifetime_ms=200))
        world.is_refused()
        assert [one.ending for one in world.records(2)] == [Ending.IDLE_TIMEOUT, Ending.LIFETIME]


class TestPunting:
    def test_an_unknown_destination_is_punted_once(self, world: World) -> None:
        sock = world.connect()
        punt = world.punt()
        assert (punt.scope, punt.original) == (OUTBOUND, SERVICE)
        assert (punt.peer.ip, punt.peer.port) == sock.getsockname()
        with socket.socket(fileno=punt.fd) as taken:
            assert not taken.getblocking() or os.get_blocking(punt.fd) is False
            sock.sendall(b"hello")
            until(lambda: bool(select.select([taken], [], [], 0)[0]), "the client's bytes")
            assert taken.recv(10) == b"hello"
        world.decide(relay_to(world.server("decided")))
        assert world.greeting() == "decided"
        assert world.lane.punts() == []

    def test_a_verdict_can_ask_for_punting(self, world: World) -> None:
        world.decide(relay_to(world.server("rest")), ANYTHING)
        world.decide(Verdict(Action.PUNT), SERVICE)
        world.connect()
        os.close(world.punt().fd)
        assert world.greeting(OTHER) == "rest"

    def test_a_punted_connection_can_be_given_back(self, world: World) -> None:
        server = world.server("alpha")
        sock = world.connect()
        upstream = socket.create_connection(server.place[:2])
        world.engine.relay(1, world.punt().fd, upstream.detach(), punted=True)
        assert sock.recv(100) == b"alpha\n"
        assert world.engine.totals().outstanding == 1

    def test_a_punted_connection_holds_its_place(self, stack: ExitStack) -> None:
        world = World(stack, capacity=1)
        first, second = world.connect(), world.connect()
        punt = world.punt()
        assert punt.peer.port == first.getsockname()[1]
        time.sleep(0.3)
        assert world.lane.punts() == []
        assert world.engine.totals().limit_pauses == 1
        os.close(punt.fd)
        world.lane.forget()
        assert world.punt().peer.port == second.getsockname()[1]

    def test_uncollected_punts_are_reset_by_close(self, world: World) -> None:
        sock = world.connect()
        until(lambda: bool(select.select([world.engine.completion_fd], [], [], 0)[0]), "the punt")
        world.engine.close()
        ends_by_reset(sock)


class TestRefusedLoudly:
    def test_direct_dial(self, world: World) -> None:
        world.is_refused(SocketAddress("127.0.0.1", world.port))
        world.is_refused(SocketAddress("::1", world.port))
        assert {one.ending for one in world.records(2)} <= {Ending.DIRECT_DIAL, Ending.NO_DESTINATION}

    def test_without_nat_there_is_no_destination(self, stack: ExitStack) -> None:
        world = World(stack)
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        world.lane.listen(listener.detach(), scope=OUTBOUND, original=Original.SOCKNAME)
        world.is_refused(SocketAddress("127.0.0.1", port))
        assert world.records(1)[0].ending is Ending.DIRECT_DIAL

    def test_own_connections_that_come_back(self, stack: ExitStack) -> None:
        """Without a mark our connection to the original destination is captured like any other."""
        world = World(stack, mark=0)
        world.decide(Verdict(Action.PASS), ANYTHING)
        world.is_refused()
        records = world.records(5)
        assert [one.hops for one in records if one.ending is Ending.LOOP] == [4]
        assert sorted(one.hops for one in records) == [0, 1, 2, 3, 4]
