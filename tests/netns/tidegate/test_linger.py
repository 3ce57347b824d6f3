"""`tidegate linger` ends when the workload's last socket has gone, and not before."""

import json
import subprocess
import sys
import time

import pytest

from tests.lab.lab import Lab

pytestmark = pytest.mark.kernel
TIDEGATE = [sys.executable, "-P", "-m", "tidegate"]
HOLD = "import socket,sys; s=socket.create_server(('127.0.0.1', 7001)); print('open', flush=True); sys.stdin.read()"


def holder(lab: Lab, uid: int) -> "subprocess.Popen[str]":
    who = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    process = lab.app.popen([*who, "/usr/bin/python3", "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def test_it_waits_for_the_workload(lab: Lab) -> None:
    with holder(lab, 1000) as workload, lab.app.popen([*TIDEGATE, "linger", "--timeout", "20"]) as waiting:
        time.sleep(1.0)
        assert waiting.poll() is None
        workload.communicate()
        ended = time.monotonic()
        assert waiting.wait(10) == 0
        assert time.monotonic() - ended < 2


def test_the_proxys_own_sockets_do_not_count(lab: Lab) -> None:
    with holder(lab, 1337) as proxy:
        told = lab.app.run([*TIDEGATE, "linger", "--json"]).stdout
        assert json.loads(told)["idle"] is True
        proxy.communicate()


def test_it_gives_up_when_the_time_is_over(lab: Lab) -> None:
    with holder(lab, 1000) as workload:
        done = lab.app.run([*TIDEGATE, "linger", "--timeout", "0.3"], check=False)
        assert done.returncode == 1
        assert "1 sockets of the workload are still open" in done.stderr
        workload.communicate()
