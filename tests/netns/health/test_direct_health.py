"""One health for all lanes: what the kernel's own connections show to be dead, the kernel no longer chooses."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.direct.test_direct_proxy import backends, captured, direct, logged
from tests.netns.health.test_health import endpoint
from tests.netns.proxy.config_rig import DEAD, ONE, ask, file, says, web
from tests.netns.proxy.proxy_rig import PEER_V4, Server, until
from tests.unit.mesh.support import traffic_policy

__all__ = ["backends", "captured", "file"]
pytestmark = pytest.mark.kernel

EJECTING = "outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 3s, maxEjectionPercent: 100}"


@pytest.mark.takes(12)
def test_a_dead_endpoint_gets_no_direct_connection_until_it_is_well(lab: Lab, file: Path) -> None:
    def asked() -> bytes:
        with contextlib.suppress(ConnectionRefusedError):
            return ask(lab)
        return b""

    with direct(lab, file, web(ONE, DEAD) + traffic_policy("web", EJECTING)) as proxy:
        until(lambda: asked() and endpoint(proxy, DEAD)["health"] == "ejected", "the dead endpoint to be ejected", 30)
        time.sleep(0.3)  # on its way to the kernel
        assert [ask(lab) for _ in range(30)] == [b"1"] * 30
        until(lambda: logged(proxy, "direct"), "the kernel's records")
        assert not logged(proxy, "splice")
        with Server(lab.peer, PEER_V4, DEAD, says(b"3")):
            until(lambda: asked() and endpoint(proxy, DEAD)["health"] == "healthy", "the endpoint to be whole", 30)
            until(lambda: asked() == b"3", "the endpoint to be used again")
