"""Headers of our own are added where the operator asked for them, and only there."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.cext.http_world import exactly, head
from tests.netns.parsed.routes_rig import DEAD, SERVICES, VIP, http_service, to
from tests.netns.parsed.test_rules import filtered, rule
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import APP_V4, PEER_V4, Server, dial
from tests.unit.mesh.support import http_route

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
UUID = rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
ODD = http_service("odd", DEAD)


def recording(requests: list[bytes]) -> Callable[[socket.socket], None]:
    def serve(sock: socket.socket) -> None:
        rest = b""
        while True:
            request, rest = head(sock, rest)
            if not request:
                return
            requests.append(request)
            sock.sendall(OK)

    return serve


def asked(lab: Lab, file: Path, documents: str, requests: list[bytes], *flags: str, ip: str = VIP) -> list[bytes]:
    """What the server got of these requests on one connection."""
    got: list[bytes] = []
    with (
        Server(lab.peer, PEER_V4, DEAD, recording(got)),
        proxy_with(lab, file, documents, *flags),
        dial(lab.app, ip, DEAD if ip == PEER_V4 else 80) as client,
    ):
        for request in requests:
            client.sendall(request)
            assert exactly(client, len(OK)) == OK
    return got


PLAIN = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
NAMED = b"GET /b HTTP/1.1\r\nHost: a\r\nX-REQUEST-ID: mine\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"


@pytest.mark.parametrize("ip", [VIP, PEER_V4], ids=["a Service", "no Service"])
def test_they_stand_behind_the_clients_own(lab: Lab, file: Path, ip: str) -> None:
    route = http_route(rule("/", to("odd")))
    flags = ("--forwarded-for", "outbound", "--request-id")
    first, second = asked(lab, file, SERVICES + ODD + route, [PLAIN, NAMED], *flags, ip=ip)
    added = b"X-Forwarded-For: %s\r\n" % APP_V4.encode()
    assert re.fullmatch(re.escape(PLAIN[:-2] + added) + b"x-request-id: " + UUID + b"\r\n\r\n", first)
    assert second == NAMED[:-2] + added + b"\r\n"


def test_they_stand_in_heads_that_rules_edit(lab: Lab, file: Path) -> None:
    edit = filtered("{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-set, value: new}]}}")
    documents = SERVICES + ODD + http_route(rule("/", edit, to("odd")))
    (got,) = asked(lab, file, documents, [PLAIN], "--request-id")
    assert b"\r\nx-set: new\r\n" in got
    assert re.search(b"\r\nx-request-id: " + UUID + b"\r\n\r\n$", got)


@pytest.mark.parametrize("flags", [(), ("--forwarded-for", "inbound")])
def test_where_nobody_asked_nothing_is_added(lab: Lab, file: Path, flags: tuple[str, ...]) -> None:
    assert asked(lab, file, SERVICES + ODD, [PLAIN, NAMED], *flags, ip=PEER_V4) == [PLAIN, NAMED]


@pytest.mark.parametrize(("wanted", "added"), [("inbound", True), ("both", True), ("outbound", False)])
def test_the_workload_hears_of_its_client(lab: Lab, file: Path, wanted: str, added: bool) -> None:
    got: list[bytes] = []
    with (
        Server(lab.app, APP_V4, DEAD, recording(got)),
        proxy_with(lab, file, SERVICES, "--forwarded-for", wanted),
        dial(lab.peer, APP_V4, DEAD) as client,
    ):
        client.sendall(PLAIN)
        assert exactly(client, len(OK)) == OK
    line = b"X-Forwarded-For: %s\r\n" % PEER_V4.encode() if added else b""
    assert got == [PLAIN[:-2] + line + b"\r\n"]
