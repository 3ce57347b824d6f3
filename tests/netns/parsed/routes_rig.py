"""A proxy with HTTPRoutes, real nginx servers behind it, and curl in front."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.lab import Lab
from tests.netns.proxy.proxy_rig import PEER_V4, until
from tests.unit.mesh.support import endpoints, service

VIP = "10.0.0.80"
OTHER_VIP = "10.0.0.81"
V1, V2, DEAD = 8101, 8102, 8103
HTTP = "port: 80, name: http"
NGINX = """
daemon off; worker_processes 1; pid %(folder)s/nginx.pid; error_log %(folder)s/error.log;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 100000; client_body_temp_path %(folder)s; proxy_temp_path %(folder)s;
  fastcgi_temp_path %(folder)s; uwsgi_temp_path %(folder)s; scgi_temp_path %(folder)s;
%(servers)s
}
"""
SERVER = """
  server {
    listen %(place)s;
    location / {
      default_type text/plain; add_header x-server %(name)s always; add_header x-secret s always;
      return 200 "%(name)s $request_uri added=$http_x_added set=$http_x_set gone=$http_x_gone host=$http_host\\n";
    }
    location /unwell { return 503 "%(name)s is unwell\\n"; }
  }
"""


@contextlib.contextmanager
def nginx(lab: Lab, folder: Path, **ports: int) -> Iterator[None]:
    """Servers of these names."""
    servers = "".join(SERVER % {"place": f"{PEER_V4}:{port}", "name": name} for name, port in ports.items())
    file = folder / "nginx.conf"
    file.write_text(NGINX % {"folder": folder, "servers": servers})
    process = lab.peer.popen(["nginx", "-c", str(file)], stdin=subprocess.DEVNULL)
    try:
        until(lambda: all(_listens(lab, port) for port in ports.values()), "nginx")
        yield
    finally:
        process.terminate()
        process.wait()


def _listens(lab: Lab, port: int) -> bool:
    return lab.peer.run(["curl", "-s", "-o", "/dev/null", f"http://{PEER_V4}:{port}/"], check=False).returncode == 0


def http_service(name: str, *ports: int, ip: str = "", namespace: str = "shop") -> str:
    """With an endpoint at each of PEER's ports."""
    text = service(name, ip, port=HTTP, namespace=namespace)
    for port in ports:
        one = endpoints(name, PEER_V4, port=port, port_name="http", namespace=namespace)
        text += one.replace(f"{{name: {name}-", f"{{name: {name}-{port}-")
    return text


SERVICES = http_service("web", V1, ip=VIP) + http_service("v1", V1) + http_service("v2", V2)


def to(*backends: str, more: str = "") -> str:
    """The end of a rule: backendRefs, each NAME or NAME=WEIGHT."""
    refs = []
    for one in backends:
        name, _, weight = one.partition("=")
        refs.append(f"{{name: {name}, port: 80, weight: {weight or 1}{more}}}")
    return f"backendRefs: [{', '.join(refs)}]"


def curl(lab: Lab, path: str, *flags: str, ip: str = VIP) -> str:
    """What is written to its output. A range such as [1-9] in the path makes requests one after the other."""
    done = lab.app.run(["curl", "-sS", "-m", "60", *flags, f"http://{ip}{path}"], check=False)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def status(lab: Lab, path: str, *flags: str, ip: str = VIP) -> int:
    return int(curl(lab, path, "-o", "/dev/null", "-w", "%{http_code}", *flags, ip=ip))


def shares(lab: Lab, count: int, path: str = "/") -> Counter[str]:
    """Which server answered how many of so many requests."""
    said = curl(lab, f"{path}[1-{count}]").splitlines()
    assert len(said) == count
    return Counter(line.split()[0] for line in said)


def quiet(seconds: float) -> None:
    time.sleep(seconds)
