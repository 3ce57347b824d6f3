"""The control channel's named socket. Anybody in the network namespace may bind such a name, also while we are down."""

import errno
import socket
import struct
from collections.abc import Container

from proxy.errors import AddressInUse, ProxyError

_UCRED = struct.Struct("3i")


def abstract_name(outbound_port: int) -> str:
    """The unix socket's name for tools; abstract names are per network namespace, as ports are."""
    return f"\0tidegate/{outbound_port}"


def bind_control(outbound_port: int, *, trusted: Container[int]) -> tuple[socket.socket | None, str]:
    """The listening socket; or None and who has taken its name, if that is none of the users `trusted`: it must not be
    able to keep the proxy from serving. Raises AddressInUse when one of `trusted` has it: that is another proxy."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.bind(abstract_name(outbound_port))
        sock.listen(16)
    except OSError as failed:
        sock.close()
        if failed.errno != errno.EADDRINUSE:
            raise ProxyError(f"can't listen on control socket @tidegate/{outbound_port}: {failed.strerror}") from failed
        owner = _owner(outbound_port)
        if owner in trusted:
            raise AddressInUse("--outbound-port", f"control socket @tidegate/{outbound_port}") from failed
        return None, "a process that does not listen there" if owner is None else f"a process of uid {owner}"
    return sock, ""


def _owner(outbound_port: int) -> int | None:
    """Who listens at the name, as the kernel remembers it. None: nobody any more, or the socket does not listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(0.0)
        try:
            sock.connect(abstract_name(outbound_port))
        except OSError:
            return None
        _, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return int(uid)
