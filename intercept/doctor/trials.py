"""Trials that may load a heavy library, hang or bring the interpreter down: in children, side by side.

libnftables ends the whole process when it can't open its socket, and importing all libraries one after the other would
cost more than `doctor` may take. Trials that share libraries go into one child, where they run in order.
"""

import json
import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

LIMIT_S = 30.0
"""Only for what hangs."""

Trial = Callable[[], Any]


class Outcome(NamedTuple):
    """value: what the trial returned, None when it failed to; then `trouble` says how. ms: how long it took."""

    value: Any
    trouble: str | None
    ms: float


class _Child(NamedTuple):
    pid: int
    reading: int
    names: tuple[str, ...]
    said: bytearray


def run_all(groups: Sequence[Mapping[str, Trial]], limit_s: float = LIMIT_S) -> dict[str, Outcome]:
    """Runs each group in a child of its own. What a trial returns must be what JSON can carry.

    Children inherit the calling thread's namespaces. Call it while no other thread runs. No child outlives the call.
    What a child had found before it died is kept.
    """
    deadline = time.monotonic() + limit_s
    children = [_start(group) for group in groups]
    talking = {child.reading: child for child in children}
    try:
        while talking and (left := deadline - time.monotonic()) > 0:
            for reading in select.select(list(talking), [], [], left)[0]:
                chunk = os.read(reading, 1 << 16)
                talking[reading].said.extend(chunk)
                if not chunk:
                    del talking[reading]
    finally:
        troubles = [_end(child, limit_s, late=child.reading in talking) for child in children]
    outcomes: dict[str, Outcome] = {}
    for child, trouble in zip(children, troubles, strict=True):
        outcomes |= _outcomes(child, trouble)
    return outcomes


def _start(group: Mapping[str, Trial]) -> _Child:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            # Libraries that complain on standard error would garble what the caller prints.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            for name, trial in group.items():
                _write(writing, json.dumps([name, *_tried(trial)]).encode() + b"\n")
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    return _Child(pid, reading, tuple(group), bytearray())


def _tried(trial: Trial) -> Outcome:
    started = time.monotonic()
    try:
        value, trouble = trial(), None
    except Exception as error:
        value, trouble = None, f"{type(error).__name__}: {error}"
    return Outcome(value, trouble, (time.monotonic() - started) * 1000)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _end(child: _Child, limit_s: float, *, late: bool) -> str:
    """What to say of trials of which nothing was heard."""
    os.close(child.reading)
    if late:
        os.kill(child.pid, signal.SIGKILL)
    _, status = os.waitpid(child.pid, 0)
    if late:
        return f"it did not end within {limit_s:g} s"
    code = os.waitstatus_to_exitcode(status)
    return f"the process that tried it {f'died of signal {-code}' if code < 0 else f'ended with {code}'}"


def _outcomes(child: _Child, trouble: str) -> dict[str, Outcome]:
    found = {name: Outcome(None, trouble, 0.0) for name in child.names}
    for line in bytes(child.said).split(b"\n")[:-1]:  # the last piece is empty, or was cut off
        name, *outcome = json.loads(line)
        found[name] = Outcome(*outcome)
    return found
