"""`tidegate route set-weight` on a real proxy: in force when it returns, gone with a reload unless it is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.command_line import ROOT
from tests.netns.proxy.config_rig import ask, backends, dump, file, in_force, proxy_with, split
from tests.netns.proxy.proxy_rig import ProxyProcess

__all__ = ["backends", "file"]
pytestmark = pytest.mark.kernel


def set_weight(lab: Lab, *words: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-P", "-m", "tidegate", "route", "set-weight", *words]
    return lab.app.run(command, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})


def reload(proxy: ProxyProcess) -> None:
    digest = dump(proxy)["digest"]
    os.kill(proxy.pid, signal.SIGHUP)
    in_force(proxy, digest)


@pytest.mark.usefixtures("backends")
def test_weights_are_in_force_at_once_and_gone_with_a_reload(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, split(1, 0)) as proxy:
        assert ask(lab) == b"1"
        done = set_weight(lab, "web", "one=0", "two=1")
        assert (done.returncode, ask(lab)) == (0, b"2"), done.stderr
        assert "until the next reload" in done.stdout
        reload(proxy)
        assert ask(lab) == b"1"
        assert "uid 0 set the weights of shop/web one=0 two=1" in proxy.stderr()


@pytest.mark.usefixtures("backends")
def test_what_is_kept_outlives_a_reload(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, split(1, 0)) as proxy:
        assert set_weight(lab, "shop/web", "two=5", "--keep").returncode == 0
        assert set_weight(lab, "web", "one=0").returncode == 0
        assert {ask(lab) for _ in range(6)} == {b"2"}
        reload(proxy)
        assert {ask(lab) for _ in range(40)} == {b"1", b"2"}


@pytest.mark.usefixtures("backends")
def test_what_is_wrong_changes_nothing(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, split(1, 0)) as proxy:
        digest = dump(proxy)["digest"]
        for words, told in (
            (("nobody", "one=1"), "no Service 'nobody'"),
            (("web", "three=1"), "no backendRef is named 'three': one of one, two"),
            (("web", "one=-1"), "expected NAME=W"),
            (("web", "one"), "expected NAME=W"),
        ):
            wrong = set_weight(lab, *words)
            assert (wrong.returncode, told in wrong.stderr) == (2, True), wrong.stderr
        other = set_weight(lab, "web", "two=1", before=("setpriv", "--reuid=65534", "--clear-groups"))
        assert (other.returncode, "only root" in other.stderr) == (4, True), other.stderr
        assert dump(proxy)["digest"] == digest
