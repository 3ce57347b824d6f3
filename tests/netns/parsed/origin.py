"""Servers in the peer's namespace that say what they were asked, and take the time that they are asked to take."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab import Lab
from tests.netns.proxy.proxy_rig import PEER_V4


class Origin(http.server.ThreadingHTTPServer):
    """`seen` counts requests by path; `after_s` holds every answer back; `status` is what it answers with."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, name: str) -> None:
        super().__init__((PEER_V4, port), _Handler)
        self.name = name
        self.seen: Counter[str] = Counter()
        self.after_s = 0.0
        self.status = 200
        self.connections = 0
        self.lock = threading.Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is no error here."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Origin

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def do_GET(self) -> None:
        origin = self.server
        with origin.lock:
            origin.seen[self.path] += 1
        self.rfile.read(int(self.headers.get("content-length", 0)))
        time.sleep(origin.after_s)
        body = json.dumps({"name": origin.name, "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(origin.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def origins(lab: Lab, *ports: int) -> Iterator[list[Origin]]:
    """One at each port, named by it."""
    with lab.peer.entered():
        servers = [Origin(port, str(port)) for port in ports]
    threads = [threading.Thread(target=one.serve_forever, args=(0.02,)) for one in servers]
    for thread in threads:
        thread.start()
    try:
        yield servers
    finally:
        for one in servers:
            one.shutdown()
            one.server_close()
        for thread in threads:
            thread.join()
