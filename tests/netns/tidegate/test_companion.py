"""The process beside the proxy that stays root: it does its work with what it keeps, and keeps nothing more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.lab import ROOT_USER
from tests.lab.own_proxy import OwnProxy
from tests.lab.patience import patient
from tidegate.beside.privileges import COMPANION, NUMBERS

pytestmark = pytest.mark.kernel


@pytest.fixture
def sidecar(lab: Lab) -> Iterator[OwnProxy]:
    lab.serve_app()
    with OwnProxy(lab.app) as running:
        running.wait_ready()
        yield running
    lab.tidegate("cleanup").ok()


def companion_of(proxy: int) -> int:
    for child in Path(f"/proc/{proxy}/task/{proxy}/children").read_text().split():
        if Path(f"/proc/{child}/comm").read_text() == "tidegate-watch\n":
            return int(child)
    raise AssertionError(f"proxy {proxy} has no companion")


def eventually(holds: Callable[[], bool], what: str, within_s: float = 6) -> None:
    deadline = time.monotonic() + patient(within_s)
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_it_keeps_what_is_documented_and_can_get_nothing_back(sidecar: OwnProxy) -> None:
    wanted = sum(1 << NUMBERS[name] for name in COMPANION)
    lines = Path(f"/proc/{companion_of(sidecar.pid)}/status").read_text().splitlines()
    status = {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}
    assert {one: int(status[one], 16) for one in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")} == {
        "CapPrm": wanted,
        "CapEff": wanted,
        "CapBnd": wanted,
        "CapInh": 0,
        "CapAmb": 0,
    }
    assert status["NoNewPrivs"] == "1"
    text = " ".join((Path(__file__).parents[3] / "docs" / "capture.md").read_text().split())
    sentence = text[text.index("The companion keeps") : text.index("and no_new_privs")]
    assert {name for name in NUMBERS if name in sentence} == COMPANION


DIES_EARLY = """
import os
from pathlib import Path
from tidegate.beside import companion
companion.start(15001)
print(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text(), flush=True)
os.setresgid(1337, 1337, 1337)
os.setresuid(1337, 1337, 1337)
os._exit(0)
"""


def test_it_ends_with_a_proxy_that_ends_before_it_listens(lab: Lab) -> None:
    """The kernel's death signal is the dead proxy's, whose user may not signal root: it does not arrive."""
    with lab.app.popen([sys.executable, "-c", DIES_EARLY], stdout=subprocess.PIPE) as proxy:
        assert proxy.stdout is not None
        pid = proxy.stdout.readline().strip()  # the companion may hold it open: no reading to the end
    try:
        eventually(lambda: not has_name(pid, "tidegate-watch"), f"the companion {pid} lives on without a proxy")
    finally:
        if has_name(pid, "tidegate-watch"):
            os.kill(int(pid), signal.SIGKILL)


@pytest.mark.takes(4)
def test_it_ends_at_once_with_a_proxy_that_was_killed(lab: Lab, backend: str) -> None:
    """At any moment of its rounds, a look at capture among them: the end of its channel wakes it."""
    lab.serve_app()
    lab.tidegate("init", "--mode", backend).ok()
    try:
        for moment in (0.5, 1.7, 2.1):
            with OwnProxy(lab.app) as proxy:
                proxy.wait_ready()
                companion = str(companion_of(proxy.pid))
                time.sleep(moment)
                proxy.kill()
                eventually(lambda pid=companion: not has_name(pid, "tidegate-watch"), "it lives on", within_s=0.5)  # type: ignore[misc]
    finally:
        lab.tidegate("cleanup").ok()


def test_its_death_is_noticed(sidecar: OwnProxy) -> None:
    os.kill(companion_of(sidecar.pid), signal.SIGKILL)
    eventually(lambda: sidecar.fetch("/healthz/ready") is None, "still ready without its companion", within_s=1)
    sidecar.close()
    assert "the companion that looks after capture has ended" in sidecar.last_words


def has_name(pid: str, name: str) -> bool:
    """Whether that process lives and is called so; one that waits for init to take note of its end is dead."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return status.startswith(f"Name:\t{name}\n") and "\nState:\tZ" not in status


@pytest.mark.takes(11)
def test_with_that_it_proves_capture_and_notices_when_it_stops_working(
    lab: Lab, backend: str, sidecar: OwnProxy
) -> None:
    """The probes need most of what it keeps: a namespace of their own, another user, a cgroup folder to be in."""
    folder = lab.cgroup.child(f"companion-{backend}")
    for path in (folder.folder, folder.folder / "cgroup.procs"):
        os.chown(path, 1000, 1000)  # as a service manager delegates one
    lab.tidegate("init", "--mode", backend, "--dns", "all").ok()
    settle(sidecar)
    assert sidecar.fetch("/healthz/ready") is not None, backend
    if backend == "tproxy":
        reply = lab.actor(ROOT_USER, lab.peer).tcp("10.0.0.2", 8080)
        assert reply.who == "app", f"the listener was made transparent: {reply}"
    lab.tidegate("init", "--mode", backend, "--cgroup", folder.path, "--exclude-outbound-gids", "0").ok()
    settle(sidecar)
    assert sidecar.fetch("/healthz/ready") is not None, f"{backend} with a cgroup"
    lab.tidegate("cleanup").ok()
    eventually(lambda: sidecar.fetch("/healthz/ready") is None, f"{backend}: not noticed that capture is gone")
    sidecar.close()
    assert not any(one in sidecar.last_words for one in ("could not be suited", "ended")), sidecar.last_words


def settle(sidecar: OwnProxy) -> None:
    """Two looks of the companion's, which come every two seconds."""
    time.sleep(patient(4.5))
