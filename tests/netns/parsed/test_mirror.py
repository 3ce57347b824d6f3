"""RequestMirror: HTTPRouteRequestMirror, ...MultipleMirrors and ...PercentageMirror of Gateway API's conformance, by
what the servers see."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.cext.http_world import exactly, head
from tests.netns.parsed.routes_rig import DEAD, SERVICES, curl, http_service, status, to
from tests.netns.parsed.test_rules import rule
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import PEER_V4, ProxyProcess, Server, until
from tests.unit.mesh.support import http_route

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
ONE, TWO = 8111, 8112
MIRRORS = http_service("one", ONE) + http_service("two", TWO) + http_service("odd", DEAD)
COUNTED = """
daemon off; worker_processes 1; pid %(folder)s/pid; error_log %(folder)s/error.log; events { worker_connections 1024; }
http {
  client_body_temp_path %(folder)s; proxy_temp_path %(folder)s; fastcgi_temp_path %(folder)s;
  uwsgi_temp_path %(folder)s; scgi_temp_path %(folder)s; log_format target '$request_uri';
  server { listen %(ip)s:8111; access_log %(folder)s/one.log target; return 500 "a mirror's answer\\n"; }
  server { listen %(ip)s:8112; access_log %(folder)s/two.log target; return 200 "a mirror's answer\\n"; }
}
"""


class Seen:
    """What two nginx servers have logged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def targets(self, name: str) -> list[str]:
        log = self._folder / f"{name}.log"
        return log.read_text().split() if log.exists() else []

    def counts(self) -> tuple[int, int]:
        return len(self.targets("one")), len(self.targets("two"))


@pytest.fixture
def seen(lab: Lab, tmp_path: Path) -> Iterator[Seen]:
    config = tmp_path / "nginx.conf"
    config.write_text(COUNTED % {"folder": tmp_path, "ip": PEER_V4})
    process = lab.peer.popen(["nginx", "-c", str(config)], stdin=subprocess.DEVNULL)
    try:
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "two.log").exists(), "nginx")
        yield Seen(tmp_path)
    finally:
        process.terminate()
        process.wait()


def mirror(name: str, share: str = "") -> str:
    more = f", {share}" if share else ""
    return f"{{type: RequestMirror, requestMirror: {{backendRef: {{name: {name}, port: 80}}{more}}}}}"


def mirrored(*filters: str) -> str:
    return SERVICES + MIRRORS + http_route(rule("/", f"filters: [{', '.join(filters)}]", to("v1")))


def outcomes(proxy: ProxyProcess) -> dict[str, int]:
    name = "tidegate_mirrored_requests_total"
    return {one: int(proxy.metric(name, outcome=one)) for one in ("answered", "failed", "dropped")}


def test_each_request_goes_to_both(lab: Lab, file: Path, seen: Seen) -> None:
    with proxy_with(lab, file, mirrored(mirror("one"), mirror("two"))) as proxy:
        answers = curl(lab, "/some/[1-50]").splitlines()
        assert {one.split()[0] for one in answers} == {"v1"}
        until(lambda: seen.counts() == (50, 50), "fifty copies each")
        assert sorted(seen.targets("one")) == sorted(f"/some/{number}" for number in range(1, 51))
        until(lambda: outcomes(proxy) == {"answered": 100, "failed": 0, "dropped": 0}, "the copies' ends")
        told = [one for one in proxy.access_log() if "method" in one]
        assert len(told) == 50


@pytest.mark.parametrize("flags", [(), ("--ask-all",)])
def test_shares(lab: Lab, file: Path, seen: Seen, flags: tuple[str, ...]) -> None:
    share = "fraction: {numerator: 1, denominator: 3}"
    with proxy_with(lab, file, mirrored(mirror("one", "percent: 20"), mirror("two", share)), *flags) as proxy:
        assert len(curl(lab, "/[1-900]").splitlines()) == 900
        until(lambda: sum(outcomes(proxy).values()) == outcomes(proxy)["answered"] == sum(seen.counts()), "the copies")
    one, two = seen.counts()
    assert 120 <= one <= 240  # 180, sigma 12
    assert 229 <= two <= 371  # 300, sigma 14


def test_no_share_and_a_whole_one(lab: Lab, file: Path, seen: Seen) -> None:
    whole = "fraction: {numerator: 7, denominator: 7}"
    with proxy_with(lab, file, mirrored(mirror("one", "percent: 0"), mirror("two", whole))) as proxy:
        curl(lab, "/[1-40]")
        until(lambda: outcomes(proxy)["answered"] == 40, "the copies")
    assert seen.counts() == (0, 40)


def test_the_copy_is_what_is_sent(lab: Lab, file: Path) -> None:
    copies: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        rest = b""
        while True:
            request, rest = head(sock, rest)
            length = int(dict(_fields(request)).get(b"content-length", b"0"))
            body = rest + exactly(sock, length - len(rest))
            copies.append(request + body)
            rest = b""
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            sock.sendall(b"3\r\nabc\r\n0\r\n\r\n")

    edit = "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-set, value: new}], remove: [x-gone]}}"
    with (
        Server(lab.peer, PEER_V4, DEAD, serve) as server,
        proxy_with(lab, file, mirrored(edit, mirror("odd"))) as proxy,
    ):
        answer = curl(lab, "/edited?q=1", "-H", "x-gone: g", "-H", "x-set: old", "-d", "b" * 50_000)
        assert answer == "v1 /edited?q=1 added= set=new gone= host=10.0.0.80\n"
        until(lambda: outcomes(proxy)["answered"] == 1, "the copy's end")
        assert status(lab, "/again", "-I") == 200
        until(lambda: outcomes(proxy)["answered"] == 2, "both answers")
        assert len(server.peers) == 1, "the mirror's connection is used again"
    sent, body = copies[0].split(b"\r\n\r\n", 1)
    assert sent.startswith(b"POST /edited?q=1 HTTP/1.1\r\nHost: 10.0.0.80\r\n")
    assert b"x-set: new" in sent
    assert b"x-gone" not in sent
    assert body == b"b" * 50_000


def _fields(request: bytes) -> Iterator[tuple[bytes, bytes]]:
    for line in request.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            yield name.lower(), value.strip()


def _nonsense(sock: socket.socket) -> None:
    head(sock)
    sock.sendall(b"SSH-2.0-nonsense\r\n" * 10)


def _silence(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.recv(65536)


def _endless(sock: socket.socket) -> None:
    head(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    with contextlib.suppress(OSError):
        while True:
            sock.sendall(b"x" * 65536)


@pytest.mark.parametrize("serve", [None, _nonsense, _silence], ids=["refuses", "nonsense", "closes"])
def test_a_mirror_that_fails_touches_no_request(lab: Lab, file: Path, serve: object) -> None:
    where = contextlib.nullcontext() if serve is None else Server(lab.peer, PEER_V4, DEAD, serve)  # type: ignore[arg-type]
    with where, proxy_with(lab, file, mirrored(mirror("odd"))) as proxy:
        answers = curl(lab, "/[1-20]", "-w", "%{http_code}\n").splitlines()
        assert answers[1::2] == ["200"] * 20
        until(lambda: (found := outcomes(proxy))["failed"] + found["dropped"] == 20, "the copies' ends")
        assert [one["flags"] for one in proxy.access_log() if "method" in one] == ["-"] * 20


def test_an_endless_answer_is_cut(lab: Lab, file: Path) -> None:
    with Server(lab.peer, PEER_V4, DEAD, _endless), proxy_with(lab, file, mirrored(mirror("odd"))) as proxy:
        assert status(lab, "/") == 200
        until(lambda: outcomes(proxy)["answered"] == 1, "the cut")


def test_what_is_too_large_or_too_much_is_counted_and_told(lab: Lab, file: Path) -> None:
    """A mirror that takes what it gets and never answers."""
    held: list[socket.socket] = []

    def hold(sock: socket.socket) -> None:
        held.append(sock)
        with contextlib.suppress(OSError):
            while sock.recv(65536):
                pass

    body = file.with_name("body")
    body.write_bytes(b"l" * 300_000)
    with Server(lab.peer, PEER_V4, DEAD, hold), proxy_with(lab, file, mirrored(mirror("odd"))) as proxy:
        before = time.monotonic()
        assert status(lab, "/large", "--data-binary", f"@{body}") == 200
        until(lambda: outcomes(proxy)["dropped"] == 1, "the large one")
        until(lambda: "not sent to their mirrors" in proxy.stderr(), "a line in the log")
        answers = curl(lab, "/[1-300]").splitlines()
        assert len(answers) == 300
        if time.monotonic() - before < 14:  # none of them is too old yet
            assert outcomes(proxy)["dropped"] == 1 + 300 - 256
        until(lambda: outcomes(proxy)["failed"] == 256, "the others to be given up", 30)


def test_a_mirror_that_is_not_there_gets_nothing(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, mirrored(mirror("absent"))) as proxy:
        assert status(lab, "/") == 200
        assert outcomes(proxy) == {"answered": 0, "failed": 0, "dropped": 0}


def test_a_filter_of_one_backend(lab: Lab, file: Path, seen: Seen) -> None:
    backend = f"backendRefs: [{{name: v1, port: 80}}, {{name: v2, port: 80, filters: [{mirror('one')}]}}]"
    with proxy_with(lab, file, SERVICES + MIRRORS + http_route(rule("/", backend))) as proxy:
        said = [line.split()[0] for line in curl(lab, "/[1-60]").splitlines()]
        until(lambda: outcomes(proxy)["answered"] == said.count("v2"), "the copies")
        assert seen.counts() == (said.count("v2"), 0)
