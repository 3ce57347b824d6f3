"""Processes of the benchmark: each a session of its own, so that its forks are accounted to it and stopped with it."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from demo.network import inside

PROC = Path("/proc")
READY_S = 10.0
STOP_S = 3.0
_LISTEN = "0A"


class BenchError(Exception):
    """Something that a measurement needs did not happen; the message says what, and what the program said."""


def stat_fields(pid: int) -> list[str]:
    """/proc/PID/stat after the name (which may hold blanks): [0] is field 3, the state. Raises ProcessLookupError."""
    try:
        return (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(pid) from None


def session_members(session: int) -> list[int]:
    """The living processes of a session, its leader included."""
    found = []
    for entry in os.listdir(PROC):
        if entry.isdigit():
            with contextlib.suppress(ProcessLookupError):
                fields = stat_fields(int(entry))
                if int(fields[3]) == session and fields[0] != "Z":
                    found.append(int(entry))
    return found


class Program:
    """Owns one program in a namespace, from construction until `stop`; a context manager.

    Its output is kept in a file for the message when it fails; `quiet` throws standard output away, as the access log
    of a proxy would be somebody else's work to store.
    """

    def __init__(self, netns: str, argv: list[str], *, quiet: bool = False) -> None:
        self.argv = argv
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the program
        try:
            self._process = subprocess.Popen(
                inside(netns, *argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if quiet else self._log,
                stderr=self._log,
                start_new_session=True,
            )
        except BaseException:
            self._log.close()
            raise

    @property
    def session(self) -> int:
        """Also the pid: nsenter executes the program in its own place."""
        return self._process.pid

    def wait_listening(self, *ports: int) -> None:
        """Returns when every port is listened on in the program's namespace. Raises BenchError when it ends before or
        takes longer than READY_S."""
        deadline = time.monotonic() + READY_S
        missing = set(ports)
        while missing:
            missing -= self._listening()
            if not missing:
                return
            if self._process.poll() is not None:
                raise BenchError(f"{self.argv[0]} ended with {self._process.returncode}: {self.said()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self.argv[0]} doesn't listen on {sorted(missing)} after {READY_S} s: {self.said()}")
            time.sleep(0.01)

    def _listening(self) -> set[int]:
        ports = set()
        for table in ("tcp", "tcp6"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                for line in (PROC / str(self.session) / "net" / table).read_text().splitlines()[1:]:
                    words = line.split()
                    if words[3] == _LISTEN:
                        ports.add(int(words[1].rpartition(":")[2], 16))
        return ports

    def alive(self) -> bool:
        return self._process.poll() is None

    def said(self) -> str:
        """The end of what it has written."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-1500:].strip()

    def stop(self) -> None:
        """SIGTERM to the leader, then SIGKILL to whatever of its session is left."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        for pid in session_members(self.session):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def run(netns: str, argv: list[str], timeout_s: float, given: str | None = None) -> str:
    """Run a command to its end in a namespace; its standard output. Raises BenchError when it fails or takes longer."""
    try:
        done = subprocess.run(
            inside(netns, *argv), check=False, capture_output=True, text=True, timeout=timeout_s, input=given
        )
    except subprocess.TimeoutExpired as late:
        # subprocess.run has killed it.
        raise BenchError(f"{argv[0]} took longer than {timeout_s:.0f} s") from late
    if done.returncode:
        raise BenchError(
            f"{' '.join(argv)} ended with {done.returncode}: {(done.stderr or done.stdout)[-1500:].strip()}"
        )
    return done.stdout


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder that other users may enter; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as path:
        os.chmod(path, 0o755)  # noqa: S103  # the proxies run as another user
        yield Path(path)
