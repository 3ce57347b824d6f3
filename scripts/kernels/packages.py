"""Debian's kernel packages by apt, from the mirror this machine uses, without touching its /etc/apt or its dpkg.

Everything lives in a cache folder: package lists a suite, the packages, and one unpacked tree a kernel.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_LISTS_S = 24 * 3600


class Failed(Exception):
    """A kernel can't be had; the message says why and what to do."""


class Unpacked(NamedTuple):
    """image: the bootable file; virtme-ng finds the modules from there."""

    release: str
    package: str
    image: Path


def mirror(index_targets: str) -> str:
    """The base address of the Debian archive among this machine's apt sources.

    `index_targets`: lines `address|label|codename` as `apt-get indextargets` prints them.
    """
    for line in index_targets.splitlines():
        address, label, codename = line.split("|")
        # Updates and backports live at the same address; security has its own, and no suite of the main archive.
        if label == "Debian" and "-" not in codename:
            return address
    raise Failed("no Debian archive among this machine's apt sources: add one, and run apt-get update")


def wanted(depends: str) -> list[str]:
    """The packages of a kernel's own among what one of its packages depends on."""
    names = []
    for each in depends.split(","):
        name = each.split("|", maxsplit=1)[0].split("(")[0].strip()
        if re.fullmatch(r"linux-(image|binary|modules)-.+", name):
            names.append(name)
    return names


def fetch(suite: str, cache: Path, now_s: float) -> Unpacked:
    """The newest kernel of a suite, unpacked and with its modules indexed; fetched only when it isn't there yet."""
    environment = _private_apt(suite, cache / "apt" / suite, now_s)
    packages: dict[str, str] = {}
    waiting = [f"linux-image-{_run(['dpkg', '--print-architecture'], environment).strip()}"]
    while waiting:
        name = waiting.pop()
        shown = _run(["apt-cache", "show", "--no-all-versions", name], environment)
        fields = dict(re.findall(r"^(Version|Depends): (.*)$", shown, re.MULTILINE))
        if "Version" not in fields:
            raise Failed(f"{suite} has no package {name}")
        packages[name] = fields["Version"]
        waiting += [one for one in wanted(fields.get("Depends", "")) if one not in packages]
    image = max((name for name in packages if name.startswith("linux-image-")), key=len)
    tree = cache / "trees" / f"{image}_{packages[image]}"
    if not (tree / ".complete").exists():
        _unpack(packages, tree, cache / "packages", environment)
    release, file = _image_in(tree)
    return Unpacked(release, f"{image} {packages[image]}", file)


def _private_apt(suite: str, folder: Path, now_s: float) -> dict[str, str]:
    """The environment in which apt knows that suite and nothing else. This machine's apt.conf (proxies) still holds."""
    if not KEYRING.exists():
        raise Failed(f"{KEYRING} is missing: install debian-archive-keyring")
    for each in ("lists/partial", "cache/archives/partial"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI)|$(LABEL)|$(CODENAME)", "Created-By: Packages"]
    address = mirror(_run(targets, dict(os.environ)))
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {address} {suite} main\n")
    (folder / "status").touch()
    settings = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State": folder,
        "Dir::State::status": folder / "status",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
    }
    (folder / "apt.conf").write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "LC_ALL": "C"}
    fresh = folder / "lists.stamp"
    if not fresh.exists() or now_s - fresh.stat().st_mtime > _LISTS_S:
        _run(["apt-get", "update", "-q"], environment)
        fresh.touch()
    return environment


def _unpack(packages: dict[str, str], tree: Path, downloads: Path, environment: dict[str, str]) -> None:
    downloads.mkdir(parents=True, exist_ok=True)
    tree.mkdir(parents=True, exist_ok=True)
    for name, version in packages.items():
        _run(["apt-get", "download", "-q", f"{name}={version}"], environment, cwd=downloads)
        (package,) = downloads.glob(f"{name}_*.deb")
        _run(["dpkg-deb", "-x", str(package), str(tree)], environment)
        package.unlink()
    release, _ = _image_in(tree)
    base = tree / "usr" if (tree / "usr/lib/modules").is_dir() else tree
    _run(["depmod", "-b", str(base), release], environment)
    (tree / ".complete").touch()


def _image_in(tree: Path) -> tuple[str, Path]:
    modules = next((each for each in (tree / "usr/lib/modules", tree / "lib/modules") if each.is_dir()), None)
    if modules is None:
        raise Failed(f"{tree}: the packages have no modules")
    release = next(modules.iterdir()).name
    for image in (tree / "boot" / f"vmlinuz-{release}", modules / release / "vmlinuz"):
        if image.is_file():
            return release, image
    raise Failed(f"{tree}: the packages have no kernel image of {release}")


def _run(argv: list[str], environment: dict[str, str], cwd: Path | None = None) -> str:
    done = subprocess.run(argv, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(argv)} failed:\n{done.stderr.strip()}")
    return done.stdout
