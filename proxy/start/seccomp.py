"""Which system calls a process may make from now on, by libseccomp.

libseccomp knows each architecture's numbers, puts the calls into a tree and is what container runtimes use. It is
called through ctypes: its Python binding is packaged for a distribution's own interpreter only, and needs five calls.

A call that is not allowed fails with ENOSYS, as one that this kernel does not have: libraries have a way around that,
and none around EPERM (glibc's threads, when clone3 is refused). A call that no honest process of ours ever makes ends
the process at once, and the kernel logs it.
"""

import ctypes
import errno
import os
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

_ALLOW = 0x7FFF0000
_KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000
_CTL_NO_NEW_PRIVS = 3
_CTL_NO_SLOWDOWN = 7
"""Kernels before 5.16 else turn speculation off for a process with a filter, which costs it a fifth of its speed."""
_CTL_OPTIMIZE = 8
_BINARY_TREE = 2
_EQUAL = 4
_MASKED_EQUAL = 7
_UNKNOWN_CALL = -1


class SeccompMissing(OSError):
    """libseccomp is not on this host, or this kernel takes no filter."""


class Filter(NamedTuple):
    """allowed: whatever the arguments. only: call -> (which argument, its values): allowed with these. masked: call ->
    (which argument, mask, value): allowed where the masked argument has the value. fatal: ends the process.

    A name that this architecture or this libseccomp does not know is left out."""

    allowed: frozenset[str]
    only: Mapping[str, tuple[int, frozenset[int]]] = MappingProxyType({})
    masked: Mapping[str, tuple[int, int, int]] = MappingProxyType({})
    fatal: frozenset[str] = frozenset()


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def install(wanted: Filter) -> None:
    """For good, for this process, its threads and all that it starts. Call before any thread exists, and after
    no_new_privs is set. Raises SeccompMissing; then nothing is filtered."""
    library = _library()
    context = library.seccomp_init(_ERRNO | errno.ENOSYS)
    if not context:
        raise SeccompMissing(errno.ENOMEM, "seccomp_init failed")
    try:
        # Set already by the caller, where it is needed; libseccomp would set it again.
        _check(library.seccomp_attr_set(context, _CTL_NO_NEW_PRIVS, 0), "seccomp_attr_set")
        for attribute, value in ((_CTL_NO_SLOWDOWN, 1), (_CTL_OPTIMIZE, _BINARY_TREE)):
            library.seccomp_attr_set(context, attribute, value)  # unknown to older versions; it works without
        for name in wanted.allowed:
            _add(context, _ALLOW, name)
        for name, (argument, values) in wanted.only.items():
            for value in values:
                _add(context, _ALLOW, name, _Comparison(argument, _EQUAL, value, 0))
        for name, (argument, mask, value) in wanted.masked.items():
            _add(context, _ALLOW, name, _Comparison(argument, _MASKED_EQUAL, mask, value))
        for name in wanted.fatal:
            _add(context, _KILL_PROCESS, name)
        _check(library.seccomp_load(context), "seccomp_load")
    finally:
        library.seccomp_release(context)


def why_not() -> str | None:
    """Why `install` can't work on this host. None: it can."""
    try:
        _library()
    except SeccompMissing as missing:
        return missing.strerror
    if not os.path.exists("/proc/sys/kernel/seccomp/actions_avail"):
        return "this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)"
    return None


def unknown(names: Iterable[str]) -> list[str]:
    """Those that are no system call of any architecture that libseccomp knows: a typing error, or a newer call."""
    library = _library()
    return sorted(name for name in names if library.seccomp_syscall_resolve_name(name.encode()) == _UNKNOWN_CALL)


def _add(context: int, action: int, name: str, *comparisons: _Comparison) -> None:
    library = _library()
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number < 0:  # not a call of this architecture (stat and open on arm64), or newer than this libseccomp
        return
    array = (_Comparison * max(1, len(comparisons)))(*comparisons)
    _check(library.seccomp_rule_add_array(context, action, number, len(comparisons), array), f"seccomp_rule_add {name}")


def _check(result: int, what: str) -> None:
    if result != 0:
        raise SeccompMissing(-result, f"{what}: {os.strerror(-result)}")


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as missing:
        raise SeccompMissing(errno.ENOENT, f"libseccomp is not installed: {missing}") from None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    library.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    )
    library.seccomp_load.argtypes = (ctypes.c_void_p,)
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_release.restype = None
    return library
