"""Who keeps a connection to an endpoint when more want one than there are places: nobody is turned away who comes
anew, so that a probe is always heard; the peer that holds most loses its oldest."""

from collections import Counter
from collections.abc import Hashable, Iterable
from ipaddress import IPv6Address, ip_address


def crowd(ip: str) -> Hashable:
    """Addresses that one peer can take as many of as it likes count as one: an IPv6 network of 64 bits."""
    address = ip_address(ip)
    return int(address) >> 64 if isinstance(address, IPv6Address) else address


def who_goes(held: Iterable[str]) -> int:
    """The index of the connection that makes room, of those of the peers' addresses, oldest first (at least one)."""
    crowds = [crowd(ip) for ip in held]
    counts = Counter(crowds)
    most = max(counts.values())
    return next(index for index, one in enumerate(crowds) if counts[one] == most)
