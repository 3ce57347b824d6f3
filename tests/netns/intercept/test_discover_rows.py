"""What `tidegate discover` tells of real traffic: direction, bytes, durations, failures, names, guesses; and what it
proposes to write down."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab
from tests.lab.cgroup_folder import CgroupFolder
from tests.lab.patience import patient
from tests.netns.intercept.test_discover import HIDDEN, ROOT, Discover
from tests.netns.proxy.proxy_rig import APP_V4, PEER_V4, ProxyProcess, Server, dial, echo, read_all, rules, until

pytestmark = pytest.mark.kernel
PORT, CLOSED, INBOUND, WEB = 12441, 12442, 12443, 12444


@contextmanager
def looking(lab: Lab, *flags: str) -> Iterator[Discover]:
    running = Discover(lab.app, *flags)
    try:
        yield running
    finally:
        running.end()


def rows(calls: list[dict[str, Any]], destination: str, direction: str = "outbound") -> list[dict[str, Any]]:
    return [one for one in calls if one["destination"] == destination and one["direction"] == direction]


def talk(lab: Lab, data: bytes = b"hello", port: int = PORT) -> None:
    with dial(lab.app, PEER_V4, port) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == data


def test_bytes_durations_and_failures(lab: Lab) -> None:
    with Server(lab.peer, PEER_V4, PORT, echo), looking(lab) as running:
        for _ in range(3):
            talk(lab, b"x" * 5000)
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                dial(lab.app, PEER_V4, CLOSED)
        calls = running.calls()
    (row,) = rows(calls, f"{PEER_V4}:{PORT}")
    assert (row["calls"], row["failed"], row["open"]) == (3, 0, 0)
    assert (row["bytes_sent"], row["bytes_received"]) == (15000, 15000)
    assert 0 < row["duration_ms"] <= row["longest_ms"]
    assert row["guess"] is None
    (row,) = rows(calls, f"{PEER_V4}:{CLOSED}")
    assert (row["calls"], row["failed"], row["duration_ms"]) == (2, 2, None)


def test_calls_that_arrive_and_those_to_itself(lab: Lab) -> None:
    with Server(lab.app, APP_V4, INBOUND, echo), looking(lab) as running, dial(lab.peer, APP_V4, INBOUND) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(4)
        with dial(lab.app, APP_V4, INBOUND) as other:
            other.sendall(b"\x16\x03\x01\x00\x05hello")
            assert other.recv(4)
            time.sleep(patient(0.5))
            calls = running.calls()
    arrived = {one["peer"]: one for one in rows(calls, f"{APP_V4}:{INBOUND}", "inbound")}
    assert set(arrived) == {PEER_V4, APP_V4}
    assert arrived[PEER_V4]["pid"] == os.getpid(), "who accepts"
    assert (arrived[PEER_V4]["guess"], arrived[PEER_V4]["self"]) == ("http", False)
    assert (arrived[APP_V4]["guess"], arrived[APP_V4]["self"]) == ("tls", True)
    (itself,) = rows(calls, f"{APP_V4}:{INBOUND}")
    assert (itself["self"], itself["open"]) == (True, 1)


def test_connections_from_before_are_there_and_called_old(lab: Lab) -> None:
    with Server(lab.peer, PEER_V4, PORT, echo), dial(lab.app, PEER_V4, PORT) as client:
        client.sendall(b"before")
        assert client.recv(6) == b"before"
        with looking(lab) as running:
            time.sleep(patient(0.5))
            (row,) = rows(running.calls(), f"{PEER_V4}:{PORT}")
    assert (row["long_lived"], row["open"], row["bytes_sent"]) == (True, 1, 6)
    assert row["pid"] == os.getpid()


def answer(question: bytes, ip: str) -> bytes:
    """To a question for one name: that address."""
    end = question.index(b"\0", 12) + 5
    return (
        question[:2] + b"\x81\x80" + struct.pack(">4H", 1, 1, 0, 0) + question[12:end]
        + b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(ip)
    )  # fmt: skip


def test_destinations_have_the_names_of_answers_that_passed_by(lab: Lab) -> None:
    question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05cache\x04shop\x00\x00\x01\x00\x01"
    with lab.app.entered():
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.53", 53))

    def serve() -> None:
        said, asker = server.recvfrom(512)
        server.sendto(answer(said, PEER_V4), asker)

    thread = threading.Thread(target=serve)
    thread.start()
    with server, Server(lab.peer, PEER_V4, PORT, echo), looking(lab) as running:
        with lab.app.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(5)
            asking.sendto(question, ("127.0.0.53", 53))
            assert asking.recv(512)
        thread.join()
        talk(lab)
        calls = running.calls()
    assert rows(calls, f"{PEER_V4}:{PORT}")[0]["destination_name"] == "cache.shop"
    assert rows(calls, "127.0.0.53:53")[0]["guess"] == "dns?"


def test_processes_of_a_name_are_one_row(lab: Lab) -> None:
    script = f"import socket; socket.create_connection(('{PEER_V4}', {PORT})).close()"
    with Server(lab.peer, PEER_V4, PORT, echo), looking(lab) as running:
        for _ in range(3):
            lab.app.run(["/usr/bin/python3", "-c", script])
        (row,) = rows(running.calls(), f"{PEER_V4}:{PORT}")
    assert (row["calls"], len(row["pids"]), row["name"]) == (3, 3, "python3")


def test_children_of_a_process_belong_to_it(lab: Lab) -> None:
    script = f"""
import subprocess, sys
for line in sys.stdin:
    subprocess.run(["/usr/bin/python3", "-c", '''
import socket, time
time.sleep({patient(1)})
socket.create_connection(("{PEER_V4}", {PORT})).close()
'''])
    print("done", flush=True)
"""
    parent = lab.app.popen(["/usr/bin/python3", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        with Server(lab.peer, PEER_V4, PORT, echo), looking(lab, "--pid", str(parent.pid)) as running:
            assert parent.stdin is not None
            assert parent.stdout is not None
            parent.stdin.write("go\n")
            parent.stdin.flush()
            assert parent.stdout.readline() == "done\n"
            talk(lab)
            (row,) = running.calls()
    finally:
        parent.kill()
        parent.communicate()
    assert (row["calls"], row["pid"] != parent.pid) == (1, True)


def test_beside_ebpf_capture_true_destinations_are_shown(lab: Lab) -> None:
    with Server(lab.peer, PEER_V4, PORT, echo), ProxyProcess(lab):
        lab.tidegate("init", "--mode", "ebpf").ok()
        try:
            with looking(lab) as running:
                talk(lab)
                calls = running.calls()
        finally:
            lab.tidegate("cleanup").ok()
    (row,) = rows(calls, f"{PEER_V4}:{PORT}")
    assert (row["decision"], row["in_force"], row["bytes_sent"]) == ("capture", True, 5)
    assert not rows(calls, "127.0.0.1:15001"), calls


def test_what_it_proposes_is_accepted_and_claims_what_was_seen(lab: Lab, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder not in (Path("/"), Path("/tmp")):
            folder.chmod(0o755)
    out = tmp_path / "proposed"
    http = lambda sock: (sock.recv(1000), sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"))  # noqa: E731
    with Server(lab.peer, PEER_V4, PORT, echo), Server(lab.peer, PEER_V4, WEB, http):
        with looking(lab, "--write", str(out)) as running:
            talk(lab)
            with dial(lab.app, PEER_V4, WEB) as client:
                client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 200")
            running.calls()
        checked = lab.tidegate("config", "check", str(out)).ok()
        assert "2 Services are claimed" in checked.out
        assert checked.err == ""
        services = (out / "services.yaml").read_text()
        assert "# The first bytes were those of http." in services
        assert f"name: http-{WEB}" in services
        assert "python" in services, "who called"
        plan = lab.tidegate("init", "--dry-run", "--config", str(out)).ok()
        assert plan.out
        with rules(lab.app), ProxyProcess(lab, "--config", str(out)):
            told = lab.tidegate("why", f"{PEER_V4}:{WEB}", "--json").ok().json["proxy"]
            assert told["service"]["name"].startswith("default/")
            assert told["outcome"] == f"sent to {PEER_V4}:{WEB}"
            talk(lab)
    again = lab.tidegate("discover", "--duration", "1", "--write", str(out)).ended(2)
    assert "nothing is overwritten" in again.err


def test_a_terminal_gets_a_live_table_that_fits(lab: Lab) -> None:
    """80 columns and ten lines; what is shown at the end is whole."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-P", "-m", "tidegate", "discover", "--duration", "0"]
    environment = {**os.environ, "COLUMNS": "80", "LINES": "10", "TERM": "xterm"}
    process = lab.app.popen(argv, stdout=subprocess.PIPE, stderr=theirs, cwd=ROOT, env=environment)
    try:
        with Server(lab.peer, PEER_V4, PORT, echo):
            seen = b""

            def read(wanted: bytes) -> bool:
                nonlocal seen
                if select.select([ours], [], [], 0.1)[0]:
                    seen += os.read(ours, 65536)
                return wanted in seen

            until(lambda: read(b"Ctrl-C ends it"), "the beginning", timeout=20)
            talk(lab)
            try:
                until(lambda: read(str(PORT).encode()), "the row", timeout=20)
            finally:
                process.send_signal(signal.SIGINT)
            reader = threading.Thread(target=lambda: [read(b"\0") for _ in range(20)])
            reader.start()
            out, _ = process.communicate(timeout=20)
            reader.join()
        assert process.returncode == 0
        assert f"{PEER_V4}:{PORT}" in out
        text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", seen).decode()
        assert all(len(line) <= 80 for line in text.split("Ctrl-C ends it", 1)[1].splitlines()[1:]), text
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def test_hostile_process_names_stay_text(lab: Lab) -> None:
    script = f"""
import ctypes, socket
ctypes.CDLL(None).prctl(15, b"\\x1b[2Jevil\\n", 0, 0, 0)
socket.create_connection(("{PEER_V4}", {PORT})).close()
"""
    with Server(lab.peer, PEER_V4, PORT, echo):
        argv = [sys.executable, "-P", "-m", "tidegate", "discover", "--duration", "60"]
        process = lab.app.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
        assert process.stderr is not None
        assert process.stderr.readline().startswith("looking")
        lab.app.run(["/usr/bin/python3", "-c", script])
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert "evil" in out
    assert "\x1b" not in out + err


@pytest.mark.parametrize("polls", [False, True])
def test_a_units_processes_alone(lab: Lab, polls: bool) -> None:
    """A unit is a folder of its name, wherever its slice is."""
    unit = f"tgdiscover{os.getpid()}.service"
    folder = CgroupFolder.create(f"tgdiscover{os.getpid()}.slice/{unit}")
    script = f"""
import socket, sys
one = None
for line in sys.stdin:
    one = socket.create_connection(("{PEER_V4}", {PORT}))
    one.sendall(b"unit")
    print(1, flush=True)
"""
    caller = lab.app.popen(
        ["/bin/sh", "-c", f'echo $$ > {folder.folder}/cgroup.procs; exec /usr/bin/python3 -c "$0"', script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    argv = [sys.executable, *(["-c", HIDDEN] if polls else ["-P", "-m", "tidegate"]), "discover", "--unit", unit]
    process = lab.peer.popen(
        [*argv, "--json", "--duration", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    try:
        with Server(lab.peer, PEER_V4, PORT, echo):
            assert process.stderr is not None
            assert process.stderr.readline().startswith("looking")
            assert caller.stdin is not None
            assert caller.stdout is not None
            caller.stdin.write("go\n")
            caller.stdin.flush()
            assert caller.stdout.readline() == "1\n"
            with dial(lab.app, PEER_V4, PORT):
                time.sleep(patient(1))
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=20)
        assert process.returncode == 0, err
        (row,) = json.loads(out)["calls"]
        assert (row["destination"], row["pid"]) == (f"{PEER_V4}:{PORT}", caller.pid)
        assert row["bytes_sent"] == 4
    finally:
        for one in (caller, process):
            one.kill()
            one.communicate()
        folder.delete()
        folder.folder.parent.rmdir()
