"""Whether hooks at the top that we can reach cover every process of this network namespace."""

import os
from collections.abc import Iterator
from pathlib import Path

from bpf.lasting import on_host
from intercept.backends.ebpf.anchors import Anchors, is_whole
from intercept.errors import Unsupported

_HOW = (
    "mount the host's cgroup v2 here, read-only will do (a hostPath volume of /sys/fs/cgroup; "
    "docker: -v /sys/fs/cgroup:/host/cgroup:ro or --cgroupns=host)"
)


def require_coverage(anchors: Anchors) -> None:
    """Raises Unsupported where a process of this network namespace is, or may be, outside of the top.

    In a cgroup namespace of our own the top is the folder in which a container began. Other containers of the same
    network namespace are beside it. Only where the host's processes are in sight can we tell that there is none.
    """
    if is_whole(anchors.top):
        return
    what = "ebpf mode: the cgroup hierarchy that can be reached here begins at this container's own folder"
    if not on_host():
        raise Unsupported(f"{what}, and hooks there would miss what runs beside it; {_HOW}")
    missed = sorted(_outside(os.fstat(anchors.netns)))
    if missed:
        raise Unsupported(f"{what}, and process {missed[0]} of this network namespace is outside of it; {_HOW}")


def _outside(netns: os.stat_result) -> Iterator[int]:
    """Processes of the network namespace that our cgroup namespace has above its top, except those that started us."""
    starters = set(_ancestors())
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) in starters:
            continue
        try:
            same = os.path.samestat(os.stat(f"/proc/{entry}/ns/net"), netns)
            if same and is_outside(Path(f"/proc/{entry}/cgroup").read_text(encoding="utf-8", errors="replace")):
                yield int(entry)
        except OSError:
            continue  # it has ended, or is a kernel thread's or another user's whose namespace is not told


def _ancestors() -> Iterator[int]:
    process = os.getppid()
    while process > 0:
        yield process
        try:
            stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        process = int(stat.rpartition(")")[2].split()[1])


def is_outside(cgroups: str) -> bool:
    """By the text of /proc/PID/cgroup, which begins with `/..` what our cgroup namespace can't name. Pure."""
    return any(line.startswith("0::/..") for line in cgroups.splitlines())
