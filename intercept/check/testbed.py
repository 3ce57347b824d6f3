"""What a check has to put in place for its probes: a listener of its own, a listener inside a cgroup."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from intercept.check.neighbour import Neighbour
from intercept.check.probe import Target
from intercept.check.witness import OwnListener
from intercept.errors import CaptureError
from intercept.host import cgroups
from intercept.intent.intent import Mode


def own_listener(port: int, mode: Mode, *, steered: bool) -> OwnListener:
    """Listen on a proxy's port in its place. In ebpf mode the sockets are registered as the proxy's would be."""
    listener = OwnListener(port, transparent=steered and mode is Mode.TPROXY)
    try:
        if mode is Mode.EBPF:
            from intercept.backends.ebpf import backend as ebpf

            ebpf.adopt(os.getpid())
    except CaptureError:
        listener.close()
        raise
    return listener


@contextmanager
def listening_in(folder: str, version: int, port: int) -> Iterator[None]:
    """A process in the cgroup `folder` listens on `port` until the block ends. It accepts nobody."""
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ready)
        _listen(folder, version, port, tell)
    os.close(tell)
    try:
        told = os.read(ready, 256).decode()
        if told != "listening":
            raise CaptureError(f"no listener in {folder} for an inbound probe: {told or 'it ended'}")
        yield
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@contextmanager
def holding(beside: Neighbour, target: Target, source_port: int, timeout_s: float) -> Iterator[str | None]:
    """A connection from the neighbour's `source_port` is open until the block ends. Yields why it failed, or None."""
    news, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(news)
        _hold(beside, target, source_port, timeout_s, tell)
    os.close(tell)
    try:
        told = os.read(news, 256).decode()
        yield None if told == "connected" else told or "it ended"
    finally:
        os.close(news)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _hold(beside: Neighbour, target: Target, source_port: int, timeout_s: float, tell: int) -> None:
    """In the child, and it never returns."""
    try:
        beside.enter()
        family = socket.AF_INET6 if target.address.version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.bind(("", source_port))
            client.settimeout(timeout_s)
            client.connect((str(target.address), target.port))
            os.write(tell, b"connected")
            while True:
                signal.pause()
    except OSError as error:
        os.write(tell, str(error).encode()[:256])
    finally:
        os._exit(0)


def _listen(folder: str, version: int, port: int, tell: int) -> None:
    """In the child, and it never returns."""
    try:
        cgroups.join(folder)
        family = socket.AF_INET6 if version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.bind(("", port))
            listener.listen()
            os.write(tell, b"listening")
            while True:
                signal.pause()
    except OSError as error:
        os.write(tell, str(error).encode())
    finally:
        os._exit(0)
