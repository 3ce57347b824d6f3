"""Asks one proxy, in two threads, while somebody looks at the page; afterwards nothing is asked."""

import json
import threading
import time
from collections import Counter, deque
from typing import Any, NamedTuple

from dashboard import policy, traffic
from dashboard.peers import Peer, Peers, Seen, peer_of
from dashboard.proxies import Gone, Proxy
from dashboard.recent import Recent

TURN_S = 1.0
SLOW_TURNS = 5
"""Endpoints, routes and open connections are asked for in each fifth turn."""
WINDOW = 5
"""Turns that rates are made of."""
LOOKED_S = 5.0
"""A page asks each second; after this time without a question nobody looks any more."""
MOST_OPEN = 2000
"""Open connections beyond which they are not listed: the proxy would spend its time on it."""


class Look(NamedTuple):
    """What the page is shown of one proxy. error: why there is nothing newer; empty: it answers."""

    error: str
    table: list[dict[str, Any]]
    edges: list[dict[str, Any]]
    routes: list[dict[str, Any]]
    endpoints: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    dropped: int


class Watch:
    """Owns two daemon threads from `start` on. `look` may be called by any thread, and keeps the watch going."""

    def __init__(self, proxy: Proxy, recent: Recent) -> None:
        self.proxy = proxy
        self._recent = recent
        self._peers = Peers()
        self._guard = threading.Lock()
        self._looked = threading.Event()
        self._looked_at = 0.0
        self._dropped = 0
        self._totals: deque[tuple[float, list[dict[str, Any]]]] = deque(maxlen=WINDOW + 1)
        self._turns: deque[tuple[float, dict[Peer, Seen]]] = deque(maxlen=WINDOW)
        self._live: Counter[Peer] = Counter()
        self._claimed: dict[str, str] = {}
        self._slow: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
        self._shown = Look("not asked yet", [], [], [], [], [], 0)

    def start(self) -> None:
        for run in (self._ask_on, self._follow_on):
            threading.Thread(target=run, name=f"watch {self.proxy.name}", daemon=True).start()

    def look(self) -> Look:
        self._looked_at = time.monotonic()
        self._looked.set()
        return self._shown

    @property
    def is_looked_at(self) -> bool:
        return time.monotonic() - self._looked_at < LOOKED_S

    def _wait_for_a_look(self) -> bool:
        """Whether nobody had looked before."""
        if self.is_looked_at:
            return False
        self._looked.clear()
        if not self.is_looked_at:
            self._looked.wait()
        return True

    def _ask_on(self) -> None:
        turn = 0
        while True:
            if self._wait_for_a_look():
                turn = 0
                self._totals.clear()
                self._turns.clear()
            try:
                self._ask(slow=turn % SLOW_TURNS == 0)
                turn += 1
            except Gone as gone:
                turn = 0
                self._totals.clear()
                self._shown = self._shown._replace(error=str(gone), table=[], edges=[])
            time.sleep(TURN_S if turn != 1 else TURN_S / 4)  # the first rates are there at once

    def _ask(self, *, slow: bool) -> None:
        at, totals = time.monotonic(), self.proxy.get("/totals")
        if slow:
            self._ask_slowly(sum(row["open"] for row in totals))
        with self._guard:
            self._turns.append((at, self._peers.turn()))
        self._totals.append((at, totals))
        since, before = self._totals[0]
        seconds = max(at - since, 0.001) if len(self._totals) > 1 else TURN_S
        rows = traffic.table(self.proxy.name, before, totals, seconds)
        edges = traffic.edges(rows, together([seen for _, seen in self._turns]), self._live, max(seconds, TURN_S))
        routes, endpoints, changes = self._slow
        self._shown = Look("", rows, edges, routes, endpoints, changes, self._dropped)

    def _ask_slowly(self, is_open: int) -> None:
        clusters, dump = self.proxy.get("/clusters"), self.proxy.get("/config_dump")
        self._claimed = policy.claimed(dump)
        self._slow = (policy.routes(dump, clusters), policy.endpoints(clusters), self.proxy.get("/policy"))
        found: Counter[Peer] = Counter()
        if is_open <= MOST_OPEN:
            for one in self.proxy.get("/connections"):
                peer = peer_of(one, self._claimed)
                if peer is not None:
                    found[peer] += 1
        self._live = Counter(dict(found.most_common(100)))

    def _follow_on(self) -> None:
        while True:
            self._wait_for_a_look()
            try:
                for line in self.proxy.lines("/tap"):
                    if not self.is_looked_at:
                        break
                    self._take(json.loads(line))
            except (Gone, ValueError):
                pass  # the other thread says so
            time.sleep(TURN_S)

    def _take(self, told: dict[str, Any]) -> None:
        if "dropped" in told:
            self._dropped += told["dropped"]
            return
        with self._guard:
            self._peers.add(told, self._claimed)
        self._recent.add(self.proxy.name, told)


def together(turns: list[dict[Peer, Seen]]) -> dict[Peer, Seen]:
    """Of several turns, oldest first."""
    found: dict[Peer, Seen] = {}
    for turn in turns:
        for peer, one in turn.items():
            into = found.setdefault(peer, Seen())
            into.unit, into.total = one.unit, one.total
            into.ended += one.ended
            into.failed += one.failed
            into.durations_ms += one.durations_ms
    return found
