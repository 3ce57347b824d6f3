"""Each capability that a process keeps is needed: without it, and with all the others, its work is not done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from intercept.host import cgroups
from tests.lab import Lab
from tests.lab.own_proxy import OwnProxy
from tests.lab.patience import patient
from tests.netns.tidegate.test_companion import eventually
from tests.netns.tidegate.test_rights import named
from tidegate.beside import keeper, privileges

pytestmark = pytest.mark.kernel

LOOK = """
import json, socket, sys
from mmap import mmap
from tidegate.beside import companion, privileges
privileges.reduce_to(privileges.COMPANION - {sys.argv[1]})
probes = socket.socket(socket.AF_UNIX)
probes.connect("\\0tidegate/15001")
watch = companion.Watch(int(sys.argv[2]), probes, mmap(-1, 1))
companion._look(watch, 15001, accepting=True)
print(json.dumps([watch.problem, watch.suited is not None]))
"""
SCOPED = ("--cgroup", "{folder}", "--exclude-outbound-gids", "0")
NEEDS = {
    "CAP_NET_ADMIN": ("nftables", ()),
    "CAP_SYS_PTRACE": ("nftables", ()),
    "CAP_NET_RAW": ("iptables", ()),
    "CAP_SYS_ADMIN": ("ebpf", ()),
    "CAP_SYS_CHROOT": ("nftables", SCOPED),
    "CAP_KILL": ("nftables", SCOPED),
    "CAP_SETUID": ("nftables", SCOPED),
    "CAP_SETGID": ("nftables", SCOPED),
    "CAP_DAC_OVERRIDE": ("nftables", SCOPED),
}
"""Where the companion can't do without it."""


@pytest.fixture(scope="module")
def sidecar(lab: Lab) -> Iterator[OwnProxy]:
    lab.serve_app()
    with OwnProxy(lab.app) as running:
        running.wait_ready()
        yield running


@pytest.fixture
def cleaned(lab: Lab) -> Iterator[None]:
    yield
    lab.tidegate("cleanup").ok()


def test_all_of_them_are_tried() -> None:
    assert set(NEEDS) == privileges.COMPANION


@pytest.mark.usefixtures("cleaned")
@pytest.mark.parametrize("capability", NEEDS)
def test_the_companions(lab: Lab, sidecar: OwnProxy, capability: str) -> None:
    if capability == "CAP_SYS_CHROOT" and cgroups.is_mounted_at(Path("/sys/fs/cgroup")):
        pytest.skip("nft finds cgroup v2 at /sys/fs/cgroup here, and needs no view of its own")
    mode, flags = NEEDS[capability]
    folder = lab.cgroup.child(capability.lower())
    for path in (folder.folder, folder.folder / "cgroup.procs"):
        os.chown(path, 1000, 1000)  # as a service manager delegates one
    lab.tidegate("init", "--mode", mode, *(flag.replace("{folder}", folder.path) for flag in flags)).ok()

    def look(without: str) -> list[object]:
        ran = lab.app.run([sys.executable, "-c", LOOK, without, str(sidecar.pid)])
        found: list[object] = json.loads(ran.stdout)
        return found

    assert look("none") == [None, True]
    assert look(capability) != [None, True]


RUN = """
import sys
from tidegate.beside import keeper, privileges
without = {sys.argv.pop(1)}
privileges.GUARDIAN -= without
keeper.CAPABILITIES = {mode: held - without for mode, held in keeper.CAPABILITIES.items()}
from tidegate.cli import main
main()
"""


@pytest.mark.takes(5)
@pytest.mark.parametrize(
    ("capability", "mode"),
    [("CAP_NET_ADMIN", "nftables"), ("CAP_NET_RAW", "iptables"), ("CAP_DAC_OVERRIDE", "nftables")],
)
def test_the_guardians(lab: Lab, capability: str, mode: str) -> None:
    """With it nothing is left of a run whose supervisor was killed; without it something is."""
    before, others = lab.snapshot(), set(lab.app.processes())
    for without in ("none", capability):
        argv = [sys.executable, "-c", RUN, without, "run", "--mode", mode, "--user", "nobody", "--", "sleep", "60"]
        process = lab.app.popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            eventually(lambda: bool(named(lab, "sleep")), "the command does not run")
            folders = list(cgroups.mount_point().rglob(f"tidegate-run-{process.pid}-*"))
            assert len(folders) == 1
        finally:
            process.kill()
            process.wait()
        eventually(lambda: set(lab.app.processes()) <= others, "processes of the run are left")
        left = lab.changes_since(before, within_s=2) or folders[0].exists()
        assert bool(left) is (without != "none"), without
    # The next run removes what is named by a folder that is still there.
    lab.tidegate_binary("run", "--mode", mode, "--", "true").ok()
    if mode == "nftables" and capability == "CAP_NET_ADMIN":
        lab.app.run(["nft", "delete", "table", "inet", folders[0].name])
    assert lab.changes_since(before, within_s=2) == ""
    assert not folders[0].exists()


SIGNAL = """
import os, signal, sys
from tidegate.beside import privileges
privileges.reduce_to(privileges.GUARDIAN - {sys.argv[1]})
os.kill(int(sys.argv[2]), signal.SIGKILL)
"""


def test_the_guardians_before_there_was_cgroup_kill(lab: Lab) -> None:
    """Before Linux 5.14 it signals each process of the run by itself (tidegate/supervise/scope.py)."""
    other = lab.app.popen(["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "sleep", "60"])
    try:
        time.sleep(patient(0.2))
        for without, code in (("CAP_KILL", 1), ("none", 0)):
            argv = [sys.executable, "-c", SIGNAL, without, str(other.pid)]
            assert lab.app.run(argv, check=False).returncode == code, without
    finally:
        other.kill()
        other.wait()


@pytest.mark.usefixtures("cleaned")
@pytest.mark.parametrize(
    ("capability", "mode"),
    [(capability, str(mode)) for mode, held in keeper.CAPABILITIES.items() for capability in sorted(held)],
)
def test_the_keepers(lab: Lab, capability: str, mode: str) -> None:
    """Without it, it does not live long enough to see that its rules are there."""
    for without in ("none", capability):
        argv = [sys.executable, "-c", RUN, without, "init", "--mode", mode, "--when-down", "open"]
        lab.app.run(argv)
        time.sleep(patient(keeper.ABANDONED_S + 1))
        assert bool(named(lab, "tidegate-keeper")) is (without == "none"), without
        lab.tidegate("cleanup").ok()


MARK = """
import sys
from proxy.errors import PrivilegeMissing
from proxy.start import privileges
if sys.argv[1] == "without":
    privileges.documented = lambda **_: ()
try:
    privileges.become(1337, 1337, mark=7)
except PrivilegeMissing as missing:
    print(missing.capability if hasattr(missing, "capability") else missing)
"""


def test_the_proxys_with_a_mark(lab: Lab) -> None:
    assert lab.app.run([sys.executable, "-c", MARK, "with"]).stdout == ""
    assert "CAP_NET_ADMIN" in lab.app.run([sys.executable, "-c", MARK, "without"]).stdout
