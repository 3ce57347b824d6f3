"""What an explicit proxy refuses, and what it can't reach."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.netns.cext.http_world import head
from tests.netns.parsed.explicit_rig import EXPLICIT, PORT, curl, said, status
from tests.netns.parsed.routes_rig import DEAD, V1
from tests.netns.proxy.proxy_rig import APP_V4, PEER_V4, PEER_V6, ProxyProcess, Server, dial, until

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]


@pytest.fixture(scope="module")
def explicit(lab: Lab, versions: None) -> Iterator[ProxyProcess]:
    """One for tests that leave it as it was."""
    with ProxyProcess(lab, "--log-format", "json", *EXPLICIT) as proxy:
        yield proxy


@pytest.mark.parametrize(
    "target",
    ["/origin-form", "http://", "http:///x", "http://user@host/", "http://host:0/", "http://host:70000/",
     "http://host:x/", "http://a%20b/", "http://[::1/", "http://fd00::1/", "https://a.example/", "ftp://a/",
     "http://1.2.3/", "http://[fe80::1%25nowhere]/", "http://" + "a" * 400 + "/", "*"],
)  # fmt: skip
def test_bad_targets(explicit: ProxyProcess, lab: Lab, target: str) -> None:
    with dial(lab.app, "127.0.0.1", PORT) as client:
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert head(client)[0].startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("target", ["host", "host:", "host:0", ":443", "/x", "http://a:1/", "a@b:1", "[::1]"])
def test_bad_tunnels(explicit: ProxyProcess, lab: Lab, target: str) -> None:
    with dial(lab.app, "127.0.0.1", PORT) as client:
        client.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert head(client)[0].startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "authority",
    ["127.0.0.1:15000", "localhost:15000", "[::1]:15000", "[::ffff:127.0.0.1]:15000", "127.8.8.8:15020",
     f"{APP_V4}:15001", f"{APP_V4}:15006", f"127.0.0.1:{PORT}", f"localhost:{PORT}", "0.0.0.0:15000", "[::]:80",
     "169.254.169.254", "[fe80::1]:80"],
)  # fmt: skip
def test_own_ports_and_link_local_destinations_are_refused(explicit: ProxyProcess, lab: Lab, authority: str) -> None:
    assert status(lab, f"http://{authority}/quitquitquit", "-X", "POST") == 403
    assert "response 403" in curl(lab, "-p", f"http://{authority}/").stderr
    assert explicit.process.poll() is None


def test_the_same_ports_of_other_hosts_are_ports_like_any_other(explicit: ProxyProcess, lab: Lab) -> None:
    def serve(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(b"HTTP/1.0 200 Fine\r\n\r\nfine")

    with Server(lab.peer, PEER_V4, 15000, serve):
        assert said(lab, f"http://{PEER_V4}:15000/") == "fine"


def test_an_ipv6_literal_and_a_name(explicit: ProxyProcess, lab: Lab) -> None:
    def serve(sock: socket.socket) -> None:
        request, _ = head(sock)
        sock.sendall(b"HTTP/1.0 200 Fine\r\n\r\n" + request.splitlines()[1])

    with Server(lab.peer, PEER_V6, DEAD, serve):
        assert said(lab, f"http://[{PEER_V6}]:{DEAD}/") == f"Host: [{PEER_V6}]:{DEAD}"
    with Server(lab.app, "127.0.0.1", DEAD, serve):
        assert said(lab, f"http://localhost:{DEAD}/") == f"Host: localhost:{DEAD}"
        assert said(lab, "-p", f"http://localhost:{DEAD}/") == f"Host: localhost:{DEAD}"


def test_what_can_not_be_reached(explicit: ProxyProcess, lab: Lab) -> None:
    assert status(lab, "http://no-such-name.invalid/") == 503
    assert status(lab, f"http://{PEER_V4}:1/") == 503
    names = ("no-such-name.invalid", f"{PEER_V4}:1")

    def flags() -> list[str]:
        return [one["flags"] for one in explicit.access_log() if one.get("authority") in names]

    until(lambda: flags() == ["UF", "UF"], "both in the log")


def test_an_answer_of_ours_leaves_the_connection_open(explicit: ProxyProcess, lab: Lab) -> None:
    urls = ["http://169.254.1.1/", f"http://{PEER_V4}:1/", f"http://{PEER_V4}:{V1}/"]
    counts = said(lab, "-o", "/dev/null", "-w", "%{num_connects}\n", "-o", "/dev/null", "-o", "/dev/null", *urls)
    assert [int(one) for one in counts.split()] == [1, 0, 0]


def test_a_client_that_goes_while_its_name_is_looked_up(explicit: ProxyProcess, lab: Lab) -> None:
    for number in range(20):
        with dial(lab.app, "127.0.0.1", PORT) as client:
            client.sendall(b"GET http://gone-%d.invalid/ HTTP/1.1\r\nHost: a\r\n\r\n" % number)
    time.sleep(0.2)
    assert status(lab, f"http://{PEER_V4}:{V1}/") == 200
