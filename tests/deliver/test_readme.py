"""README's Install section, tried as it is written: the lines are taken from the page."""

import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.release.suites import ROOT, version
from tests.deliver import roots
from tests.deliver.roots import Root

NEEDED = ("pipx", "libbpf1", "libyaml-0-2", "gcc", "libc6-dev", "python3-dev")
"""What the page asks for, beside pipx itself."""
pytestmark = [pytest.mark.kernel, pytest.mark.deliver, pytest.mark.timeout(1200)]


def lines(beginning: str) -> str:
    """The one line of the section that begins so."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Install")[2].partition("\n## ")[0]
    (found,) = [line.strip() for line in section.splitlines() if line.startswith("    " + beginning)]
    return found


def here(line: str) -> None:
    done = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}:\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def delivered() -> Path:
    for old in (*(ROOT / "dist").glob("*.deb"), *(ROOT / "dist").glob("*.whl")):
        old.unlink()
    section = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "    make deb\n" in section
    assert "    make wheel\n" in section
    here("make wheel")
    here("make deb")
    return ROOT / "dist"


@pytest.fixture
def fresh(delivered: Path, tmp_path: Path) -> Root:
    root = roots.make("bookworm", tmp_path / "root")
    shutil.copytree(delivered, root.folder / "root/dist")
    return root


def test_the_package(fresh: Root) -> None:
    line = lines("apt install").replace("apt install", "apt-get install -y -q")
    fresh.run("sh", "-ec", f"cd /root && {line}", isolated=False, timeout=900)
    assert fresh.run("tidegate", "--version").stdout == f"tidegate {version()}\n"
    fresh.run("sh", "-ec", lines("install -D"))
    assert "Slice=tidegate.slice" in next((fresh.folder / "etc/systemd/system/shop.service.d").iterdir()).read_text()


def test_pipx(fresh: Root) -> None:
    """By another user, in another folder."""
    fresh.run("apt-get", "install", "-q", "-y", "--no-install-recommends", *NEEDED, isolated=False, timeout=900)
    fresh.run("useradd", "-m", "someone")
    # What this host trusts, so that a company's own mirror is trusted there, too.
    authorities = "/etc/ssl/certs/ca-certificates.crt"
    (fresh.folder / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(authorities, fresh.folder / authorities.lstrip("/"))
    (fresh.folder / "etc/pip.conf").write_text(f"[global]\ncert = {authorities}\n")
    shutil.copytree(fresh.folder / "root/dist", fresh.folder / "home/someone/dist")
    line = lines("pipx install")
    fresh.run("su", "-", "someone", "-c", f"cd ~ && {line}", isolated=False, timeout=900)
    told = fresh.run("su", "-", "someone", "-c", "cd / && ~/.local/bin/tidegate init --dry-run --mode nftables").stdout
    assert "redirect" in told
