"""The proxy of one run, as the supervisor sees it: a process and a socket that carries JSON lines both ways."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from intercept.host import cgroups
from tidegate import processes
from tidegate.supervise.requests import Requests

READY_S = 10.0
REQUEST_S = 5.0
END_S = 2.0
"""For the proxy's own part of an end, when its connections have ended."""

ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}

Message = dict[str, Any]


class ProxyFailed(Exception):
    """The proxy did not start, or ended when it should not have."""


class ProxyProcess:
    """One proxy process. Owns the process, its pidfd and our end of the control socket.

    `fileno()` is readable when the proxy has told something, or has gone. Connection records gather in `records`,
    requests in `requests`, changes of the direct lane in `changes`.
    """

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        """Start it inside the cgroup `folder`; raises ProxyFailed unless it is ready within READY_S."""
        self.records: list[Message] = []
        self.requests = Requests()
        self.changes: list[Message] = []
        self._received = b""
        self._answers: list[Any] = []
        self._ready: Message | None = None
        self._drained = False
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                # -P: a folder named `proxy` where the user happens to stand must not be imported.
                [sys.executable, "-P", "-m", "tidegate", "proxy", "--supervisor-fd", str(theirs.fileno()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                preexec_fn=lambda: _in_child(folder),  # noqa: PLW1509  # the supervisor has one thread
            )
        self.pid = self._process.pid
        ready = self._wait_until_ready()
        self.outbound_port, self.inbound_port = int(ready["outbound_port"]), int(ready["inbound_port"])
        self.dns_port: int | None = ready.get("dns_port")
        self.admin_port: int | None = ready.get("admin_port")

    def fileno(self) -> int:
        """-1 when it has been closed."""
        return self._socket.fileno()

    def receive(self) -> bool:
        """Take in what the proxy has told. False when it has closed the socket, that is, ended."""
        data = self._socket.recv(1 << 16)
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        return bool(data)

    def request(self, operation: str, **arguments: Any) -> Any:
        """Send a command and wait for its answer. Raises ProxyFailed when none comes."""
        self._answers.clear()
        try:
            self._socket.sendall(json.dumps({"op": operation, **arguments}).encode() + b"\n")
        except OSError as error:
            raise ProxyFailed(f"the proxy has gone: {error.strerror}") from None
        if not self.wait_for(lambda: bool(self._answers), REQUEST_S):
            raise ProxyFailed(f"the proxy does not answer {operation!r}")
        return self._answers.pop()

    def deliver(self, timeout_s: float, signals: int) -> None:
        """The command has ended: have what it sent delivered, for at most `timeout_s`, and gather the records.

        signals: a signalfd; when a signal that asks to end comes there meanwhile, what is left is given up. Raises
        ProxyFailed when the proxy goes.
        """
        self.request("drain", timeout_s=timeout_s, workload_ended=True)
        if not self.wait_for(lambda: self._drained, timeout_s + END_S, signals=signals):
            self.request("drain", timeout_s=0)
            self.wait_for(lambda: self._drained, END_S)

    def drain(self, timeout_s: float, signals: int) -> None:
        """Accept nothing more, and wait until the open connections have ended, for at most `timeout_s` or until a
        signal at the signalfd `signals` asks to end. Raises ProxyFailed when the proxy goes."""
        self.request("drain", timeout_s=timeout_s)
        self.wait_for(lambda: self._drained, timeout_s + END_S, signals=signals)

    def release(self) -> None:
        """Tell the process to end, without waiting for it: `close` does. Records told so far stay."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> int:
        """End the process if it has not ended, and return its exit code. Records told so far stay."""
        self._socket.close()
        try:
            return self._process.wait(timeout=END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _wait_until_ready(self) -> Message:
        try:
            self.wait_for(lambda: self._ready is not None, READY_S)
        except ProxyFailed:
            code = self.close()
            raise ProxyFailed(f"the proxy ended with exit code {code} instead of becoming ready") from None
        if self._ready is not None:
            return self._ready
        self._process.kill()
        self.close()
        raise ProxyFailed(f"the proxy was not ready within {READY_S:.0f} s")

    def wait_for(self, told: Callable[[], bool], timeout_s: float, *, signals: int | None = None) -> bool:
        """Take in what comes until `told`. False: not in time, or a signal asks to end. Raises ProxyFailed when the
        proxy goes.

        One piece of news can bring two answers, so `told` is asked before each wait.
        """
        deadline = time.monotonic() + timeout_s
        watched = [self.fileno()] if signals is None else [self.fileno(), signals]
        while not told():
            left = deadline - time.monotonic()
            readable = select.select(watched, [], [], left)[0] if left > 0 else []
            if not readable:
                return False
            if signals is not None and signals in readable and asked_to_end(signals, 0):
                return False
            if self.fileno() in readable and not self.receive():
                raise ProxyFailed("the proxy has gone")
        return True

    def _take(self, message: Any) -> None:
        match message:
            case {"event": "ready"}:
                self._ready = message
            case {"event": "connection"}:
                self.records.append(message)
            case {"event": "request"}:
                self.requests.add(message)
            case {"event": "direct-change"}:
                self.changes.append(message)
            case {"event": "drained"}:
                self._drained = True
            case {"event": _}:
                pass  # a newer proxy may tell more
            case answer:
                self._answers.append(answer)


def asked_to_end(signals: int, wait_s: float) -> bool:
    """Whether a signal that asks to end comes at the signalfd `signals` within that time. The end of a child, the
    command's own among them, is no such wish."""
    readable = select.select([signals], [], [], wait_s)[0]
    return bool(readable) and processes.read_signal(signals).number in ENDING


def _in_child(folder: Path) -> None:
    cgroups.join(folder)
    processes.die_with_parent()
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.chdir("/")
