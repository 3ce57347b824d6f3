"""The process beside the proxy that stays root: it does its work with what it keeps, and keeps nothing more."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, beside
from tests.lab.beside import status_of, the_one
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


def eventually(holds: Callable[[], bool], what: str, within_s: float = 6) -> None:
    deadline = time.monotonic() + patient(within_s)
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_it_keeps_what_is_documented_and_can_get_nothing_back(sidecar: OwnProxy) -> None:
    wanted = sum(1 << NUMBERS[name] for name in COMPANION)
    status = status_of(the_one(sidecar.pid, beside.COMPANION))
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
