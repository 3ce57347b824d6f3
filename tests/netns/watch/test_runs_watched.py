"""`top`, `tap` and `why` of a `tidegate run` in progress, and of all proxies of the host."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.netns.proxy.proxy_rig import PEER_V4, ROOT, ProxyProcess, Server, echo, rules, until
from tests.netns.proxy.test_proxy_tap import Tap, talk

pytestmark = pytest.mark.kernel
PORT = 12400
TALK = f"""
import socket, sys
for line in sys.stdin:
    with socket.create_connection(("{PEER_V4}", {PORT})) as one:
        one.sendall(b"hello")
        one.recv(5)
    print("talked", flush=True)
"""


class Run:
    """A `tidegate run` whose command talks once for each line that it is sent."""

    def __init__(self, lab: Lab, *flags: str) -> None:
        argv = [sys.executable, "-P", "-m", "tidegate", "run", "--quiet", *flags, "--", "/usr/bin/python3", "-c", TALK]
        self.process = lab.app.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)

    def talk(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("talk\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "talked\n"

    def end(self) -> int:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        code = self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture
def run(lab: Lab) -> Iterator[Run]:
    with Server(lab.peer, PEER_V4, PORT, echo):
        one = Run(lab)
        try:
            one.talk()
            yield one
        finally:
            assert one.end() == 0


def test_a_run_is_tapped_by_its_pid(lab: Lab, run: Run) -> None:
    tap = Tap(lab, "--json", "--run", str(run.process.pid))
    try:
        seen = threading.Event()

        def talk_on() -> None:
            while not seen.wait(0.2):
                run.talk()

        talking = threading.Thread(target=talk_on)
        talking.start()
        try:
            shown = json.loads(tap.lines(1)[0])
        finally:
            seen.set()
            talking.join()
        assert shown["original_destination"] == f"{PEER_V4}:{PORT}"
        assert "proxy" not in shown
    finally:
        assert tap.end()[0] == 0


def test_a_run_is_looked_at_from_outside_its_namespace(lab: Lab, run: Run) -> None:
    """The pid says which namespace it is in."""
    argv = [sys.executable, "-P", "-m", "tidegate", "top", "--json", "--for", "1s", "--run", str(run.process.pid)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert {one["direction"] for one in json.loads(done.stdout)["rows"]} == {"outbound"}


def test_why_tells_a_runs_own_capture(lab: Lab, run: Run) -> None:
    told = lab.tidegate("why", f"{PEER_V4}:{PORT}", "--run", str(run.process.pid), "--json").ok().json
    assert told["capture"]["decision"] == "capture"
    assert told["proxy"]["detection"]["protocol"] is not None
    assert lab.tidegate("why", f"{PEER_V4}:{PORT}", "--json").ok().json["capture"]["rule"] == "none"


def test_all_proxies_of_the_host_are_followed_as_one(lab: Lab, run: Run) -> None:
    with rules(lab.app), ProxyProcess(lab):
        tap = Tap(lab, "--all", "--json")
        try:
            until(lambda: viewers(lab) >= 2, "two viewers")
            names = set()

            def both() -> bool:
                run.talk()
                talk(lab)
                names.add(json.loads(tap.lines(1)[0])["proxy"])
                return {"here", f"run {run.process.pid}"} <= names

            until(both, "lines of both", timeout=20)
        finally:
            assert tap.end()[0] == 0


def test_a_run_that_ends_while_it_is_watched_is_said(lab: Lab) -> None:
    with Server(lab.peer, PEER_V4, PORT, echo):
        one = Run(lab)
        try:
            one.talk()
            argv = [sys.executable, "-P", "-m", "tidegate", "tap", "--run", str(one.process.pid)]
            tap = lab.app.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=dict(os.environ))
            until(lambda: viewers(lab) > 0, "the viewer")
        finally:
            one.end()
        out, err = tap.communicate(timeout=20)
        assert (tap.returncode, "has ended" in err) == (0, True), (out, err)


def viewers(lab: Lab) -> int:
    """Established connections on loopback, by their listening ends."""
    found = lab.app.run(["ss", "-Htn", "state", "established", "src", "127.0.0.1"]).stdout.splitlines()
    return len(found) // 2


def test_a_run_may_do_without(lab: Lab) -> None:
    with Server(lab.peer, PEER_V4, PORT, echo):
        one = Run(lab, "--admin", "off")
        try:
            one.talk()
            assert lab.app.run(["ss", "-Hltn", "src", "127.0.0.1"]).stdout == ""
            assert "--run" in lab.tidegate("tap", "--run", str(one.process.pid)).ended(2).err
        finally:
            one.end()


def ended(lab: Lab, argv: list[str]) -> tuple[int, str]:
    process = lab.app.popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def test_a_run_ends_the_same_without_loopback(lab: Lab) -> None:
    """There is no address for an admin endpoint then."""
    argv = [sys.executable, "-P", "-m", "tidegate", "run", "--quiet", "--include-inbound-ports=", "--", "/bin/true"]
    lab.app.run(["ip", "link", "set", "lo", "down"])
    lab.app.run(["ip", "address", "del", "127.0.0.1/8", "dev", "lo"])
    try:
        with_admin, without = ended(lab, argv), ended(lab, [*argv[:5], "--admin", "off", *argv[5:]])
        assert with_admin == without == (0, "")
    finally:
        lab.app.run(["ip", "address", "add", "127.0.0.1/8", "dev", "lo"])
        lab.app.run(["ip", "link", "set", "lo", "up"])


@pytest.mark.parametrize(
    "words", [("--run", "1"), ("--run", "x"), ("--run", "1", "--all"), ("--all", "--admin", "127.0.0.1:1")]
)
def test_bad_choices_are_named(lab: Lab, words: tuple[str, ...]) -> None:
    for command in ("tap", "top"):
        ran = lab.tidegate(command, *words).ended(2)
        assert "--run" in ran.err
    assert lab.tidegate("run", "--admin", "10.0.0.1:1", "--", "true").ended(2).err.count("--admin") == 1


def test_ctrl_c_ends_it(lab: Lab, run: Run) -> None:
    tap = lab.app.popen(
        [sys.executable, "-P", "-m", "tidegate", "tap", "--all"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    until(lambda: viewers(lab) > 0, "the viewer")
    tap.send_signal(signal.SIGINT)
    _, err = tap.communicate(timeout=10)
    assert tap.returncode == 0, err
