"""iptables rules whose cgroup folder is gone keep everybody from changing the table: every command gets out of it."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.network import Network, inside
from intercept.host import cgroups
from tests.e2e.conftest import TIDEGATE, Ran, Runner, launch
from tests.e2e.test_run import family_of, guardians, kernel_state, run_folders
from tidegate.supervise import scope

pytestmark = [pytest.mark.kernel, pytest.mark.e2e]

THEIRS = ("iptables-legacy", "-t", "nat", "-A", "POSTROUTING", "-p", "tcp", "--dport", "4100", "-j", "RETURN")


@pytest.fixture
def run(network: Network, tmp_path: Path) -> Runner:
    return Runner(network, "iptables", tmp_path)


def killed(run: Runner) -> Path:
    """The folder of a run that was killed together with its guardian."""
    started = run.start("sh", "-c", "echo up; sleep 60", stdout=subprocess.PIPE)
    assert started.stdout is not None
    assert started.stdout.readline() == b"up\n"
    (folder,) = [Path(one) for one in run_folders() if f"tidegate-run-{started.pid}-" in one]
    os.kill(started.pid, signal.SIGSTOP)  # or it would put another guardian in the place of the first
    for pid in [*guardians(), *family_of(started.pid)]:
        with contextlib.suppress(ProcessLookupError):  # the kernel ends the others with their supervisor
            os.kill(pid, signal.SIGKILL)
    started.wait(timeout=10)
    started.stdout.close()
    return folder


def works(run: Runner, *argv: str) -> bool:
    return subprocess.run(inside(run.network.app, *argv), capture_output=True, check=False).returncode == 0


def tidegate(run: Runner, command: str, *flags: str) -> Ran:
    done = subprocess.run(
        [TIDEGATE, command, "--netns", run.network.app, *flags], capture_output=True, check=False, timeout=60
    )
    return Ran(done.stdout, done.stderr, done.returncode, None)


@pytest.fixture
def before(run: Runner) -> Iterator[dict[str, str]]:
    state = kernel_state(run.network.app)
    try:
        yield state
    finally:
        tidegate(run, "cleanup")
    assert kernel_state(run.network.app) == state


@pytest.fixture
def wedged(run: Runner, before: dict[str, str]) -> None:
    """Two dead runs whose folders something else, as systemd does, has removed: nobody can change the nat table."""
    for folder in (killed(run), killed(run)):
        scope.remove(folder)
    assert not works(run, *THEIRS)


@pytest.mark.usefixtures("wedged")
@pytest.mark.parametrize(
    "command", [("cleanup",), ("init", "--mode", "iptables"), ("init", "--mode", "nftables")], ids=" ".join
)
def test_cleanup_and_init_get_out(run: Runner, command: tuple[str, ...]) -> None:
    done = tidegate(run, *command)
    assert done.code == 0, done.stderr
    assert works(run, *THEIRS)
    assert works(run, *(word.replace("-A", "-D") for word in THEIRS))


@pytest.mark.usefixtures("wedged")
def test_run_gets_out(run: Runner) -> None:
    done = run.run("true")
    assert done.code == 0, done.stderr
    assert works(run, *THEIRS)
    assert works(run, *(word.replace("-A", "-D") for word in THEIRS))


@pytest.mark.usefixtures("before")
def test_a_service_that_has_stopped_does_not_keep_us_from_other_changes(run: Runner) -> None:
    folder = cgroups.mount_point() / f"tidegate-test-{os.getpid()}"
    folder.mkdir()
    try:
        assert tidegate(run, "init", "--mode", "iptables", "--cgroup", folder.name).code == 0
        folder.rmdir()
        assert not works(run, *THEIRS)
        assert run.run("true").code == 0
        assert works(run, *THEIRS)
        assert works(run, *(word.replace("-A", "-D") for word in THEIRS))
        assert tidegate(run, "status").code == 1
    finally:
        if folder.exists():
            folder.rmdir()


@pytest.mark.usefixtures("before")
def test_a_run_in_another_network_namespace_leaves_the_folder_of_a_dead_one(run: Runner) -> None:
    folder = killed(run)
    with launch([TIDEGATE, "run", "--mode", "nftables", "--", "true"], stderr=subprocess.PIPE) as elsewhere:
        _, said = elsewhere.communicate(timeout=60)
    assert elsewhere.returncode == 0, said
    assert folder.exists()
    assert works(run, *THEIRS)
    assert works(run, *(word.replace("-A", "-D") for word in THEIRS))
    assert run.run("true").code == 0
    assert not folder.exists()
