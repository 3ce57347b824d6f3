"""Which endpoint gets a request: peak EWMA, another one after a failure, retries and time limits of a rule."""

from __future__ import annotations

import http.server
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.parsed.routes_rig import DEAD, SERVICES, V1, V2, VIP, curl, http_service, shares, status, to
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import PEER_V4, until
from tests.unit.mesh.support import http_route, traffic_policy

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
SLOW = 8104


class Slow(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        time.sleep(0.2)
        body = b"slow\n"
        self.send_response(503 if "unwell" in self.path else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def slow(lab: Lab) -> Iterator[None]:
    with lab.peer.entered():
        server = http.server.ThreadingHTTPServer((PEER_V4, SLOW), Slow)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_slow_endpoint_is_shunned(lab: Lab, file: Path) -> None:
    with slow(lab), proxy_with(lab, file, http_service("web", V1, V2, SLOW, ip=VIP)):
        found = shares(lab, 600)
        assert found["slow"] < 20, found
        assert min(found["v1"], found["v2"]) > 150, found


def test_a_dead_endpoint_costs_no_request(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, http_service("web", V1, DEAD, ip=VIP)):
        assert shares(lab, 50) == Counter(v1=50)


def test_without_an_endpoint_requests_get_503(lab: Lab, file: Path) -> None:
    text = SERVICES + http_service("empty") + http_route("{" + to("empty") + "}")
    text += (
        "\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        "metadata: {name: empty-1, namespace: shop, labels: {kubernetes.io/service-name: empty}}\n"
        "addressType: IPv4\nports: [{name: http, port: 80}]\nendpoints: []\n"
    )
    with proxy_with(lab, file, text) as proxy:
        assert status(lab, "/") == 503
        (one,) = until(lambda: [line for line in proxy.access_log() if "method" in line], "the request")
        assert one["flags"] == "UH"


def test_a_rules_retries_go_to_another_endpoint(lab: Lab, file: Path) -> None:
    rule = "{retry: {codes: [503], attempts: 3, backoff: 10ms}, " + to("both") + "}"
    with slow(lab), proxy_with(lab, file, SERVICES + http_service("both", V1, SLOW) + http_route(rule)) as proxy:
        assert status(lab, "/unwell") == 503
        (one,) = until(lambda: [line for line in proxy.access_log() if "method" in line], "the request")
        assert one["attempts"] > 1


def test_a_rules_time_limit_is_504(lab: Lab, file: Path) -> None:
    rule = "{timeouts: {request: 100ms}, " + to("late") + "}"
    with slow(lab), proxy_with(lab, file, SERVICES + http_service("late", SLOW) + http_route(rule)) as proxy:
        began = time.monotonic()
        assert status(lab, "/") == 504
        assert time.monotonic() - began < 2
        (one,) = until(lambda: [line for line in proxy.access_log() if "method" in line], "the request")
        assert one["flags"] == "UT"


def test_a_policys_time_limit_and_retries_hold_without_a_route(lab: Lab, file: Path) -> None:
    spec = "timeouts: {request: 100ms}, retries: {attempts: 1, retryOn: ['503']}"
    text = http_service("web", SLOW, ip=VIP) + traffic_policy("web", spec)
    with slow(lab), proxy_with(lab, file, text) as proxy:
        assert status(lab, "/") == 504
        assert proxy.stderr().count("not obeyed") == 0
    text = http_service("web", SLOW, ip=VIP) + traffic_policy("web", "retries: {attempts: 2, retryOn: ['503']}")
    with slow(lab), proxy_with(lab, file, text) as proxy:
        assert status(lab, "/unwell") == 503
        (one,) = until(lambda: [line for line in proxy.access_log() if "method" in line], "the request")
        assert one["attempts"] == 3


def test_a_request_that_takes_less_than_its_limit_is_left_alone(lab: Lab, file: Path) -> None:
    rule = "{timeouts: {request: 5s, backendRequest: 2s}, " + to("late") + "}"
    with slow(lab), proxy_with(lab, file, SERVICES + http_service("late", SLOW) + http_route(rule)):
        assert curl(lab, "/") == "slow\n"
