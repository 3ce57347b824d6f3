"""A build from source says in one message what the host lacks."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import needs
from scripts.release.suites import ROOT


def test_this_host_lacks_nothing() -> None:
    assert needs.missing() == []


def test_a_header_that_is_not_there_is_named_with_its_package() -> None:
    lacking = needs.missing((needs.Need("cc", "bpf/nowhere.h", "nothing", "libnowhere-dev"),))
    said = needs.explain(lacking)
    assert "the header <bpf/nowhere.h> is missing" in said
    assert "apt install libnowhere-dev" in said


def test_without_a_compiler_only_the_compiler_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert [need.header for need in needs.missing()] == ["", ""]
    with pytest.raises(SystemExit, match="the command clang is missing"):
        needs.check()


def test_setup_stops_before_it_compiles_anything(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "setup.py", "build", "--build-base", str(tmp_path)],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "tidegate can't be built from source on this host" in done.stderr
    assert "apt install gcc libc6-dev clang" in done.stderr
    assert "Traceback" not in done.stderr
