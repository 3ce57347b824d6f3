"""Cases of the host rather than of a connection: other tools' locks, what is missing, probes that could be fooled.

ELSEWHERE says where the cases stand that other files prove, so that every id of the list leads to a test.
"""

from __future__ import annotations

import fcntl
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.actor import Identity
from tests.lab.patience import patient

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parents[3]
TIDEGATE = str(Path(sys.executable).with_name("tidegate"))
ELSEWHERE = {
    "rerun-same": ("tests/netns/cases/test_cases.py", "def test_case"),
    "dry-run-nonroot": (
        "tests/netns/tidegate/test_init_cli.py",
        "def test_dry_run_needs_no_privilege_and_changes_nothing",
    ),
    "no-nss-lookup": ("tests/netns/tidegate/test_init_cli.py", "def test_no_name_is_looked_up"),
    "backend-detect": ("tests/netns/intercept/test_hosts_degrade.py", "def test_without_the_iptables_library"),
    "bpf-unsupported": ("tests/netns/intercept/test_hosts_degrade.py", "def test_capabilities"),
    "owner-dies": ("tests/e2e/test_run.py", "def test_kill_9"),
    "validate-ok": ("tests/netns/intercept/test_from_actions.py", "def test_run_validation_checks_what_was_applied"),
    # Needs a kernel without them: `make kernels KERNELS=6.1-no-ipv6`, and what is decided then, purely.
    "v6-tool-missing": ("tests/vm/test_restricted.py", "def test_ipv6_disabled_at_boot"),
}


@pytest.fixture(autouse=True)
def clean(lab: Lab) -> Iterator[None]:
    try:
        yield
    finally:
        lab.tidegate("cleanup").ok()


@pytest.mark.parametrize("case", ELSEWHERE)
def test_it_is_proven_elsewhere(case: str) -> None:
    file, test = ELSEWHERE[case]
    assert test in (ROOT / file).read_text(), f"{case}: {file} has no {test}"


# ---- lock-held


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """As another tool holds it: by flock, in a process that may be stopped."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def init(lab: Lab, lock: Path, wait: str) -> tuple[subprocess.CompletedProcess[str], float]:
    # A lock file of our own: other tools on this machine must not wait for a test.
    began = time.monotonic()
    argv = ["env", f"XTABLES_LOCKFILE={lock}", TIDEGATE, "init", "--mode", "iptables", "--wait", wait]
    ran = lab.app.run(argv, check=False)
    return ran, time.monotonic() - began


def test_lock_held_and_given_back(lab: Lab, tmp_path: Path) -> None:
    lock = tmp_path / "xtables.lock"
    holder = held(lock)
    holder.__enter__()
    timer = threading.Timer(1.0, holder.__exit__, (None, None, None))
    timer.start()
    ran, took = init(lab, lock, "5")
    timer.join()
    assert ran.returncode == 0, ran.stderr
    assert took >= 1.0
    assert lab.tidegate("status", "--json").ok().json["drift"] == []


def test_lock_held_for_good(lab: Lab, tmp_path: Path) -> None:
    before = lab.snapshot(handles=True)
    lock = tmp_path / "xtables.lock"
    with held(lock):
        ran, took = init(lab, lock, "1")
    assert ran.returncode == 1
    assert str(lock) in ran.stderr
    assert "--wait" in ran.stderr
    assert 1.0 <= took < patient(4.0)
    assert lab.changes_since(before, handles=True) == "", "nothing partial"


# ---- missing-xt-module


def test_a_match_that_the_kernel_lacks_is_named(lab: Lab) -> None:
    """Asked of this kernel; of what our rules need it has everything."""
    from intercept.backends.iptables.tables import missing_parts

    with lab.app.entered():
        for family in (4, 6):
            parts = [("match", "comment", 0), ("match", "nosuch", 0), ("target", "NOSUCH", 1)]
            assert missing_parts(family, parts) == ["xt_NOSUCH (revision 1)", "xt_nosuch (revision 0)"]


# ---- validate-not-fooled, validate-ok


def test_check_works_while_nothing_listens(lab: Lab, backend: str) -> None:
    lab.tidegate("init", "--mode", backend).ok()
    began = time.monotonic()
    probed = lab.tidegate("check", "--stand-in", "--json").ok().json
    assert probed["ok"]
    assert {"outbound/ipv4/tcp", "inbound/ipv4/tcp", "outbound/ipv6/tcp", "inbound/ipv6/tcp"} <= {
        probe["name"] for probe in probed["probes"]
    }
    assert time.monotonic() - began < patient(5.0)


FLUSH = {
    "nftables": ["nft", "flush", "chain", "inet", "tidegate", "nat_output"],
    "tproxy": ["nft", "flush", "chain", "inet", "tidegate", "nat_output"],
    "iptables": ["sh", "-c", "iptables-legacy -t nat -F OUTPUT; ip6tables-legacy -t nat -F OUTPUT"],
}


def test_check_is_not_fooled_by_somebody_who_answers(lab: Lab, backend: str) -> None:
    """The rules are gone and the far end answers every probe: only a token that was told to the proxy's port counts."""
    if backend == "ebpf":
        pytest.skip("cannot express: programs have no rules that could be flushed; links that are gone are drift")
    lab.tidegate("init", "--mode", backend).ok()
    lab.app.run(FLUSH[backend])
    assert lab.actor(Identity(1000, 1000)).tcp("10.0.0.1", 80).who == "peer", "somebody answers, uncaptured"
    checked = lab.tidegate("check", "--json").ended(1).json
    assert not checked["ok"]
    assert "outbound/ipv4/tcp" in {probe["name"] for probe in checked["probes"] if not probe["ok"]}


# ---- dns-tcp


def test_dns_over_tcp_goes_to_the_dns_port(lab: Lab, backend: str) -> None:
    for flags, listener in ((("--dns", "all"), 15053), ((), 15001)):
        lab.tidegate("init", "--mode", backend, *flags).ok()
        told = lab.tidegate(
            "explain", "outbound", "--dst", "10.0.0.1:53", "--uid", "1000", "--gid", "1000", "--json"
        ).ok()
        assert told.json["listener"] == listener
        seen = accepted_at(lab, (15001, 15053))
        assert seen == listener


def accepted_at(lab: Lab, ports: tuple[int, ...]) -> int | None:
    """Which of our listeners a call of the workload's to a name server arrives at."""
    listeners = {}
    with lab.app.entered():
        for port in ports:
            listeners[socket.create_server(("", port))] = port
    try:
        # Nobody answers, so the call itself comes to nothing.
        caller = threading.Thread(
            target=lambda: lab.actor(Identity(1000, 1000)).tcp("10.0.0.1", 53, timeout=0.5), daemon=True
        )
        caller.start()
        ready = select.select(list(listeners), [], [], patient(5.0))[0]
        caller.join()
        return listeners[ready[0]] if ready else None
    finally:
        for one in listeners:
            one.close()
