"""What peers on the network can do to the telemetry port: `unshare -n python -m bench.scale.telemetry_flood`, as
root. While each load goes on, a probe asks for liveness every 50 ms; the table has the slowest and the failed ones,
and the proxy's memory. Promised: every probe within 100 ms, memory under 45 MiB.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

PROMISED_MS = 100.0
PROMISED_MIB = 45.0
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: proxy\r\n\r\n"
PROBE = b"GET /healthz/live HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"
Address = tuple[str, int]
Load = Callable[[Address, threading.Event], None]


class Seen(NamedTuple):
    probes: int
    failed: int
    slowest_ms: float
    rss_mib: float


def pipelined(address: Address, stop: threading.Event) -> None:
    """3,800 requests at once, and the answers are not read for as long as the load lasts."""
    with socket.create_connection(address, timeout=5) as sock, contextlib.suppress(OSError):
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.send(REQUEST * 3800)
        stop.wait()


def pipelined_and_read(address: Address, stop: threading.Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=1) as sock:
            writer = threading.Thread(target=_send_quietly, args=(sock, REQUEST * 3800))
            writer.start()
            try:
                while not stop.is_set() and sock.recv(1 << 20):
                    pass
            finally:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                writer.join()


def _send_quietly(sock: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        sock.sendall(data)


def streaming(address: Address, stop: threading.Event) -> None:
    """One request after the other, without a pause."""
    while not stop.is_set():
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=1) as sock:
            while not stop.is_set():
                sock.sendall(REQUEST)
                if not sock.recv(1 << 20):
                    break


def idle(address: Address, stop: threading.Event) -> None:
    with contextlib.ExitStack() as held:
        for _ in range(32):
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_connection(address, timeout=5))
        stop.wait()


LOADS: dict[str, tuple[Load, int]] = {
    "nothing": (lambda _, stop: (stop.wait(), None)[1], 1),
    "2 x 3,800 pipelined, unread": (pipelined, 2),
    "2 x 3,800 pipelined, read": (pipelined_and_read, 2),
    "8 streaming": (streaming, 8),
    "256 idle": (idle, 8),
}


def under(load: Load, clients: int, address: Address, pid: int, seconds: float) -> Seen:
    """Probe for so long while so many clients make the load."""
    stop = threading.Event()
    threads = [threading.Thread(target=load, args=(address, stop)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    took: list[float] = []
    failed, rss = 0, 0.0
    try:
        time.sleep(0.2)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            failed += not _probe(address)
            took.append((time.monotonic() - began) * 1000)
            rss = max(rss, rss_mib(pid))
            time.sleep(0.05)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return Seen(len(took), failed, max(took), rss)


def rss_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def _probe(address: Address) -> bool:
    try:
        with socket.create_connection(address, timeout=2) as sock:
            sock.settimeout(2)
            sock.sendall(PROBE)
            return sock.recv(4096).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


@contextlib.contextmanager
def _proxy(port: int) -> Iterator[int]:
    flags = ["--outbound-port", "0", "--inbound-port", "0", "--dns-port", "off", "--admin", "off"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tidegate", "proxy", *flags, "--telemetry", f"0.0.0.0:{port}"],
        stdout=subprocess.DEVNULL,
    )
    try:
        while not _probe(("127.0.0.1", port)):
            if process.poll() is not None:
                raise SystemExit(f"the proxy ended with {process.returncode}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def main() -> int:
    seconds, port = float(os.environ.get("SECONDS_EACH", "5")), 15020
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    kept = True
    print(f"{'load':30} {'probes':>7} {'failed':>7} {'slowest ms':>11} {'RSS MiB':>8}")
    with _proxy(port) as pid:
        for name, (load, clients) in LOADS.items():
            seen = under(load, clients, ("127.0.0.1", port), pid, seconds)
            kept = kept and not seen.failed and seen.slowest_ms <= PROMISED_MS and seen.rss_mib <= PROMISED_MIB
            print(f"{name:30} {seen.probes:7} {seen.failed:7} {seen.slowest_ms:11.1f} {seen.rss_mib:8.1f}")
    print("kept" if kept else f"NOT KEPT: {PROMISED_MS:g} ms, {PROMISED_MIB:g} MiB")
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
