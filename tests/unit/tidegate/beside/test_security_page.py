"""SECURITY.md's table of processes says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.start.calls import PROXY
from proxy.start.privileges import AS_CLIENT, FOR_MARK, documented
from tidegate.beside import calls, keeper, privileges

ROOT = Path(__file__).resolve().parents[4]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def row(name: str) -> list[str]:
    """The cells of the first row of the table of processes whose first cell has the name."""
    table = PAGE.partition("## What each process may do")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")
    ]
    return next(cells for cells in rows if name in cells[0])


def capabilities(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"CAP_[A-Z_]+", text))


@pytest.mark.parametrize(
    ("process", "held"),
    [
        ("tidegate-watch", privileges.COMPANION),
        ("tidegate-warden", privileges.COMPANION),
        ("tidegate-helper", privileges.COMPANION),
        ("tidegate-guard", privileges.GUARDIAN),
        ("tidegate-keeper", frozenset.union(*keeper.CAPABILITIES.values())),
        ("proxy", frozenset({FOR_MARK.name, AS_CLIENT.name})),
    ],
)
def test_capabilities(process: str, held: frozenset[str]) -> None:
    assert capabilities(row(process)[2]) == held


def test_what_depends_on_a_mode_or_a_flag() -> None:
    assert documented(mark=None) == ()
    assert row("proxy")[2].startswith("none; with `--proxy-mark`")
    modes = {str(mode): held for mode, held in keeper.CAPABILITIES.items()}
    assert modes["iptables"] - modes["nftables"] == {"CAP_NET_RAW"}
    assert "in iptables mode also CAP_NET_RAW" in row("tidegate-keeper")[2]


@pytest.mark.parametrize(
    ("process", "name", "wanted"),
    [
        ("proxy", "PROXY", PROXY),
        ("tidegate-watch", "CAPTURE", calls.CAPTURE),
        ("tidegate-helper", "CAPTURE", calls.CAPTURE),
        ("tidegate-keeper", "KEEPER", calls.KEEPER),
        ("tidegate-guard", "CAPTURE", calls.CAPTURE),
    ],
)
def test_lists_of_system_calls(process: str, name: str, wanted: object) -> None:
    assert row(process)[3] == f"`{name}`"
    assert getattr(calls, name, PROXY) is wanted


def test_what_ends_a_process_is_what_the_page_says() -> None:
    for one in ("execve", "ptrace", "bpf", "mount", "setns", "unshare", "setresuid"):
        assert one in PROXY.fatal & calls.KEEPER.fatal, one
    for one in ("ptrace", "kexec_load", "keyctl"):
        assert one in calls.CAPTURE.fatal, one
