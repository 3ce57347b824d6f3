"""Services that run are enrolled and let go again, and nothing of it stays, whatever is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.network import APP4, PEER4, Network, inside
from onboard.enroll import registry
from tests.e2e.conftest import ENVIRONMENT, MODES, TIDEGATE
from tests.lab.cgroup_folder import CgroupFolder, mount_point

pytestmark = [pytest.mark.kernel, pytest.mark.e2e]

CALLS = f"while :; do curl -s -o /dev/null http://{PEER4}/hello; sleep 0.05; done"
"""A service that calls out all the time, with a new connection each time."""
SERVES = [sys.executable, "-m", "http.server", "9000"]


def tidegate(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([TIDEGATE, *argv], capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False)


def enrolled(*argv: str) -> dict[str, Any]:
    done = tidegate("enroll", *argv, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def until(holds: Callable[[], object], what: str, seconds: float = 8) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def ask(network: Network, one: dict[str, Any], path: str) -> str:
    argv = inside(network.app, "curl", "-s", "--max-time", "3", f"http://{one['admin']}{path}")
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def opened(network: Network, one: dict[str, Any], reporter: str = "source") -> int:
    lines = ask(network, one, "/metrics").splitlines()
    name, label = "istio_tcp_connections_opened_total{", f'reporter="{reporter}"'
    requests = "istio_requests_total{"
    found = [line for line in lines if line.startswith((name, requests)) and label in line]
    return sum(int(float(line.rpartition(" ")[2])) for line in found)


def folder_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cgroup").read_text().splitlines()[-1].removeprefix("0::")


@contextlib.contextmanager
def service(network: Network, *argv: str, into: CgroupFolder | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """It and its children are gone afterwards."""
    join = "" if into is None else f"echo $$ > {into.folder}/cgroup.procs; "
    command = inside(network.app, "sh", "-c", join + 'exec "$@"', "sh", *argv)
    made = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield made
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(made.pid, signal.SIGKILL)
        made.wait()


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    before = {one.name for one in registry.every()}
    yield
    left = [one for one in registry.every() if one.name not in before]
    for one in left:
        tidegate("unenroll", "--name", one.name)
    assert not left, f"still enrolled: {[one.name for one in left]}"


def is_captured_no_more(network: Network) -> bool:
    done = subprocess.run(inside(network.app, TIDEGATE, "status"), capture_output=True, text=True, check=False)
    return "no capture is in force here" in done.stdout


@pytest.mark.usefixtures("nginx")
@pytest.mark.parametrize("mode", MODES)
def test_a_process_is_enrolled_and_let_go_without_a_restart(network: Network, mode: str) -> None:
    with service(network, "sh", "-c", CALLS) as made:
        before = folder_of(made.pid)
        one = enrolled("--pid", str(made.pid), "--mode", mode)
        assert (one["mode"], one["state"]) == (mode, "serving")
        assert folder_of(made.pid) == f"/{one['cgroup']}" != before
        until(lambda: opened(network, one) > 2, "its calls go through the proxy")
        (shown,) = (row for row in json.loads(tidegate("ls", "--json").stdout) if row["name"] == one["name"])
        assert (shown["state"], shown["admin"]) == ("serving", one["admin"])
        began = time.monotonic()
        assert tidegate("unenroll", "--pid", str(made.pid)).returncode == 0
        assert time.monotonic() - began < 5, "a second on a machine that does nothing else"
        assert is_captured_no_more(network)
        assert folder_of(made.pid) == before
        assert made.poll() is None
        until(lambda: registry.find(one["name"]) is None, "the proxy has ended")
        assert not (mount_point() / one["cgroup"]).exists()


def test_an_open_connection_is_neither_touched_by_the_enrolment_nor_by_its_end(network: Network) -> None:
    """One from before goes past the proxy; one that went through it is finished after `unenroll`."""
    echo = "import socket,sys\nl=socket.create_server(('10.77.0.1',7000))\n"
    echo += "import threading\ndef s(c):\n  while d:=c.recv(100): c.sendall(d)\n  c.close()\n"
    echo += "while 1: threading.Thread(target=s,args=(l.accept()[0],),daemon=True).start()"
    talk = "import socket,sys,time\nold=socket.create_connection(('10.77.0.1',7000))\nprint('old',flush=True)\n"
    talk += "sys.stdin.readline()\nnew=socket.create_connection(('10.77.0.1',7000))\nnew.sendall(b'1');new.recv(1)\n"
    talk += "print('new',flush=True)\nsys.stdin.readline()\n"
    talk += "for s in (old,new):\n  s.sendall(b'x'); assert s.recv(1)==b'x'\nnew.close()\nprint('both',flush=True)\n"
    server = subprocess.Popen(inside(network.peer, sys.executable, "-c", echo))
    client = subprocess.Popen(
        inside(network.app, "sh", "-c", f'sleep 0.3; exec {sys.executable} -c "$0"', talk),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdin is not None
    assert client.stdout is not None
    try:
        assert client.stdout.readline() == "old\n"
        one = enrolled("--pid", str(client.pid))
        client.stdin.write("\n")
        client.stdin.flush()
        assert client.stdout.readline() == "new\n"
        assert len(json.loads(ask(network, one, "/connections"))) == 1
        assert tidegate("unenroll", "--name", one["name"]).returncode == 0
        (shown,) = (row for row in json.loads(tidegate("ls", "--json").stdout) if row["name"] == one["name"])
        assert shown["state"] == "draining"
        client.stdin.write("\n")
        client.stdin.flush()
        assert client.stdout.readline() == "both\n"
        until(lambda: registry.find(one["name"]) is None, "the proxy ends with its last connection")
    finally:
        for process in (client, server):
            process.kill()
            process.wait()
        client.stdin.close()
        client.stdout.close()


@pytest.mark.parametrize("mode", ["nftables", "ebpf"])
def test_a_listener_from_before_is_captured_or_named(network: Network, mode: str) -> None:
    with service(network, *SERVES) as made:
        url = f"http://{APP4}:9000/"
        curl = inside(network.peer, "curl", "-s", "-o", "/dev/null", "--retry", "20", "--retry-connrefused", url)
        subprocess.run(curl, check=True)
        one = enrolled("--pid", str(made.pid), "--mode", mode)
        subprocess.run(curl, check=True)
        if mode == "ebpf":
            until(lambda: opened(network, one, "destination") > 0, "its inbound goes through the proxy")
        else:
            time.sleep(0.5)
            assert opened(network, one, "destination") == 0
        named = [sentence for sentence in one["not_captured"] if "9000" in sentence]
        assert bool(named) is (mode == "nftables")
        tidegate("unenroll", "--name", one["name"])
        until(lambda: registry.find(one["name"]) is None, "over")


@pytest.mark.usefixtures("nginx")
def test_a_service_that_restarts_stays_enrolled_by_its_folder(network: Network) -> None:
    """As systemd does it: the unit's folder goes with its last process, and another one of that name comes."""
    folder = CgroupFolder.create(f"tgtest-{os.getpid()}.service")
    try:
        with service(network, "sh", "-c", CALLS, into=folder):
            until(folder.pids, "the service is in its folder")
            one = enrolled("--unit", folder.folder.name, "--mode", "nftables")
            assert one["cgroup"] == folder.folder.name
            until(lambda: opened(network, one) > 0, "its calls go through the proxy")
        until(lambda: not folder.pids(), "the service has ended")
        folder.delete()
        until(lambda: _state(one["name"]) == "waiting", "noticed")
        folder = CgroupFolder.create(folder.folder.name)
        with service(network, "sh", "-c", CALLS, into=folder):
            until(lambda: _state(one["name"]) == "serving", "captured again")
            until(folder.pids, "the service is in its folder")
            count = opened(network, one)
            until(lambda: opened(network, one) > count + 2, "the calls of the restarted one go through the proxy")
            assert tidegate("unenroll", "--unit", folder.folder.name).returncode == 0
        until(lambda: registry.find(one["name"]) is None, "over")
    finally:
        folder.delete()


def _state(name: str) -> str:
    one = registry.find(name)
    return "" if one is None else one.state


@pytest.mark.usefixtures("nginx")
@pytest.mark.parametrize("both", [False, True])
def test_a_killed_enrolment_lets_its_service_go(network: Network, both: bool) -> None:
    with service(network, "sh", "-c", CALLS) as made:
        before = folder_of(made.pid)
        one = enrolled("--pid", str(made.pid), "--mode", "nftables")
        if both:
            for name in (mount_point() / "tidegate-enrolments" / one["name"] / "cgroup.procs").read_text().split():
                os.kill(int(name), signal.SIGKILL)
            until(lambda: not _lives(one["pid"]), "dead")
            (shown,) = (row for row in json.loads(tidegate("ls", "--json").stdout) if row["name"] == one["name"])
            assert shown["state"] == "dead"
            assert tidegate("unenroll", "--name", one["name"]).returncode == 0
        else:
            os.kill(one["pid"], signal.SIGKILL)
        until(lambda: registry.find(one["name"]) is None, "undone")
        assert folder_of(made.pid) == before
        assert is_captured_no_more(network)
        assert made.poll() is None
        assert not (mount_point() / one["cgroup"]).exists()


def _lives(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_an_enrolment_by_pid_ends_with_its_processes(network: Network) -> None:
    with service(network, "sleep", "60") as made:
        one = enrolled("--pid", str(made.pid))
    until(lambda: registry.find(one["name"]) is None, "over")
    assert is_captured_no_more(network)


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        ((), "none of them"),
        (("--pid", "1"), "init"),
        (("--pid", "ssh"), "ssh"),
        (("--pid", "4194304"), "runs"),
        (("--pid", "2"), "'2'"),
        (("--unit", "no-such-unit"), "no-such-unit"),
        (("--unit", "../x"), "../x"),
        (("--cgroup", "no/such/folder"), "no/such/folder"),
        (("--cgroup", "/"), "'/'"),
        (("--pid", "4194304", "--unit", "a"), "--pid and --unit"),
    ],
)
def test_a_selector_that_means_nothing_is_named(argv: tuple[str, ...], named: str) -> None:
    done = tidegate("enroll", *argv)
    assert (done.returncode, done.stdout) == (2, "")
    assert named in done.stderr


def test_what_cannot_be_in_force_leaves_the_process_where_it_was(network: Network, tmp_path: Path) -> None:
    with service(network, "sleep", "60") as made:
        before = folder_of(made.pid)
        done = tidegate("enroll", "--pid", str(made.pid), "--mode", "iptables", "--include-inbound-ports", "80")
        assert done.returncode == 3, done.stderr
        assert "iptables" in done.stderr
        until(lambda: folder_of(made.pid) == before, "moved back")
        assert tidegate("enroll", "--pid", str(made.pid), "--name", "../../x").returncode == 2
        bad = tmp_path / "bad.yaml"
        bad.write_text("kind: [")
        assert tidegate("enroll", "--pid", str(made.pid), "--config", str(bad)).returncode == 2
        assert folder_of(made.pid) == before


def test_a_service_is_enrolled_once(network: Network) -> None:
    with service(network, "sleep", "60") as made:
        one = enrolled("--pid", str(made.pid))
        again = tidegate("enroll", "--pid", str(made.pid))
        assert again.returncode == 2
        assert one["name"] in again.stderr
        assert tidegate("unenroll", "--pid", "4194304").returncode == 2
        assert tidegate("unenroll", "--pid", str(made.pid)).returncode == 0
        until(lambda: registry.find(one["name"]) is None, "over")


@pytest.mark.usefixtures("nginx")
def test_an_enrolment_is_watched_by_its_name(network: Network) -> None:
    with service(network, "sh", "-c", CALLS) as running:
        one = enrolled("--pid", str(running.pid), "--name", "watched")
        try:
            until(lambda: opened(network, one) > 0, "calls")
            told = json.loads(tidegate("why", f"{PEER4}:80", "--enrolment", "watched", "--json").stdout)
            assert told["capture"]["decision"] == "capture"
            assert told["proxy"]["detection"]["protocol"] == "http/1.1"
            tap = subprocess.Popen(
                [TIDEGATE, "tap", "--enrolment", "watched", "--json"],
                stdout=subprocess.PIPE,
                text=True,
                env=ENVIRONMENT,
            )
            assert tap.stdout is not None
            shown = json.loads(tap.stdout.readline())
            tap.send_signal(signal.SIGINT)
            assert tap.wait(10) == 0
            tap.stdout.close()
            assert shown["path" if "path" in shown else "original_destination"]
            wrong = tidegate("tap", "--enrolment", "wached")
            assert (wrong.returncode, "did you mean watched?" in wrong.stderr) == (2, True)
        finally:
            assert tidegate("unenroll", "--name", "watched").returncode == 0
            until(lambda: registry.find("watched") is None, "the end of it", 30)
