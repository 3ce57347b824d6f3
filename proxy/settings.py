"""Everything that can be set about the proxy, as one immutable value. `tidegate.commands.proxy` makes it from flags;
each part of the proxy gets the values it needs from `proxy.serve`, never the whole."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from proxy.core.addresses import Address
from proxy.core.lanes import Direction, LaneChoice
from proxy.core.proxy_protocol import Announced
from proxy.errors import BadSetting


class InboundOriginalDst(StrEnum):
    """How the inbound listener learns the original destination."""

    AUTO = "auto"
    """SO_ORIGINAL_DST; where it has no answer and the socket's local port is not the listener's, getsockname()."""
    SOCKOPT = "sockopt"
    SOCKNAME = "sockname"
    """tproxy and sk_lookup: getsockname(), and only when its port is not the listener's."""


class HelperChoice(StrEnum):
    """What a proxy that nobody started as root does about the helper of `tidegate init --helper`."""

    AUTO = "auto"
    """It takes one when there is one."""
    REQUIRED = "required"
    """It is not ready without one."""


class AsClient(StrEnum):
    """Whether the workload is called from its client's address, where capture keeps it (tproxy mode)."""

    OFF = "off"
    WHERE_POSSIBLE = "where possible"
    REQUIRED = "required"


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


DEFAULT_ADMIN = Address("127.0.0.1", 15000)
DEFAULT_TELEMETRY = Address("0.0.0.0", 15020)
LOOPBACK = ("127.0.0.1", "::1")
LOG_LEVELS = ("debug", "info", "warning", "error")
RESERVED_DESCRIPTORS = 64
"""Listeners, admin, control, log and engine descriptors, with room to spare."""
MOST_QUESTIONS = 1024


@dataclass(frozen=True, slots=True)
class ProxySettings:
    outbound_port: int = 15001
    """0: any free port."""
    inbound_port: int = 15006
    dns_port: int | None = 15053
    """UDP and TCP; None: no DNS listener."""
    explicit_port: int | None = None
    """Of the explicit HTTP proxy; None: there is none. 0: any free one."""
    explicit_listen: tuple[str, ...] = LOOPBACK
    """Its addresses, in canonical text."""
    explicit_link_local: bool = False
    """Whether its clients may go to link-local destinations."""
    admin: Address | None = DEFAULT_ADMIN
    telemetry: Address | None = DEFAULT_TELEMETRY
    proxy_uid: int = 1337
    proxy_gid: int = 1337
    proxy_mark: int | None = None
    """SO_MARK of our upstream sockets; None: not marked."""
    lane: LaneChoice = LaneChoice.AUTO
    workers: int = 1
    """The engine's threads."""
    connect_timeout_s: float = 10.0
    idle_timeout_s: float = 3600.0
    """0: no idle timeout."""
    keepalive_s: int = 300
    """Idle seconds before the first TCP keepalive probe, on both sides; 0: none."""
    drain_timeout_s: float = 20.0
    max_connections: int | None = None
    """None: as many as RLIMIT_NOFILE allows."""
    inbound_original_dst: InboundOriginalDst = InboundOriginalDst.AUTO
    inbound_sources: tuple[str, ...] = ()
    """Source addresses of our connections to the workload, at most one a family (Istio's 127.0.0.6 and ::6)."""
    as_client: AsClient = AsClient.OFF
    announced: Announced = field(default_factory=dict)
    """Ports of the workload at which connections begin with a header of the PROXY protocol."""
    largest_body: int | None = None
    """Bytes of a request's body; larger ones are answered 413. None: any."""
    forwarded_for: tuple[Direction, ...] = ()
    """In which direction requests get an X-Forwarded-For with their client's address."""
    request_id: bool = False
    """Whether requests get an x-request-id where they have none."""
    filter: Path | None = None
    """The file of a Python filter, through which requests and heads of answers go."""
    ask_all: bool = False
    """Whether Python decides every request to a Service, also those that the engine could."""
    databases: bool = True
    """Whether requests to databases are counted in connections that are relayed as bytes."""
    log_format: LogFormat = LogFormat.TEXT
    log_level: str = "info"
    supervisor_fd: int | None = None
    """An inherited stream socket to `tidegate run`; its end ends the proxy."""
    helper: HelperChoice = HelperChoice.AUTO
    take_over: bool = False
    """Whether to take over from the proxy that runs, if one does."""
    seccomp: bool = True
    """Whether only the system calls of proxy/start/calls.py may be made."""

    def __post_init__(self) -> None:
        if self.take_over and not self.outbound_port:
            raise BadSetting("--outbound-port", 0, "with --take-over, the port of the proxy that runs")
        if self.outbound_port and self.outbound_port == self.inbound_port:
            raise BadSetting("--inbound-port", self.inbound_port, "a port other than --outbound-port's")
        if self.dns_port and self.dns_port in (self.outbound_port, self.inbound_port):
            raise BadSetting("--dns-port", self.dns_port, "a port other than the other listeners'")
        if self.explicit_port and self.explicit_port in (self.outbound_port, self.inbound_port, self.dns_port):
            raise BadSetting("--explicit-port", self.explicit_port, "a port other than the other listeners'")

        if self.as_client is AsClient.REQUIRED and self.inbound_sources:
            raise BadSetting(
                "--inbound-client-address", "on", "auto or off beside --inbound-source: both say from where"
            )

    def connection_limit(self, descriptor_limit: int) -> int:
        """How many connections RLIMIT_NOFILE lets us hold: two sockets each, and a tenth for the engine's pipes."""
        return self.max_connections or max(1, (descriptor_limit * 9 // 10 - RESERVED_DESCRIPTORS) // 2)


def question_limit(descriptor_limit: int) -> int:
    """How many DNS questions may be under way: a socket each, out of what connections leave."""
    return max(1, min(MOST_QUESTIONS, descriptor_limit // 16))
