"""Where the figures come from: the machine, its kernel, the versions of everything, and how busy it was before."""

import os
import platform
import re
import subprocess
import time
from pathlib import Path

from bench.accounting import cpu

REPOSITORY = Path(__file__).parent.parent
_VERSIONS = {
    "haproxy": ["haproxy", "-v"],
    "nginx": ["nginx", "-v"],
    "wrk": ["wrk", "-v"],
    "iperf3": ["iperf3", "--version"],
    "nft": ["nft", "--version"],
}


def background_busy(seconds: float) -> float:
    """The share of all cores that others use, measured by waiting: figures of a busy machine mean nothing."""
    before, began = cpu(None), time.monotonic()
    time.sleep(seconds)
    used = cpu(None).since(before)
    return used.machine_s / ((time.monotonic() - began) * (os.cpu_count() or 1))


def describe() -> dict[str, object]:
    """Facts for the results and the page."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
        "kernel": os.uname().release,
        "system": _system(),
        "python": platform.python_version(),
        "versions": {name: _version(argv) for name, argv in _VERSIONS.items()},
        "tidegate": _commit(),
        "conntrack_max": _number("/proc/sys/net/netfilter/nf_conntrack_max"),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def _version(argv: list[str]) -> str | None:
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    # wrk says its version together with its usage and fails; only a number counts.
    found = re.search(r"\d+\.\d+(\.\d+)*\S*", done.stdout + done.stderr)
    return found[0] if found else None


def _commit() -> str | None:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=REPOSITORY, check=False, capture_output=True, text=True)
        return done.stdout.strip()

    commit = git("rev-parse", "--short=10", "HEAD")
    changed = git(
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        "tidegate",
        "onboard",
        "mesh",
        "intercept",
        "bpf",
        "proxy",
        "cext",
    )
    return f"{commit}{' with uncommitted changes' if changed else ''}" if commit else None


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except FileNotFoundError:
        return None
