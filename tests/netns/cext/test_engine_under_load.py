"""Limits, shortages and changes while connections come."""

from __future__ import annotations

import os
import resource
import select
import socket
import threading
import time
from collections import Counter
from contextlib import ExitStack

import pytest

from cext.engine.engine import EngineError
from cext.engine.values import (
    Ending,
    SocketAddress,
)
from tests.netns.cext.engine_world import OUTBOUND, PATIENCE_S, SERVICE, World, relay_to, until

pytestmark = pytest.mark.kernel


class TestUnderLoad:
    def test_verdicts_change_under_load(self, stack: ExitStack) -> None:
        """Every connection reaches a server that was in force while it was made, and none fails."""
        world = World(stack, threads=2)
        servers = {name: world.server(name) for name in ("a", "b")}
        world.decide(relay_to(servers["a"]))
        kept = world.connect()
        assert kept.recv(10) == b"a\n"
        stop, failures, total = threading.Event(), [], Counter[str]()

        def hammer() -> None:
            mine: Counter[str] = Counter()
            while not stop.is_set():
                try:
                    mine[world.greeting()] += 1
                except (OSError, AssertionError) as failed:
                    failures.append(failed)
            total.update(mine)

        workers = [threading.Thread(target=hammer) for _ in range(4)]
        for worker in workers:
            worker.start()
        try:
            for turn in range(600):
                world.decide(relay_to(servers["ab"[turn % 2]], id=turn))
                for port in range(8000, 8010):
                    world.decide(relay_to(servers["a"], id=port), SocketAddress("10.9.9.1", port + 10 * turn))
                if turn % 3 == 0:
                    world.lane.remove_verdict(OUTBOUND, SocketAddress("10.9.9.1", 8000 + 10 * turn))
                world.seen += world.lane.records()
        finally:
            stop.set()
            for worker in workers:
                worker.join()
        assert failures == []
        assert set(total) == {"a", "b"}
        kept.sendall(b"still here")
        assert kept.recv(100) == b"still here"
        world.decide(relay_to(servers["b"]))
        assert {world.greeting() for _ in range(20)} == {"b"}

    def test_unlisten_refuses_new_and_keeps_old(self, world: World) -> None:
        world.decide(relay_to(world.server("alpha")))
        kept = world.connect()
        assert kept.recv(10) == b"alpha\n"
        assert world.lane.accepted(world.number) == 1
        world.lane.unlisten(world.number, drain_ms=100)
        with pytest.raises(ConnectionRefusedError):
            world.connect()
        kept.sendall(b"x")
        assert kept.recv(1) == b"x"
        with pytest.raises(EngineError):
            world.lane.unlisten(world.number)

    def test_short_of_descriptors_it_waits(self, world: World) -> None:
        """At EMFILE nothing is dropped or spun on: the backlog holds what comes until descriptors are free."""
        world.decide(relay_to(world.server("alpha")))
        assert world.greeting() == "alpha"
        clients = [socket.socket() for _ in range(20)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest_free = os.dup(0)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        try:
            for client in clients:
                client.settimeout(PATIENCE_S)
                client.connect((SERVICE.ip, SERVICE.port))
            before = time.process_time()
            time.sleep(0.5)
            assert time.process_time() - before < 0.25
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for client in clients:
            assert client.recv(10) == b"alpha\n"
            client.close()
        assert world.engine.totals().accept_pauses > 0
        assert {one.ending for one in world.records(21)} == {Ending.FINISHED}

    def test_at_capacity_it_waits(self, stack: ExitStack) -> None:
        world = World(stack, capacity=2)
        world.decide(relay_to(world.server("alpha")))
        held = [world.connect() for _ in range(5)]
        assert held[0].recv(10) == held[1].recv(10) == b"alpha\n"
        assert select.select(held[2:], [], [], 0.3)[0] == []
        for sock in held[:2]:
            sock.close()
        world.records(2)
        assert held[2].recv(10) == held[3].recv(10) == b"alpha\n"

    def test_three_thousand_short_connections_leave_nothing(self, stack: ExitStack) -> None:
        world = World(stack, threads=2)
        world.decide(relay_to(world.server("a"), world.server("b")))
        world.greeting()
        world.records(1)
        before = len(os.listdir("/proc/self/fd"))

        def many() -> None:
            for _ in range(1000):
                assert world.greeting() in {"a", "b"}

        workers = [threading.Thread(target=many) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        records = world.records(3001)
        assert len({one.id for one in records}) == 3001
        assert {one.ending for one in records} == {Ending.FINISHED}
        assert sum(one.opened for one in world.lane.counters()) == 3001
        assert sum(one.bytes_sent for one in world.lane.counters()) == 3001 * 9
        until(lambda: len(os.listdir("/proc/self/fd")) <= before, "descriptors to be back")
        assert world.engine.totals().active == 0
