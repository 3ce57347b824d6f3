"""`run --live` on a real run: what it shows, and that the command's output stays as it is."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

import pytest

from tests.lab import Lab
from tests.lab.patience import patient
from tests.netns.proxy.proxy_rig import PEER_V4, ROOT, Server, echo

pytestmark = pytest.mark.kernel
PORT = 12450
COMMAND = f"""
import socket, sys, time
print("begin", flush=True)
one = socket.create_connection(("{PEER_V4}", {PORT}))
one.sendall(b"hello")
one.recv(5)
for number in range(60):
    print(f"line {{number}}", flush=True)
    time.sleep({patient(0.05)})
one.close()
print("end", flush=True)
"""
EXPECTED = "begin\n" + "".join(f"line {number}\n" for number in range(60)) + "end\n"
RUN = [sys.executable, "-P", "-m", "tidegate", "run", "--live"]


def test_on_a_terminal_the_table_lives_and_the_commands_bytes_are_its_own(lab: Lab) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    begin = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    script = begin + "os.execv(sys.argv[1], sys.argv[1:])"
    argv = [sys.executable, "-c", script, *RUN, "--", "/usr/bin/python3", "-c", COMMAND]
    with Server(lab.peer, PEER_V4, PORT, echo):
        process = lab.app.popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT)
        os.close(theirs)
        data = b""
        deadline = time.monotonic() + patient(60)
        while time.monotonic() < deadline:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    data += os.read(ours, 65536)
                except OSError:
                    break
            elif process.poll() is not None:
                break
        assert process.wait(20) == 0
    os.close(ours)
    text = data.decode()
    blocks = re.findall(r"\x1b7(.*?)\x1b8", text, flags=re.DOTALL)
    table = "".join(blocks)
    assert f"-> {PEER_V4}:{PORT}" in table
    assert "\x1b[r" in blocks[-1], "the terminal is whole again"
    rest = re.sub(r"\x1b7.*?\x1b8", "", text, flags=re.DOTALL)
    rest = re.sub(r"(\r?\n)*\x1b\[\d+A", "", rest, count=1).replace("\r\n", "\n")
    assert EXPECTED.strip() in rest or _without_gaps(rest).startswith(_without_gaps(EXPECTED))
    assert "tidegate: 1 connection captured" in rest


def _without_gaps(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line)


def test_without_a_terminal_it_says_a_line_now_and_then(lab: Lab) -> None:
    command = COMMAND.replace(f"time.sleep({patient(0.05)})", "time.sleep(0.12)")
    with Server(lab.peer, PEER_V4, PORT, echo):
        argv = [*RUN, "--quiet", "--", "/usr/bin/python3", "-c", command]
        process = lab.app.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
        out, err = process.communicate(timeout=patient(60))
    assert process.returncode == 0, err
    assert out == EXPECTED
    assert re.search(r"tidegate: 0 connections ended, 1 open", err), err
    assert "\x1b" not in err


def test_names_of_the_hosts_file_and_of_requests_are_in_the_summary(lab: Lab) -> None:
    def http(sock: object) -> None:
        sock.recv(1000)  # type: ignore[attr-defined]
        sock.sendall(b"HTTP/1.1 503 no\r\ncontent-length: 0\r\n\r\n")  # type: ignore[attr-defined]

    with Server(lab.peer, PEER_V4, PORT, http):
        argv = ["curl", "-s", "--resolve", f"shop.example:{PORT}:{PEER_V4}", f"http://shop.example:{PORT}/x?y=z"]
        process = lab.app.popen([*RUN[:-1], "--", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
        _, err = process.communicate(timeout=patient(60))
    assert f"-> shop.example:{PORT}" in err, err
    assert re.search(r"-> shop\.example:\d+ +503", err), err
    assert max(map(len, err.splitlines())) <= 80
