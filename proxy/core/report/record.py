"""What is told about a connection; fields.py says how."""

from typing import NamedTuple

from proxy.core.addresses import ClientAddress, OriginalDestination, UpstreamAddress
from proxy.core.close_reason import CloseReason
from proxy.core.decide.verdict import Verdict
from proxy.core.lanes import Direction

CONNECTING = "connecting"
RELAYING = "relaying"
CLOSED = "closed"
"""States of a connection, as they are told."""


class ConnectionRecord(NamedTuple):
    """One connection at one moment; close_reason is None while it is open.

    Bytes are counted by the way they went through the proxy.
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
    sni: str = ""
    """This and the next one: what a TLS client has said. Empty: nothing."""
    alpn: str = ""
