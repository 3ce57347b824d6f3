"""Where no filter applies, rules change no byte of requests and answers, also where another rule has filters."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.cext.http_world import exactly, head
from tests.netns.cext.test_engine_http import ANSWERS
from tests.netns.parsed.routes_rig import DEAD, SERVICES, VIP, http_service, to
from tests.netns.parsed.test_rules import EDITS, REGEX, rule
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import PEER_V4, Server, dial
from tests.unit.mesh.support import http_route

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
ROUTE = http_route(", ".join((EDITS, REGEX, rule("/", to("odd")))))


def talk(requests: list[bytes]) -> Callable[[socket.socket], None]:
    def serve(sock: socket.socket) -> None:
        rest = b""
        for answer in ANSWERS:
            request, rest = head(sock, rest)
            requests.append(request)
            sock.sendall(answer)

    return serve


@pytest.mark.parametrize("flags", [(), ("--ask-all",)])
def test_bytes_are_those_that_were_sent(lab: Lab, file: Path, flags: tuple[str, ...]) -> None:
    requests: list[bytes] = []
    sent = []
    with (
        Server(lab.peer, PEER_V4, DEAD, talk(requests)),
        proxy_with(lab, file, SERVICES + http_service("odd", DEAD) + ROUTE, *flags),
        dial(lab.app, VIP, 80) as client,
    ):
        for number, answer in enumerate(ANSWERS):
            sent.append(b"GeT /%d?a=%%7e HTTP/1.1\r\nhOST: A\r\nX-Blank:\r\nx-blank: \t v \r\n\r\n" % number)
            client.sendall(sent[-1])
            assert exactly(client, len(answer)) == answer
    assert requests == sent


def test_an_informational_answer_comes_as_it_is_before_the_edited_one(lab: Lab, file: Path) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nX-Secret: s\r\n\r\n"
    final = b"HTTP/1.1 200 Fine\r\nX-Secret: s\r\ncONTENT-lENGTH: 200000\r\n\r\n" + b"b" * 200_000

    def serve(sock: socket.socket) -> None:
        rest = b""
        for parts in ((hints + final,), (hints, final)):
            _, rest = head(sock, rest)
            for part in parts:
                sock.sendall(part)
                time.sleep(0.05)

    edits = (
        "{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-more, value: m}], remove: [x-secret]}}"
    )
    route = http_route(rule("/", f"filters: [{edits}]", to("odd")))
    wanted = hints + final.replace(b"X-Secret: s\r\n", b"").replace(b"\r\n\r\n", b"\r\nx-more: m\r\n\r\n", 1)
    with (
        Server(lab.peer, PEER_V4, DEAD, serve),
        proxy_with(lab, file, SERVICES + http_service("odd", DEAD) + route),
        dial(lab.app, VIP, 80) as client,
    ):
        for _ in range(2):
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert exactly(client, len(wanted)) == wanted


def test_an_upgrade_by_a_rule_becomes_a_relay(lab: Lab, file: Path) -> None:
    switched = b"HTTP/1.1 101 Switching Protocols\r\nX-Secret: s\r\nConnection: upgrade\r\nUpgrade: odd\r\n\r\n"
    heads: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        request, rest = head(sock)
        heads.append(request)
        sock.sendall(switched + b"hello")
        while data := rest or sock.recv(65536):
            sock.sendall(data)
            rest = b""

    edits = "{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: x-added, value: y}]}}"
    route = http_route(rule("/", f"filters: [{edits}]", to("odd")))
    with (
        Server(lab.peer, PEER_V4, DEAD, serve),
        proxy_with(lab, file, SERVICES + http_service("odd", DEAD) + route),
        dial(lab.app, VIP, 80) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: odd\r\n\r\n")
        assert exactly(client, len(switched) + 5) == switched + b"hello"
        client.sendall(b"e" * 300_000)
        assert exactly(client, 300_000) == b"e" * 300_000
    assert heads == [b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: odd\r\nx-added: y\r\n\r\n"]
