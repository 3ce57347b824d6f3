"""`run --live`: what the command talks, while it does, on standard error. Its own output stays as it is."""

import contextlib
import os
import sys
import time
from typing import Any

from tidegate.supervise.proxy_process import ProxyFailed
from tidegate.supervise.screen import Screen
from tidegate.supervise.serving import Serving
from tidegate.supervise.talks import Talks

SHOW_S = 1.0
SAY_S = 5.0
"""How often a line is written where standard error is no terminal, if something has changed."""


class Live:
    """A context manager, for as long as the command runs. `tick` is to be called at least every SHOW_S."""

    def __init__(self, hosts: dict[str, str]) -> None:
        self._talks = Talks(hosts=hosts)
        self._screen = Screen(2) if os.isatty(2) else None
        self._shown_at = 0.0
        self._said = ""

    def __enter__(self) -> "Live":
        return self

    def __exit__(self, *_: object) -> None:
        if self._screen is not None:
            self._screen.leave()

    def tick(self, serving: Serving) -> None:
        now = time.monotonic()
        if now - self._shown_at < (SHOW_S if self._screen is not None else SAY_S):
            return
        self._shown_at = now
        self._talks.take(*serving.news())
        open_ = self._open(serving)
        if self._screen is None:
            self._say(len(open_))
            return
        columns, most = self._screen.room()
        self._screen.show(self._talks.lines(open_, columns, most) if most else [])

    def _open(self, serving: Serving) -> list[dict[str, Any]]:
        if serving.is_up:
            with contextlib.suppress(ProxyFailed):  # `hear` sees to it
                found: list[dict[str, Any]] = serving.process.request("connections")
                return found
        return []

    def _say(self, open_: int) -> None:
        sentence = self._talks.sentence(open_)
        if sentence != self._said:
            self._said = sentence
            print(f"tidegate: {sentence}", file=sys.stderr, flush=True)
