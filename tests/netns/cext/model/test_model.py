"""Each request is answered once, in order, by its own answer, whatever clients and servers do: scripts of Hypothesis,
played through the engine. TIDEGATE_THOROUGH=1 plays many more."""

from __future__ import annotations

import socket
import time
from collections import Counter

import pytest
from hypothesis import given

from cext.engine.values import Action, Endpoint, Speaks, Verdict
from tests.netns.cext.engine_world import SERVICE, World, until
from tests.netns.cext.http_world import Web
from tests.netns.cext.model.play import NO_ANSWER, Played, play
from tests.netns.cext.model.script import CLIENTS, Client, Ends
from tests.netns.cext.model.server import ModelServer
from tests.netns.cext.told import Telling

pytestmark = [pytest.mark.kernel, pytest.mark.takes(20), pytest.mark.timeout(600)]


WAIT_S = 6.0
"""For bytes that are due, on a busy machine."""


def dial() -> socket.socket:
    sock = socket.create_connection((SERVICE.ip, SERVICE.port), timeout=WAIT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Judge:
    """Holds what the server got and what the engine told against what the clients heard."""

    def __init__(self, world: World, server: ModelServer) -> None:
        self._server = server
        self._telling = Telling(world)

    def complaints(self, played: Played) -> list[str]:
        until(lambda: self._server.busy == 0, "the server to be done")
        time.sleep(
            0.01
        )  # ends of connections that the server left reach the engine, so that the next script is its own
        wrong = played.wrong + self._server.spoiled
        for number, request in played.requests.items():
            times = self._server.got[number]
            if times > (3 if request.repeats else 1):
                wrong.append(f"{number} was sent {times} times")
            heard = played.statuses.get(number, NO_ANSWER)
            if times == 0 and heard in (200, 204, 304, 502):
                wrong.append(f"{number} was answered by nobody")
        return wrong + self._told(played)

    def _told(self, played: Played) -> list[str]:
        """Each answer that a client heard whole is told of once, with its status."""
        whole = {
            number: status
            for number, status in played.statuses.items()
            if status != NO_ANSWER and played.requests[number].ends is not Ends.PART
        }
        deadline = time.monotonic() + 5
        told: Counter[int] = Counter()
        statuses: dict[int, int] = {}
        while time.monotonic() < deadline and not all(told[number] for number in whole):
            for record in self._telling.more(0):
                number = int(record.target.split(b"/")[1])
                told[number] += 1
                statuses[number] = record.status
        return [
            f"{number} was told of {told[number]} times, as {statuses.get(number)}, and heard as {status}"
            for number, status in whole.items()
            if (told[number], statuses.get(number)) != (1, status)
        ]


@pytest.mark.parametrize("how", [Speaks.HTTP, Speaks.DETECT], ids=["declared", "detected"])
def test_connections_that_clients_share(world: World, how: Speaks) -> None:
    """Two endpoints of a Service, whose connections are pooled."""
    server = ModelServer()
    endpoints = tuple(Endpoint(Web(world, server.talk).place, group=100 + index) for index in range(2))
    world.decide(Verdict(Action.RELAY, id=1, group=7, endpoints=endpoints, speaks=how))
    judge = Judge(world, server)

    @given(CLIENTS)
    def plays(clients: list[Client]) -> None:
        played = play(clients, dial, pooled=True)
        assert judge.complaints(played) == []

    plays()


def test_connections_of_one_client_each(world: World) -> None:
    """A destination that no Service claims."""
    server = ModelServer()
    Web(world, server.talk, SERVICE)
    world.decide(Verdict(Action.PASS, id=1, group=7, speaks=Speaks.HTTP))
    judge = Judge(world, server)

    @given(CLIENTS)
    def plays(clients: list[Client]) -> None:
        played = play(clients, dial, pooled=False)
        assert judge.complaints(played) == []

    plays()
