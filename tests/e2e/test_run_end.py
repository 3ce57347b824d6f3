"""How a run ends: at once when nothing is left to deliver, and with every byte that the command had sent."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from demo.network import PEER4, Network, inside
from tests.e2e.conftest import Runner

pytestmark = [pytest.mark.kernel, pytest.mark.e2e]

PORT = 9100
SENT = 2_000_000
# Takes one connection at a time; pauses longer than any "nothing moves any more"; says what came and how it ended.
SLOW_READER = f"""
import socket, time
door = socket.socket()
door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
door.bind(("{PEER4}", {PORT})); door.listen()
print("up", flush=True)
while True:
    peer, _ = door.accept()
    got, end, pause = 0, "eof", 0.7
    try:
        while True:
            time.sleep(pause)
            data = peer.recv(1 << 18)
            if not data: break
            got += len(data); pause = 0.7 if got < 300_000 else 0.02
    except OSError as error: end = error.strerror
    peer.close()
    print(got, end, flush=True)
"""
SENDER = f"import socket; s = socket.create_connection(('{PEER4}', {PORT})); s.sendall(b'x' * {SENT})"


@pytest.fixture(scope="module")
def reader(network: Network) -> Iterator[subprocess.Popen[str]]:
    argv = inside(network.peer, sys.executable, "-c", SLOW_READER)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def test_everything_that_was_sent_is_delivered_to_a_slow_reader(runner: Runner, reader: subprocess.Popen[str]) -> None:
    ran = runner.run("/usr/bin/python3", "-c", SENDER)
    assert reader.stdout is not None
    assert reader.stdout.readline() == f"{SENT} eof\n"
    assert ran.report is not None
    (connection,) = ran.report["connections"]
    assert (connection["bytes_sent"], connection["close_reason"]) == (SENT, "finished")


@pytest.fixture
def deaf(network: Network) -> Iterator[None]:
    """A server on PORT + 1 that never reads."""
    server = f"import socket, time; d = socket.create_server(('{PEER4}', {PORT + 1})); print(flush=1); time.sleep(99)"
    with subprocess.Popen(inside(network.peer, sys.executable, "-c", server), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


# It gives up after a second: more than all buffers on the way take.
GIVES_UP = f"""
import socket
s = socket.create_connection(('{PEER4}', {PORT + 1})); s.settimeout(1)
try: s.sendall(bytes(1 << 26))
except TimeoutError: print("gave up", flush=True)
"""


@pytest.mark.usefixtures("deaf")
def test_delivery_is_bounded(runner: Runner) -> None:
    """A reader that never reads can't hold the run for longer than --drain-timeout."""
    began = time.monotonic()
    runner.run("/usr/bin/python3", "-c", GIVES_UP, flags=("--drain-timeout", "1"))
    assert 2 <= time.monotonic() - began < 5


@pytest.mark.usefixtures("deaf")
def test_a_signal_cuts_the_delivery_short(runner: Runner) -> None:
    started = runner.start("/usr/bin/python3", "-c", GIVES_UP, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert started.stdout is not None
    assert started.stdout.readline() == b"gave up\n"
    time.sleep(0.5)
    assert started.poll() is None
    started.terminate()
    began = time.monotonic()
    assert started.wait(timeout=30) == 0
    assert time.monotonic() - began < 4
    started.stdout.close()


def test_a_session_that_was_silent_and_closed_properly_is_finished(
    runner: Runner, reader: subprocess.Popen[str]
) -> None:
    silent = SENDER.replace(str(SENT), "5") + "; import time; time.sleep(1.6); s.close()"
    ran = runner.run("/usr/bin/python3", "-c", silent)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "5 eof\n"
    assert ran.report is not None
    assert [c["close_reason"] for c in ran.report["connections"]] == ["finished"]


def test_it_ends_with_the_command(runner: Runner) -> None:
    """100 ms when nothing is left to deliver; thrice that here, for a machine that does other things as well."""
    runner.run("true")
    took = []
    for _ in range(6):
        ran = runner.run("date", "+%s.%N")
        took.append(time.time() - float(ran.stdout))
    assert sorted(took)[3] < 0.3
    assert max(took) < 1.5
