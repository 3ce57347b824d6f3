"""The loop guard: notices when one of our own upstream connections is captured and comes back to us.

Looks deceive, so what looks like ours is served and its hops are counted; a loop that the rules make goes on, and ends
at MAX_HOPS. The engine holds the connections that it makes to the same rule
(cext/engine/decide/own.h, where the reasons stand)."""

from proxy.core.addresses import ClientAddress, OriginalDestination, UpstreamAddress, UpstreamSource
from proxy.core.lanes import Direction

MAX_HOPS = 3
"""How many connections of our own may lead to one: the engine's TG_MAX_HOPS."""


class OwnUpstreams:
    """Our open upstream connections, by source and destination.

    The pair is the key, not the source alone: the kernel hands one local port to several sockets as long as they go to
    different destinations, so an innocent client may well share its port with an upstream socket of ours. Source and
    destination together belong to one socket of the network namespace.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[str, int, str, int], tuple[Direction, int]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, source: UpstreamSource, destination: UpstreamAddress, direction: Direction, hops: int) -> None:
        """direction is that of the listener on whose behalf we connected, hops those of the connection there."""
        self._open[(source.ip, source.port, destination.ip, destination.port)] = (direction, hops)

    def remove(self, source: UpstreamSource, destination: UpstreamAddress) -> None:
        self._open.pop((source.ip, source.port, destination.ip, destination.port), None)

    def hops(self, peer: ClientAddress, destination: OriginalDestination, arrived: Direction) -> int:
        """How many connections of ours may lead to one that has arrived at the `arrived` listener.

        From the outbound side to the inbound listener is no hop but the hairpin that `--self-calls hairpin` asks for;
        it can't go round, because the inbound side's own upstream connection is not allowed to arrive anywhere.
        """
        found = self._open.get((peer.ip, peer.port, destination.ip, destination.port))
        if found is None or (found[0] is Direction.OUTBOUND and arrived is Direction.INBOUND):
            return 0
        return found[1] + 1
