"""tidegate's own proxy in a namespace, as an operator would start it."""

from __future__ import annotations

import re
import subprocess
import time
import urllib.error
import urllib.request
from types import TracebackType
from typing import Self

from tests.lab.command_line import BINARY
from tests.lab.namespaces import Namespace, close_pipes
from tests.lab.patience import patient

TELEMETRY = "http://127.0.0.1:15020"


class OwnProxy:
    """Owns one `tidegate proxy` process, started as root: it becomes the proxy's user by itself. prefix: a command
    that starts it otherwise."""

    def __init__(self, namespace: Namespace, *flags: str, prefix: tuple[str, ...] = ()) -> None:
        self.namespace = namespace
        self._process = namespace.popen(
            [*prefix, str(BINARY), "proxy", *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def fetch(self, path: str) -> str | None:
        """The body of a telemetry page; None while it isn't there or says no."""
        try:
            with self.namespace.entered(), urllib.request.urlopen(TELEMETRY + path, timeout=patient(2)) as answer:  # noqa: S310
                body: bytes = answer.read()
                return body.decode()
        except (OSError, urllib.error.URLError):
            return None

    def wait_ready(self, timeout: float = 10) -> None:
        deadline = time.monotonic() + patient(timeout)
        while self.fetch("/healthz/ready") is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise AssertionError(f"the proxy did not become ready: {self.last_words}")
            time.sleep(0.02)

    def connections_opened(self) -> int:
        """Sum of istio_tcp_connections_opened_total over all labels."""
        page = self.fetch("/metrics") or ""
        values = re.findall(r"^istio_tcp_connections_opened_total(?:\{.*\})? ([0-9.e+]+)$", page, flags=re.MULTILINE)
        return int(sum(map(float, values)))

    def kill(self) -> float:
        """SIGKILL; returns when it is gone, with the time it was sent."""
        sent = time.monotonic()
        self._process.kill()
        self._finish()
        return sent

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._finish()

    def _finish(self) -> None:
        self._process.wait()
        assert self._process.stderr is not None
        if not self._process.stderr.closed:
            self.last_words = self._process.stderr.read()
        close_pipes(self._process.stderr)

    last_words: str = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
