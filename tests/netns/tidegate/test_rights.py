"""What each process may do, read from /proc while it is at work, beside what SECURITY.md says of it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.start.privileges import FOR_MARK
from tests.lab import Lab
from tests.lab.beside import COMPANION, WARDEN, beside, status_of, the_one
from tests.lab.command_line import BINARY
from tests.lab.own_proxy import OwnProxy
from tests.lab.patience import patient
from tests.netns.tidegate.pod import UNPRIVILEGED
from tests.netns.tidegate.test_companion import eventually
from tidegate.beside import keeper, privileges

pytestmark = pytest.mark.kernel
NETFILTER = ("nftables", "iptables", "tproxy")
SETS = ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")


def mask(names: frozenset[str]) -> int:
    return sum(1 << privileges.NUMBERS[name] for name in names)


def judge(pid: int, names: frozenset[str], *, uid: int = 0, filtered: bool = True) -> None:
    """Exactly these capabilities, this user, and one filter, in every thread; and nothing can come back."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = status_of(int(task.name))
        held = mask(names)
        assert {one: int(status[one], 16) for one in SETS} == {
            "CapPrm": held,
            "CapEff": held,
            "CapBnd": int(status["CapBnd"], 16) if uid else held,
            "CapInh": 0,
            "CapAmb": 0,
        }
        assert status["Uid"].split() == [str(uid)] * 4
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == ("2" if filtered else "0"), status["Name"]


@pytest.fixture
def cleaned(lab: Lab) -> Iterator[None]:
    yield
    lab.tidegate("cleanup").ok()


@pytest.mark.parametrize("seccomp", ["on", "off"])
@pytest.mark.parametrize("mark", [(), ("--proxy-mark", "7")], ids=["plain", "with a mark"])
def test_the_proxy_its_warden_and_its_companion(lab: Lab, mark: tuple[str, ...], seccomp: str) -> None:
    with OwnProxy(lab.app, "--seccomp", seccomp, *mark) as proxy:
        proxy.wait_ready()
        eventually(lambda: has_one(proxy, COMPANION), "no companion")
        held = frozenset({FOR_MARK.name}) if mark else frozenset()
        assert len(list(Path(f"/proc/{proxy.pid}/task").iterdir())) > 1
        judge(proxy.pid, held, uid=1337, filtered=seccomp == "on")
        assert int(status_of(proxy.pid)["CapBnd"], 16) == 0
        for name in (COMPANION, WARDEN):
            judge(the_one(proxy.pid, name), privileges.COMPANION, filtered=seccomp == "on")
    assert "system call" not in proxy.last_words


def has_one(proxy: OwnProxy, name: str) -> bool:
    try:
        return the_one(proxy.pid, name) > 0
    except AssertionError:
        return False


def named(lab: Lab, name: str) -> list[int]:
    return [pid for pid in lab.app.processes() if _comm(pid) == f"{name}\n"]


def _comm(pid: int) -> str:
    """Empty: the process has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.usefixtures("cleaned")
@pytest.mark.parametrize("seccomp", ["on", "off"])
@pytest.mark.parametrize("mode", NETFILTER)
def test_the_keeper(lab: Lab, mode: str, seccomp: str) -> None:
    lab.tidegate("init", "--mode", mode, "--when-down", "open", "--seccomp", seccomp).ok()
    (pid,) = named(lab, "tidegate-keeper")
    held = {str(one): names for one, names in keeper.CAPABILITIES.items()}[mode]
    judge(pid, held, filtered=seccomp == "on")
    # At its work: it has looked whether its rules are there, and renews the sign of life.
    with lab.proxy():
        actor = lab.actor()
        eventually(lambda: actor.tcp("10.0.0.1", 80).who == "proxy", "it does not renew", within_s=3)
        time.sleep(patient(keeper.ABANDONED_S + 1))
        assert named(lab, "tidegate-keeper") == [pid]
        assert actor.tcp("10.0.0.1", 80).who == "proxy"
    lab.tidegate("cleanup").ok()
    assert named(lab, "tidegate-keeper") == []


@pytest.mark.usefixtures("cleaned")
@pytest.mark.parametrize("seccomp", ["on", "off"])
def test_the_helper_and_what_it_starts(lab: Lab, seccomp: str) -> None:
    lab.tidegate("init", "--mode", "nftables", "--helper", "leave", "--seccomp", seccomp).ok()
    (helper,) = named(lab, "tidegate-helper")
    with OwnProxy(lab.app, prefix=UNPRIVILEGED) as proxy:
        proxy.wait_ready()
        eventually(lambda: bool(beside(helper, COMPANION)), "no companion")
        for pid in (helper, the_one(helper, WARDEN), the_one(helper, COMPANION)):
            judge(pid, privileges.COMPANION, filtered=seccomp == "on")
        judge(proxy.pid, frozenset(), uid=1337)


@pytest.mark.takes(4)
@pytest.mark.parametrize("seccomp", ["on", "off"])
def test_the_guardian_of_a_run_and_its_proxy(lab: Lab, backend: str, seccomp: str) -> None:
    """The guardian undoes the run with what it has kept."""
    before, others = lab.snapshot(), set(lab.app.processes())
    process = lab.app.popen(
        [str(BINARY), "run", "--mode", backend, "--seccomp", seccomp, "--", "sleep", "60"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        eventually(lambda: bool(named(lab, "sleep")), "the command does not run")
        (guardian,) = named(lab, "tidegate-guard")
        judge(guardian, privileges.GUARDIAN, filtered=seccomp == "on")
        ours = set(lab.app.processes()) - others
        proxies = [pid for pid in ours if status_of(pid)["Uid"].split()[0] == "1337"]
        assert len(proxies) == 1
        judge(proxies[0], frozenset(), uid=1337, filtered=seccomp == "on")
    finally:
        process.kill()
        process.wait()
    eventually(lambda: set(lab.app.processes()) <= others, "processes of the run are left")
    assert lab.changes_since(before, within_s=3) == ""
