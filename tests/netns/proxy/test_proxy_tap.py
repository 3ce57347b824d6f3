"""`tidegate tap` on a real proxy: connections as they end, whatever the log's format, and nothing when nobody looks."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import Lab
from tests.netns.proxy.proxy_rig import PEER_V4, ROOT, ProxyProcess, Server, dial, echo, read_all, rules, until
from tidegate.admin import TIMEOUT_S

pytestmark = pytest.mark.kernel
PORT = 12400


class Tap:
    def __init__(self, lab: Lab, *flags: str) -> None:
        self._read = ""
        self._process = lab.app.popen(
            [sys.executable, "-P", "-m", "tidegate", "tap", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def lines(self, count: int) -> list[str]:
        """The next ones. Read by hand: a buffered reader would hold lines that `select` does not know of."""
        assert self._process.stdout is not None
        while self._read.count("\n") < count:
            assert select.select([self._process.stdout], [], [], 10)[0], f"{self._read!r} after 10 s"
            self._read += os.read(self._process.stdout.fileno(), 65536).decode()
        *found, self._read = self._read.split("\n", count)
        return found

    def end(self) -> tuple[int, str, str]:
        self._process.send_signal(signal.SIGINT)
        out, err = self._process.communicate(timeout=10)
        return self._process.returncode, out, err


@contextlib.contextmanager
def tapped(lab: Lab, proxy: ProxyProcess, *flags: str) -> Iterator[Tap]:
    before = _viewers(proxy)
    tap = Tap(lab, *flags)
    try:
        until(lambda: _viewers(proxy) > before, "the viewer")
        yield tap
    finally:
        tap.end()


def _viewers(proxy: ProxyProcess) -> int:
    """Clients that are connected to the admin address."""
    argv = ["nsenter", f"--net=/proc/{proxy.pid}/ns/net", "ss", "-Htn", "state", "established", "sport", "=", ":15000"]
    return len(subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines())


def talk(lab: Lab) -> None:
    with dial(lab.app, PEER_V4, PORT) as client:
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"hello"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_connections_are_shown_as_they_end(lab: Lab, log_format: str) -> None:
    with rules(lab.app), ProxyProcess(lab, "--log-format", log_format) as proxy, Server(lab.peer, PEER_V4, PORT, echo):
        talk(lab)
        with tapped(lab, proxy, "--json") as tap:
            talk(lab)
            talk(lab)
            shown: list[dict[str, Any]] = [json.loads(line) for line in tap.lines(2)]
        for one in shown:
            assert (one["original_destination"], one["bytes_sent"]) == (f"{PEER_V4}:{PORT}", 5)
            assert (one["close_reason"], one["direction"]) == ("finished", "outbound")
        talk(lab)
        until(lambda: proxy.out_path.read_text().count("\n") == 4, "the log's lines")
        lines = proxy.out_path.read_text().splitlines()
        assert all(line.startswith("{") is (log_format == "json") for line in lines)


def test_lines_for_people_and_filters(lab: Lab) -> None:
    with (
        rules(lab.app),
        ProxyProcess(lab) as proxy,
        Server(lab.peer, PEER_V4, PORT, echo),
        tapped(lab, proxy, "--source", "10.9.9.9") as tap,
        tapped(lab, proxy) as other,
    ):
        time.sleep(TIMEOUT_S + 0.5)  # a quiet stream is no dead one
        talk(lab)
        (line,) = other.lines(1)
        assert " -> tcp finished " in line
        assert f"to {PEER_V4}:{PORT} 5 B sent, 5 B received splice" in line
        assert tap.end()[:2] == (0, "")


def test_what_is_wrong_is_said(lab: Lab) -> None:
    done = lab.app.run(
        [sys.executable, "-P", "-m", "tidegate", "tap"], check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert (done.returncode, "no proxy answers at 127.0.0.1:15000" in done.stderr) == (1, True)
    with ProxyProcess(lab):
        done = lab.app.run(
            [sys.executable, "-P", "-m", "tidegate", "tap", "--status", "9x"],
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert (done.returncode, "'9x'" in done.stderr) == (2, True)
