"""The engine between sockets that somebody else's sk_msg program redirects (ADR 6 says why ours doesn't)."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from bench.sockmap.accelerator import Settings, accelerator
from cext.engine import Engine
from tests.unit.engine_support import Bench, noise, receive
from tests.unit.test_engine_machine import RelayMachine

pytestmark = pytest.mark.kernel


@pytest.fixture
def everything_redirected() -> Iterator[None]:
    with accelerator() as active:
        yield
        counters = active.counters()
        assert counters.redirected > counters.passed
        assert counters.refused == 0


class RedirectedMachine(RelayMachine):
    """Each pair of TCP sockets is redirected both ways from its first byte on."""


RedirectedMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestRedirectedMachine = pytest.mark.usefixtures("everything_redirected")(RedirectedMachine.TestCase)


def test_bytes_that_come_through_tcp_after_redirected_ones_do_not_overtake_them() -> None:
    """splice(2) sees only TCP's queue, recv gets the redirected bytes first."""
    small, large = 60_000, 200_000
    seen, unread = 20, 100
    bench = Bench(Engine(threads=1))
    try:
        with accelerator(Settings(pass_above=small)) as active:
            number, client, server = bench.relay()
            position = 0

            def send(size: int) -> None:
                nonlocal position
                client.sendall(noise(position, size))
                position += size

            for _ in range(seen):
                send(small)
            assert receive(server, position) == noise(0, position)
            # The server doesn't read now: both kinds wait in the relay's downstream socket.
            before = position
            for _ in range(unread):
                send(small)
            passed = active.counters().passed
            send(large)
            assert active.counters().passed > passed
            client.shutdown(socket.SHUT_WR)
            assert receive(server, position - before) == noise(before, position - before)
            assert server.recv(1) == b""
            server.close()
            assert bench.completion(number).bytes_sent == position
            assert bench.engine.totals().spliced_bytes == 0
    finally:
        bench.close()


def test_a_stream_that_is_not_redirected_is_spliced_as_ever() -> None:
    """The sockets are known to the program, which lets everything pass."""
    length = 8 << 20
    bench = Bench(Engine(threads=1))
    try:
        with accelerator(Settings(pass_above=1)):
            number, client, server = bench.relay()
            for begin in range(0, length, 1 << 16):
                client.sendall(noise(begin, 1 << 16))
                assert receive(server, 1 << 16) == noise(begin, 1 << 16)
            client.close()
            server.close()
            assert bench.completion(number).bytes_sent == length
            assert bench.engine.totals().spliced_bytes > length // 2
    finally:
        bench.close()
