"""The keeper of `--when-down open`: names that any process may bind don't stand in the way of `init` and `cleanup`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.patience import patient

pytestmark = pytest.mark.kernel

# A workload without privileges: it binds names that end in the pids that come next, and some whose queues are full.
SQUATTER = """
import os, resource, socket, sys
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 20000), most))
os.setresgid(1000, 1000, 1000); os.setresuid(1000, 1000, 1000)
held = []
for number in range(os.getpid(), os.getpid() + 4000):
    door = socket.socket(socket.AF_UNIX)
    door.bind(f"\\0tidegate-keeper/{sys.argv[1]}/15001-15006-15053/{number}")
    held.append(door)
for door in held[:10]:
    door.listen(0)
    caller = socket.socket(socket.AF_UNIX)
    caller.connect(door.getsockname())
    held.append(caller)
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["nftables", "iptables"])
def squatted(request: pytest.FixtureRequest, lab: Lab) -> Iterator[str]:
    """The mode of the keeper whose names are taken."""
    process = lab.app.popen(
        [sys.executable, "-c", SQUATTER, request.param], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield request.param


def test_squatters_do_not_stop_init_and_cleanup(lab: Lab, squatted: str) -> None:
    for command in (("init", "--mode", squatted, "--when-down", "open"), ("cleanup",)):
        began = time.monotonic()
        lab.tidegate(*command).ok()
        assert time.monotonic() - began < patient(10)
