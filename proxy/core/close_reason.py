"""Why a connection ended, in the words of the access log and of `run --report`, and as Envoy's response flags."""

import errno
from enum import StrEnum


class CloseReason(StrEnum):
    FINISHED = "finished"
    DOWNSTREAM_RESET = "downstream-reset"
    UPSTREAM_RESET = "upstream-reset"
    UPSTREAM_REFUSED = "upstream-refused"
    UPSTREAM_TIMEOUT = "upstream-timeout"
    UPSTREAM_UNREACHABLE = "upstream-unreachable"
    UPSTREAM_DENIED = "upstream-denied"
    UPSTREAM_NO_LOCAL_PORT = "upstream-no-local-port"
    UPSTREAM_LOOP = "upstream-loop"
    UPSTREAM_FAILED = "upstream-failed"
    RESET = "reset"
    """By either side: who saw it was not told by which."""
    IDLE_TIMEOUT = "idle-timeout"
    LIFETIME = "lifetime"
    DRAIN_DEADLINE = "drain-deadline"
    OUT_OF_DESCRIPTORS = "out-of-descriptors"
    INTERNAL_ERROR = "internal-error"
    DENIED_SOURCE = "denied-source"
    RATE_LIMITED = "rate-limited"
    MAX_CONNECTIONS = "max-connections"
    NO_ENDPOINTS = "no-endpoints"
    UNRESOLVED_BACKEND = "unresolved-backend"


_BY_CONNECT_ERRNO = {
    errno.ECONNREFUSED: CloseReason.UPSTREAM_REFUSED,
    errno.ECONNRESET: CloseReason.UPSTREAM_RESET,
    errno.ETIMEDOUT: CloseReason.UPSTREAM_TIMEOUT,
    errno.EHOSTUNREACH: CloseReason.UPSTREAM_UNREACHABLE,
    errno.ENETUNREACH: CloseReason.UPSTREAM_UNREACHABLE,
    errno.EHOSTDOWN: CloseReason.UPSTREAM_UNREACHABLE,
    errno.ENETDOWN: CloseReason.UPSTREAM_UNREACHABLE,
    errno.ENONET: CloseReason.UPSTREAM_UNREACHABLE,
    errno.EAFNOSUPPORT: CloseReason.UPSTREAM_UNREACHABLE,
    errno.EACCES: CloseReason.UPSTREAM_DENIED,
    errno.EPERM: CloseReason.UPSTREAM_DENIED,
    errno.EADDRNOTAVAIL: CloseReason.UPSTREAM_NO_LOCAL_PORT,
    errno.EADDRINUSE: CloseReason.UPSTREAM_NO_LOCAL_PORT,
}

_FLAGS = {
    CloseReason.FINISHED: "-",
    CloseReason.DOWNSTREAM_RESET: "DC",
    CloseReason.UPSTREAM_RESET: "UC",
    CloseReason.UPSTREAM_REFUSED: "UF,URX",
    CloseReason.UPSTREAM_TIMEOUT: "UF,URX",
    CloseReason.UPSTREAM_UNREACHABLE: "UF,URX",
    CloseReason.UPSTREAM_DENIED: "UF,URX",
    CloseReason.UPSTREAM_NO_LOCAL_PORT: "UF,URX",
    CloseReason.UPSTREAM_LOOP: "UF,URX",
    CloseReason.UPSTREAM_FAILED: "UF,URX",
    CloseReason.RESET: "UC",
    CloseReason.IDLE_TIMEOUT: "SI",
    CloseReason.LIFETIME: "DT",
    CloseReason.DRAIN_DEADLINE: "LR",
    CloseReason.OUT_OF_DESCRIPTORS: "UO",
    CloseReason.INTERNAL_ERROR: "LR",
    CloseReason.DENIED_SOURCE: "UAEX",
    CloseReason.RATE_LIMITED: "RL",
    CloseReason.MAX_CONNECTIONS: "UO",
    CloseReason.NO_ENDPOINTS: "UH",
    CloseReason.UNRESOLVED_BACKEND: "NC",
}


_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


def of_shortage(error: int) -> CloseReason | None:
    """The reason where a connection was not made for want of something of our own; None: it was something else."""
    return CloseReason.OUT_OF_DESCRIPTORS if error in _SHORTAGES else None


def of_connect_error(error: int) -> CloseReason:
    """The reason for a failed upstream connect; error is a positive errno."""
    return _BY_CONNECT_ERRNO.get(error, CloseReason.UPSTREAM_FAILED)


def response_flags(reason: CloseReason) -> str:
    """Envoy's short flags for the `response_flags` label: UF upstream connection failure, URX attempts exceeded, UC/DC
    ended by upstream/downstream, SI idle, DT duration, LR local reset, UO overflow, UAEX not authorised, RL rate
    limited, UH no healthy upstream, NC no cluster; "-" when nothing went wrong."""
    return _FLAGS[reason]
