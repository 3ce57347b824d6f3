"""Services, routes and backends of a running proxy, completed and guessed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.parsed.routes_rig import SERVICES, curl, to
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.test_proxy_tap import tapped
from tests.unit.mesh.support import http_route
from tests.unit.tidegate.test_hints import TIDEGATE

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
ALL = SERVICES + http_route("{" + to("v1=9", "v2=1") + "}")


def completed(lab: Lab, shell: str, *words: str) -> str:
    environment = {
        **os.environ, "_TIDEGATE_COMPLETE": f"{shell}_complete", "COMP_WORDS": " ".join(("tidegate", *words)),
        "COMP_CWORD": words[-1] if shell == "fish" else str(len(words)),
    }  # fmt: skip
    process = lab.app.popen([TIDEGATE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    out, err = process.communicate(timeout=30)
    assert err == ""
    return out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_values_of_a_running_proxy_are_completed(lab: Lab, file: Path, shell: str) -> None:
    with proxy_with(lab, file, ALL):
        assert "shop/web" in completed(lab, shell, "tap", "--service", "sho")
        assert "shop/web" in completed(lab, shell, "policy", "revert", "we")
        assert "shop/route" in completed(lab, shell, "top", "--route", "shop/")
        weights = completed(lab, shell, "route", "set-weight", "web", "v")
        assert "v1=" in weights
        assert "v2=" in weights
        assert "shop/web" not in completed(lab, shell, "tap", "--service", "x")


def test_a_filter_that_names_nothing_is_doubted(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, ALL):
        argv = [sys.executable, "-P", "-m", "tidegate", "tap", "--service", "wbe", "--route", "shop/rout"]
        process = lab.app.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stderr is not None
        first, second = process.stderr.readline(), process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        assert "no Service 'wbe' is configured; did you mean web?" in first
        assert "no route 'shop/rout' is configured; did you mean shop/route?" in second
        told = lab.tidegate("route", "set-weight", "wbe", "v1=1").ended(2)
        assert "did you mean web?" in told.err
        told = lab.tidegate("top", "--json", "--for", "0.2s", "--service", "web").ok()
        assert told.err == ""


def test_a_tap_by_path_shows_requests_below_it(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, ALL) as proxy, tapped(lab, proxy, "--json", "--path", "/a") as tap:
        for path in ("/b", "/a/1"):
            assert curl(lab, path)
        assert json.loads(tap.lines(1)[0])["path"] == "/a/1"
