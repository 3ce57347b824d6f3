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


class LaneChoice(StrEnum):
    """What an operator may ask for. `direct` and `parsed` are lanes that this version does not have yet."""

    AUTO = "auto"
    SPLICE = "splice"
