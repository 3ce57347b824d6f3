"""The kernel's counters of the direct lane, as they differ from the last time that they were read.

Of a hundred thousand endpoints most rest: what the kernel gives in one piece and has not changed is not looked at.
Changes of policy wait while somebody looks, so a look may be given a budget; the next one goes on where it stopped."""

import time
from collections.abc import Callable, Iterator, Set
from typing import NamedTuple

from bpf import direct_layout
from cext.libbpf import libbpf


class Seen:
    """One map's counters. What is not current any more is told once more when it is over, and then removed."""

    def __init__(
        self, key_size: int, value_size: int, *, zeros: bool, inbound: bool = False, budget_s: float | None = None
    ) -> None:
        """zeros: also what has never counted anything is told. inbound: of endpoints, those of this direction.
        budget_s: of a look, which then may tell only a part of what has changed; None: each look tells all."""
        self._budget_s = budget_s
        self._next = 0
        """The piece at which the next look begins."""
        self._unseen = None if zeros else bytes(value_size)
        self._sizes = key_size, value_size
        self._inbound = inbound
        self._values: dict[bytes, bytes] = {}
        self._chunks: list[tuple[bytes, bytes]] = []

    def differing(
        self, fd: int, current: Set[bytes], is_over: Callable[[bytes], bool]
    ) -> Iterator[tuple[bytes, bytes]]:
        """is_over: whether a counter of what is not current will never change again."""
        end = None if self._budget_s is None else time.monotonic() + self._budget_s
        chunks = list(libbpf.map_chunks(fd, *self._sizes))
        self._chunks += [(b"", b"")] * (len(chunks) - len(self._chunks))
        del self._chunks[len(chunks) :]
        first = self._next if self._next < len(chunks) else 0
        for number in (*range(first, len(chunks)), *range(first)):
            if self._chunks[number] == chunks[number]:
                continue
            if end is not None and time.monotonic() >= end:
                self._next = number
                break
            yield from self._of_chunk(chunks[number])
            self._chunks[number] = chunks[number]
        for key in self._values.keys() - current:
            yield from self._of_former(fd, key, is_over)

    def _of_former(self, fd: int, key: bytes, is_over: Callable[[bytes], bool]) -> Iterator[tuple[bytes, bytes]]:
        """Read again: a look that ran out of time has not come to it."""
        value = libbpf.map_lookup(fd, key, self._sizes[1])
        if value is not None and value != self._values[key]:
            yield key, value
            self._values[key] = value
        if value is None or is_over(value):
            libbpf.map_delete(fd, key)
            del self._values[key]

    def _of_chunk(self, chunk: tuple[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
        for key, value in libbpf.cut(*chunk, *self._sizes):
            if self._sizes[0] == direct_layout.MEMBER_SIZE and direct_layout.is_inbound(key) is not self._inbound:
                continue
            before = self._values.get(key, self._unseen)
            self._values[key] = value
            if before != value:
                yield key, value


class SeenBoth(NamedTuple):
    """What is counted of services and of their endpoints."""

    states: Seen
    members: Seen

    @classmethod
    def new(cls, *, zeros: bool = False, budget_s: float | None = None) -> "SeenBoth":
        states = Seen(4, direct_layout.STATE_SIZE, zeros=zeros, budget_s=budget_s)
        return cls(states, members(inbound=False, zeros=zeros, budget_s=budget_s))


def members(*, inbound: bool, zeros: bool = False, budget_s: float | None = None) -> Seen:
    return Seen(direct_layout.MEMBER_SIZE, direct_layout.COUNTS_SIZE, zeros=zeros, inbound=inbound, budget_s=budget_s)


def has_no_connection(value: bytes) -> bool:
    counts = direct_layout.counts(value)
    return counts.begun == counts.closed + counts.failed


def is_over(value: bytes) -> bool:  # noqa: ARG001  # a service counts nothing once connect() does not find it
    return True
