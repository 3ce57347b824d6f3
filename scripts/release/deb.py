"""A Debian package for one suite: a virtual environment of its own below /usr/lib/tidegate, with what the suite lacks.

dpkg-deb packs what stands in the staging folder; all times in it are those of the build.
"""

import gzip
import hashlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

from scripts.release import bundle, copyrights, pages, sbom
from scripts.release.source import epoch
from scripts.release.suites import ROOT, Suite, version
from scripts.release.wheel import ReleaseError, environment, run

PARTS = ROOT / "deploy" / "deb"
UNITS = ROOT / "deploy" / "systemd"
HOME = Path("usr/lib/tidegate")
MAINTAINER = "tidegate maintainers <maintainers@tidegate.dev>"
SCRIPTS = ("postinst", "prerm", "postrm")


def package_version(suite: Suite, revision: int = 1) -> str:
    return f"{version()}-{revision}~{suite.tag}"


def build(wheel: Path, suite: Suite, out: Path, revision: int = 1) -> Path:
    """Writes tidegate_VERSION_ARCH.deb into `out`. Raises ReleaseError."""
    architecture = run(["dpkg", "--print-architecture"]).strip()
    with tempfile.TemporaryDirectory(prefix="tidegate-deb-") as folder:
        # mkdtemp's 0700 is for the scratch folder; the package's own top is the root folder of a system.
        stage = Path(folder) / "stage"
        site = stage / HOME / f"lib/python{suite.python}/site-packages"
        site.mkdir(parents=True)
        others = bundle.fetch(suite, _bundled(suite))
        bundle.unpack([wheel], site, suite, trim=False)
        bundle.unpack(others, site, suite, trim=True)
        _strip(site)
        _environment(stage, suite)
        _programs(stage, Path(folder))
        _documents(stage, suite, site, others, revision)
        _services(stage)
        _control(stage, suite, architecture, revision)
        _date(stage)
        out.mkdir(parents=True, exist_ok=True)
        target = out / f"tidegate_{package_version(suite, revision)}_{architecture}.deb"
        # Debian 12's dpkg and all later ones read xz; one thread, since the number of threads shows in the bytes.
        packing = ["dpkg-deb", "--root-owner-group", "-Zxz", "--threads-max=1", "--build", str(stage), str(target)]
        run(packing, {**os.environ, "SOURCE_DATE_EPOCH": str(epoch())})
        return target


def _bundled(suite: Suite) -> list[str]:
    from scripts.release.suites import bundled

    return bundled(suite)


def _strip(site: Path) -> None:
    for library in sorted(site.rglob("*.so*")):
        run(["strip", "--strip-unneeded", "-R", ".comment", "-R", ".note.gnu.build-id", str(library)])


def _environment(stage: Path, suite: Suite) -> None:
    home = stage / HOME
    (home / "bin").mkdir()
    (home / "bin" / "python3").symlink_to(f"../../../bin/python{suite.python}")
    config = f"home = /usr/bin\ninclude-system-site-packages = true\nversion = {suite.python}\n"
    (home / "pyvenv.cfg").write_text(config, encoding="ascii")


def _programs(stage: Path, scratch: Path) -> None:
    """The launcher (cext/launch.c), and the script that it becomes."""
    program = stage / "usr/bin/tidegate"
    program.parent.mkdir(parents=True)
    flags = environment(ROOT)
    argv = [
        "cc",
        "-std=c11",
        "-D_GNU_SOURCE",
        "-O2",
        "-D_FORTIFY_SOURCE=2",
        "-fPIE",
        "-pie",
        "-Wall",
        "-Wextra",
        "-Werror",
    ]
    argv += [*flags["CFLAGS"].split(), *flags["LDFLAGS"].split(), "-o", str(program), "cext/launch.c"]
    run(argv, {**flags, "TMPDIR": str(scratch)}, cwd=ROOT)
    script = stage / "usr/libexec/tidegate"
    script.parent.mkdir(parents=True)
    script.write_text(f"#!/{HOME}/bin/python3 -Es\nfrom tidegate.cli import main\n\nmain()\n", encoding="ascii")
    script.chmod(0o755)


def _documents(stage: Path, suite: Suite, site: Path, others: list[Path], revision: int) -> None:
    documents = stage / "usr/share/doc/tidegate"
    documents.mkdir(parents=True)
    _packed(documents / "changelog.gz", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    _packed(documents / "changelog.Debian.gz", _changelog(suite, revision))
    (documents / "copyright").write_text(copyrights.text(site, others), encoding="utf-8")
    (documents / "sbom.cdx.json").write_text(sbom.text(suite, others, epoch()), encoding="utf-8")
    for name in ("configuration", "capture", "inject", "lanes"):
        page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
        (documents / f"{name}.md").write_text(page, encoding="utf-8")
    manuals = stage / "usr/share/man/man1"
    manuals.mkdir(parents=True)
    for name, roff in pages.manual(epoch()).items():
        _packed(manuals / f"{name}.gz", roff)
    places = {
        "bash": "usr/share/bash-completion/completions/tidegate",
        "zsh": "usr/share/zsh/vendor-completions/_tidegate",
        "fish": "usr/share/fish/vendor_completions.d/tidegate.fish",
    }
    for shell, place in places.items():
        (stage / place).parent.mkdir(parents=True)
        (stage / place).write_text(pages.completion(shell), encoding="utf-8")
    overrides = stage / "usr/share/lintian/overrides/tidegate"
    overrides.parent.mkdir(parents=True)
    shutil.copyfile(PARTS / "lintian-overrides", overrides)


def _changelog(suite: Suite, revision: int) -> str:
    dated = formatdate(epoch())
    head = f"tidegate ({package_version(suite, revision)}) {suite.name}; urgency=medium"
    return f"{head}\n\n  * What has changed stands in changelog.gz.\n\n -- {MAINTAINER}  {dated}\n"


def _packed(target: Path, text: str) -> None:
    target.write_bytes(gzip.compress(text.encode("utf-8"), 9, mtime=0))


def _services(stage: Path) -> None:
    units = stage / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    for unit in sorted(UNITS.glob("*.s*")):
        shutil.copyfile(unit, units / unit.name)
    examples = stage / "usr/share/doc/tidegate/examples"
    examples.mkdir(parents=True)
    for example in sorted((UNITS / "examples").iterdir()):
        shutil.copyfile(example, examples / example.name)
    (stage / "etc/default").mkdir(parents=True)
    shutil.copyfile(UNITS / "tidegate.default", stage / "etc/default/tidegate")
    (stage / "etc/tidegate").mkdir()


def _control(stage: Path, suite: Suite, architecture: str, revision: int) -> None:
    folder = stage / "DEBIAN"
    sizes = sum(path.lstat().st_size for path in stage.rglob("*"))
    libc = _oldest_libc(stage, suite)
    fields = {
        "Package": "tidegate",
        "Version": package_version(suite, revision),
        "Architecture": architecture,
        "Maintainer": MAINTAINER,
        "Installed-Size": str(sizes // 1024 + 1),
        "Depends": ", ".join([f"libc6 (>= {libc})", *suite.depends]),
        "Suggests": "python3-aiohttp (>= 3.8), python3-bpfcc",
        "Section": "net",
        "Priority": "optional",
    }
    folder.mkdir()
    text = "".join(f"{name}: {value}\n" for name, value in fields.items())
    (folder / "control").write_text(text + (PARTS / "description").read_text(encoding="ascii"), encoding="ascii")
    (folder / "conffiles").write_text("/etc/default/tidegate\n", encoding="ascii")
    for name in SCRIPTS:
        shutil.copyfile(PARTS / name, folder / name)
        (folder / name).chmod(0o755)
    (folder / "md5sums").write_text("".join(_sums(stage)), encoding="utf-8")


def _sums(stage: Path) -> Iterator[str]:
    for path in sorted(stage.rglob("*")):
        name = path.relative_to(stage)
        if path.is_file() and not path.is_symlink() and name.parts[0] not in ("DEBIAN", "etc"):
            yield f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {name}\n"


def _oldest_libc(stage: Path, suite: Suite) -> str:
    """The newest symbol version that an object asks for. Raises ReleaseError where the suite's libc has it not."""
    asked = {(2, 17)}
    for path in (stage / "usr").rglob("*"):
        if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF" and path.suffix != ".o":
            told = run(["objdump", "-T", str(path)])
            asked |= {(int(major), int(minor)) for major, minor in re.findall(r"GLIBC_(\d+)\.(\d+)", told)}
    newest = max(asked)
    if newest > suite.glibc:
        raise ReleaseError(
            f"an object needs glibc {newest[0]}.{newest[1]}, and {suite.name} has {suite.glibc[0]}.{suite.glibc[1]}: "
            f"build on Debian 12 (this is {platform.platform()})"
        )
    return f"{newest[0]}.{newest[1]}"


def _date(stage: Path) -> None:
    moment = epoch()
    for path in [stage, *stage.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
        elif not path.is_symlink() and not path.stat().st_mode & 0o100:
            path.chmod(0o644)
        os.utime(path, (moment, moment), follow_symlinks=False)
