"""One throwaway world a measurement: a pod and a service namespace on a veth, with real servers on several addresses.

Fresh each time, because REDIRECT with a connection per request fills ports and conntrack of a namespace in seconds.
"""

import contextlib
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Program, folder
from demo.network import Network, ip

ADDRESSES = tuple(f"10.77.0.{last}" for last in range(10, 18))
"""Of the service. Short connections spread over all of them: each has its own ephemeral ports."""
HTTP_PORT, BULK_PORT = 80, 5201
BULK_ADDRESS = ADDRESSES[0]
DESTINATIONS = (*((address, HTTP_PORT) for address in ADDRESSES), (BULK_ADDRESS, BULK_PORT))
BODY_BYTES = 1024
BIG_BYTES = 1_000_000
PROXY_UID = 1337
PROXY_PORT = 15001


@dataclass(frozen=True, slots=True)
class World:
    pod: str
    """The namespace of the clients and the proxy."""
    service: str
    home: Path
    """A folder for the contestant's files; gone with the world."""


@contextlib.contextmanager
def world() -> Iterator[World]:
    """Namespaces and servers, up; all gone afterwards."""
    with folder() as home, Network() as network:
        for address in ADDRESSES:
            ip("-n", network.peer, "addr", "add", f"{address}/24", "dev", "eth0")
        for name in (network.app, network.peer):
            ip("netns", "exec", name, "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65000")
        with _http(network.peer, home) as http, Program(network.peer, ["iperf3", "-s", "-4"]) as bulk:
            http.wait_listening(HTTP_PORT)
            bulk.wait_listening(BULK_PORT)
            yield World(network.app, network.peer, home)


def _http(netns: str, home: Path) -> Program:
    """nginx: `/` is a small page, `/big` a large one; `/port` says from which port it is asked, which tells whether a
    proxy is between."""
    pages = home / "pages"
    pages.mkdir()
    (pages / "index.html").write_bytes(b"x" * BODY_BYTES)
    (pages / "big").write_bytes(b"x" * BIG_BYTES)
    config = home / "server.conf"
    config.write_text(f"""
daemon off; pid {home}/server.pid; error_log stderr; worker_processes 1; user root;
events {{ worker_connections {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}; }}
http {{
  access_log off; sendfile on; tcp_nopush on;
  keepalive_requests 100000000; keepalive_timeout 600s;
  open_file_cache max=10;
  client_body_temp_path {home}/1; proxy_temp_path {home}/2; fastcgi_temp_path {home}/3;
  uwsgi_temp_path {home}/4; scgi_temp_path {home}/5;
  server {{
    listen {HTTP_PORT} backlog=4096; root {pages};
    location = /port {{ return 200 $remote_port; }}
  }}
}}
""")
    return Program(netns, ["nginx", "-e", "stderr", "-c", str(config)])
