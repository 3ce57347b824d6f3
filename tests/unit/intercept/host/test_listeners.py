"""Who listens, read from the kernel's own answers on sockets of this process."""

from __future__ import annotations

import socket

from intercept.host.listeners import signs, taken
from intercept.intent.intent import Listeners
from intercept.intent.listeners import Sign


def at_free_port(host: str, *, family: int = socket.AF_INET, both: bool = False) -> socket.socket:
    """A listener at a port that nobody uses in the other family: other processes of this host have sockets, too."""
    while True:
        used = taken(socket.IPPROTO_TCP)
        sock = socket.create_server((host, 0), family=family, dualstack_ipv6=both)
        if sock.getsockname()[1] not in used[4] | used[6]:
            return sock
        sock.close()


def test_families_of_a_listener_are_told_apart() -> None:
    with (
        at_free_port("127.0.0.1") as v4,
        at_free_port("::", family=socket.AF_INET6) as v6,
        at_free_port("::", family=socket.AF_INET6, both=True) as both,
        at_free_port("::1", family=socket.AF_INET6) as one_address,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        socket.socket() as silent,
    ):
        datagrams.bind(("127.0.0.1", 0))
        silent.bind(("127.0.0.1", 0))  # bound, but not listening
        tcp, udp = taken(socket.IPPROTO_TCP), taken(socket.IPPROTO_UDP)

        def where(sock: socket.socket) -> tuple[bool, bool]:
            port = sock.getsockname()[1]
            return port in tcp[4], port in tcp[6]

        assert [where(one) for one in (v4, v6, both, one_address)] == [
            (True, False),
            (False, True),
            (True, True),
            (False, True),
        ]
        assert where(silent) == (False, False)
        assert datagrams.getsockname()[1] in udp[4]


def test_dns_is_up_when_it_can_be_asked_over_udp() -> None:
    listeners = Listeners(outbound=1, inbound=2, dns=3)
    nobody = {4: frozenset[int](), 6: frozenset[int]()}
    tcp = {4: frozenset({1, 3}), 6: frozenset({2})}
    assert signs(listeners, tcp, nobody) == [Sign("outbound", 4), Sign("inbound", 6)]
    assert signs(listeners, nobody, {4: frozenset({1, 2, 3}), 6: frozenset()}) == [Sign("dns", 4)]
