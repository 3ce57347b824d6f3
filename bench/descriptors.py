"""How many descriptors the benchmark's programs may open, and so how many connections a proxy can be asked to hold."""

import contextlib
import resource

WANTED = 65_536


def raise_limit() -> int:
    """Raise RLIMIT_NOFILE for us and all that we start as far as we may; returns what it is then.

    Beyond the hard limit that takes CAP_SYS_RESOURCE, which containers often lack.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (WANTED, WANTED))
        return WANTED
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def connections_within(limit: int) -> int:
    """What a proxy holds under that limit: two sockets a connection, a tenth for pipes, some for itself."""
    return max(1, (limit * 9 // 10 - 100) // 2)


def fitting(counts: tuple[int, ...], limit: int) -> tuple[int, ...]:
    """The counts, ascending, with those that the limit doesn't allow replaced by the most thousands (at least one
    connection) that it does."""
    most = connections_within(limit)
    most = most // 1000 * 1000 or most
    return tuple(sorted({min(count, most) for count in counts}))
