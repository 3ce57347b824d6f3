"""What the proxy is allowed to do, and giving up everything else.

Call before any thread exists: capabilities and no_new_privs belong to threads and are inherited by new ones.
"""

import ctypes
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

from proxy.errors import PrivilegeMissing

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63
_IP_TRANSPARENT = 19

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Capability:
    """One that the proxy keeps, with the reason, when the setting that needs it is in use."""

    name: str
    number: int
    reason: str


FOR_MARK = Capability("CAP_NET_ADMIN", 12, "set SO_MARK on upstream sockets (--proxy-mark)")
AS_CLIENT = Capability("CAP_NET_RAW", 13, "call the workload from its client's address (--inbound-client-address)")
"""What is kept at most, and only when it is asked for. Relaying needs none: ports above 1023 are free for all, and
SO_ORIGINAL_DST, keepalive and splice need no privilege."""


def documented(*, mark: int | None, as_client: bool = False) -> tuple[Capability, ...]:
    """The capabilities that this use of the proxy keeps; documentation and tests read the same table."""
    return (*(() if mark is None else (FOR_MARK,)), *((AS_CLIENT,) if as_client else ()))


def become(uid: int, gid: int, *, mark: int | None, as_client: bool = False) -> bool:
    """Give up root for uid and gid, and every capability that is not documented. Not root: only the latter.

    False: we run as a user other than uid and could not change that (the caller warns: capture may not exempt us).
    Raises PrivilegeMissing when root lacks what changing takes, or --proxy-mark can't be honoured.
    """
    kept = documented(mark=mark, as_client=as_client)
    if os.geteuid() == 0:
        _drop_bounding_set()
        _prctl(_PR_SET_KEEPCAPS, 1)
        _change_ids(uid, gid)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _keep_only(kept)
    if mark is not None:
        _prove_mark(mark)
    return os.geteuid() == uid


def may_stand_in() -> bool:
    """Whether we may bind addresses that are not this host's."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as scratch:
        try:
            scratch.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
        except PermissionError:
            return False
    return True


def die_with_parent(expected_parent: int) -> None:
    """Have the kernel send SIGTERM when the parent dies. Changing ids clears this, so it comes after `become`.
    expected_parent: its pid as of our start; when it has died already, the signal is sent now."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != expected_parent:
        os.kill(os.getpid(), signal.SIGTERM)


def effective() -> int:
    """Our effective capabilities as a bit mask."""
    data = (ctypes.c_uint32 * 6)()
    _call(_libc.capget, (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), data)
    return data[0] | data[3] << 32


def _change_ids(uid: int, gid: int) -> None:
    try:
        os.setgroups([gid])
        os.setresgid(gid, gid, gid)
    except PermissionError as failed:
        raise PrivilegeMissing("CAP_SETGID", f"become group {gid} (--proxy-gid)") from failed
    try:
        os.setresuid(uid, uid, uid)
    except PermissionError as failed:
        raise PrivilegeMissing("CAP_SETUID", f"become user {uid} (--proxy-uid)") from failed


def _drop_bounding_set() -> None:
    for capability in range(_LAST_CAPABILITY + 1):
        # EINVAL: past the last one of this kernel. EPERM: no CAP_SETPCAP; then no_new_privs alone has to see to it
        # that nothing comes back, which it does for every user but root.
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            return


def _keep_only(kept: tuple[Capability, ...]) -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    _call(_libc.capget, header, data)
    for word in range(2):
        wanted = sum(1 << (c.number - 32 * word) for c in kept if c.number // 32 == word)
        permitted = data[3 * word + 1]
        data[3 * word] = data[3 * word + 1] = permitted & wanted
        data[3 * word + 2] = 0
    _call(_libc.capset, header, data)


def _prove_mark(mark: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as scratch:
        try:
            scratch.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        except PermissionError as failed:
            raise PrivilegeMissing(FOR_MARK.name, FOR_MARK.reason) from failed


def _prctl(option: int, value: int) -> None:
    _call(_libc.prctl, option, value, 0, 0, 0)


def _call(function: Callable[..., int], *arguments: object) -> None:
    if function(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
