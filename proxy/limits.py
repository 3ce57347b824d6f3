"""How many connections the proxy may hold."""

_RESERVED_DESCRIPTORS = 64
"""Listeners, admin, control, log and engine descriptors, with room to spare."""


def default_max_connections(descriptor_limit: int) -> int:
    """The connections that RLIMIT_NOFILE lets us hold: two sockets each, and a tenth left for the engine's pipes."""
    return max(1, (descriptor_limit * 9 // 10 - _RESERVED_DESCRIPTORS) // 2)
