"""A root folder that is booted: its systemd is process 1 of namespaces of its own, below a cgroup of its own."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.deliver.roots import Root
from tests.lab.cgroup_folder import CgroupFolder
from tests.lab.patience import patient

BOOT = """\
set -e
root=$1
ip link set lo up
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t bpf bpf "$root/sys/fs/bpf"
mount -t tmpfs tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
for node in null zero full random urandom tty; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
exec env -i container=tidegate-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=null
"""
SPACES = ["--mount", "--propagation", "private", "--net", "--uts", "--ipc", "--cgroup", "--pid", "--fork"]


class Booted:
    def __init__(self, init: int) -> None:
        self._init = init

    def run(self, script: str, *, check: bool = True) -> str:
        """What a shell in it prints, both streams."""
        argv = ["nsenter", "-t", str(self._init), "-a", "sh", "-c", f"exec 2>&1; {script}"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=patient(90))
        assert done.returncode == 0 or not check, f"{script} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def until(self, script: str, wanted: str, within_s: float = 30) -> str:
        """Until the script prints what is wanted."""
        deadline = time.monotonic() + patient(within_s)
        while wanted not in (told := self.run(script, check=False)):
            assert time.monotonic() < deadline, f"{script}: waited in vain for {wanted!r}:\n{told}"
            time.sleep(0.1)
        return told


@contextlib.contextmanager
def booted(root: Root) -> Iterator[Booted]:
    """For a `with` block; then all that runs in it is killed, and its cgroups are removed."""
    group = CgroupFolder.create(f"tgboot-{os.getpid()}")

    join = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group.folder / "cgroup.procs")]
    argv = [*join, "unshare", *SPACES, "--kill-child", "sh", "-c", BOOT, "boot", str(root.folder)]
    outer = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        machine = Booted(_child(outer))
        machine.until("cat /proc/1/comm; systemctl is-system-running", "running")
        yield machine
    finally:
        outer.send_signal(signal.SIGKILL)
        outer.wait()
        group.delete()


def _child(outer: "subprocess.Popen[bytes]") -> int:
    """The process id of its process 1, as it is here."""
    children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
    deadline = time.monotonic() + patient(10)
    while not (found := children.read_text().split()):
        assert outer.poll() is None, "the machine's first process has ended"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(found[0])
