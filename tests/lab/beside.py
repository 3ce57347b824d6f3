"""The processes that stay beside a proxy, found by their names among its children and theirs."""

from __future__ import annotations

from pathlib import Path

COMPANION = "tidegate-watch"
WARDEN = "tidegate-warden"


def beside(proxy: int, name: str) -> list[int]:
    """Process ids; empty while there is none. One that waits for its parent to take note of its end is dead."""
    near = [one for child in _children(proxy) for one in (child, *_children(child))]
    return [pid for pid in near if has_name(pid, name)]  # a companion's probes bear its name, too


def the_one(proxy: int, name: str) -> int:
    found = beside(proxy, name)
    assert len(found) == 1, f"proxy {proxy} has {len(found)} processes named {name}"
    return found[0]


def has_name(pid: int, name: str) -> bool:
    """Whether that process lives and is called so."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return status.startswith(f"Name:\t{name}\n") and "\nState:\tZ" not in status


def status_of(pid: int) -> dict[str, str]:
    """/proc/PID/status as a mapping."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
