"""Looking for chains of ours in iptables-legacy's tables without iptables: two getsockopt calls a table, no import.

Reading a table that isn't loaded would load it; the kernel's list of loaded tables says which may be read.
"""

import ctypes
import os
import struct
from _socket import AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_RAW, SOCK_RAW, socket
from contextlib import suppress
from functools import cache

PREFIX = "TIDEGATE"
_GET_INFO, _GET_ENTRIES = 64, 65
_NAME_SIZE, _INFO_SIZE, _HEADER_SIZE = 32, 84, 40
_IP_SET_OPTION, _IP_SET_VERSION, _IP_SET_BY_NAME, _IP_SET_PROTOCOL, _IP_SET_NONE = 83, 0x100, 6, 7, 0xFFFF
_FAMILIES = {4: (AF_INET, IPPROTO_IP, "ip_tables_names"), 6: (AF_INET6, IPPROTO_IPV6, "ip6_tables_names")}
_HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
_TRIES = 5
_MODPROBE_S = 5


def anything_of_ours(sets: tuple[str, ...] = ()) -> bool:
    """Whether a loaded table of either family names a chain of ours, or one of these ipsets exists.

    False without CAP_NET_ADMIN: who can't look can't remove either.
    """
    return any(_names_us(family) for family in _FAMILIES) or any(set_exists(name) for name in sets)


def has_ipset() -> bool:
    """Whether ipset is loaded; asking doesn't load it."""
    request = struct.pack("=II", _IP_SET_VERSION, _IP_SET_PROTOCOL)
    return _ask(AF_INET, IPPROTO_IP, _IP_SET_OPTION, request) is not None


def set_exists(name: str) -> bool:
    return set_index(name) is not None


def set_index(name: str) -> int | None:
    """The number by which rules refer to the ipset. None: there is none, or it isn't to be seen by us."""
    request = struct.pack("=II32s", _IP_SET_BY_NAME, _IP_SET_PROTOCOL, name.encode())
    answer = _ask(AF_INET, IPPROTO_IP, _IP_SET_OPTION, request)
    if answer is None:
        return None
    (index,) = struct.unpack_from("=H", answer, 8)
    return None if index == _IP_SET_NONE else int(index)


def entries(family: int, table: str) -> tuple[dict[str, int], bytes] | None:
    """Hook -> offset of its first rule, and the rules. None: not loaded in this namespace, or not to be read by us."""
    address_family, level, names = _FAMILIES[family]
    if table not in _loaded(names):
        return None
    return _read(address_family, level, table)


def lacks_table(family: int, table: str) -> str | None:
    """Why the kernel can't have that table, or None. Loads the table where it can be had."""
    address_family, level, names = _FAMILIES[family]
    name = table.encode().ljust(_NAME_SIZE, b"\0")
    _load_modules(names)
    if not _may_look():
        return None
    if _ask(address_family, level, _GET_INFO, name.ljust(_INFO_SIZE, b"\0")) is not None:
        return None
    return f"the kernel lacks the {'ip6' if family == 6 else 'ip'}tables {table} table"


def lacks_part(family: int, kind: str, name: str, revision: int) -> bool:
    """kind: `match` or `target`. Whether the kernel doesn't know this module in this revision."""
    address_family, level, _ = _FAMILIES[family]
    # The numbers differ between the families, as do those of matches and targets.
    option = {(4, "match"): 66, (4, "target"): 67, (6, "match"): 68, (6, "target"): 69}[family, kind]
    request = struct.pack("=29sB", name.encode(), revision)
    return _ask(address_family, level, option, request) is None


def _may_look() -> bool:
    """Reading tables takes CAP_NET_RAW for the socket and CAP_NET_ADMIN for the question."""
    return has_ipset() or _ask(AF_INET, IPPROTO_IP, _GET_INFO, b"filter".ljust(_INFO_SIZE, b"\0")) is not None


@cache
def _load_modules(names: str) -> None:
    """The kernel loads tables and matches by itself when they are asked for, but not what answers the question. So
    the first to ask has to load that, as iptables(8) does, by the program that the kernel itself would use."""
    if os.path.exists(f"/proc/thread-self/net/{names}"):
        return
    try:
        with open("/proc/sys/kernel/modprobe", encoding="utf-8") as file:
            modprobe = file.read().strip()
    except OSError:
        return  # a kernel without modules
    if not modprobe:
        return
    import subprocess

    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            [modprobe, "-q", names.removesuffix("_names")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_MODPROBE_S,
            check=False,
        )


def _names_us(family: int) -> bool:
    for table in _loaded(_FAMILIES[family][2]):
        found = entries(family, table)
        if found is not None and PREFIX.encode() in found[1]:
            return True
    return False


def _read(address_family: int, level: int, table: str) -> tuple[dict[str, int], bytes] | None:
    name = table.encode().ljust(_NAME_SIZE, b"\0")
    for _ in range(_TRIES):
        info = _ask(address_family, level, _GET_INFO, name.ljust(_INFO_SIZE, b"\0"))
        if info is None:
            return None
        valid, *offsets = struct.unpack_from("=I5I", info, _NAME_SIZE)
        (size,) = struct.unpack_from("=I", info, _INFO_SIZE - 4)
        request = (name + struct.pack("=I", size)).ljust(_HEADER_SIZE + size, b"\0")
        answer = _ask(address_family, level, _GET_ENTRIES, request)
        # It is refused when the table changed its size in between.
        if answer is not None:
            hooks = {hook: offsets[n] for n, hook in enumerate(_HOOKS) if valid & 1 << n}
            return hooks, answer[_HEADER_SIZE:]
    return None


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
