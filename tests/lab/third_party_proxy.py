"""The test's handle of the recorder: start, look at its log, switch its mode, stop or kill it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.actor import ROOT
from tests.lab.namespaces import Namespace, close_pipes
from tests.lab.patience import patient


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    uid: int = 1337
    gid: int = 1337
    groups: tuple[int, ...] = ()
    cgroup: Path | None = None
    tcp: tuple[int, ...] = (15001, 15006, 15053)
    udp: tuple[int, ...] = (15053,)
    v4_only: bool = False
    transparent: bool = False


class ThirdPartyProxy:
    """Owns one recorder process and the thread that reads its log. It listens when the constructor returns."""

    def __init__(self, namespace: Namespace, options: ProxyOptions) -> None:
        self.options = options
        argv = [sys.executable, "-S", "-m", "tests.lab.recorder", "--uid", str(options.uid), "--gid", str(options.gid)]
        argv += ["--groups", ",".join(map(str, options.groups))]
        argv += ["--tcp", ",".join(map(str, options.tcp)), "--udp", ",".join(map(str, options.udp))]
        argv += ["--cgroup", str(options.cgroup)] if options.cgroup else []
        argv += ["--v4-only"] if options.v4_only else []
        argv += ["--transparent"] if options.transparent else []
        self._records: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._process = namespace.popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._wait_for("ready"):
            self.kill()
            raise AssertionError(f"the recorder did not start in {namespace.name}: {self.last_words}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self._records.append(json.loads(line))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def _wait_for(self, key: str, timeout: float = 5) -> bool:
        def found() -> bool:
            return any(key in record for record in self._records)

        with self._news:
            self._news.wait_for(lambda: found() or self._process.poll() is not None, patient(timeout))
            return found()

    def records(self) -> list[dict[str, Any]]:
        """What it accepted since the last `forget`, oldest first."""
        with self._news:
            return [r for r in self._records if "who" in r]

    def forget(self) -> None:
        with self._news:
            self._records = [r for r in self._records if "who" not in r]

    def wait_for_record(self, *, timeout: float = 2, **wanted: object) -> dict[str, Any] | None:
        """The first record whose fields equal `wanted`; None when none came in time."""

        def found() -> dict[str, Any] | None:
            fitting = (r for r in self._records if "who" in r and all(r.get(k) == v for k, v in wanted.items()))
            return next(fitting, None)

        with self._news:
            self._news.wait_for(lambda: found() is not None, patient(timeout))
            return found()

    def switch(self, mode: str) -> None:
        """`answer` or `relay`, for connections accepted from now on."""
        assert self._process.stdin is not None
        with self._news:
            self._records = [r for r in self._records if "mode" not in r]
        self._process.stdin.write(mode + "\n")
        self._process.stdin.flush()
        assert self._wait_for("mode"), "the recorder did not change its mode"

    def kill(self) -> float:
        """SIGKILL, as a crash would; returns when it is gone, with the time it was sent."""
        sent = time.monotonic()
        self._process.kill()
        self._finish()
        return sent

    def close(self) -> None:
        if self._process.poll() is None:
            close_pipes(self._process.stdin)
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._finish()

    def _finish(self) -> None:
        self._process.wait()
        self._reader.join(2)
        assert self._process.stderr is not None
        if not self._process.stderr.closed:
            self.last_words = self._process.stderr.read()
        close_pipes(self._process.stdin, self._process.stdout, self._process.stderr)

    last_words: str = ""
