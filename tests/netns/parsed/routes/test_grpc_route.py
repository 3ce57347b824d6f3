"""GRPCRoute before there is HTTP/2: it is named, and its requests go to the Service itself, untouched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.parsed.routes_rig import NGINX, SERVICES, V2, VIP, curl, http_service, to
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import PEER_V4, ROOT, until
from tests.unit.mesh.support import endpoints, http_route, service

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions", "http2")]
H2 = 8106
GRPC = "port: 80, name: grpc-main"


@pytest.fixture(scope="module")
def http2(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An nginx that speaks HTTP/2 without TLS, as gRPC servers do."""
    folder = tmp_path_factory.mktemp("http2")
    server = f'server {{ listen {PEER_V4}:{H2} http2; location / {{ return 200 "own\\n"; }} }}'
    file = folder / "nginx.conf"
    file.write_text(NGINX % {"folder": folder, "servers": server})
    process = lab.peer.popen(["nginx", "-c", str(file)], stdin=subprocess.DEVNULL)
    try:
        probe = ["curl", "-s", "--http2-prior-knowledge", "-o", "/dev/null", f"http://{PEER_V4}:{H2}/"]
        until(lambda: lab.peer.run(probe, check=False).returncode == 0, "nginx")
        yield
    finally:
        process.terminate()
        process.wait()


def text() -> str:
    own = service("web", VIP, port=GRPC) + endpoints("web", PEER_V4, port=H2, port_name="grpc-main")
    return own + http_service("v2", V2) + http_route("{" + to("v2") + "}", kind="GRPCRoute", name="calls")


def test_it_is_named_and_its_requests_go_to_the_service_itself(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, text()) as proxy:
        assert curl(lab, "/shop.Cart/Add", "--http2-prior-knowledge", "-X", "POST", "-d", "x") == "own\n"
        assert "GRPCRoute shop/calls is not obeyed in this version: requests that it matches go to" in proxy.stderr()
        (one,) = until(proxy.access_log, "the connection")
        assert (one["protocol"], one["lane"]) == ("http/2", "splice")


def test_config_check_names_it(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text())
    command = [sys.executable, "-P", "-m", "tidegate", "config", "check", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "GRPCRoute shop/calls is not obeyed" in done.stdout + done.stderr


def test_beside_an_http_route_the_latter_is_obeyed(lab: Lab, file: Path) -> None:
    both = (
        SERVICES + http_route("{" + to("v2") + "}") + http_route("{" + to("v1") + "}", kind="GRPCRoute", name="calls")
    )
    with proxy_with(lab, file, both):
        assert curl(lab, "/").startswith("v2 ")
