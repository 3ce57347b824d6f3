"""Small operations on TCP sockets that several parts share."""

import socket
import struct

_RESET = struct.pack("ii", 1, 0)  # l_onoff, l_linger
_KEEPALIVE_PROBES = 4


def reset(sock: socket.socket) -> None:
    """Close the socket so that its peer gets an RST: the honest end of a connection that failed. Never raises."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    except OSError:
        pass  # Linux refuses it for no connected socket; closing is what is left in any case
    finally:
        sock.close()


def keep_alive(sock: socket.socket, idle_s: int) -> None:
    """Have the kernel find out about a vanished peer: after idle_s without traffic, then four times a quarter of it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, idle_s // 4))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)
