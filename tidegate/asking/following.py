"""The streams of several proxies as one: a thread for each, which never waits for another."""

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tidegate.admin import Admin
from tidegate.asking.whom import Whom
from tidegate.netns import inside

WAITING = 10_000
"""Lines that may wait to be shown: a thread whose viewer is slower waits, and its proxy drops, counts and tells."""


class Told(NamedTuple):
    """raw None: that proxy has ended."""

    proxy: str
    raw: bytes | None


def lines(whom: Sequence[Whom], path: str, query: Mapping[str, str]) -> Iterator[Told]:
    """What they tell, in the order in which it comes, until the last of them has ended. Raises Unreachable and Refused
    where none of them answers otherwise."""
    told: queue.Queue[Told | Exception] = queue.Queue(WAITING)
    for one in whom:
        threading.Thread(target=_follow, args=(one, path, dict(query), told), daemon=True).start()
    left, answered = len(whom), False
    failed: Exception | None = None
    while left:
        found = told.get()
        if isinstance(found, Exception):
            left, failed = left - 1, found
            continue
        answered = True
        left -= found.raw is None
        yield found
    if failed is not None and not answered:
        raise failed


def _follow(one: Whom, path: str, query: dict[str, str], told: "queue.Queue[Told | Exception]") -> None:
    try:
        # The thread's own namespace: a namespace belongs to a thread, and a socket stays where it was made.
        with inside(one.netns):
            for raw in Admin(one.admin).lines(path, **query):
                told.put(Told(one.name, raw))
        told.put(Told(one.name, None))
    except Exception as failed:  # it is raised where the answer is read
        told.put(failed)
