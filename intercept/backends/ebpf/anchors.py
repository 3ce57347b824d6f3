"""Where the hooks hang: this network namespace, the captured cgroup, the top of the cgroup namespace."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bpf import loader
from intercept.errors import CaptureError, PrivilegeMissing, Unsupported
from intercept.host.cgroups import find_mount_point, mount_points

_AF_INET, _SOCK_DGRAM = 2, 2
_SOL_SOCKET, _SO_NETNS_COOKIE = 1, 71
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432  # the same on every architecture
_FSCONFIG_CMD_CREATE = 6
_CLOEXEC = 1


class Anchors(NamedTuple):
    """Open directories and the namespace, as descriptors that `open_anchors` closes. cookie: of the namespace.
    limited: the workload is one folder below the top."""

    netns: int
    cookie: int
    top: int
    workload: int
    limited: bool = False


def netns_cookie() -> int:
    """Unique for as long as the host runs, unlike the namespace's inode."""
    told = _told_by_kernel()
    if told is not None:
        return told
    top = _open_top()
    try:
        return loader.learn_netns_cookie(top)
    finally:
        os.close(top)


def _told_by_kernel() -> int | None:
    """None before Linux 5.14."""
    # Not through `socket`, which takes longer to import than all of this takes to run.
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.socket(_AF_INET, _SOCK_DGRAM | os.O_CLOEXEC, 0)
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    try:
        cookie, size = ctypes.c_uint64(), ctypes.c_uint32(8)
        failed = libc.getsockopt(fd, _SOL_SOCKET, _SO_NETNS_COOKIE, ctypes.byref(cookie), ctypes.byref(size))
        return None if failed else int(cookie.value)
    finally:
        os.close(fd)


@contextmanager
def open_anchors(cgroup: str | None) -> Iterator[Anchors]:
    """For the length of a `with` block. Raises Unsupported without cgroup v2, CaptureError without that folder."""
    opened: list[int] = []
    try:
        opened.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        opened.append(_open_top())
        opened.append(_open_workload(opened[1], cgroup))
        yield Anchors(opened[0], netns_cookie(), opened[1], opened[2], cgroup is not None)
    finally:
        for fd in opened:
            os.close(fd)


def _open_top() -> int:
    """The top of the whole hierarchy where it is mounted, also in a cgroup namespace; else the namespace's own top."""
    mounted = find_mount_point()
    if mounted is None:
        return _open_unmounted()
    own = _open_folder(mounted)
    if is_whole(own):
        return own
    for point in mount_points():
        other = _open_folder(point)
        if is_whole(other):
            os.close(own)
            return other
        os.close(other)
    return own


def is_whole(top: int) -> bool:
    """Whether that open folder is the top of the whole hierarchy: it alone has no events."""
    try:
        os.stat("cgroup.events", dir_fd=top)
    except FileNotFoundError:
        return True
    return False


def _open_folder(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _open_workload(top: int, cgroup: str | None) -> int:
    if cgroup is None:
        return os.dup(top)
    mounted = find_mount_point()  # which the path is relative to; `top` may be above it
    if mounted is None:
        raise Unsupported("--cgroup needs cgroup v2, which is not mounted here (mount -t cgroup2 none /sys/fs/cgroup)")
    try:
        return _open_folder(mounted / cgroup)
    except OSError as error:
        raise CaptureError(f"--cgroup {cgroup}: {error.strerror}: it must be a folder of cgroup v2") from error


def _open_unmounted() -> int:
    """cgroup v2 without a mount point: cgroup v1 hosts, and where `ip netns exec` has hidden /sys. Linux 5.2."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(number: int, *args: object) -> int:
        result: int = libc.syscall(ctypes.c_long(number), *args)
        if result < 0:
            code = ctypes.get_errno()
            if code in (1, 13):
                raise PrivilegeMissing("CAP_SYS_ADMIN", "reach cgroup v2, which is not mounted here")
            raise Unsupported(f"ebpf mode needs cgroup v2, which is not mounted and can't be ({os.strerror(code)})")
        return result

    context = call(_FSOPEN, b"cgroup2", ctypes.c_uint(_CLOEXEC))
    try:
        call(_FSCONFIG, context, ctypes.c_uint(_FSCONFIG_CMD_CREATE), None, None, 0)
        mount = call(_FSMOUNT, context, ctypes.c_uint(_CLOEXEC), 0)
    finally:
        os.close(context)
    try:
        # A mount's own descriptor is opened O_PATH, which attaching doesn't take.
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount)
    finally:
        os.close(mount)
