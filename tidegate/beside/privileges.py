"""Giving up what a helper process that stays root doesn't need. Call before any thread exists."""

import ctypes
import os

from proxy.start.seccomp import Filter, SeccompMissing, install

_PR_SET_NO_NEW_PRIVS = 38
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63

NUMBERS = {
    "CAP_DAC_OVERRIDE": 1,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SYS_CHROOT": 18,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}
"""Those that a helper of ours may keep."""

COMPANION = frozenset(NUMBERS) - {"CAP_BPF", "CAP_PERFMON"}
"""Reading and mending rules: NET_ADMIN, NET_RAW (iptables), SYS_ADMIN (ebpf, where it stands for BPF and PERFMON too);
nft's view of cgroups: SYS_ADMIN, SYS_CHROOT; the proxy's listener: SYS_PTRACE; probes as another user, in another
user's cgroup: SETUID, SETGID, KILL, DAC_OVERRIDE."""

GUARDIAN = frozenset({"CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_NET_ADMIN", "CAP_NET_RAW"})
"""Removing a run's rules: NET_ADMIN, NET_RAW (iptables); its folder, which may be its user's: DAC_OVERRIDE; ending its
processes, whosever they are, before Linux 5.14: KILL. What ebpf mode has put in force ends with the run's process."""

_libc = ctypes.CDLL(None, use_errno=True)


def confine(names: frozenset[str], calls: Filter | None) -> str | None:
    """Keep of our capabilities only `names`, and of the system calls only `calls` (None: all), for good.

    Returns why the calls could not be limited. Raises OSError when the capabilities could not.
    """
    reduce_to(names)
    if calls is not None:
        try:
            install(calls)
        except SeccompMissing as missing:
            return missing.strerror
    return None


def reduce_to(names: frozenset[str]) -> None:
    """Keep of our capabilities only these, for good: nothing that we execute gets any of the others back.

    One that we don't have is not added. Raises OSError when the kernel refuses.
    """
    _call(_libc.prctl, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    kept = {NUMBERS[name] for name in names}
    for number in range(_LAST_CAPABILITY + 1):
        # Refused past this kernel's last one, and without CAP_SETPCAP: then no_new_privs has to do, and does.
        if number not in kept:
            _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    _call(_libc.prctl, _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    _call(_libc.capget, header, data)
    for word in range(2):
        wanted = sum(1 << (number - 32 * word) for number in kept if number // 32 == word)
        data[3 * word] = data[3 * word + 1] = data[3 * word + 1] & wanted
        data[3 * word + 2] = 0
    _call(_libc.capset, header, data)


def _call(function: "ctypes._NamedFuncPointer", *arguments: object) -> None:
    if function(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot give up capabilities: {os.strerror(code)}")
