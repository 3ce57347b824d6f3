"""The engine between sockets that somebody else's sk_msg program redirects (ADR 6 says why ours doesn't)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from bench.sockmap.accelerator import Settings, accelerator
from cext.engine.engine import Engine
from tests.unit.cext.engine_support import Bench, noise, receive, tcp_pair, unix_pair
from tests.unit.cext.test_engine_machine import RelayMachine

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


def soon_full() -> Callable[..., tuple[socket.socket, socket.socket]]:
    """For `Bench.relay`: the second pair, the upstream one, is not redirected and holds little, so that a server that
    doesn't read soon stalls the relay, and what the client sends gathers in its downstream socket. No timing decides.
    """
    made = 0

    def pair(*, small: bool = False) -> tuple[socket.socket, socket.socket]:
        nonlocal made
        made += 1
        return tcp_pair(small=small) if made == 1 else unix_pair(small=True)

    return pair


def test_bytes_that_come_through_tcp_after_redirected_ones_do_not_overtake_them() -> None:
    """splice(2) sees only TCP's queue, recv gets the redirected bytes first."""
    redirected, passed = 60_000, 61_000
    bench = Bench(Engine(threads=1))
    try:
        with accelerator(Settings(pass_above=redirected)) as active:
            number, client, server = bench.relay(pair=soon_full())
            sent = got = 0

            def send(size: int) -> None:
                nonlocal sent
                client.sendall(noise(sent, size))
                sent += size

            def catch_up() -> None:
                nonlocal got
                assert receive(server, sent - got) == noise(got, sent - got)
                got = sent

            for _ in range(20):
                send(redirected)
            catch_up()  # the relay meets redirected bytes when it would splice
            for _ in range(20):
                send(redirected)
            before = active.counters().passed
            send(passed)
            assert active.counters().passed > before
            client.shutdown(socket.SHUT_WR)
            catch_up()
            assert server.recv(1) == b""
            server.close()
            assert bench.completion(number).bytes_sent == sent
            assert bench.engine.totals().spliced_bytes == 0
    finally:
        bench.close()


def test_a_stream_that_is_not_redirected_is_spliced_as_ever() -> None:
    """The sockets are known to the program, which lets everything pass."""
    length = 4 << 20
    bench = Bench(Engine(threads=1))
    try:
        with accelerator(Settings(pass_above=1)):
            number, client, server = bench.relay(pair=soon_full())
            sender = threading.Thread(target=client.sendall, args=(noise(0, length),))
            sender.start()
            assert receive(server, length) == noise(0, length)
            sender.join()
            client.close()
            server.close()
            assert bench.completion(number).bytes_sent == length
            # How much fits a pipe depends on how the kernel packs what a program let pass: 6.1 splices two fifths.
            assert bench.engine.totals().spliced_bytes > length // 4
    finally:
        bench.close()
