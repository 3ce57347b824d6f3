"""Small operations on TCP sockets that several parts share."""

import contextlib
import socket
import struct
from ipaddress import ip_address

from proxy.core.addresses import Address

_RESET = struct.pack("ii", 1, 0)  # l_onoff, l_linger
_KEEPALIVE_PROBES = 4
_SOL_TIDEGATE, _SO_CLIENT = 0x7467, 1
"""An option that eBPF capture hears (bpf/include/sockopt.h) and no kernel has."""


def reset(sock: socket.socket) -> None:
    """Close the socket so that its peer gets an RST: the honest end of a connection that failed. Never raises."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    except OSError:
        pass  # Linux refuses it for no connected socket; closing is what is left in any case
    finally:
        sock.close()


def name_client(sock: socket.socket, client: Address) -> None:
    """Tell eBPF capture for which client the socket will call the workload, which then sees that client as its peer.
    Elsewhere nothing hears it. `cext/engine/base/socket.c` does the same for the engine's sockets."""
    packed = ip_address(client.ip).packed
    port = client.port.to_bytes(2, "big")
    if len(packed) == 4:
        value = struct.pack("=H", socket.AF_INET) + port + packed + bytes(8)
    else:
        value = struct.pack("=H", socket.AF_INET6) + port + bytes(4) + packed + struct.pack("=I", client.scope)
    with contextlib.suppress(OSError):
        sock.setsockopt(_SOL_TIDEGATE, _SO_CLIENT, value)


def keep_alive_as(sock: socket.socket, time_s: int, interval_s: int, probes: int) -> None:
    """Have the kernel find out about a vanished peer; 0: as it does by itself."""
    options = {socket.TCP_KEEPIDLE: time_s, socket.TCP_KEEPINTVL: interval_s, socket.TCP_KEEPCNT: probes}
    for option, value in options.items():
        if value:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def keep_alive(sock: socket.socket, idle_s: int) -> None:
    """Have the kernel find out about a vanished peer: after idle_s without traffic, then four times a quarter of it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, idle_s // 4))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)
