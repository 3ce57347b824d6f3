"""The scripts of tests/netns/cext/model through the whole proxy: a Service with two endpoints, rules and retries."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from hypothesis import given

from tests.lab import Lab
from tests.netns.cext.model.play import play
from tests.netns.cext.model.script import CLIENTS, Client
from tests.netns.cext.model.server import ModelServer
from tests.netns.parsed.routes_rig import VIP, http_service, to
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import PEER_V4, Server, dial, rules, until
from tests.unit.mesh.support import http_route

pytestmark = [pytest.mark.kernel, pytest.mark.takes(30), pytest.mark.timeout(600)]
ONE, TWO = 8111, 8112
RULE = "{retry: {attempts: 2, backoff: 1ms}, timeouts: {request: 30s}, " + to("model") + "}"


@pytest.mark.parametrize("flags", [(), ("--ask-all",)], ids=["table", "asked"])
def test_each_request_gets_its_own_answer_also_when_it_is_sent_again(
    lab: Lab, file: Path, flags: tuple[str, ...]
) -> None:
    server = ModelServer()
    text = http_service("web", ip=VIP) + http_service("model", ONE, TWO) + http_route(RULE)
    with (
        rules(lab.app),
        Server(lab.peer, PEER_V4, ONE, server.talk),
        Server(lab.peer, PEER_V4, TWO, server.talk),
        proxy_with(lab, file, text, *flags) as proxy,
    ):

        def new() -> socket.socket:
            sock = dial(lab.app, VIP, 80, timeout=6)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock

        @given(CLIENTS)
        def plays(clients: list[Client]) -> None:
            played = play(clients, new, pooled=True)
            until(lambda: server.busy == 0, "the server to be done")
            time.sleep(0.01)
            often = {number: count for number, count in server.got.items() if count > 5}
            assert (played.wrong, server.spoiled, often) == ([], [], {})

        plays()
        assert proxy.process.poll() is None
