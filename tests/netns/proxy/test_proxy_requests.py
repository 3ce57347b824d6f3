"""Requests through a real proxy: log, /requests, metrics, tap and spans tell the same of them."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab import Lab
from tests.netns.proxy.proxy_rig import PEER_V4, ProxyProcess, rules, until
from tests.netns.proxy.test_proxy_tap import tapped
from tests.unit.proxy.telemetry.collector import Collector, attributes

pytestmark = pytest.mark.kernel
PORT = 12410
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[dict[str, str]] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def web(lab: Lab) -> Iterator[list[dict[str, str]]]:
    Handler.seen.clear()
    with lab.peer.entered():
        server = http.server.ThreadingHTTPServer((PEER_V4, PORT), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield Handler.seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(lab: Lab, path: str, *headers: str) -> None:
    flags = [word for header in headers for word in ("-H", header)]
    lab.app.run(["curl", "-s", "-m", "5", "-o", "/dev/null", *flags, f"http://{PEER_V4}:{PORT}{path}"])


def admin(lab: Lab, path: str) -> str:
    return lab.app.run(["curl", "-s", "-m", "5", f"127.0.0.1:15000{path}"]).stdout


def test_all_tell_the_same_of_a_request(lab: Lab) -> None:
    environment = {**os.environ, "TIDEGATE_WORKLOAD": "shop", "POD_NAMESPACE": "store"}
    with (
        web(lab) as seen,
        rules(lab.app),
        ProxyProcess(lab, "--log-format", "json", env=environment) as proxy,
        tapped(lab, proxy, "--json", "--status", "4xx") as tap,
    ):
        ask(lab, "/cart?user=1")
        ask(lab, "/missing", f"traceparent: 00-{TRACE}-{SPAN}-01")
        (shown,) = [json.loads(line) for line in tap.lines(1)]
        asked: list[dict[str, Any]] = until(
            lambda: found if len(found := json.loads(admin(lab, "/requests"))) == 2 else 0, "both"
        )
        logged = until(
            lambda: found if len(found := [one for one in proxy.access_log() if "method" in one]) == 2 else 0, "lines"
        )
        assert asked == logged
        assert asked[1] == shown
        assert [(one["path"], one["status"], one["flags"]) for one in asked] == [
            ("/cart?user=1", 200, "-"),
            ("/missing", 404, "-"),
        ]
        assert (asked[1]["trace_id"], asked[0]["trace_id"]) == (TRACE, "-")
        assert all(one["upstream"] == f"{PEER_V4}:{PORT}" for one in asked)
        # No tracing is configured: nothing was added to the requests, and nothing changed.
        assert "traceparent" not in seen[0]
        assert seen[1]["traceparent"] == f"00-{TRACE}-{SPAN}-01"
        page = admin(lab, "/metrics")
        (line,) = [one for one in page.splitlines() if one.startswith("istio_requests_total{") and '"404"' in one]
        assert 'source_workload="shop",source_workload_namespace="store"' in line
        assert line.endswith(" 1.0")


def test_spans_have_the_ids_that_went_upstream(lab: Lab) -> None:
    with lab.app.entered():
        collector = Collector()
    thread = threading.Thread(target=collector.serve)
    thread.start()
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    try:
        with web(lab) as seen, rules(lab.app), ProxyProcess(lab, env=environment):
            ask(lab, "/continued", f"traceparent: 00-{TRACE}-{SPAN}-01")
            ask(lab, "/begun")
            ask(lab, "/unsampled", f"b3: {TRACE}-{SPAN}-0")
            until(lambda: len(collector.spans) >= 2, "the spans")
    finally:
        collector.end()
        thread.join()
    by_path = {attributes(span.attributes)["url.path"]: span for _, span in collector.spans}
    assert by_path.keys() == {"/continued", "/begun"}
    continued, begun = by_path["/continued"], by_path["/begun"]
    assert (continued.trace_id.hex(), continued.parent_span_id.hex()) == (TRACE, SPAN)
    assert seen[0]["traceparent"] == f"00-{TRACE}-{continued.span_id.hex()}-01"
    assert seen[1]["traceparent"] == f"00-{begun.trace_id.hex()}-{begun.span_id.hex()}-01"
    assert begun.parent_span_id == b""
    assert seen[2]["b3"].startswith(f"{TRACE}-")
    assert seen[2]["b3"].endswith("-0")
    assert SPAN not in seen[2]["b3"]
