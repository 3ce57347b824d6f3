"""Hints of failing lines, words that were probably meant, and completion in three shells."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from intercept.check.checker import Probe
from onboard.enroll import registry
from proxy.core.near import meant, nearest
from proxy.core.policy.weights import Unknown, service_named
from tests.unit.intercept.doctor.test_doctor_advice import lacking, report
from tests.unit.mesh.support import SERVICE, SLICE, policy_of
from tidegate import hints
from tidegate.cli import COMMANDS, cli
from tidegate.commands.check import _row
from tidegate.commands.doctor import rows_of

ROOT = Path(__file__).resolve().parents[3]
TIDEGATE = str(Path(sys.executable).with_name("tidegate"))


@pytest.mark.parametrize(
    ("probe", "hint"),
    [
        (Probe("capture", False, "no capture is in force in this network namespace"), "tidegate init"),
        (Probe("outbound/ipv4/tcp", False, "nobody listens on port 15001, so …"), "tidegate proxy"),
        (Probe("outbound/ipv4/tcp", False, "a probe was not captured"), "tidegate explain outbound"),
        (Probe("inbound/ipv4/tcp", False, "a probe was not captured"), "tidegate explain inbound"),
        (Probe("dns/ipv4/udp", False, "no answer"), "--protocol udp"),
    ],
)
def test_failing_probes_say_what_to_do(probe: Probe, hint: str) -> None:
    row = _row(probe)
    assert row.tone == "bad"
    assert hint in row.text.partition("; next: ")[2]
    assert "; next:" not in _row(Probe(probe.name, True, probe.detail)).text


@pytest.mark.parametrize(
    ("mode", "reason", "hint"),
    [
        (
            "nftables",
            "nftables mode needs Python's module (apt install python3-nftables)",
            "apt install python3-nftables",
        ),
        ("ebpf", "CAP_BPF is missing: it is needed to load programs", "as root"),
        ("ebpf", "Linux 4.19 has no cgroup links", "docs/kernels.md"),
        ("tproxy", "the kernel has no TPROXY", "docs/capture.md"),
    ],
)
def test_modes_that_do_not_work_say_what_to_do(mode: str, reason: str, hint: str) -> None:
    (row,) = [one for one in rows_of(report(modes=lacking(mode, reason))) if one.title == "mode" and one.tone == "bad"]
    assert hint in row.text.partition("; next: ")[2]


def test_pages_that_are_named_are_there() -> None:
    text = (ROOT / "tidegate" / "hints.py").read_text()
    named = re.findall(r"docs/\w+\.md|[A-Z]+\.md", text)
    assert named
    assert [page for page in named if not (ROOT / page).exists()] == []
    commands = set(re.findall(r"tidegate (\w+)", text)) - {"init"}
    assert commands <= set(COMMANDS), "commands that are named are there"
    assert hints.hinted("a line.", "x") == "a line; next: x"
    assert hints.hinted("a line.", None) == "a line."


@pytest.mark.parametrize(("said", "known"), [("stauts", "status"), ("discovr", "discover"), ("enrol", "enroll")])
def test_a_command_that_is_none_is_guessed(said: str, known: str) -> None:
    ran = CliRunner().invoke(cli, [said])
    assert ran.exit_code == 2
    assert f"did you mean {known}?" in ran.output
    assert "did you mean" not in CliRunner().invoke(cli, ["zzzzzz"]).output
    assert "--json" in CliRunner().invoke(cli, ["status", "--jsn"]).output


def test_a_service_that_is_none_is_guessed() -> None:
    policy = policy_of(SERVICE + "---" + SLICE)[0]
    with pytest.raises(Unknown, match=r"did you mean web\?"):
        service_named(policy, "wbe")
    with pytest.raises(Unknown, match=r"did you mean shop/web\?"):
        service_named(policy, "shpo/web")
    assert nearest("x", ["something"]) is None
    assert meant("zzz", []) == ""


def completed(shell: str, *words: str) -> str:
    """What tidegate says to that shell's script."""
    line = " ".join(("tidegate", *words))
    environment = {"COMP_WORDS": line, "COMP_CWORD": words[-1] if shell == "fish" else str(len(words))}
    ran = subprocess.run(
        [TIDEGATE], env={**os.environ, **environment, "_TIDEGATE_COMPLETE": f"{shell}_complete"}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert ran.stderr == ""
    return ran.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_commands_flags_and_words_are_completed(shell: str) -> None:
    assert "discover" in completed(shell, "disc")
    assert "--enrolment" in completed(shell, "tap", "--enr")
    modes = completed(shell, "init", "--mode", "i")
    assert "iptables" in modes
    assert "nftables" not in modes


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_nothing_is_completed_and_nothing_said_where_no_proxy_answers(shell: str) -> None:
    assert completed(shell, "tap", "--admin", "127.0.0.1:1", "--service", "s").strip() == ""
    assert completed(shell, "tap", "--admin", "nonsense", "--service", "s").strip() == ""


def test_enrolments_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tidegate.asking.values import enrolments

    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    from intercept import runs

    mine = os.getpid()
    registry.save(registry.Enrolment("web.service", "unit web", mine, runs.start_time(mine) or 0, "x"))
    registry.save(registry.Enrolment("web-dead", "unit dead", 1, 1, "x"))
    nothing: Any = None
    assert [one.value for one in enrolments(nothing, nothing, "we")] == ["web.service"]
    assert enrolments(nothing, nothing, "q") == []
