"""The engine's terms for ours: scopes for directions, places for addresses."""

from cext.engine.values import SocketAddress
from proxy.core.addresses import Address
from proxy.core.lanes import Direction

SCOPES = {Direction.OUTBOUND: 1, Direction.INBOUND: 2}
DIRECTIONS = {number: direction for direction, number in SCOPES.items()}


def address(place: SocketAddress) -> Address:
    """Both hold canonical text of the kernel's making."""
    return Address(place.ip, place.port, place.zone)
