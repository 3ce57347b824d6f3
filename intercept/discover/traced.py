"""Connections as the programs of bpf/trace see them, all of them; what the kernel's table of sockets knows besides:
those that were open before, bytes so far, and who accepts."""

import time
from collections import deque
from collections.abc import Iterator

from bpf.trace.discover import ENDED, Connection, Discovery
from intercept.discover.polled import Polled
from intercept.discover.scope import Whose
from intercept.discover.seen import Seen
from intercept.discover.sockets import LISTEN, Diagnosed, diagnosed
from intercept.host.owners import Owner

_PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp", 136: "udplite", 262: "mptcp"}
_NO_ARRIVALS = "connections that arrive are polled: this kernel (before 5.15) can't tell whose they are, as they come"
_REMEMBERED = 50_000


class Traced:
    def __init__(self, discovery: Discovery, whose: Whose) -> None:
        self.losses: tuple[str, ...] = () if discovery.sees_arrivals else (_NO_ARRIVALS,)
        self._discovery = discovery
        self._whose = whose
        self._polled = Polled(whose)
        self._accepted: dict[int, Owner] = {}
        """By cookie of the accepted socket: the process is known for as long as it has the socket."""
        self._told: set[int] = set()
        """Cookies that were in the program's table: the socket may outlive its entry for a moment."""
        self._told_in_order: deque[int] = deque()

    def look(self) -> list[Seen]:
        self._whose.refresh()
        # First the sockets: one that has ended meanwhile is in the program's table, and is not taken for another one.
        sockets, now_s = diagnosed(), time.monotonic()
        by_cookie = {one.cookie: one for one in sockets}
        listening = {one.local[1]: one.inode for one in sockets if one.state == LISTEN}
        connections = list(self._discovery.connections())
        for one in connections:
            self._remember(one.cookie)
        polled = self._polled.of(sockets, now_s, self._told)
        found = [
            self._seen(one, by_cookie.get(one.cookie), self._owner(one, by_cookie, listening), now_s)
            for one in connections
        ]
        found = [one for one in found if self._whose.has_process(one.pid)]
        return [*polled, *found, *self._messages()]

    def answers(self) -> list[bytes]:
        return self._discovery.answers()

    def lost(self) -> int:
        return self._discovery.lost()

    def close(self) -> None:
        self._discovery.close()

    def _remember(self, cookie: int) -> None:
        if cookie not in self._told:
            self._told.add(cookie)
            self._told_in_order.append(cookie)
            if len(self._told_in_order) > _REMEMBERED:
                self._told.discard(self._told_in_order.popleft())

    def _owner(self, one: Connection, by_cookie: dict[int, Diagnosed], listening: dict[int, int]) -> Owner:
        if one.outbound:
            return Owner(one.pid, one.name)
        known = self._accepted.get(one.cookie)
        if known is None or known.pid == 0:
            known = self._polled.owner(by_cookie.get(one.cookie), listening.get(one.local[1], 0))
        if one.state == ENDED:
            self._accepted.pop(one.cookie, None)
        else:
            self._accepted[one.cookie] = known
        return known

    def _messages(self) -> Iterator[Seen]:
        for call in self._discovery.calls():
            if self._whose.has_process(call.pid):
                yield Seen(
                    key=call[:7],
                    outbound=True,
                    protocol=_PROTOCOLS.get(call.protocol, str(call.protocol)),
                    name=call.name,
                    pid=call.pid,
                    uid=call.uid,
                    gid=call.gid,
                    local=None,
                    remote=(call.address, call.port),
                    times=call.times,
                )

    def _seen(self, one: Connection, socket: Diagnosed | None, owner: Owner, now_s: float) -> Seen:
        over = one.state == ENDED
        sent, received = one.sent, one.received
        if socket is not None and not over:
            sent, received = max(0, socket.sent - one.outbound), socket.received
        return Seen(
            key=one.cookie,
            outbound=one.outbound,
            protocol="tcp",
            name=owner.name,
            pid=owner.pid,
            uid=one.uid if one.outbound or socket is None else socket.uid,
            gid=one.gid,
            local=one.local if one.local[1] else None,
            remote=one.remote,
            ended=over,
            failed=one.failed,
            sent=sent,
            received=received,
            duration_s=(one.ended_s if over else now_s) - one.started_s,
            first=one.first,
            by_peer=one.by_peer,
        )
