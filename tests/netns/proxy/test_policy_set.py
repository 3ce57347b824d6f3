"""`tidegate policy`: what a policy says is changed while the proxy runs, in force when the command returns."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.proxy.config_rig import ONE, TCP, ask, backends, dump, file, proxy_with, web
from tests.netns.proxy.proxy_rig import until
from tests.unit.mesh.support import service, traffic_policy

__all__ = ["backends", "file"]
pytestmark = pytest.mark.kernel
DENIED = "deniedSources: [0.0.0.0/0]"


def policy(lab: Lab, *argv: str, patch: str = "") -> tuple[int, str, str]:
    """Exit code and what was printed."""
    command = ["nsenter", f"--net={lab.app.path}", sys.executable, "-P", "-m", "tidegate", "policy", *argv]
    done = subprocess.run(command, input=patch, text=True, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.usefixtures("backends")
def test_a_field_is_set_listed_and_taken_back(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, web(ONE)) as proxy:
        assert ask(lab) == b"1"
        code, out, err = policy(lab, "set", "web", "--file", "-", patch=DENIED)
        assert (code, out, err) == (0, "shop/web: deniedSources, in force until the next reload\n", "")
        assert ask(lab) == b""
        code, out, _ = policy(lab, "list", "--json")
        assert (code, json.loads(out)) == (0, [{"service": "shop/web", "fields": ["deniedSources"], "keep": False}])
        code, out, _ = policy(lab, "revert", "shop/web")
        assert (code, out) == (0, "what was set for shop/web is taken back\n")
        assert ask(lab) == b"1"
        assert policy(lab, "list")[1] == "nothing is set at run time\n"
        assert "uid 0 changed a policy: shop/web: deniedSources" in proxy.stderr()


@pytest.mark.usefixtures("backends")
def test_what_is_wrong_changes_nothing_and_exits_2(lab: Lab, file: Path, tmp_path: Path) -> None:
    twins = web(ONE) + service("web", "10.0.0.99", namespace="other", port=TCP) + traffic_policy("web", "lane: splice")
    with proxy_with(lab, file, twins) as proxy:
        digest = dump(proxy)["digest"]
        patch = tmp_path / "patch.yaml"
        patch.write_text("lanes: fast\n")
        for argv, told in (
            (("set", "shop/web", "--file", str(patch)), "patch:1: lanes: there is no such field"),
            (("set", "shop/web", "--file", str(tmp_path / "none")), "none"),
            (("set", "web", "--file", str(patch)), "'web' is in several namespaces: one of other/web, shop/web"),
            (("revert", "no-such"), "no Service 'no-such' is configured"),
        ):
            code, _, err = policy(lab, *argv)
            assert code == 2
            assert told in err
        assert dump(proxy)["digest"] == digest
        assert dump(proxy)["refused"] is None


@pytest.mark.usefixtures("backends")
@pytest.mark.parametrize("keep", [True, False])
def test_a_reload_ends_what_is_not_kept(lab: Lab, file: Path, keep: bool) -> None:
    with proxy_with(lab, file, web(ONE)) as proxy:
        argv = ("set", "web", "--file", "-", *(("--keep",) if keep else ()))
        assert policy(lab, *argv, patch=DENIED)[0] == 0
        loaded = dump(proxy)["loaded_at"]
        os.kill(proxy.pid, signal.SIGHUP)
        until(lambda: dump(proxy)["loaded_at"] > loaded, "another reading")
        until(lambda: ask(lab) == (b"" if keep else b"1"), f"connections that are {'denied' if keep else 'served'}")
