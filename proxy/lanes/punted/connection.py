"""The state of one admitted connection, from acceptance to its record."""

import socket
import time

from proxy.core.addresses import ClientAddress, OriginalDestination, UpstreamAddress, UpstreamSource
from proxy.core.close_reason import CloseReason
from proxy.core.decide.verdict import Verdict
from proxy.core.lanes import Direction
from proxy.core.report.record import CLOSED, CONNECTING, ConnectionRecord


class Connection:
    """Belongs to the event loop. Owns both sockets until the engine has taken them; then both are None."""

    __slots__ = (
        "counted_to_downstream",
        "counted_to_upstream",
        "deadline",
        "destination",
        "direction",
        "downstream",
        "failed",
        "hops",
        "id",
        "peer",
        "source",
        "started",
        "started_at",
        "state",
        "to_downstream",
        "to_upstream",
        "upstream",
        "verdict",
    )

    def __init__(
        self,
        id_: int,
        *,
        direction: Direction,
        peer: ClientAddress,
        destination: OriginalDestination,
        verdict: Verdict,
        downstream: socket.socket,
    ) -> None:
        self.id = id_
        self.direction = direction
        self.peer = peer
        self.destination = destination
        self.verdict = verdict
        self.downstream: socket.socket | None = downstream
        self.upstream: socket.socket | None = None
        self.source: UpstreamSource | None = None
        self.state = CONNECTING
        self.started = time.monotonic()
        self.started_at = time.time()
        self.deadline = 0.0
        self.hops = 0
        """How many connections of our own may lead to this one: above zero it looked like one that came back to us."""
        self.failed: tuple[UpstreamAddress, ...] = ()
        """Endpoints that have not taken this connection."""
        self.to_upstream = 0
        self.to_downstream = 0
        # What the byte counters have been told already: they count live and must never count twice.
        self.counted_to_upstream = 0
        self.counted_to_downstream = 0

    def record(self, close_reason: CloseReason | None = None) -> ConnectionRecord:
        """What is to be told about it now; bytes are as of the last look at the engine."""
        return ConnectionRecord(
            id=self.id,
            direction=self.direction,
            peer=self.peer,
            destination=self.destination,
            upstream=self.verdict.upstream,
            verdict=self.verdict,
            to_upstream=self.to_upstream,
            to_downstream=self.to_downstream,
            state=self.state if close_reason is None else CLOSED,
            started_at=self.started_at,
            age_s=time.monotonic() - self.started,
            close_reason=close_reason,
        )
