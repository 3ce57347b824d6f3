"""Connections as the kernel's table of sockets shows them at each look. It needs no privilege to be read, and sees
nothing of what comes and goes between two looks."""

import time
from collections.abc import Container, Iterable
from typing import NamedTuple

from intercept.discover.scope import Whose
from intercept.discover.seen import Seen
from intercept.discover.sockets import ESTABLISHED, LISTEN, SYN_SENT, Diagnosed, Owners, diagnosed
from intercept.host.owners import Owner

INTERVAL_S = 0.2
LOSSES = (
    f"connections that last less than {INTERVAL_S:g} s are missed or counted too low, and so are those that fail",
    "UDP is not seen, nor are answers of name servers: names are those of /etc/hosts",
    "protocols are guessed by port, for first bytes are not seen",
)


class _Known(NamedTuple):
    seen: Seen
    since_s: float
    state: int


class Polled:
    losses: tuple[str, ...] = LOSSES

    def __init__(self, whose: Whose) -> None:
        self._whose = whose
        self._owners = Owners()
        self._known: dict[int, _Known] = {}
        self._first = True

    def look(self) -> list[Seen]:
        self._whose.refresh()
        return self.of(diagnosed(), time.monotonic(), ())

    def of(self, sockets: Iterable[Diagnosed], now_s: float, elsewhere: Container[int]) -> list[Seen]:
        """elsewhere: cookies of sockets that are told of by others."""
        all_of = list(sockets)
        self._owners.learn(one.inode for one in all_of)
        listening = {one.local[1]: one.inode for one in all_of if one.state == LISTEN}
        found: list[Seen] = []
        now: dict[int, _Known] = {}
        for one in all_of:
            if one.state == LISTEN or one.cookie in elsewhere or not self._whose.has_socket(one.cgroup):
                continue
            known = self._known.get(one.cookie)
            seen = self._seen(one, known, listening, now_s)
            if self._whose.has_process(seen.pid):
                now[one.cookie] = _Known(seen, now_s if known is None else known.since_s, one.state)
                found.append(seen)
        for cookie, known in self._known.items():
            if cookie not in now and cookie not in elsewhere:
                found.append(known.seen._replace(ended=True, failed=known.state == SYN_SENT))
        self._known, self._first = now, False
        return found

    def owner(self, one: Diagnosed | None, listening: int) -> Owner:
        """Of an accepted socket, or of the one that it was accepted from: inode 0 where there is none."""
        if one is not None and one.inode:
            return self._owners.of(one.inode)
        return self._owners.of(listening)

    def answers(self) -> list[bytes]:
        return []

    def lost(self) -> int:
        return 0

    def close(self) -> None:
        pass

    def _seen(self, one: Diagnosed, known: _Known | None, listening: dict[int, int], now_s: float) -> Seen:
        if known is not None:
            duration_s = now_s - known.since_s
            sent, received = _bytes(one, outbound=known.seen.outbound)
            return known.seen._replace(sent=sent, received=received, duration_s=duration_s)
        outbound = one.local[1] not in listening
        owner = self.owner(one, listening.get(one.local[1], 0))
        sent, received = _bytes(one, outbound=outbound)
        return Seen(
            key=one.cookie,
            outbound=outbound,
            protocol="tcp",
            name=owner.name,
            pid=owner.pid,
            uid=one.uid,
            gid=0,
            local=one.local,
            remote=one.remote,
            sent=sent,
            received=received,
            duration_s=0.0,
            older=self._first and one.state == ESTABLISHED,
        )


def _bytes(one: Diagnosed, *, outbound: bool) -> tuple[int, int]:
    """The kernel counts the SYN of the side that called as a byte."""
    return max(0, one.sent - outbound), one.received
