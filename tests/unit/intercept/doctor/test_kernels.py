"""`make kernels` without a guest: what is fetched, what a guest is started with, what the page says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.kernels import guest, packages, page, suites

SOURCES = """http://mirror.example/debian-security/|Debian-Security|bookworm-security
http://mirror.example/debian/|Debian|bookworm-updates
http://other.example/tools/|Tools|stable
http://mirror.example/debian/|Debian|bookworm
"""


def test_the_mirror_is_this_machines() -> None:
    assert packages.mirror(SOURCES) == "http://mirror.example/debian/"


@pytest.mark.parametrize("sources", ["", "http://mirror.example/ubuntu/|Ubuntu|noble\n"])
def test_without_a_debian_archive_it_says_so(sources: str) -> None:
    with pytest.raises(packages.Failed, match="no Debian archive"):
        packages.mirror(sources)


def test_what_belongs_to_a_kernel_is_followed() -> None:
    one = "kmod, linux-base (>= 4.3~), initramfs-tools (>= 0.120) | linux-initramfs-tool"
    assert packages.wanted(one) == []
    split = "dracut | another, linux-base-7.2 (= 1), linux-binary-7.2-amd64 (= 1), linux-modules-7.2-amd64 (= 1)"
    assert packages.wanted(split) == ["linux-binary-7.2-amd64", "linux-modules-7.2-amd64"]
    assert packages.wanted("linux-image-6.1.0-50-amd64 (= 6.1.176-1)") == ["linux-image-6.1.0-50-amd64"]


def test_the_guests_command_line_leaves_the_kernel_room() -> None:
    """The script becomes a part of the kernel's command line, which has 2 KB."""
    argv = guest.command(Path("/tools/virtme-run"), Path("/image"), Path("/results"), ("ipv6.disable=1",))
    script = argv[argv.index("--script-sh") + 1]
    assert len(script) < 500
    assert "--disable-kvm" in argv
    assert argv[argv.index("--kopt") + 1] == "ipv6.disable=1"


def test_every_step_has_a_name_of_its_own_and_files_that_exist() -> None:
    for boot in suites.BOOTS.values():
        steps = suites.steps(boot)
        assert len({step.name for step in steps}) == len(steps)
    for step in (step for boot in suites.BOOTS.values() for step in suites.steps(boot)):
        for argument in step.tests:
            assert not argument.startswith("tests/") or (guest.ROOT / argument).exists(), argument


def result(kernel: str, release: str, **modes: str | None) -> dict[str, Any]:
    return {
        "kernel": kernel,
        "release": release,
        "package": f"linux-image-{release}",
        "boot_s": 30.0,
        "total_s": 300.0,
        "doctor": {
            "auto": {"mode": next((name for name, reason in modes.items() if reason is None), None)},
            "modes": [{"mode": name, "works": reason is None, "reason": reason} for name, reason in modes.items()],
            "hooks": [{"hook": "connect4", "works": True, "since": "5.8", "does": "", "reason": None}],
            "features": [],
            "untried": [],
        },
        "steps": [
            {"step": "engine", "code": 0, "passed": 5, "failed": 0, "skipped": 0, "not_passed": []},
            {"step": "capture/ebpf", "code": None},
        ],
    }


def test_the_page_has_each_kernel_and_each_reason_once() -> None:
    old = result("5.10", "5.10.0-32-amd64", ebpf="needs | 5.14", nftables=None)
    older = result("6.1", "6.1.0-50-amd64", ebpf="needs | 5.14", nftables=None)
    new = result("newest", "7.2.13+deb14-amd64", ebpf=None, nftables=None)
    text = page.page([old, older, new])
    assert text.count("needs \\| 5.14") == 1
    assert "5.10, 6.1: ebpf: needs" in text
    for row in (
        "| 5.10 | no | yes | nftables |",
        "| 7.2 | yes | yes | ebpf |",
        "| engine | 5, 0, 0 | 5, 0, 0 | 5, 0, 0 |",
    ):
        assert row in text, text
    assert "| 5.10 | yes | not run |" in text
    assert "no result" in text, "a step that was ended without a report is not a success"


def test_a_trial_that_did_not_end_says_nothing_of_the_kernel() -> None:
    slow = result("6.1", "6.1.0-50-amd64", nftables="it did not end within 30 s")
    slow["doctor"]["untried"] = ["nftables: it did not end within 30 s"]
    assert "| 6.1 | ? | nothing |" in page.page([slow])
    each = {"test_capture_from_end_to_end[nftables]": "passed"}
    slow["steps"].append({"step": "capture", "code": 0, "passed": 1, "failed": 0, "skipped": 0, "each": each})
    assert "| 6.1 | yes | nothing |" in page.page([slow])


def test_a_guest_that_never_came_up_has_its_row() -> None:
    dead = result("6.1", "6.1.0-50-amd64") | {"doctor": None, "steps": []}
    text = page.page([dead, result("newest", "7.2.13", ebpf=None)])
    assert "| 6.1 | ? | nothing |" in text
    assert "gave no answer" in text


@given(st.dictionaries(st.sampled_from(["ebpf", "nftables"]), st.none() | st.text(max_size=30)))
def test_no_reason_breaks_a_table(modes: dict[str, str | None]) -> None:
    for line in page.page([result("6.1", "6.1.0", **modes)]).splitlines():
        if line.startswith("|"):
            assert line.endswith(" |")


def test_restricted_kernels_stand_apart() -> None:
    plain = result("6.1", "6.1.0-50-amd64", ebpf=None)
    restricted = {**result("6.1-no-ipv6", "6.1.0-50-amd64", ebpf=None), "arguments": ["ipv6.disable=1"]}
    told = page.page([plain, restricted])
    before, _, after = told.partition("## Restricted by boot parameters")
    assert "ipv6.disable=1" not in before
    assert "| ipv6.disable=1 | 6.1 | ebpf |" in after
    assert page.overview([plain, restricted]).count("\n") == 3
