"""Directions and lanes: who moves the bytes of a connection."""

from enum import StrEnum


class Direction(StrEnum):
    """Relative to the workload."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


class Lane(StrEnum):
    DIRECT = "direct"
    SPLICE = "splice"
    PARSED = "parsed"


class Speaking(StrEnum):
    """What is done about the protocol of connections to a destination."""

    OPAQUE = "opaque"
    """Nothing: bytes are bytes."""
    DETECTED = "detected"
    """First bytes decide: HTTP/1 is parsed, all else is spliced."""
    HTTP = "http"
    """What is no HTTP is refused."""


class LaneChoice(StrEnum):
    """What an operator may ask for; a lane by its own name, or the cheapest that does."""

    AUTO = "auto"
    DIRECT = "direct"
    SPLICE = "splice"
    PARSED = "parsed"
