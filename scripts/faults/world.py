"""A capture in force, a proxy that serves it, a server that echoes, and a workload that asks whether all works."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from tests.lab import Lab
from tests.lab.beside import COMPANION, the_one
from tests.lab.patience import patient
from tests.netns.proxy.proxy_rig import PEER_V4, ProxyProcess, Server, dial, echo, until

PORT = 12380


class World:
    """Owns everything in a `with` block. flags: init's, besides --mode; proxy_flags: the proxy's; prefix: in front of
    its command."""

    def __init__(
        self,
        lab: Lab,
        mode: str = "nftables",
        *flags: str,
        proxy_flags: tuple[str, ...] = (),
        prefix: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
    ) -> None:
        self.lab = lab
        self._undo = contextlib.ExitStack()
        try:
            self._undo.callback(lambda: lab.tidegate("cleanup").ok())
            lab.tidegate("init", "--mode", mode, *flags).ok()
            self._undo.enter_context(Server(lab.peer, PEER_V4, PORT, echo))
            self.proxy = ProxyProcess(lab, *proxy_flags, prefix=prefix, env=env)
            self._undo.enter_context(self.proxy)
            until(self.ready, "readiness")
            # The companion's second look has probed the path by then.
            time.sleep(patient(2.2))
            assert self.ready(), self.proxy.request("/healthz/ready")
        except BaseException:
            self._undo.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def ready(self) -> bool:
        try:
            return self.proxy.request("/healthz/ready", port=15020)[0] == 200
        except OSError:
            return False

    def companion(self) -> int:
        return the_one(self.proxy.pid, COMPANION)

    def dial(self, timeout: float = 5) -> socket.socket:
        return dial(self.lab.app, PEER_V4, PORT, timeout=timeout)

    def works(self, timeout: float = 2) -> bool:
        """Whether a new connection of the workload's gets its bytes back."""
        try:
            with self.dial(timeout) as client:
                client.sendall(b"tidegate")
                return client.recv(64) == b"tidegate"
        except OSError:
            return False

    def outcome(self, timeout: float = 1) -> str:
        """What a new connection meets: works, refused, reset, or no answer."""
        try:
            with self.dial(timeout) as client:
                client.sendall(b"tidegate")
                return "works" if client.recv(64) == b"tidegate" else "closed"
        except ConnectionRefusedError:
            return "refused"
        except ConnectionResetError:
            return "reset"
        except TimeoutError:
            return "no answer"

    def recovery(self, holds: Callable[[], bool], within_s: float) -> float:
        """Seconds until it holds again; AssertionError when it does not in time."""
        began = time.monotonic()
        while not holds():
            assert time.monotonic() - began < patient(within_s), f"not recovered within {within_s:g} s"
            time.sleep(0.01)
        return time.monotonic() - began

    @contextlib.contextmanager
    def open_connection(self) -> Iterator[Callable[[], bool]]:
        """A connection that was there before; gives what asks whether it still carries bytes."""
        with self.dial() as client:

            def carries() -> bool:
                try:
                    client.sendall(b"still")
                    return client.recv(64) == b"still"
                except OSError:
                    return False

            assert carries()
            yield carries
