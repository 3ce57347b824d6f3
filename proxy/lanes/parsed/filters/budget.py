"""Calls that may take so long and no longer.

A call that exceeds its budget is interrupted: a thread of ours raises an exception in its thread, which the interpreter
delivers between two steps of Python. A call that sits in C (a sleep, a look-up) is noticed when it comes back. Then the
filter is left alone for a while, because each further call would cost its budget again."""

import ctypes
import threading
import time
from collections.abc import Callable
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")
BUDGET_S = 0.005
PAUSE_S = 1.0


class Bypassed(Exception):
    """The call was not made, or what it said does not count."""


class _Overdue(BaseException):
    """Not an Exception: a filter that catches those is interrupted, too."""


class _Call:
    __slots__ = ("deadline", "interrupted")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.interrupted = False


Told = Callable[[str, str], None]
"""Of each call that was bypassed: the hook, and `budget` (it took too long) or `paused`."""


class Budget:
    """For calls from any threads. Has a thread until `close`."""

    def __init__(self, told: Told, *, budget_s: float = BUDGET_S, pause_s: float = PAUSE_S) -> None:
        self._told = told
        self._budget_s, self._pause_s = budget_s, pause_s
        self._lock = threading.Lock()
        self._running: dict[int, _Call] = {}
        self._paused_until: dict[str, float] = {}
        self._wake = threading.Event()
        self._closed = False
        self._watcher = threading.Thread(target=self._watch, name="filter-budget", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        self._watcher.join()

    def call(self, hook: str, function: Callable[[A], R], argument: A) -> R:
        """Raises Bypassed, and what the function raises."""
        if time.monotonic() < self._paused_until.get(hook, 0.0):
            self._told(hook, "paused")
            raise Bypassed
        me, began = threading.get_ident(), time.monotonic()
        call = _Call(began + self._budget_s)
        try:
            self._begin(me, call)
            try:
                result = function(argument)
            finally:
                interrupted = self._end(me, call)
        except _Overdue:
            self._end(me, call)
            interrupted = True
        if interrupted or time.monotonic() > call.deadline:
            self._paused_until[hook] = time.monotonic() + self._pause_s
            self._told(hook, "budget")
            raise Bypassed
        return result

    def _begin(self, me: int, call: _Call) -> None:
        with self._lock:
            self._running[me] = call
        if not self._wake.is_set():
            self._wake.set()

    def _end(self, me: int, call: _Call) -> bool:
        """Whether the call was interrupted. From now on it won't be."""
        with self._lock:
            self._running.pop(me, None)
        if call.interrupted:
            _raise_in(me, None)  # what has not been delivered yet
        return call.interrupted

    def _watch(self) -> None:
        """Looks twice within a budget while calls are made, and sleeps otherwise."""
        while not self._closed:
            self._wake.wait()
            time.sleep(self._budget_s / 2)
            with self._lock:
                if not self._running and not self._closed:
                    self._wake.clear()
                now = time.monotonic()
                for thread, call in self._running.items():
                    if now > call.deadline and not call.interrupted:
                        call.interrupted = True
                        _raise_in(thread, _Overdue)


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    """Under the lock, or by the thread itself."""
    what = ctypes.py_object(kind) if kind is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)
