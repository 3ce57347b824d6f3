"""What is told about a connection: the object of `run --report`, of /connections and of the access log."""

from typing import NamedTuple

from proxy.core.addresses import ClientAddress, OriginalDestination, UpstreamAddress
from proxy.core.close_reason import CloseReason
from proxy.core.decide.verdict import Verdict
from proxy.core.lanes import Direction

JsonObject = dict[str, str | int | float]

CONNECTING = "connecting"
RELAYING = "relaying"
CLOSED = "closed"
"""States of a connection, as they are told."""


class ConnectionRecord(NamedTuple):
    """One connection at one moment; close_reason is None while it is open.

    Bytes are counted by the way they went through the proxy; `as_report` turns them to the workload's point of view.
    """

    id: int
    direction: Direction
    peer: ClientAddress
    destination: OriginalDestination
    upstream: UpstreamAddress
    """The last one tried; NOWHERE: there was none."""
    verdict: Verdict
    to_upstream: int
    to_downstream: int
    state: str
    started_at: float
    """Seconds since the epoch."""
    age_s: float
    close_reason: CloseReason | None

    def as_report(self) -> JsonObject:
        """The connection object of contract.md, with the keys that /connections adds. `bytes_sent` is what the
        workload sent to its peer: the workload is the client of an outbound and the server of an inbound connection."""
        outbound = self.direction is Direction.OUTBOUND
        age_ms = round(self.age_s * 1000, 3)
        return {
            "direction": str(self.direction),
            "original_destination": str(self.destination),
            "upstream": str(self.upstream) if self.upstream.ip else "-",
            "protocol": self.verdict.protocol,
            "lane": str(self.verdict.lane),
            "bytes_sent": self.to_upstream if outbound else self.to_downstream,
            "bytes_received": self.to_downstream if outbound else self.to_upstream,
            "duration_ms": age_ms,
            "close_reason": "" if self.close_reason is None else str(self.close_reason),
            "state": self.state,
            "age_ms": age_ms,
            "lane_reason": self.verdict.lane_reason,
            "downstream": str(self.peer),
            "cluster": self.verdict.cluster,
            "service": "" if self.verdict.service is None else self.verdict.service.host,
        }
