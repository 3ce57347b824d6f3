"""The real proxy process in a lab's APP namespace, hand-written redirect rules, and plain sockets at both ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.lab import Lab
from tests.lab.namespaces import Namespace
from tests.lab.patience import patient

ROOT = Path(__file__).resolve().parents[3]
PEER_V4, PEER_V6 = "10.0.0.1", "fd00::1"
APP_V4, APP_V6 = "10.0.0.2", "fd00::2"

REDIRECT = """
table inet proxy_rig {
  chain out {
    type nat hook output priority -100
    meta skuid 1337 return
    oifname lo return
    meta l4proto tcp redirect to :15001
  }
  chain in {
    type nat hook prerouting priority -100
    tcp dport { 15000, 15020 } return
    meta l4proto tcp redirect to :15006
  }
}
"""


def until(condition: Callable[[], Any], what: str, timeout: float = 10) -> Any:
    """Poll until condition() is true and return what it gave; AssertionError names what was awaited."""
    deadline = time.monotonic() + patient(timeout)
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {timeout} s in vain for {what}"
        time.sleep(0.02)


@contextlib.contextmanager
def rules(namespace: Namespace, text: str = REDIRECT, table: str = "inet proxy_rig") -> Iterator[None]:
    namespace.run(["nft", "-f", "-"], stdin=text)
    try:
        yield
    finally:
        namespace.run(["nft", "delete", "table", *table.split()])


class ProxyProcess:
    """One `tidegate proxy`. Ends with the `with` block at the latest; its output is in files of the lab's folder."""

    def __init__(
        self,
        lab: Lab,
        *flags: str,
        prefix: tuple[str, ...] = (),
        pass_fds: tuple[int, ...] = (),
        cwd: Path = ROOT,
        env: dict[str, str] | None = None,
    ) -> None:
        self._namespace = lab.app
        number = len(list(lab.folder.glob("proxy-*.out")))
        self.out_path = lab.folder / f"proxy-{number}.out"
        self.err_path = lab.folder / f"proxy-{number}.err"
        with self.out_path.open("wb") as out, self.err_path.open("wb") as err:
            self.process = self._namespace.popen(
                [*prefix, sys.executable, "-P", "-m", "tidegate", "proxy", *flags],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=cwd,
                env=env,
                pass_fds=pass_fds,
                start_new_session=True,
            )

    def __enter__(self) -> ProxyProcess:
        until(lambda: " ready: " in self.stderr() or self.process.poll() is not None, "the proxy to be ready")
        assert self.process.poll() is None, f"the proxy ended with {self.process.returncode}: {self.stderr()}"
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(patient(1))
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        until(self._alone, "everything that the proxy started to end")

    def _alone(self) -> bool:
        """Whether no process of the proxy's session lives. Dead orphans wait for init, which may take its time."""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.pid and state != "Z":
                    return False
        return True

    @property
    def pid(self) -> int:
        return self.process.pid

    def stderr(self) -> str:
        return self.err_path.read_text()

    def access_log(self) -> list[dict[str, Any]]:
        """With --log-format json."""
        return [json.loads(line) for line in self.out_path.read_text().splitlines()]

    def wait_logged(self, count: int = 1, timeout: float = 10) -> list[dict[str, Any]]:
        return list(until(lambda: len(self.access_log()) >= count and self.access_log(), f"{count} lines", timeout))

    def fds(self) -> int:
        """Open descriptors, but for the engine's pool of pipes, which outlives the connections that filled it."""
        count = 0
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                count += not os.readlink(f"/proc/{self.pid}/fd/{fd}").startswith("pipe:")
        return count

    def status(self, key: str) -> str:
        """A line of /proc/PID/status."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return line.partition(":")[2].strip()
        raise KeyError(key)

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def request(
        self, path: str, method: str = "GET", *, port: int = 15000, headers: dict[str, str] | None = None
    ) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patient(5))
        with self._namespace.entered():
            connection.connect()
        with contextlib.closing(connection):
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def metrics(self) -> dict[str, float]:
        """Every sample by its name and labels as written."""
        status, text = self.request("/metrics")
        assert status == 200
        lines = (line for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            value
            for sample, value in self.metrics().items()
            if sample.partition("{")[0] == name and all(w in sample for w in wanted)
        )

    def control(self, *requests: dict[str, Any]) -> list[Any]:
        """Ask through the abstract socket."""
        with self._namespace.entered():
            sock = socket.socket(socket.AF_UNIX)
            sock.connect("\0tidegate/15001")
        sock.settimeout(patient(5))
        with sock, sock.makefile("rw") as lines:
            answers = []
            for one in requests:
                lines.write(json.dumps(one) + "\n")
                lines.flush()
                answers.append(json.loads(lines.readline()))
            return answers


def dial(
    namespace: Namespace, host: str, port: int, *, timeout: float = 5, source: tuple[str, int] | None = None
) -> socket.socket:
    with namespace.entered():
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.settimeout(patient(timeout))
    try:
        if source is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(source)
        sock.connect((host, port))
    except BaseException:
        sock.close()
        raise
    return sock


class Server:
    """A TCP server in a namespace; `handle` gets each accepted socket, which is closed after that.

    Each connection has a thread of its own, or with `inline` none: then one is served after the other.
    """

    def __init__(
        self,
        namespace: Namespace,
        host: str,
        port: int,
        handle: Callable[[socket.socket], None],
        *,
        inline: bool = False,
    ) -> None:
        with namespace.entered():
            self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
            self._socket.listen(4096)
        self._handle = handle
        self._inline = inline
        self.peers: list[tuple[str, int]] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                sock, peer = self._socket.accept()
            except OSError:
                return
            self.peers.append(peer[:2])
            if self._inline:
                self._serve(sock)
            else:
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            self._handle(sock)


def echo(sock: socket.socket) -> None:
    """Sends back what comes; finishes when the client does."""
    while data := sock.recv(65536):
        sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def read_all(sock: socket.socket) -> bytes:
    found = b""
    while data := sock.recv(65536):
        found += data
    return found
