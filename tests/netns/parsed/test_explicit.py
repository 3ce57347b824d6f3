"""`--explicit-port`: the proxy as a plain forward proxy, with real curl, nginx and TLS."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.cext.http_world import head
from tests.netns.parsed.explicit_rig import EXPLICIT, PORT, curl, requests, said, status
from tests.netns.parsed.routes_rig import DEAD, SERVICES, V1, V2, VIP, http_service, to
from tests.netns.parsed.test_rules import rule
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import APP_V4, PEER_V4, ProxyProcess, Server, dial, read_all, until
from tests.unit.mesh.support import http_route, traffic_policy

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
TLS_PORT = 8443
TLS = """
daemon off; worker_processes 1; pid %(folder)s/nginx.pid; error_log %(folder)s/error.log;
events { worker_connections 256; }
http {
  access_log off; client_body_temp_path %(folder)s; proxy_temp_path %(folder)s; fastcgi_temp_path %(folder)s;
  uwsgi_temp_path %(folder)s; scgi_temp_path %(folder)s;
  server { listen %(ip)s:%(port)s ssl; ssl_certificate %(folder)s/cert.pem; ssl_certificate_key %(folder)s/key.pem;
           location / { return 200 "secret $request_uri\\n"; } }
}
"""


@pytest.fixture
def tls(lab: Lab, tmp_path: Path) -> Iterator[str]:
    """A server of https; its certificate's file."""
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=a.example"]
    names = ["-addext", f"subjectAltName=IP:{PEER_V4}"]
    subprocess.run([*make, *names, "-keyout", "key.pem", "-out", "cert.pem"], cwd=tmp_path, check=True)
    config = tmp_path / "nginx.conf"
    config.write_text(TLS % {"folder": tmp_path, "ip": PEER_V4, "port": TLS_PORT})
    process = lab.peer.popen(["nginx", "-c", str(config)], stdin=subprocess.DEVNULL)
    try:
        until(lambda: _accepts(lab, TLS_PORT), "nginx")
        yield str(tmp_path / "cert.pem")
    finally:
        process.terminate()
        process.wait()


def _accepts(lab: Lab, port: int) -> bool:
    try:
        dial(lab.peer, PEER_V4, port).close()
    except OSError:
        return False
    return True


def test_requests_go_where_they_say_in_origin_form(lab: Lab, file: Path) -> None:
    heads: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        heads.append(head(sock)[0])
        sock.sendall(b"HTTP/1.1 200 Fine\r\nCONTENT-length: 2\r\n\r\nok")
        read_all(sock)

    request = (
        b"GET HTTP://%s:%d/a%%7e?b#c HTTP/1.1\r\nhOst: other.example\r\nX-Blank:\r\n"
        b"Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic Zm9v\r\nx-last: \t1 \r\n\r\n"
    ) % (PEER_V4.encode(), DEAD)
    with Server(lab.peer, PEER_V4, DEAD, serve), proxy_with(lab, file, "", *EXPLICIT) as proxy:
        with dial(lab.app, "127.0.0.1", PORT) as client:
            client.sendall(request)
            assert client.recv(65536).startswith(b"HTTP/1.1 400 ")
        with dial(lab.app, "127.0.0.1", PORT) as client:
            client.sendall(request.replace(b"#c", b""))
            until(lambda: heads, "a request")
            assert client.recv(65536) == b"HTTP/1.1 200 Fine\r\nCONTENT-length: 2\r\n\r\nok"
        told = requests(proxy, 2)[-1]
    wanted = b"GET /a%%7e?b HTTP/1.1\r\nhOst: %s:%d\r\nX-Blank:\r\nx-last: \t1 \r\n\r\n" % (PEER_V4.encode(), DEAD)
    assert heads == [wanted]
    assert (told["authority"], told["path"], told["status"]) == (f"{PEER_V4}:{DEAD}", "/a%7e?b", 200)
    assert told["upstream"] == f"{PEER_V4}:{DEAD}"


def test_one_connection_for_several_hosts(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, "", *EXPLICIT):
        urls = [f"http://{PEER_V4}:{port}/x" for port in (V1, V2, V1, V1)]
        answers = said(lab, "-w", "%{num_connects}\n", *urls).splitlines()
    assert [one.split()[0] for one in answers[0::2]] == ["v1", "v2", "v1", "v1"]
    assert [int(one) for one in answers[1::2]] == [1, 0, 0, 0]


def test_https_by_connect(lab: Lab, file: Path, tls: str) -> None:
    with proxy_with(lab, file, "", *EXPLICIT) as proxy:
        answer = said(lab, "--cacert", tls, f"https://{PEER_V4}:{TLS_PORT}/a", f"https://{PEER_V4}:{TLS_PORT}/b")
        assert answer == "secret /a\nsecret /b\n"
        assert curl(lab, f"https://{PEER_V4}:1/").returncode != 0
        told = requests(proxy, 2)
    assert [(one["method"], one["status"]) for one in told] == [("CONNECT", 200), ("CONNECT", 503)]
    assert told[0]["upstream"] == f"{PEER_V4}:{TLS_PORT}"
    assert told[1]["flags"] == "UF"


def test_a_tunnel_carries_what_came_with_the_request(lab: Lab, file: Path) -> None:
    def serve(sock: socket.socket) -> None:
        sock.sendall(read_all(sock).upper())

    with (
        Server(lab.peer, PEER_V4, DEAD, serve),
        proxy_with(lab, file, "", *EXPLICIT),
        dial(lab.app, "127.0.0.1", PORT) as client,
    ):
        client.sendall(b"CONNECT %s:%d HTTP/1.1\r\nHost: a\r\n\r\nearly" % (PEER_V4.encode(), DEAD))
        answer, rest = head(client)
        client.sendall(b" late" * 100_000)
        client.shutdown(socket.SHUT_WR)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert rest + read_all(client) == b"EARLY" + b" LATE" * 100_000


def test_services_by_name_and_address_with_their_rules(lab: Lab, file: Path) -> None:
    route = http_route(rule("/one", to("v1")) + ", " + rule("/two", to("v2")))
    with proxy_with(lab, file, SERVICES + route, *EXPLICIT) as proxy:
        names = ("web", "web.shop", "WEB.shop.svc", "web.shop.svc.cluster.local", "web.shop.svc.cluster.local.", VIP)
        for name in names:
            assert said(lab, f"http://{name}/one").startswith("v1 /one"), name
            assert said(lab, f"http://{name}:80/two").startswith("v2 /two"), name
            assert status(lab, f"http://{name}/three") == 404, name
        told = requests(proxy, 3 * len(names))
        assert {one["service"] for one in told} == {"shop/web"}
        assert {one["route"] for one in told if one["status"] == 200} == {"shop/route"}
        for backend in ("v1", "v2"):
            assert proxy.metric("istio_requests_total", destination_service_name=backend) == len(names)
        assert proxy.metric("istio_requests_total", destination_service_name="web", response_code="404") == len(names)
        assert status(lab, "http://web:81/") == 503


def test_a_services_endpoints_share_requests_and_tunnels(lab: Lab, file: Path) -> None:
    both = http_service("both", V1, V2, ip="10.0.0.90")
    with proxy_with(lab, file, SERVICES + both, *EXPLICIT):
        served = {said(lab, "http://both/").split()[0] for _ in range(40)}
        assert served == {"v1", "v2"}
        tunnelled = {said(lab, "-p", "http://both/").split()[0] for _ in range(40)}
        assert tunnelled == {"v1", "v2"}


def fine(sock: socket.socket) -> None:
    head(sock)
    sock.sendall(b"HTTP/1.0 200 Fine\r\n\r\nfine")


def test_clients_of_other_hosts_have_no_loopback(lab: Lab) -> None:
    where = ("--explicit-listen", f"{APP_V4}, 127.0.0.1")
    with ProxyProcess(lab, *EXPLICIT, *where) as proxy:
        listed = [one for one in json.loads(proxy.request("/listeners")[1]) if one["explicit"]]
        assert [(one["port"], one["addresses"]) for one in listed] == [(PORT, [APP_V4, "127.0.0.1"])]
        with Server(lab.app, "127.0.0.1", DEAD, fine):
            ask = ["curl", "-s", "-m", "60", "-w", "%{http_code}", "-o", "/dev/null", "-x", f"http://{APP_V4}:{PORT}"]
            assert lab.peer.run([*ask, f"http://127.0.0.1:{DEAD}/"]).stdout == "403"
            assert lab.peer.run([*ask, f"http://{PEER_V4}:{V1}/"]).stdout == "200"
            assert status(lab, f"http://127.0.0.1:{DEAD}/") == 200


def test_link_local_destinations_when_allowed(lab: Lab) -> None:
    with ProxyProcess(lab, *EXPLICIT, "--explicit-allow-link-local"):
        assert status(lab, "http://169.254.1.1:1/") == 503


def test_denied_sources_have_no_service(lab: Lab, file: Path) -> None:
    denies = traffic_policy("web", "deniedSources: [127.0.0.0/8]")
    with proxy_with(lab, file, SERVICES + denies, *EXPLICIT):
        assert status(lab, "http://web/") == 403
        assert "response 403" in curl(lab, "-p", "http://web/").stderr
    with proxy_with(lab, file, SERVICES + denies.replace("127.0.0.0/8", "10.9.0.0/16"), *EXPLICIT):
        assert status(lab, "http://web/") == 200
