"""How many descriptors there are, and how many of them connections must leave."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

RESERVED = 32
"""Of those beyond the soft limit: for admin, probes and the control channel (proxy/control/accept.py)."""


def raise_limit() -> int:
    """Raise RLIMIT_NOFILE's soft limit to almost the hard one, which is returned."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard - min(RESERVED, hard // 8), hard))
    return hard


@contextmanager
def reserved() -> Iterator[None]:
    """Within it, the reserved descriptors can be had too. Keep it to one call: the engine's threads go by the same
    limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
