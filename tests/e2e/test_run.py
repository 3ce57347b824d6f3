"""`run` behaves as the command does, and leaves nothing behind, whichever process is killed."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from demo.network import PEER4, inside
from intercept.host import cgroups
from tests.e2e.conftest import MARK, STARTED, TIDEGATE, Runner, launch

pytestmark = [pytest.mark.kernel, pytest.mark.e2e]


def kernel_state(netns: str) -> dict[str, str]:
    """Everything of the namespace that a run may touch, as text. A table that was looked at stays loaded, empty."""
    questions = {
        "nft": ["nft", "list", "ruleset"],
        "iptables": ["sh", "-c", "iptables-legacy-save | sed -e '/^[#*C]/d' -e '/^:[A-Z]* ACCEPT/d' -e 's/\\[.*//'"],
        "ip6tables": ["sh", "-c", "ip6tables-legacy-save | sed -e '/^[#*C]/d' -e '/^:[A-Z]* ACCEPT/d' -e 's/\\[.*//'"],
        "rules": ["sh", "-c", "ip rule; ip -6 rule; ip route show table all; ip -6 route show table all"],
        "ipset": ["ipset", "save"],
        "sockets": ["ss", "-Htanl"],
    }
    return {
        name: subprocess.run(inside(netns, *argv), capture_output=True, text=True, check=True).stdout
        for name, argv in questions.items()
    }


def of_our_runs(top: Path) -> list[str]:
    """The folders of this process' runs below `top`: `tidegate-run-PID-START`."""
    found = []
    for current, names, _ in os.walk(top):  # passes over what other people's runs take away meanwhile
        for name in names:
            pid = re.search(r"tidegate-run-(\d+)-", name)
            if pid and int(pid[1]) in STARTED:
                found.append(str(Path(current, name)))
    return sorted(found)


def run_folders() -> list[str]:
    return of_our_runs(cgroups.mount_point())


def pinned() -> list[str]:
    return of_our_runs(Path("/sys/fs/bpf"))


def has_ended(pid: int) -> bool:
    """Gone, or dead and waiting for init to take note: the orphan of a command is init's child, with us or without."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True
    return "\nState:\tZ" in status


def family_of(pid: int) -> list[int]:
    """`pid` and everything in its run's cgroup."""
    found = {pid}
    for folder in run_folders():
        if f"tidegate-run-{pid}-" in folder:
            for path in Path(folder).rglob("cgroup.procs"):
                found.update(map(int, path.read_text().split()))
    return sorted(found)


def guardians() -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                ours = MARK.encode() in (entry / "environ").read_bytes().split(b"\0")
                if ours and (entry / "comm").read_text().strip() == "tidegate-guard":
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def eventually(what: object, timeout_s: float = 5.0) -> bool:
    assert callable(what)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.02)
    return bool(what())


@pytest.mark.parametrize("code", [0, 7, 125])
def test_exit_code_is_the_commands(runner: Runner, code: int) -> None:
    assert runner.run("sh", "-c", f"exit {code}").code == code


def test_death_by_signal_is_128_plus_its_number(runner: Runner) -> None:
    assert runner.run("sh", "-c", "kill -USR1 $$").code == 128 + signal.SIGUSR1


def test_no_such_command(runner: Runner) -> None:
    ran = runner.run("no-such-command-here")
    assert ran.code == 127
    assert b"no-such-command-here" in ran.stderr


def test_a_command_that_cannot_be_executed(runner: Runner) -> None:
    assert runner.run("/etc/hostname").code == 126


def test_bad_flag(runner: Runner) -> None:
    ran = runner.run("true", flags=("--exclude-outbound-ports", "80,http"))
    assert ran.code == 2
    assert b"--exclude-outbound-ports" in ran.stderr
    assert b"http" in ran.stderr


def test_report_that_could_not_be_written_is_refused_before_the_start(runner: Runner, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    ran = runner.run("touch", str(marker), flags=("--report", "/no/such/folder/report"))
    assert ran.code == 2
    assert not marker.exists()


def test_standard_input_and_environment_reach_the_command(runner: Runner) -> None:
    ran = runner.run("sh", "-c", "cat; echo $HOME", stdin=b"line one\nline two\n")
    assert ran.stdout == b"line one\nline two\n" + os.environ["HOME"].encode() + b"\n"


@pytest.mark.usefixtures("nginx")
def test_only_the_commands_tree_is_captured(runner: Runner) -> None:
    """A double-forked child of the command is; the same program beside it is not."""
    url = f"http://{PEER4}/hello"
    ran = runner.run("sh", "-c", f"(setsid curl -s {url} &) ; sleep 0.5")
    assert ran.report is not None
    assert [c["original_destination"] for c in ran.report["connections"]] == [f"{PEER4}:80"]
    started = runner.start("sleep", "3", stderr=subprocess.PIPE)
    try:
        assert eventually(lambda: len(family_of(started.pid)) >= 3)
        assert runner.plain("curl", "-s", url) == b"hello from nginx"
    finally:
        started.terminate()
        _, summary = started.communicate(timeout=20)
    assert b"0 connections" in summary


def test_a_signal_is_passed_on(runner: Runner) -> None:
    script = "trap 'echo told; exit 9' TERM; echo up; while :; do sleep 0.05; done"
    started = runner.start("sh", "-c", script, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert started.stdout is not None
    assert started.stdout.readline() == b"up\n"
    started.send_signal(signal.SIGTERM)
    assert started.stdout.readline() == b"told\n"
    started.stdout.close()
    assert started.wait(timeout=20) == 9


def test_what_the_command_leaves_running_is_ended(runner: Runner, tmp_path: Path) -> None:
    """A background child must not keep the run open, nor outlive it."""
    pid_file = tmp_path / "pid"
    began = time.monotonic()
    ran = runner.run("sh", "-c", f"sleep 600 >/dev/null 2>&1 & echo $! > {pid_file}; exit 3")
    assert ran.code == 3
    assert time.monotonic() - began < 30
    assert has_ended(int(pid_file.read_text()))


@pytest.mark.usefixtures("nginx")
def test_nothing_is_left_after_a_run(runner: Runner) -> None:
    before = kernel_state(runner.network.app)
    assert runner.run("curl", "-s", f"http://{PEER4}/hello").code == 0
    assert kernel_state(runner.network.app) == before
    assert (run_folders(), pinned(), guardians()) == ([], [], [])


@pytest.mark.parametrize("victim", ["supervisor", "proxy", "guardian", "command", "everyone"])
def test_kill_9(runner: Runner, victim: str) -> None:
    """SIGKILL of any one process of a run, or of all at once, leaves no rule, cgroup or process."""
    before = kernel_state(runner.network.app)
    started = runner.start("sh", "-c", "echo up; sleep 2; exit 5", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert started.stdout is not None
    assert started.stdout.readline() == b"up\n"
    members = family_of(started.pid)
    folder = next(name for name in run_folders() if f"tidegate-run-{started.pid}-" in name)
    proxy = int(Path(folder, "proxy", "cgroup.procs").read_text().split()[0])
    command = int(Path(folder, "command", "cgroup.procs").read_text().split()[0])
    victims = {
        "supervisor": [started.pid],
        "proxy": [proxy],
        "guardian": guardians(),
        "command": [command],
        "everyone": members,
    }[victim]
    for pid in victims:
        # The kernel may end the command with its supervisor before its turn comes.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    code = started.wait(timeout=20)
    started.stdout.close()
    assert code == {"supervisor": -9, "everyone": -9, "command": 137}.get(victim, 5)
    assert eventually(lambda: not [pid for pid in members if Path(f"/proc/{pid}").exists()])
    assert eventually(lambda: not guardians())
    assert eventually(lambda: not Path(folder).exists())
    assert eventually(lambda: kernel_state(runner.network.app) == before)


def test_what_two_kills_at_once_left_is_removed_by_the_next_run(runner: Runner) -> None:
    """With the guardian killed in the same instant, the next run cleans up."""
    before = kernel_state(runner.network.app)
    started = runner.start("sh", "-c", "echo up; sleep 60", stdout=subprocess.PIPE)
    assert started.stdout is not None
    assert started.stdout.readline() == b"up\n"
    for pid in [*guardians(), *family_of(started.pid)]:
        # The kernel may end the others with their supervisor before their turn comes.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    started.wait(timeout=10)
    started.stdout.close()
    assert runner.run("true").code == 0
    assert kernel_state(runner.network.app) == before
    assert run_folders() == []


@pytest.mark.usefixtures("nginx")
def test_two_runs_at_once(runner: Runner, tmp_path: Path) -> None:
    reports = [tmp_path / "one", tmp_path / "two"]
    curl = ("curl", "-s", f"http://{PEER4}/hello")
    started = [
        launch(runner.argv(*curl, flags=("--report", str(report))), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for report in reports
    ]
    for process, report in zip(started, reports, strict=True):
        output, _ = process.communicate(timeout=30)
        assert (process.returncode, output) == (0, b"hello from nginx")
        assert len(json.loads(report.read_text())["connections"]) == 1


def test_without_privilege_nothing_starts_and_a_capability_is_named(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    argv = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", TIDEGATE, "run", "--", "touch", str(marker)]
    with launch(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        _, said = process.communicate(timeout=30)
    assert process.returncode == 125
    assert b"CAP_" in said
    assert not marker.exists()
    assert run_folders() == []
