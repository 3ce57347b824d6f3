"""Disks that are full, or that hang."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.faults.model import Seen, fault
from scripts.faults.world import World
from tests.lab import Lab
from tests.netns.proxy.proxy_rig import until

AREA = "disks"


@contextlib.contextmanager
def small_disk(lab: Lab, size: str = "64k") -> Iterator[Path]:
    """A file system of so many bytes."""
    folder = lab.folder / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()


@fault(AREA, "connections go on; lines that could not be written are counted", short=True)
def log_disk_full(lab: Lab) -> Seen:
    """The access log's disk is full."""
    with small_disk(lab) as disk:
        shell = ("sh", "-c", f'exec "$@" >{disk}/log', "sh")
        with World(lab, prefix=shell) as world:
            for _ in range(600):
                assert world.works()
            assert (disk / "log").stat().st_size >= 60_000
            dropped = until(lambda: world.proxy.metric("tidegate_log_lines_dropped_total"), "dropped lines")
            assert world.ready()
    return Seen(f"{dropped:.0f} lines dropped and counted in `tidegate_log_lines_dropped_total`")


@fault(AREA, "connections go on; lines are kept up to 16,384, then dropped and counted")
def log_unread(lab: Lab) -> Seen:
    """The access log goes to a pipe that nobody reads (a disk that hangs)."""
    reading, writing = os.pipe()
    try:
        shell = ("sh", "-c", f'exec "$@" >/proc/{os.getpid()}/fd/{writing}', "sh")
        with World(lab, prefix=shell) as world:
            began = time.monotonic()
            for _ in range(1500):
                assert world.works()
            rate = 1500 / (time.monotonic() - began)
            held = world.proxy.metric("tidegate_log_lines_dropped_total")
            assert world.ready()
            kept = len(os.read(reading, 1 << 20).splitlines())
    finally:
        os.close(reading)
        os.close(writing)
    return Seen(f"{rate:.0f} connections/s went on; of 1,500 lines {held:.0f} were dropped, {kept} stood in the pipe")


@fault(AREA, "the command's exit code stands; that the report was not written is said", short=True)
def report_disk_full(lab: Lab) -> Seen:
    """The disk of `run --report` is full."""
    with small_disk(lab) as disk:
        (disk / "filler").write_bytes(bytes(60_000))
        with contextlib.suppress(OSError):
            (disk / "more").write_bytes(bytes(60_000))
        ran = lab.tidegate_binary(
            "run", "--mode", "nftables", "--report", str(disk / "report"), "--", "sh", "-c", "exit 7"
        )
        assert ran.code == 7, ran
        assert "could not be written" in ran.err, ran.err
        left = (disk / "report").read_bytes() if (disk / "report").exists() else b""
        if left:
            json.loads(left)
    return Seen("exit code 7 as the command's; `the report could not be written … No space left on device`")
