"""A companion that dies is followed by another one, none outlives its proxy, and the proxy says when it has none."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.beside import COMPANION, WARDEN, beside, has_name, the_one
from tests.lab.own_proxy import OwnProxy
from tests.lab.patience import patient
from tests.netns.tidegate.test_companion import eventually

pytestmark = pytest.mark.kernel


@pytest.fixture
def sidecar(lab: Lab) -> Iterator[OwnProxy]:
    lab.serve_app()
    with OwnProxy(lab.app) as running:
        running.wait_ready()
        eventually(lambda: len(beside(running.pid, COMPANION)) == 1, "no companion")
        yield running
    lab.tidegate("cleanup").ok()


def is_ready(proxy: OwnProxy) -> bool:
    return proxy.fetch("/healthz/ready") is not None


@pytest.mark.takes(10)
def test_one_that_died_is_followed_by_another_that_goes_on_where_it_was(lab: Lab, sidecar: OwnProxy) -> None:
    lab.tidegate("init", "--mode", "nftables").ok()
    time.sleep(patient(2.5))  # it has looked
    first = the_one(sidecar.pid, COMPANION)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not is_ready(sidecar), "still ready without its companion", within_s=1)
    lab.tidegate("cleanup").ok()  # while nobody watches
    eventually(lambda: beside(sidecar.pid, COMPANION) not in ([], [first]), "no companion came after it")
    time.sleep(patient(3))
    assert not is_ready(sidecar), "the capture that was in force is gone, and the companion that came after forgot it"
    lab.tidegate("init", "--mode", "nftables").ok()
    eventually(lambda: is_ready(sidecar), "not ready again")
    sidecar.close()
    assert "the companion that watches capture was killed by signal 9; another one is started in 0.5 s" in (
        sidecar.last_words
    )
    assert "another one is being started" in sidecar.last_words
    assert "capture works again" in sidecar.last_words


@pytest.mark.takes(8)
def test_companions_that_die_at_once_are_started_less_and_less_often(sidecar: OwnProxy) -> None:
    seen: set[int] = set()
    until = time.monotonic() + 6
    while time.monotonic() < until:
        for pid in beside(sidecar.pid, COMPANION):
            seen.add(pid)
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    assert 2 <= len(seen) <= 5, f"{len(seen)} companions in six seconds"
    sidecar.close()
    waits = [line.rsplit(" ", 2)[1] for line in sidecar.last_words.splitlines() if "is started in" in line]
    assert waits[:3] == ["0.5", "1", "2"]


def test_without_its_warden_the_companion_goes_and_the_proxy_says_so(sidecar: OwnProxy) -> None:
    companion = the_one(sidecar.pid, COMPANION)
    os.kill(the_one(sidecar.pid, WARDEN), signal.SIGKILL)
    eventually(lambda: not has_name(companion, COMPANION), "the companion outlives its warden", within_s=1)
    eventually(lambda: not is_ready(sidecar), "still ready", within_s=1)
    sidecar.close()
    assert "restart the proxy" in sidecar.last_words


def test_a_companion_that_cannot_be_started_is_tried_again(sidecar: OwnProxy) -> None:
    """No descriptor is left for its channels: the warden says so and goes on, and the proxy serves meanwhile."""
    warden = the_one(sidecar.pid, WARDEN)
    before = resource.prlimit(warden, resource.RLIMIT_NOFILE)
    resource.prlimit(warden, resource.RLIMIT_NOFILE, (4, before[1]))
    os.kill(the_one(sidecar.pid, COMPANION), signal.SIGKILL)
    eventually(lambda: not is_ready(sidecar), "still ready", within_s=1)
    time.sleep(patient(1))
    assert has_name(warden, WARDEN)
    assert sidecar.fetch("/healthz/live") is not None
    resource.prlimit(warden, resource.RLIMIT_NOFILE, before)
    eventually(lambda: is_ready(sidecar), "no companion was started when one could be", within_s=8)
    sidecar.close()
    assert "could not be started: Too many open files" in sidecar.last_words


DEATH_SIGNAL = """
import os, signal, sys, time
from tidegate import processes
ready, tell = os.pipe()
if os.fork() == 0:
    processes.die_with_parent()
    processes.set_name("tg-orphan")
    os.write(tell, b"1")
    time.sleep(60)
    os._exit(0)
os.read(ready, 1)
if sys.argv[1] != "root":
    os.setresgid(1337, 1337, 1337)
    os.setresuid(1337, 1337, 1337)
print(open(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read(), flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("parent", ["root", "1337"])
def test_the_kernels_death_signal_does_not_cross_a_change_of_user(parent: str) -> None:
    """Why the warden watches a pidfd, and why a companion, whose parent stays root, need not."""
    with subprocess.Popen([sys.executable, "-c", DEATH_SIGNAL, parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())  # it holds the pipe open, too: no reading to the end
    try:
        time.sleep(patient(0.3))
        assert has_name(child, "tg-orphan") is (parent != "root")
    finally:
        if has_name(child, "tg-orphan"):
            os.kill(child, signal.SIGKILL)


DIES_EARLY = """
import os
from tidegate.beside import warden
arrivals = warden.start(15001, filtered=True)
arrivals.recv(1)  # a companion is there
children = lambda pid: open(f"/proc/{pid}/task/{pid}/children").read().split()
print(*children(os.getpid()), *children(children(os.getpid())[0]), flush=True)
os.setresgid(1337, 1337, 1337)
os.setresuid(1337, 1337, 1337)
os._exit(0)
"""


def test_both_end_with_a_proxy_that_ends_before_it_listens(lab: Lab) -> None:
    with lab.app.popen([sys.executable, "-c", DIES_EARLY], stdout=subprocess.PIPE) as proxy:
        assert proxy.stdout is not None
        warden, companion = map(int, proxy.stdout.readline().split())  # they may hold it open: no reading to the end
    try:
        eventually(lambda: not has_name(warden, WARDEN), f"the warden {warden} lives on without a proxy")
        eventually(lambda: not has_name(companion, COMPANION), f"the companion {companion} lives on without a proxy")
    finally:
        for pid, name in ((warden, WARDEN), (companion, COMPANION)):
            if has_name(pid, name):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.takes(4)
def test_both_end_at_once_with_a_proxy_that_was_killed(lab: Lab, backend: str) -> None:
    """At any moment of the companion's rounds, a look at capture among them."""
    lab.serve_app()
    lab.tidegate("init", "--mode", backend).ok()
    try:
        for moment in (0.5, 1.7, 2.1):
            with OwnProxy(lab.app) as proxy:
                proxy.wait_ready()
                eventually(lambda pid=proxy.pid: len(beside(pid, COMPANION)) == 1, "no companion")  # type: ignore[misc]
                warden, companion = the_one(proxy.pid, WARDEN), the_one(proxy.pid, COMPANION)
                time.sleep(moment)
                proxy.kill()
                eventually(lambda pid=companion: not has_name(pid, COMPANION), "it lives on", within_s=0.5)  # type: ignore[misc]
                eventually(lambda pid=warden: not has_name(pid, WARDEN), "it lives on", within_s=1.5)  # type: ignore[misc]
    finally:
        lab.tidegate("cleanup").ok()
