"""The kernel's counters of the direct lane, as they differ from the last time that they were read.

Of a hundred thousand endpoints most rest: what the kernel gives in one piece and has not changed is not looked at."""

from collections.abc import Callable, Iterator, Set
from typing import NamedTuple

from bpf import direct_layout
from cext.libbpf import libbpf


class Seen:
    """One map's counters. What is not current any more is told once more when it is over, and then removed."""

    def __init__(self, key_size: int, value_size: int, *, zeros: bool, inbound: bool = False) -> None:
        """zeros: also what has never counted anything is told. inbound: of endpoints, those of this direction."""
        self._unseen = None if zeros else bytes(value_size)
        self._sizes = key_size, value_size
        self._inbound = inbound
        self._values: dict[bytes, bytes] = {}
        self._chunks: list[tuple[bytes, bytes]] = []

    def differing(
        self, fd: int, current: Set[bytes], is_over: Callable[[bytes], bool]
    ) -> Iterator[tuple[bytes, bytes]]:
        """is_over: whether a counter of what is not current will never change again."""
        chunks = list(libbpf.map_chunks(fd, *self._sizes))
        for number, chunk in enumerate(chunks):
            if self._chunks[number : number + 1] != [chunk]:
                yield from self._of_chunk(chunk)
        self._chunks = chunks
        for key in self._values.keys() - current:
            if is_over(self._values[key]):
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
    def new(cls, *, zeros: bool = False) -> "SeenBoth":
        return cls(Seen(4, direct_layout.STATE_SIZE, zeros=zeros), members(inbound=False, zeros=zeros))


def members(*, inbound: bool, zeros: bool = False) -> Seen:
    return Seen(direct_layout.MEMBER_SIZE, direct_layout.COUNTS_SIZE, zeros=zeros, inbound=inbound)


def has_no_connection(value: bytes) -> bool:
    counts = direct_layout.counts(value)
    return counts.begun == counts.closed + counts.failed


def is_over(value: bytes) -> bool:  # noqa: ARG001  # a service counts nothing once connect() does not find it
    return True
