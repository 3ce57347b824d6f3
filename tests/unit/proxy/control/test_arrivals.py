"""Channels that arrive as descriptors: complete ones, lost ones, and the end."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Iterator

import pytest

from proxy.control.arrivals import CHANNELS, Arrivals
from tidegate.beside import warden


class Rig:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        ours, self.sender = socket.socketpair()
        ours.setblocking(False)
        self.arrived: list[list[socket.socket]] = []
        self.ended = 0
        self.arrivals = Arrivals(self.loop, ours, self.arrived.append, self._end)

    def _end(self) -> None:
        self.ended += 1

    def send(self, count: int) -> list[socket.socket]:
        """Pairs whose other ends are sent; the ends that stay."""
        pairs = [socket.socketpair() for _ in range(count)]
        socket.send_fds(self.sender, [b"+"], [there.fileno() for _, there in pairs])
        for _, there in pairs:
            there.close()
        return [here for here, _ in pairs]

    def turn(self) -> None:
        self.loop.run_until_complete(asyncio.sleep(0.01))

    def close(self) -> None:
        self.arrivals.close()
        self.sender.close()
        for one in self.arrived:
            for sock in one:
                sock.close()
        self.loop.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    try:
        yield made
    finally:
        made.close()


def test_both_sides_mean_the_same_number() -> None:
    assert CHANNELS == warden.CHANNELS


def test_each_delivery_is_one_companions(rig: Rig) -> None:
    kept = [*rig.send(CHANNELS), *rig.send(CHANNELS)]
    rig.turn()
    assert [len(one) for one in rig.arrived] == [CHANNELS, CHANNELS]
    kept[0].send(b"x")
    assert rig.arrived[0][0].recv(1) == b"x"
    assert not any(os.get_inheritable(sock.fileno()) for one in rig.arrived for sock in one)
    for sock in kept:
        sock.close()


@pytest.mark.parametrize("count", [1, CHANNELS - 1])
def test_an_incomplete_one_is_closed_and_said(rig: Rig, count: int, caplog: pytest.LogCaptureFixture) -> None:
    kept = rig.send(count)
    rig.turn()
    assert rig.arrived == []
    assert "channels" in caplog.text
    for sock in kept:
        assert sock.recv(1) == b"", "the companion would wait for ever"
        sock.close()


def test_they_arrive_when_connections_have_used_up_all_descriptors(rig: Rig) -> None:
    kept = rig.send(CHANNELS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    held = []
    try:
        while True:
            try:
                held.append(os.dup(0))
            except OSError:
                break
        rig.turn()
        assert [len(one) for one in rig.arrived] == [CHANNELS]
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == highest + 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in held:
            os.close(fd)
        for sock in kept:
            sock.close()


def test_the_end_is_told_once(rig: Rig) -> None:
    rig.sender.close()
    rig.turn()
    rig.turn()
    assert rig.ended == 1
