"""`bind`: capture that lasts as long as the process that asked for it; what a guardian finds when the kernel can't."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from intercept import capture
from intercept.status import status
from tests.lab import Lab
from tests.lab.actor import ROOT

pytestmark = pytest.mark.kernel

HOLD = """
import os, sys, time
from intercept import capture
from intercept.intent.from_flags import intent_from_flags
stat = open("/proc/self/stat", "rb").read()
name = f"tidegate-run-{os.getpid()}-{stat[stat.rindex(b')') + 2:].split()[19].decode()}"
bound = capture.bind(intent_from_flags({"mode": sys.argv[1], "when-down": "open"}), name=name)
bound.refresh()
if len(sys.argv) > 2 and os.fork() == 0:
    time.sleep(60)  # a child that outlives us must not keep the capture alive
    os._exit(0)
print(name, int(bound.kernel_held), flush=True)
sys.stdin.read()
bound.close()
"""
BACKENDS = ("nftables", "iptables", "tproxy")


def hold(lab: Lab, backend: str) -> tuple[subprocess.Popen[str], str, bool]:
    if backend not in BACKENDS:
        pytest.skip(f"cannot express: {backend} has lifetime tests of its own")
    holder = lab.app.popen(
        [sys.executable, "-c", HOLD, backend], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert holder.stdout is not None
    name, held = holder.stdout.readline().split()
    return holder, name, held == "1"


def finish(holder: subprocess.Popen[str]) -> None:
    for pipe in (holder.stdin, holder.stdout):
        if pipe is not None:
            pipe.close()
    holder.wait(20)


def runs_here(lab: Lab) -> tuple[str, ...]:
    with lab.app.entered():
        return status().runs


def test_closing_removes_it(lab: Lab, backend: str) -> None:
    before = lab.snapshot()
    holder, name, _ = hold(lab, backend)
    try:
        assert runs_here(lab) == (name,)
        assert before.diff(lab.snapshot()) != ""
    finally:
        finish(holder)
    assert holder.returncode == 0
    assert lab.changes_since(before) == ""


def test_sigkill_leaves_nothing_that_cleanup_does_not_find(lab: Lab, backend: str) -> None:
    before = lab.snapshot()
    holder, name, kernel_held = hold(lab, backend)
    try:
        lab.tidegate("cleanup").ok()
        assert runs_here(lab) == (name,), "cleanup leaves living runs alone"
        os.kill(holder.pid, signal.SIGKILL)
    finally:
        finish(holder)
    if kernel_held:
        deadline = time.monotonic() + 5
        while lab.changes_since(before) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert lab.changes_since(before) == "", "the kernel removes it by itself"
    assert runs_here(lab) == ()
    lab.tidegate("cleanup").ok()
    assert lab.changes_since(before) == ""


def test_removing_by_name_leaves_init_alone(lab: Lab, backend: str) -> None:
    before = lab.snapshot()
    if backend in BACKENDS:
        lab.tidegate("init", "--mode", backend).ok()
    alone = lab.snapshot()
    holder, name, kernel_held = hold(lab, backend)
    try:
        assert runs_here(lab) == (name,)
        os.kill(holder.pid, signal.SIGKILL)
    finally:
        finish(holder)
    with lab.app.entered():
        removed = capture.remove(name=name)
    assert kernel_held or removed, "who isn't held by the kernel is removed by name"
    assert lab.changes_since(alone) == ""
    assert lab.tidegate("status", "--json").ok().json["drift"] == []
    lab.tidegate("cleanup").ok()
    assert lab.changes_since(before) == ""
