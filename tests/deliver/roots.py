"""A root folder with a distribution in it, made by debootstrap and kept as an archive; commands run chrooted there.

A command has mounts and processes of its own, so nothing that it mounts or leaves running outlives it. Isolated, it has
a network of its own too: capture there never touches this host's.
"""

import os
import shutil
import subprocess
from pathlib import Path

from scripts.release.suites import ROOT

CACHE = ROOT / "build" / "deliver"
_ENTER = """\
set -e
root=$1
shift
if [ "$READ_ONLY" = 1 ]; then
    mount --bind "$root" "$root"
    mount -o remount,bind,ro "$root"
fi
mount -t proc proc "$root/proc"
if [ "$ISOLATED" = 1 ]; then
    ip link set lo up
    mount -t sysfs sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    # The host's, as ebpf mode asks for: what is pinned in a file system of this namespace's own would end with it.
    mount --bind /sys/fs/bpf "$root/sys/fs/bpf"
    mount --make-shared "$root/sys/fs/bpf"
fi
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
exec chroot "$root" "$@"
"""
_LOCALE = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}


class Root:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self,
        *argv: str,
        isolated: bool = True,
        read_only: bool = False,
        check: bool = True,
        given: str | None = None,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Chrooted, as root. not isolated: with this host's network, to fetch packages."""
        spaces = [
            "--mount",
            "--propagation",
            "slave",
            "--pid",
            "--fork",
            "--kill-child",
            *(["--net"] if isolated else []),
        ]
        switches = {"ISOLATED": str(int(isolated)), "READ_ONLY": str(int(read_only))}
        environ = {**_LOCALE, "DEBIAN_FRONTEND": "noninteractive", **switches}
        done = subprocess.run(
            ["unshare", *spaces, "sh", "-c", _ENTER, "enter", str(self.folder), *argv],
            env=environ,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if check:
            assert done.returncode == 0, f"{argv} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def put(self, file: Path) -> str:
        """A copy in /media of the root; returns its path there."""
        shutil.copyfile(file, self.folder / "media" / file.name)
        return f"/media/{file.name}"

    def files(self) -> set[str]:
        """Every path but those of caches, logs and the package manager's own notes."""
        found = set()
        for current, folders, names in os.walk(self.folder):
            here = "/" + os.path.relpath(current, self.folder).removeprefix(".")
            if here.startswith(
                ("/var/cache", "/var/lib/apt", "/var/lib/dpkg", "/var/log", "/proc", "/sys", "/dev", "/media")
            ):
                folders.clear()
                continue
            found |= {os.path.join(here, name) for name in (*folders, *names)}
        return found


def make(suite: str, target: Path) -> Root:
    """A minimal system of this suite, with its package lists."""
    archive = CACHE / f"{suite}.tar"
    if not archive.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        scratch = target.with_name(target.name + "-new")
        subprocess.run(["debootstrap", "--variant=minbase", suite, str(scratch)], check=True, capture_output=True)
        (scratch / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
        (scratch / "usr/sbin/policy-rc.d").chmod(0o755)
        shutil.copyfile("/etc/resolv.conf", scratch / "etc/resolv.conf")
        Root(scratch).run("apt-get", "update", "-q", isolated=False)
        partial = archive.with_suffix(".partial")
        subprocess.run(["tar", "-C", str(scratch), "-cf", str(partial), "."], check=True)
        partial.rename(archive)
        shutil.rmtree(scratch)
    target.mkdir()
    subprocess.run(["tar", "-C", str(target), "-xf", str(archive)], check=True)
    return Root(target)
