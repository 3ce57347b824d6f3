"""The names of the proxy's listeners, and the sign that one of them is up."""

from typing import NamedTuple

LISTENERS = ("outbound", "inbound", "dns")


class Sign(NamedTuple):
    """One of the proxy's listeners is up in one address family."""

    listener: str
    """One of LISTENERS."""
    family: int


EVERY_LISTENER = tuple(Sign(listener, family) for listener in LISTENERS for family in (4, 6))
