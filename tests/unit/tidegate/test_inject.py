"""`tidegate inject` and `uninject` as commands: files, streams, exit codes."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.onboard.manifests import DEPLOYMENT


def tidegate(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tidegate", *arguments], input=given, capture_output=True, text=True, check=False
    )


def test_a_stream_goes_through_and_back() -> None:
    there = tidegate("inject", "-f", "-", given=DEPLOYMENT)
    assert there.returncode == 0, there.stderr
    back = tidegate("uninject", "-f", "-", given=there.stdout)
    assert (back.returncode, back.stdout) == (0, DEPLOYMENT)


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    manifest = tmp_path / "shop.yaml"
    manifest.write_text(DEPLOYMENT)
    manifest.chmod(0o640)
    assert tidegate("inject", "-f", str(manifest), "-o", str(manifest)).returncode == 0
    assert "tidegate-proxy" in manifest.read_text()
    assert stat.S_IMODE(manifest.stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["shop.yaml"]


def test_a_diff_says_what_would_change_and_writes_nothing(tmp_path: Path) -> None:
    manifest = tmp_path / "shop.yaml"
    manifest.write_text(DEPLOYMENT)
    shown = tidegate("inject", "-f", str(manifest), "-o", str(manifest), "--diff")
    assert shown.returncode == 0
    assert manifest.read_text() == DEPLOYMENT
    removed = [line for line in shown.stdout.splitlines() if line.startswith("-") and not line.startswith("---")]
    assert removed == []
    added = [line[1:] for line in shown.stdout.splitlines() if line.startswith("+") and not line.startswith("+++")]
    injected = tidegate("inject", "-f", "-", given=DEPLOYMENT).stdout.splitlines()
    assert added == [line for line in injected if line not in DEPLOYMENT.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dns", "some"], "--dns: 'some' is not valid"),
        (["--image", "a b"], "--image: 'a b' is not valid"),
        (["--sidecar", "both"], "--sidecar: 'both' is not valid"),
        (["--config-map", "A"], "--config-map: 'A' is not valid"),
        (["--config-folder", "./x"], "--config-folder"),
        (["--cgroup", "x"], "--cgroup"),
        (["--helper", "--sidecar", "container"], "--helper: 'with --sidecar container' is not valid"),
    ],
)
def test_bad_usage_exits_2_and_writes_nothing(tmp_path: Path, arguments: list[str], said: str) -> None:
    output = tmp_path / "out.yaml"
    done = tidegate("inject", "-f", "-", "-o", str(output), *arguments, given=DEPLOYMENT)
    assert done.returncode == 2
    assert said in done.stderr
    assert not output.exists()


def test_a_file_that_is_wrong_or_not_there_exits_2() -> None:
    wrong = tidegate("inject", "-f", "-", given="kind: [\n")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("standard input:2: no valid YAML")
    missing = tidegate("uninject", "-f", "/nowhere/x.yaml")
    assert missing.returncode == 2
    assert "/nowhere/x.yaml" in missing.stderr
