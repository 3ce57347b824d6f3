"""The kernel's table of TCP sockets with their counts, and the processes that have them."""

import socket
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any, NamedTuple

from intercept.discover.seen import Address, Endpoint
from intercept.host.owners import Owner, owners_of

ESTABLISHED, SYN_SENT, LISTEN = 1, 2, 10
_TIME_WAIT, _CLOSED, _NEW_SYN = 6, 7, 12
_SHOWN = sum(1 << state for state in range(1, 12) if state not in (_TIME_WAIT, _CLOSED))
_INFO = 1 << 1


class Diagnosed(NamedTuple):
    """cgroup: the folder's id; 0 where the kernel does not tell. Bytes are of payload, but for a FIN."""

    cookie: int
    state: int
    local: Endpoint
    remote: Endpoint
    uid: int
    inode: int
    cgroup: int
    sent: int
    received: int


def diagnosed() -> list[Diagnosed]:
    """Those of this network namespace; needs no privilege. Raises OSError where the kernel has no such table."""
    from pyroute2 import DiagSocket

    found = []
    with DiagSocket() as diag:
        diag.bind()
        for family in (socket.AF_INET, socket.AF_INET6):
            for message in diag.get_sock_stats(family=family, states=_SHOWN, extensions=_INFO):
                found.append(_of(message))
    return found


class Owners:
    """Who has which socket; asked once for each, for /proc is slow."""

    def __init__(self) -> None:
        self._known: dict[int, Owner] = {}

    def learn(self, inodes: Iterable[int]) -> None:
        unknown = {inode for inode in inodes if inode and inode not in self._known}
        if unknown:
            self._known.update(owners_of(unknown))

    def of(self, inode: int) -> Owner:
        return self._known.get(inode, _NOBODY)


_NOBODY = Owner(0, "?")


def _of(message: Any) -> Diagnosed:
    info = message.get_attr("INET_DIAG_INFO") or {}
    low, high = message["idiag_cookie"] if not isinstance(message["idiag_cookie"], int) else (0, 0)
    cookie = message["idiag_cookie"] if isinstance(message["idiag_cookie"], int) else high << 32 | low
    return Diagnosed(
        cookie=cookie,
        state=message["idiag_state"],
        local=(_plain(message["idiag_src"]), message["idiag_sport"]),
        remote=(_plain(message["idiag_dst"]), message["idiag_dport"]),
        uid=message["idiag_uid"],
        inode=message["idiag_inode"],
        cgroup=message.get_attr("INET_DIAG_CGROUP_ID") or 0,
        sent=info.get("tcpi_bytes_acked") or 0,
        received=info.get("tcpi_bytes_received") or 0,
    )


def _plain(text: str) -> Address:
    found = ip_address(text)
    return getattr(found, "ipv4_mapped", None) or found
