"""While the command runs: signals are passed on, the proxy is heard, helpers that were killed are replaced."""

import selectors
import signal
from collections.abc import Callable
from typing import Any

from intercept.intent.intent import WhenDown
from intercept.results import Bound
from tidegate import processes
from tidegate.supervise.command import Command
from tidegate.supervise.guardian import Post
from tidegate.supervise.live import SHOW_S, Live
from tidegate.supervise.scope import Scope
from tidegate.supervise.serving import Serving
from tidegate.supervise.settings import RunSettings

REFRESH_S = 0.3
FOLLOW_S = 0.05
"""How often a run that waits for what outlived its command looks whether something is left."""


class Attendance:
    """Serves one command. Use once: `until_ended`."""

    def __init__(
        self, settings: RunSettings, scope: Scope, serving: Serving, guard: Post, live: Live | None = None
    ) -> None:
        """live: what is shown meanwhile; None: nothing."""
        self._live = live
        self._guard = guard
        self._settings = settings
        self._scope = scope
        self._serving = serving
        self._selector = selectors.DefaultSelector()
        self._exit_code: int | None = None

    def until_ended(self, child: Command, signals: int, bound: Bound) -> int:
        """The command's exit code. Returns when the command has ended and, with `follow`, what it left running, too."""
        refreshing = self._settings.intent.when_down is WhenDown.OPEN
        with self._selector:
            self._watch(signals, lambda: self._hear_signal(child, signals))
            self._watch(self._serving.process, self._hear_proxy)
            self._watch(self._guard, self._replace_guardian)
            self._watch(child.pidfd, lambda: self._ended(child))
            while self._exit_code is None or (self._settings.follow and self._scope.left()):
                busy = refreshing or self._serving.carries_direct_lane
                idle_s = REFRESH_S if busy else None if self._live is None else SHOW_S
                ready = self._selector.select(idle_s if self._exit_code is None else FOLLOW_S)
                if refreshing and self._serving.is_up:
                    bound.refresh()
                self._serving.tell_counted()
                if self._live is not None:
                    self._live.tick(self._serving)
                for key, _ in ready:
                    key.data()
            return self._exit_code

    def _watch(self, what: Any, serve: Callable[[], None]) -> None:
        self._selector.register(what, selectors.EVENT_READ, serve)

    def _ended(self, child: Command) -> None:
        if self._exit_code is not None:
            return
        self._selector.unregister(child.pidfd)
        self._exit_code = child.wait()

    def _hear_signal(self, child: Command, signals: int) -> None:
        received = processes.read_signal(signals)
        if received.number == signal.SIGCHLD:
            processes.reap_orphans({child.pid, self._serving.process.pid})
            return
        if self._exit_code is None and child.has_ended():
            self._ended(child)  # the signal is for what it left running
        if self._exit_code is None:
            child.send(received)
        elif not received.from_kernel:
            self._scope.signal_command(signal.Signals(received.number))

    def _hear_proxy(self) -> None:
        dead = self._serving.process
        descriptor = dead.fileno()
        if self._serving.hear():
            return
        self._selector.unregister(descriptor)
        if self._serving.process is not dead:
            self._watch(self._serving.process, self._hear_proxy)

    def _replace_guardian(self) -> None:
        self._selector.unregister(self._guard)
        self._guard.replace()
        self._watch(self._guard, self._replace_guardian)
