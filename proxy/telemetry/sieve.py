"""What of many requests a viewer may want, by a look at the engine's records that costs a twentieth of reading one."""

import socket
from typing import Any

from proxy.core.report.wanted import Wanted

PEER_IP = 13
"""Places of fields in `heads`: this one, its address family, the status, and the lengths of the texts."""
STATUS = 29
_LENGTHS = slice(39, 44)


class Sieve:
    """Lets through all that passes the filter and some that does not."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        # Other bytes than these are shown as escapes, and a prefix may end within one.
        plain = wanted.path.isascii() and wanted.path.isprintable() and "\\" not in wanted.path
        self._path = wanted.path.encode() if plain else b""
        self._service = _words(wanted.service)
        self._route = _words(wanted.route)
        self._ip = _packed(wanted.source)

    def lets(self, batch: bytes, at: int, values: tuple[Any, ...]) -> bool:
        """at, values: of `heads`."""
        if not self._wanted.takes_status(values[STATUS]):
            return False
        if self._ip and not values[PEER_IP].startswith(self._ip):
            return False
        method, authority, target, service, route = values[_LENGTHS]
        at += method + authority
        if self._path and not batch.startswith(self._path, at, at + target):
            return False
        at += target
        if self._service and batch.find(self._service, at, at + service) < 0:
            return False
        at += service
        return not self._route or batch.find(self._route, at, at + route) >= 0


def _words(name: str) -> bytes:
    return name.encode() if name.isascii() and name.isprintable() and "\\" not in name else b""


def _packed(ip: str) -> bytes:
    return b"" if not ip else socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip)
