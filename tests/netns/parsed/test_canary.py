"""A canary: shares of requests by weight, changed while requests are made, none of which fails."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.parsed.routes_rig import SERVICES, VIP, curl, shares, to
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.test_set_weight import set_weight
from tests.unit.mesh.support import http_route

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]


def canary(one: int, two: int) -> str:
    return SERVICES + http_route("{" + to(f"v1={one}", f"v2={two}") + "}")


def within(found: Counter[str], share: float) -> bool:
    """Five standard deviations about what is expected of v2."""
    count = sum(found.values())
    return abs(found["v2"] - count * share) <= 5 * (count * share * (1 - share)) ** 0.5


def test_shares_are_those_of_the_weights(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, canary(90, 10)) as proxy:
        assert within(shares(lab, 2000), 0.1)
        assert proxy.metric("istio_requests_total", response_code="200") == 2000
        assert proxy.metric("tidegate_request_attempts_total", route="shop/route") == 2000


def test_weights_are_changed_under_load_without_a_failed_request(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, canary(90, 10)):
        command = ["curl", "-s", "-m", "60", "-o", "/dev/null", "-w", "%{http_code}\n"]
        with lab.app.popen([*command, "--rate", "400/s", f"http://{VIP}/[1-1600]"], stdout=subprocess.PIPE) as load:
            for weights in ((50, 50), (0, 100), (100, 0)):
                done = set_weight(lab, "shop/web", f"v1={weights[0]}", f"v2={weights[1]}")
                assert done.returncode == 0, done.stderr
                assert within(shares(lab, 400), weights[1] / 100)
            assert load.stdout is not None
            codes = load.stdout.read().split()
        assert Counter(codes) == {"200": 1600}


def test_requests_of_one_connection_go_to_different_versions(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, canary(1, 1)):
        said = curl(lab, "/[1-40]", "-w", "%{num_connects}\n").splitlines()
        assert sum(int(line) for line in said[1::2]) == 1
        assert {line.split()[0] for line in said[0::2]} == {"v1", "v2"}
