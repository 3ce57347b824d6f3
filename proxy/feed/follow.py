"""Following files in a thread of their own: the kernel's notices (inotify) wake it, and a slow look every second finds
what no notice comes for (links to elsewhere, network file systems). The event loop hears of what was read."""

import contextlib
import logging
import os
import queue
import select
import threading
import time
from collections.abc import Callable

from proxy.core.policy.policy import Policy
from proxy.feed.file_watch import FileWatch
from proxy.feed.source import Change, PolicyRefused, PolicySource

POLL_S = 1.0
REST_S = 0.02
"""Between two looks, however often the kernel calls: others may be busy in the same folder."""

Changed = tuple[Policy, tuple[str, ...]]
"""A policy, and warnings."""
Made = Callable[[Changed | PolicyRefused], None]

_log = logging.getLogger("mesh")


class Follower:
    """push and refuse are called from the thread."""

    def __init__(
        self,
        source: PolicySource,
        push: Callable[[Policy, tuple[str, ...]], None],
        refuse: Callable[[tuple[str, ...]], None],
    ) -> None:
        self._source = source
        self._push = push
        self._refuse = refuse
        self._asked = threading.Event()
        self._changes: queue.SimpleQueue[tuple[Change, Made]] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="config", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def request(self) -> None:
        """Read again, whether anything seems changed or not. After `close` nothing is read."""
        if self._closing.is_set():
            return
        self._asked.set()
        os.eventfd_write(self._wake, 1)

    def change(self, change: Change, made: Made) -> None:
        """made: called from the thread with the policy that has the change, or why there is none."""
        if self._closing.is_set():
            made(PolicyRefused(("this proxy follows its configuration no more: another one has taken over",)))
            return
        self._changes.put((change, made))
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """A reading that is under way is not waited for. The second time it does nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        if self._thread.is_alive():
            os.eventfd_write(self._wake, 1)
        else:
            os.close(self._wake)

    def _run(self) -> None:
        watch = FileWatch(self._source.folders())
        try:
            self._follow(watch)
        finally:
            watch.close()
            os.close(self._wake)

    def _follow(self, watch: FileWatch) -> None:
        poller = select.poll()
        for fd in (self._wake, watch.fd):
            if fd >= 0:
                poller.register(fd, select.POLLIN)
        while not self._closing.is_set():
            poller.poll(POLL_S * 1000)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            if watch.fd >= 0:
                watch.forget()
            if not self._closing.is_set():
                self._look()
                time.sleep(REST_S)

    def _look(self) -> None:
        while not self._changes.empty():
            self._make(*self._changes.get())
        asked = self._asked.is_set()
        self._asked.clear()
        try:
            found = self._source.load() if asked or self._source.changed() else None
        except PolicyRefused as refused:
            self._tell(self._refuse, refused.messages)
        except Exception as failed:
            # No file may end the thread; what escapes the reader's own errors is a defect, told whole.
            _log.exception("reading the configuration failed")
            self._tell(self._refuse, (f"internal error: {failed!r}",))
        else:
            if found is not None:
                self._tell(self._push, *found)

    def _make(self, change: Change, made: Made) -> None:
        found: Changed | PolicyRefused
        try:
            found = self._source.change(change)
        except PolicyRefused as refused:
            found = refused
        except Exception as failed:
            _log.exception("changing what a policy says failed")
            found = PolicyRefused((f"internal error: {failed!r}",))
        self._tell(made, found)

    def _tell(self, what: Callable[..., None], *values: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed: there is nothing left to tell
            what(*values)
