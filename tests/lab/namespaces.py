"""Network namespaces by name, and being in one for the length of a `with` block."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.lab.patience import patient

CLONE_NEWNET = 0x40000000
SO_NETNS_COOKIE = 71
RUN_NETNS = Path("/run/netns")

_libc = ctypes.CDLL(None, use_errno=True)


def setns(fd: int, kind: int = CLONE_NEWNET) -> None:
    """Move the calling thread (and it alone) into the namespace behind `fd`."""
    if _libc.setns(fd, kind) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"setns: {os.strerror(errno)}")


@dataclass(frozen=True, slots=True)
class Namespace:
    """One named network namespace. Whoever calls `create` owes it a `delete`."""

    name: str

    @property
    def path(self) -> Path:
        return RUN_NETNS / self.name

    @property
    def inode(self) -> int:
        return self.path.stat().st_ino

    def cookie(self) -> int:
        """The number by which BPF programs know this namespace (SO_NETNS_COOKIE, Linux 5.14); 0 on older kernels."""
        with self.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), sys.byteorder)
            except OSError:
                return 0

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is in this namespace; sockets made and processes started inside stay there."""
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            there = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                setns(there)
            finally:
                os.close(there)
            try:
                yield
            finally:
                setns(back)
        finally:
            os.close(back)

    def run(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        check: bool = True,
        stdin: str | None = None,
        env: dict[str, str] | None = None,
        timeout: float = 30,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in here. With `check`, a failure raises AssertionError carrying what the program said."""
        with self.entered():
            done = subprocess.run(
                argv, input=stdin, env=env, timeout=patient(timeout), capture_output=True, text=True, check=False
            )
        if check and done.returncode != 0:
            command = " ".join(map(str, argv))
            raise AssertionError(f"{self.name}: {command} -> {done.returncode}\n{done.stderr}{done.stdout}")
        return done

    def popen(self, argv: Sequence[str | os.PathLike[str]], **options: Any) -> subprocess.Popen[str]:
        """Start a program in here; the caller ends it."""
        with self.entered():
            return subprocess.Popen(argv, text=True, **options)

    def sysctl(self, key: str, value: str | None = None) -> str:
        """Read (and with `value` first write) one sysctl of this namespace; `key` as a path below /proc/sys."""
        path = Path("/proc/sys") / key
        with self.entered():
            if value is not None:
                path.write_text(value)
            return path.read_text().strip()

    def processes(self) -> list[int]:
        """Pids of the processes that live in here."""
        found = []
        inode = self.inode
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if (entry / "ns/net").stat().st_ino == inode:
                    found.append(int(entry.name))
            except OSError:
                continue  # it ended while we looked
        return found

    def delete(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=True, capture_output=True)


def create(name: str) -> Namespace:
    subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True)
    return Namespace(name)


def batch(namespace: Namespace, commands: Sequence[str]) -> None:
    """Run many `ip` commands in one process; the first that fails raises AssertionError."""
    done = subprocess.run(
        ["ip", "-n", namespace.name, "-batch", "-"],
        input="\n".join(commands),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"{namespace.name}: ip -batch: {done.stderr}\n" + "\n".join(commands))


def close_pipes(*pipes: IO[Any] | None) -> None:
    for pipe in pipes:
        if pipe is not None:
            pipe.close()
