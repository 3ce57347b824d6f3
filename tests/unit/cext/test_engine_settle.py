"""A program has ended: its relays end when the other side has everything, and no byte is lost on the way."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from cext.engine.engine import Engine, Reason
from tests.unit.cext.engine_support import Bench, noise, receive, until


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(Engine(threads=1))
    try:
        yield made
    finally:
        made.close()


def test_a_peer_that_keeps_its_side_open_is_not_waited_for(bench: Bench) -> None:
    number, client, server = bench.relay()
    client.sendall(b"all there is")
    client.close()
    assert receive(server, 12) == b"all there is"
    bench.engine.settle(number, upstream_gone=False)
    ended = bench.completion(number)
    assert (ended.reason, ended.bytes_sent) == (Reason.FINISHED, 12)
    assert server.recv(1) == b""


def test_a_relay_whose_program_has_not_closed_goes_on(bench: Bench) -> None:
    number, client, server = bench.relay()
    bench.engine.settle(number, upstream_gone=False)
    time.sleep(0.2)
    client.sendall(b"still here")
    assert receive(server, 10) == b"still here"
    assert [one.id for one in bench.engine.live()] == [number]


@pytest.mark.parametrize("inbound", [False, True])
def test_a_slow_reader_gets_every_byte(bench: Bench, inbound: bool) -> None:
    number, client, server = bench.relay(small=True)
    program, peer = (server, client) if inbound else (client, server)
    sent = 0
    program.settimeout(0.3)
    try:
        while True:
            sent += program.send(noise(sent, 65_536))
    except TimeoutError:
        program.close()
    bench.engine.settle(number, upstream_gone=inbound)
    time.sleep(0.3)
    assert [one.id for one in bench.engine.live()] == [number]
    assert receive(peer, sent + 1) == noise(0, sent)
    assert bench.completion(number).reason is Reason.FINISHED


def test_a_reset_after_the_last_byte_was_passed_on_loses_nothing(bench: Bench) -> None:
    """An abort resets, but not a side that was sent everything and the FIN: its kernel goes on with what it holds."""
    number, client, server = bench.relay()
    server.settimeout(5)
    client.sendall(noise(0, 400_000))
    client.shutdown(socket.SHUT_WR)
    until(lambda: bench.engine.live()[0].bytes_sent == 400_000, "everything to be in the last kernel buffer")
    time.sleep(0.05)
    bench.engine.abort(number)
    assert bench.completion(number).reason is Reason.ABORTED
    assert receive(server, 400_001) == noise(0, 400_000)
