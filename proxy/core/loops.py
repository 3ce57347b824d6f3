"""The loop guard: notices when one of our own upstream connections is captured and comes back to a listener of ours."""

from proxy.core.addresses import ClientAddress, OriginalDestination, UpstreamAddress, UpstreamSource
from proxy.core.lanes import Direction


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

    def add(self, source: UpstreamSource, destination: UpstreamAddress, direction: Direction, owner: int) -> None:
        """direction is that of the listener on whose behalf we connected, owner the id of the connection."""
        self._open[(source.ip, source.port, destination.ip, destination.port)] = (direction, owner)

    def remove(self, source: UpstreamSource, destination: UpstreamAddress) -> None:
        self._open.pop((source.ip, source.port, destination.ip, destination.port), None)

    def is_loop(self, peer: ClientAddress, destination: OriginalDestination, arrived: Direction) -> bool:
        """Whether a connection accepted by the `arrived` listener is an upstream connection of ours captured again.

        From the outbound side to the inbound listener is no loop but the hairpin that `--self-calls hairpin` asks for;
        it can't go round, because the inbound side's own upstream connection is not allowed to arrive anywhere.
        """
        found = self._open.get((peer.ip, peer.port, destination.ip, destination.port))
        if found is None:
            return False
        return not (found[0] is Direction.OUTBOUND and arrived is Direction.INBOUND)

    def owner(self, peer: ClientAddress, destination: OriginalDestination) -> int | None:
        """The id of the connection whose upstream connection this is; None: it is none of ours."""
        found = self._open.get((peer.ip, peer.port, destination.ip, destination.port))
        return None if found is None else found[1]
