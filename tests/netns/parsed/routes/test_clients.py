"""What depends on the client: session affinity, denied sources, and the least loaded endpoint, request by request."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.parsed.routes_rig import SERVICES, V1, V2, VIP, curl, http_service, to
from tests.netns.parsed.test_choice import SLOW, slow
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import PEER_V4, until
from tests.unit.mesh.support import endpoints, http_route, service, traffic_policy

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]


def affine(name: str, ip: str = "", timeout: int = 3600, port: str = "port: 80, name: http") -> str:
    spec = f"sessionAffinity: ClientIP, sessionAffinityConfig: {{clientIP: {{timeoutSeconds: {timeout}}}}}, "
    text = service(name, ip, port=port, spec=spec)
    for one in (V1, V2):
        made = endpoints(name, PEER_V4, port=one, port_name=port.partition("name: ")[2] or '""')
        text += made.replace(f"{{name: {name}-", f"{{name: {name}-{one}-")
    return text


def server(lab: Lab) -> str:
    return curl(lab, "/").split()[0]


@pytest.mark.parametrize("flags", [(), ("--ask-all",)], ids=["table", "asked"])
def test_a_clients_requests_go_to_one_endpoint(lab: Lab, file: Path, flags: tuple[str, ...]) -> None:
    with proxy_with(lab, file, affine("web", VIP), *flags) as proxy:
        assert len({server(lab) for _ in range(12)}) == 1
        log = until(lambda: len(found := [x for x in proxy.access_log() if "method" in x]) == 12 and found, "requests")
        assert len({one["upstream"] for one in log}) == 1


def test_the_affinity_of_a_backend_holds_behind_a_route(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, SERVICES + affine("both") + http_route("{" + to("both") + "}")):
        assert len({server(lab) for _ in range(12)}) == 1


def test_affinity_ends_with_its_time(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, affine("web", VIP, timeout=1)):
        found = {server(lab)}
        deadline = time.monotonic() + 60
        while len(found) == 1 and time.monotonic() < deadline:
            time.sleep(1.3)
            found.add(server(lab))
        assert found == {"v1", "v2"}


def test_connections_of_a_port_of_which_nothing_is_said_keep_their_endpoint_too(lab: Lab, file: Path) -> None:
    """The engine decides them: HTTP in them is parsed, and both kinds go to the same endpoint."""
    with proxy_with(lab, file, affine("web", VIP, port="port: 80")) as proxy:
        assert len({server(lab) for _ in range(8)}) == 1
        assert until(lambda: [one for one in proxy.access_log() if "method" in one], "requests")


def test_a_denied_source_is_reset_and_others_are_parsed(lab: Lab, file: Path) -> None:
    text = http_service("web", V1, V2, ip=VIP)
    with proxy_with(lab, file, text + traffic_policy("web", "deniedSources: [10.0.0.2/32]")) as proxy:
        done = lab.app.run(["curl", "-sS", "-m", "20", f"http://{VIP}/"], check=False)
        assert done.returncode in (7, 56), done.stderr  # the reset may come while curl still connects
        until(lambda: any(one.get("close_reason") == "denied-source" for one in proxy.access_log()), "the refusal")
    with proxy_with(lab, file, text + traffic_policy("web", "deniedSources: [10.0.0.9/32]")) as proxy:
        assert curl(lab, "/").startswith("v")
        assert until(lambda: [one for one in proxy.access_log() if "method" in one], "the request")


def test_the_least_loaded_gets_the_request_without_a_route(lab: Lab, file: Path) -> None:
    text = http_service("web", V1, SLOW, ip=VIP) + traffic_policy("web", "loadBalancer: {simple: LEAST_REQUEST}")
    with slow(lab), proxy_with(lab, file, text) as proxy:
        callers = [
            lab.app.popen(["curl", "-s", "-m", "60", f"http://{VIP}/[1-40]"], stdout=subprocess.PIPE) for _ in range(6)
        ]
        said = "".join(caller.communicate()[0] for caller in callers)
        by_server = {name: said.count(f"{name}") for name in ("v1 ", "slow")}
        assert by_server["v1 "] + by_server["slow"] == 240
        assert by_server["v1 "] > 2 * by_server["slow"], by_server
        assert [one for one in proxy.access_log() if "method" in one]
