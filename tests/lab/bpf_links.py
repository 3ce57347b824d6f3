"""BPF links of this machine, as bpftool lists them."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

from tests.lab.patience import patient

WITHIN_S = 5.0


def every() -> list[dict[str, Any]]:
    """All links, of everybody. bpftool gives up when one of them, anybody's, goes away while it looks: it is asked
    again then."""
    deadline = time.monotonic() + patient(WITHIN_S)
    while True:
        done = subprocess.run(["bpftool", "-j", "link", "show"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
            return found
        assert time.monotonic() < deadline, f"bpftool link show: {done.stdout}{done.stderr}"


def of_namespace(inode: int) -> list[dict[str, Any]]:
    return [link for link in every() if link.get("netns_ino") == inode]
