"""Upstreams die by SIGKILL under load, again and again: nothing hangs, no byte is wrong, nothing is left."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.patience import patient
from tests.netns.proxy.config_rig import ONE, TWO, VIP, file, web, write
from tests.netns.proxy.proxy_rig import PEER_V4, ProxyProcess, dial, read_all, rules, until

__all__ = ["file"]
pytestmark = [pytest.mark.kernel, pytest.mark.soak]

SECONDS = 8
# The length as a line, that many bytes up, the same bytes down; a length of 0 is answered with one byte.
SERVER = """
import socket, sys, threading
def serve(sock):
    with sock, sock.makefile("rb") as lines:
        left = int(lines.readline() or 0)
        if not left:
            sock.sendall(b".")
        while left:
            part = lines.read1(min(left, 65536))
            if not part:
                return
            left -= len(part)
            sock.sendall(part)
with socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=1024) as server:
    print("up", flush=True)
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""
CLIENT = """
import collections, contextlib, json, random, socket, sys, threading, time
host, seconds, patience = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
pattern = bytes(i * i % 251 for i in range(1 << 20))
ends, lock = collections.Counter(), threading.Lock()
def send(sock, data):
    try:
        sock.sendall(data)
    except OSError:
        pass  # the reader tells how it ended
def talk():
    size = random.choice((10, 1000, 200_000, 1 << 20))
    got = bytearray()
    try:
        with socket.create_connection((host, 80), timeout=patience) as sock:
            writer = threading.Thread(target=send, args=(sock, b"%d\\n" % size + pattern[:size]))
            writer.start()
            try:
                while len(got) < size:
                    part = sock.recv(1 << 16)
                    if not part:
                        break
                    got += part
            finally:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)  # wakes the writer, which close() would not
                writer.join()
    except TimeoutError:
        return "hung"
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "cut" if pattern.startswith(bytes(got)) else "wrong"
    if not pattern.startswith(bytes(got)):
        return "wrong"
    return "whole" if len(got) == size else "cut"
def client():
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        how = talk()
        with lock:
            ends[how] += 1
threads = [threading.Thread(target=client) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(ends))
"""


def upstream(lab: Lab, port: int) -> subprocess.Popen[str]:
    process = lab.peer.popen([sys.executable, "-c", SERVER, PEER_V4, str(port)], stdout=subprocess.PIPE)
    if process.stdout is None or process.stdout.readline() != "up\n":
        kill(process)
        pytest.fail(f"no upstream at port {port}")
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.timeout(120)
def test_upstreams_killed_under_load(lab: Lab, file: Path) -> None:
    write(file, web(ONE, TWO))
    alive: dict[int, subprocess.Popen[str]] = {}
    kills = 0
    try:
        for port in (ONE, TWO):
            alive[port] = upstream(lab, port)
        with rules(lab.app), ProxyProcess(lab, "--config", str(file)) as proxy:
            ask_all(lab, 4)
            fds = proxy.fds()
            client = lab.app.popen(
                [sys.executable, "-c", CLIENT, VIP, str(SECONDS), str(patient(10))], stdout=subprocess.PIPE
            )
            # One is down for a moment, then the other; never both.
            while client.poll() is None:
                port = (ONE, TWO)[kills % 2]
                time.sleep(0.3)
                kill(alive[port])
                time.sleep(0.1)
                alive[port] = upstream(lab, port)
                kills += 1
            ends = json.loads(client.communicate()[0])
            print(f"{kills} kills: {ends}")
            assert ends.keys() <= {"whole", "cut"}, ends
            assert ends["whole"] > 20 * kills / 4, ends
            assert 0 < ends["cut"] < ends["whole"], ends
            ask_all(lab, 20)
            until(lambda: proxy.metric("tidegate_connections_active") == 0, "all to end")
            until(lambda: proxy.fds() <= fds, f"{fds} descriptors, there are {proxy.fds()}")
            opened, closed = (proxy.metric(f"istio_tcp_connections_{one}_total") for one in ("opened", "closed"))
            assert opened == closed == sum(ends.values()) + 24
            assert proxy.metric("istio_tcp_connections_closed_total", response_flags="-") < closed
    finally:
        for process in alive.values():
            kill(process)


def ask_all(lab: Lab, times: int) -> None:
    for _ in range(times):
        with dial(lab.app, VIP, 80) as client:
            client.sendall(b"0\n")
            assert read_all(client) == b"."
