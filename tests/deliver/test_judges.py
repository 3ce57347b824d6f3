"""What others say of what we deliver: lintian, the shells, systemd, and a user who knows nothing of the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.release.suites import SUITES, bundled, version

pytestmark = [pytest.mark.kernel, pytest.mark.deliver, pytest.mark.timeout(600)]
NOBODY = 65534


def unpacked(package: Path, folder: Path) -> Path:
    subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=True)
    return folder


@pytest.mark.parametrize("suite", SUITES)
def test_lintian_has_nothing_to_say(suite: str, packages: dict[str, Path]) -> None:
    argv = ["lintian", "--fail-on", "error,warning", "--allow-root", str(packages[suite])]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("suite", SUITES)
def test_the_bill_of_materials_has_what_is_inside(suite: str, packages: dict[str, Path], tmp_path: Path) -> None:
    root = unpacked(packages[suite], tmp_path)
    told = json.loads((root / "usr/share/doc/tidegate/sbom.cdx.json").read_text())
    (site,) = (root / "usr/lib/tidegate/lib").glob("python3.*/site-packages")
    inside = {
        re.sub(r"[-_.]+", "-", path.name.removesuffix(".dist-info").rsplit("-", 1)[0]).lower()
        for path in site.glob("*.dist-info")
    }
    listed = {one["name"].lower().replace(".", "-").replace("_", "-") for one in told["components"] if "hashes" in one}
    assert inside == listed | {"tidegate"}
    assert len(listed) == len(bundled(SUITES[suite]))


def test_the_shells_complete(packages: dict[str, Path], tmp_path: Path) -> None:
    share = unpacked(packages["bookworm"], tmp_path) / "usr/share"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    fish = f"source {share}/fish/vendor_completions.d/tidegate.fish; complete -C 'tidegate unin'"
    told = subprocess.run(
        ["fish", "-c", fish], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True
    )
    assert told.stdout.split("\t")[0].strip() == "uninject"
    bash = f"""
        source {share}/bash-completion/completions/tidegate
        COMP_WORDS=(tidegate unin) COMP_CWORD=1
        _tidegate_completion tidegate
        echo "${{COMPREPLY[@]}}"
    """
    told = subprocess.run(
        ["bash", "-c", bash], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "uninject"
    parsed = subprocess.run(["zsh", "-n", str(share / "zsh/vendor-completions/_tidegate")], check=False)
    assert parsed.returncode == 0


def test_systemd_takes_the_units(packages: dict[str, Path], tmp_path: Path) -> None:
    root = unpacked(packages["bookworm"], tmp_path)
    units = sorted((root / "usr/lib/systemd/system").iterdir())
    services = ["tidegate-capture.service", "tidegate-proxy.service", "tidegate-proxy@.service"]
    assert [unit.name for unit in units] == [*services, "tidegate.slice"]
    # verify looks for the programs; the package is not installed here.
    local = tmp_path / "units"
    local.mkdir()
    for unit in units:
        (local / unit.name).write_text(unit.read_text().replace("/usr/bin/tidegate", "/bin/true"))
    argv = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(local.iterdir()))]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "tidegate" in line]
    assert (done.returncode, said) == (0, [])


@pytest.mark.parametrize(("unit", "at_most"), [("tidegate-proxy.service", 6.2), ("tidegate-capture.service", 6.8)])
def test_what_systemd_says_of_their_exposure(
    packages: dict[str, Path], tmp_path: Path, unit: str, at_most: float
) -> None:
    root = unpacked(packages["bookworm"], tmp_path)
    file = root / "usr/lib/systemd/system" / unit
    argv = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(file)]
    told = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert found is not None, told
    print(f"{unit}: exposure {found[1]}")
    assert float(found[1]) <= at_most


@pytest.fixture
def home() -> Iterator[Path]:
    """Of a user who may read nothing of ours; pytest's own folders are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="tidegate-user-"))
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


def test_another_user_installs_the_wheel_far_from_the_repository(built_wheel: Path, home: Path) -> None:
    """As pipx does it: in an environment of its own."""
    wheel = shutil.copy(built_wheel, home)
    os.chmod(wheel, 0o644)
    who = [
        "setpriv",
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        "env",
        "-C",
        str(home),
        f"HOME={home}",
    ]

    def run(*argv: str) -> str:
        done = subprocess.run([*who, *argv], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{argv}:\n{done.stdout}{done.stderr}"
        return done.stdout

    run("/usr/bin/python3", "-m", "venv", "tool")
    run("tool/bin/pip", "install", "-q", "--disable-pip-version-check", str(wheel))
    assert run("tool/bin/tidegate", "--version") == f"tidegate {version()}\n"
    assert "redirect" in run("tool/bin/tidegate", "init", "--dry-run", "--mode", "nftables")
