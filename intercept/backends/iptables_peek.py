"""Looking for chains of ours in iptables-legacy's tables without iptables: two getsockopt calls a table, no import.

Reading a table that isn't loaded would load it; the kernel's list of loaded tables says which may be read.
"""

import ctypes
import struct
from _socket import AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_RAW, SOCK_RAW, socket
from functools import cache

PREFIX = "TIDEGATE"
_GET_INFO, _GET_ENTRIES = 64, 65
_NAME_SIZE, _INFO_SIZE, _HEADER_SIZE = 32, 84, 40
_IP_SET_OPTION, _IP_SET_BY_NAME, _IP_SET_PROTOCOL, _IP_SET_NONE = 83, 6, 7, 0xFFFF
_FAMILIES = ((AF_INET, IPPROTO_IP, "ip_tables_names"), (AF_INET6, IPPROTO_IPV6, "ip6_tables_names"))


def anything_of_ours(sets: tuple[str, ...] = ()) -> bool:
    """Whether a loaded table of either family names a chain of ours, or one of these ipsets exists.

    False without CAP_NET_ADMIN: who can't look can't remove either.
    """
    return any(_names_us(*family) for family in _FAMILIES) or any(set_exists(name) for name in sets)


def set_exists(name: str) -> bool:
    request = struct.pack("=II32s", _IP_SET_BY_NAME, _IP_SET_PROTOCOL, name.encode())
    answer = _ask(AF_INET, IPPROTO_IP, _IP_SET_OPTION, request)
    return answer is not None and bool(struct.unpack_from("=H", answer, 8)[0] != _IP_SET_NONE)


def _names_us(family: int, level: int, names: str) -> bool:
    for table in _loaded(names):
        name = table.encode().ljust(_NAME_SIZE, b"\0")
        info = _ask(family, level, _GET_INFO, name.ljust(_INFO_SIZE, b"\0"))
        if info is None:
            continue
        (size,) = struct.unpack_from("=I", info, _INFO_SIZE - 4)
        request = (name + struct.pack("=I", size)).ljust(_HEADER_SIZE + size, b"\0")
        entries = _ask(family, level, _GET_ENTRIES, request)
        if entries is not None and PREFIX.encode() in entries[_HEADER_SIZE:]:
            return True
    return False


def _loaded(names: str) -> list[str]:
    try:
        with open(f"/proc/thread-self/net/{names}", encoding="ascii") as file:
            return file.read().split()
    except OSError:
        return []


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _ask(family: int, level: int, option: int, request: bytes) -> bytes | None:
    """getsockopt that also says something. None: refused, or there is no such thing."""
    try:
        raw = socket(family, SOCK_RAW, IPPROTO_RAW)
    except OSError:
        return None
    try:
        buffer = ctypes.create_string_buffer(request, len(request))
        length = ctypes.c_uint(len(request))
        result = _libc().getsockopt(raw.fileno(), level, option, buffer, ctypes.byref(length))
        return bytes(buffer.raw[: length.value]) if result == 0 else None
    finally:
        raw.close()
