"""What happens before the event loop exists, in the one possible order: descriptors, listening sockets, privileges."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from proxy.core.addresses import Address
from proxy.core.lanes import LaneChoice
from proxy.errors import BadSetting, PrivilegeMissing
from proxy.settings import AsClient, HelperChoice, InboundOriginalDst, ProxySettings, question_limit
from proxy.start import descriptors, privileges, seccomp
from proxy.start.bind import BoundListener, bind_explicit, bind_listener, bind_service, inherited_listener
from proxy.start.bind_control import abstract_name, bind_control
from proxy.start.bind_dns import bind_dns
from proxy.start.calls import PROXY
from proxy.start.helper import find as find_helper
from proxy.start.take_over import Inherited, ask, believed


@dataclass(frozen=True, slots=True)
class Started:
    """Everything that was opened as the user who started us. The holder owns the sockets."""

    outbound: BoundListener
    inbound: BoundListener
    dns: BoundListener | None
    dns_sockets: tuple[socket.socket, ...]
    """UDP, on the same port as `dns`."""
    explicit: BoundListener | None
    control: socket.socket | None
    """For tools, by name. None: another process has taken the name."""
    companions: socket.socket | None
    """Where our ends of each companion's channels arrive. None: there is no companion."""
    sought: int | None
    """The outbound port whose helper is looked for while `companions` is None or has ended. None: no helper is."""
    as_client: bool
    """Whether we may, and are to, call the workload from its client's address."""
    helper_required: bool
    """Whether the proxy is not ready before one was found."""
    admin: socket.socket | None
    telemetry: socket.socket | None
    supervisor: socket.socket | None
    predecessor: socket.socket | None
    """To the proxy that has shown us its sockets. None: we do not take over."""
    connection_limit: int
    question_limit: int
    warnings: tuple[str, ...]

    def to_hand_over(self) -> tuple[int, ...]:
        """Descriptors of the sockets that a proxy which takes over is shown, besides the lanes' listeners."""
        others = (*self.dns_sockets, self.control, self.admin, self.telemetry)
        return tuple(one.fileno() for one in others if one is not None)


def start(settings: ProxySettings, companions: socket.socket | None = None) -> Started:
    """Opens the sockets, then gives up privileges. Raises ProxyError with everything closed again. companions: where
    the channels of companions arrive; it is taken over."""
    parent = os.getppid()
    limit = descriptors.raise_limit()
    with contextlib.ExitStack() as undo:
        inherited = _ask(settings, undo)
        started = _open(settings, inherited, companions, limit, undo)
        wanted = settings.as_client is not AsClient.OFF
        became = privileges.become(settings.proxy_uid, settings.proxy_gid, mark=settings.proxy_mark, as_client=wanted)
        started = replace(started, as_client=wanted and privileges.may_stand_in())
        if settings.as_client is AsClient.REQUIRED and not started.as_client:
            raise PrivilegeMissing(privileges.AS_CLIENT.name, privileges.AS_CLIENT.reason)
        if settings.supervisor_fd is not None:
            privileges.die_with_parent(parent)
        unfiltered = _filter() if settings.seccomp else ()
        if started.sought is not None:  # as the user that we stay: the helper asks the kernel who calls
            started = replace(started, companions=find_helper(started.sought))
        undo.pop_all()
    warnings = (*_warnings(settings, started, became=became), *unfiltered)
    if settings.take_over and inherited is None:
        warnings = (f"{_NOTHING_RUNS} @tidegate/{settings.outbound_port}; starting as without it", *warnings)
    return replace(started, warnings=started.warnings + warnings)


_NOTHING_RUNS = "--take-over: no proxy of root's or of this user answers at"


def _ask(settings: ProxySettings, undo: contextlib.ExitStack) -> Inherited | None:
    """The sockets of the proxy that runs, if we are to take over from it."""
    if not settings.take_over:
        return None
    inherited = ask(settings.outbound_port, trusted=believed(settings.proxy_uid))
    if inherited is not None:
        undo.callback(inherited.channel.close)
        undo.callback(inherited.close_rest)
    return inherited


def _filter() -> tuple[str, ...]:
    """Give up system calls. Warnings, where that can't be done."""
    try:
        seccomp.install(PROXY)
    except seccomp.SeccompMissing as missing:
        return (f"every system call may be made: {missing.strerror} (--seccomp off: as it is meant)",)
    return ()


def _open(
    settings: ProxySettings,
    inherited: Inherited | None,
    companions: socket.socket | None,
    descriptor_limit: int,
    undo: contextlib.ExitStack,
) -> Started:
    """What is inherited is used where it is what the settings ask for; the rest of it is closed."""

    def keep(sock: socket.socket) -> socket.socket:
        return undo.enter_context(contextlib.closing(sock))

    def listener(flag: str, port: int, *, transparent: bool) -> BoundListener:
        found = () if inherited is None else inherited.listeners(port)
        bound = inherited_listener(found) if found else None
        if bound is None:
            bound = bind_listener(flag, port, keepalive_s=settings.keepalive_s, transparent=transparent)
        for sock in bound.sockets:
            keep(sock)
        return bound

    def service(flag: str, address: Address | None) -> socket.socket | None:
        if address is None:
            return None
        found = None if inherited is None else inherited.service(address)
        return keep(found or bind_service(flag, address))

    if companions is not None:
        keep(companions).setblocking(False)
    sought = companions is None and settings.supervisor_fd is None
    supervisor = None if settings.supervisor_fd is None else keep(inherited_socket(settings.supervisor_fd))
    outbound = listener("--outbound-port", settings.outbound_port, transparent=False)
    inbound = listener(
        "--inbound-port",
        settings.inbound_port,
        transparent=settings.inbound_original_dst is not InboundOriginalDst.SOCKOPT,
    )
    dns, dns_sockets = _dns(settings, inherited, listener, keep)
    explicit = _explicit(settings, inherited, keep)
    control, taken_by = None if inherited is None else inherited.control(abstract_name(outbound.port)), ""
    if control is None:
        control, taken_by = bind_control(outbound.port, trusted={0, os.geteuid(), settings.proxy_uid})
    if control is not None:
        keep(control)
    admin, telemetry = service("--admin", settings.admin), service("--telemetry", settings.telemetry)
    if inherited is not None:
        inherited.close_rest()
    return Started(
        outbound=outbound,
        inbound=inbound,
        dns=dns,
        dns_sockets=dns_sockets,
        explicit=explicit,
        control=control,
        companions=companions,
        sought=outbound.port if sought else None,
        as_client=False,
        helper_required=sought and settings.helper is HelperChoice.REQUIRED,
        admin=admin,
        telemetry=telemetry,
        supervisor=supervisor,
        predecessor=None if inherited is None else inherited.channel,
        connection_limit=settings.connection_limit(descriptor_limit),
        question_limit=question_limit(descriptor_limit),
        warnings=(_name_taken(outbound.port, taken_by),) if taken_by else (),
    )


def _dns(
    settings: ProxySettings,
    inherited: Inherited | None,
    listener: Callable[..., BoundListener],
    keep: Callable[[socket.socket], socket.socket],
) -> tuple[BoundListener | None, tuple[socket.socket, ...]]:
    if settings.dns_port is None:
        return None, ()
    tcp = listener("--dns-port", settings.dns_port, transparent=False)
    found = () if inherited is None else inherited.datagrams(tcp.port)
    return tcp, tuple(keep(sock) for sock in found or bind_dns("--dns-port", tcp.port))


def _explicit(
    settings: ProxySettings, inherited: Inherited | None, keep: Callable[[socket.socket], socket.socket]
) -> BoundListener | None:
    if settings.explicit_port is None:
        return None
    flag, ips, port = "--explicit-port", settings.explicit_listen, settings.explicit_port
    found = () if inherited is None else tuple(filter(None, (inherited.service(Address(ip, port)) for ip in ips)))
    if found:
        at = tuple(str(sock.getsockname()[0]) for sock in found)
        bound = replace(inherited_listener(found), transparent=False, ipv6_missing="", only_at=at)
    else:
        bound = bind_explicit(flag, port, ips, keepalive_s=settings.keepalive_s)
    for sock in bound.sockets:
        keep(sock)
    return bound


def inherited_socket(fd: int) -> socket.socket:
    """The supervisor's end of a socketpair. Raises BadSetting when the descriptor is no unix stream socket."""
    allowed = "the descriptor of an inherited unix stream socket"
    try:
        sock = socket.socket(fileno=fd)
    except OSError as failed:
        raise BadSetting("--supervisor-fd", fd, f"{allowed} ({failed.strerror})") from failed
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        sock.detach()  # not ours to close
        raise BadSetting("--supervisor-fd", fd, allowed)
    sock.setblocking(False)
    sock.set_inheritable(False)
    return sock


def _name_taken(port: int, who: str) -> str:
    return (
        f"{who} has taken the control socket @tidegate/{port}: `tidegate check` can't ask this proxy,"
        " everything else works; end that process and restart the proxy"
    )


_WITHOUT_LANE = {
    LaneChoice.DIRECT: (
        "--lane direct: for what a Service claims, under ebpf capture, by a companion (started as root); all else is"
        " spliced"
    ),
}


def _warnings(settings: ProxySettings, started: Started, *, became: bool) -> Iterator[str]:
    if settings.lane in _WITHOUT_LANE:
        yield f"{_WITHOUT_LANE[settings.lane]}; /connections has the reason of each"
    if not became:
        yield (
            f"running as uid {os.geteuid()}, not as --proxy-uid {settings.proxy_uid}: capture that exempts only the"
            " latter will capture our own connections (they are then refused as loops)"
        )
    for flag, bound in (("outbound", started.outbound), ("inbound", started.inbound)):
        if bound.ipv6_missing:
            yield f"no {flag} IPv6 listener on this host: {bound.ipv6_missing}"
    if settings.as_client is AsClient.WHERE_POSSIBLE and not started.as_client:
        yield (
            "tproxy mode: CAP_NET_RAW is missing, so the workload sees the proxy's address as its client's"
            " (--inbound-client-address off: as it is meant)"
        )
    if settings.inbound_original_dst is InboundOriginalDst.SOCKNAME and not started.inbound.transparent:
        yield (
            "CAP_NET_ADMIN was missing, so the inbound listener is not transparent: TPROXY will not deliver to it"
            " (sk_lookup will)"
        )
