"""How many connections the proxy may hold, and when accepting pauses and goes on."""

_RESERVED_DESCRIPTORS = 64
"""Listeners, admin, control, log and engine descriptors, with room to spare."""


def default_max_connections(descriptor_limit: int) -> int:
    """The connections that RLIMIT_NOFILE lets us hold: two sockets each, and a tenth left for the engine's pipes."""
    return max(1, (descriptor_limit * 9 // 10 - _RESERVED_DESCRIPTORS) // 2)


def resume_below(max_connections: int) -> int:
    """Accepting that paused at the limit goes on when fewer than this are active. A little below the limit, so that a
    proxy at its limit does not stop and start its listeners for every single connection."""
    return max_connections - max_connections // 32
