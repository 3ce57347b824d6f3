"""The image, built by buildah from the Containerfile itself on a base of debootstrap's, and what is in it."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.release.rooms import delivered
from scripts.release.suites import ROOT
from tests.deliver import roots

pytestmark = [pytest.mark.kernel, pytest.mark.deliver, pytest.mark.timeout(900)]
MOST_COMPRESSED = 90 << 20
OURS_COMPRESSED = 5 << 20
CONFIG: list[Path] = []
"""Where the image's own description was written."""
FORBIDDEN = re.compile(r"bin/(gcc|cc|clang|ld|as|c\+\+)(-[\d.]+)?$|/cc1$|libLLVM|/usr/include/.*\.h$|libclang")


class Store:
    """buildah with a store of its own: nothing of the host's images is seen or changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *argv: str, check: bool = True) -> str:
        place = ["--root", str(self.folder / "store"), "--runroot", str(self.folder / "run"), "--storage-driver", "vfs"]
        done = subprocess.run(["buildah", *place, *argv], capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, f"{argv}:\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()


@pytest.fixture(scope="module")
def image(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The mounted root folder of the image that the Containerfile makes."""
    folder = tmp_path_factory.mktemp("image")
    base = roots.make("bookworm", folder / "base")
    context = folder / "context"
    (context / "dist").mkdir(parents=True)
    shutil.copyfile(packages["bookworm"], context / "dist" / packages["bookworm"].name)
    store = Store(folder)
    container = store.run("from", "scratch")
    store.run("add", "-q", container, str(base.folder), "/")
    store.run("commit", "-q", container, "localhost/base")
    store.run("rm", container)
    building = ["build", "-q", "--isolation", "chroot", "--network", "host", "--pull-never", "--build-arg"]
    store.run(
        *building, "BASE=localhost/base", "-f", str(ROOT / "deploy/Containerfile"), "-t", "tidegate:test", str(context)
    )
    container = store.run("from", "--pull-never", "localhost/tidegate:test")
    try:
        mounted = Path(store.run("mount", container))
        CONFIG[:] = [folder / "config.json"]
        CONFIG[0].write_text(store.run("inspect", "--type", "image", "localhost/tidegate:test"))
        yield mounted
    finally:
        store.run("rm", "--all", check=False)
        store.run("rmi", "--all", "--force", check=False)


def compressed(folder: Path, *names: str) -> int:
    packed = subprocess.run(
        ["sh", "-c", 'tar -C "$0" -cf - "$@" | gzip -6 | wc -c', str(folder), *(names or (".",))],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(packed.stdout)


def test_it_is_small_and_has_nothing_to_compile_with(image: Path) -> None:
    whole = compressed(image)
    (site,) = (image / "usr/lib/tidegate/lib").glob("python3.*/site-packages")
    ours = compressed(site, *delivered())
    print(f"image: {whole / 2**20:.1f} MiB compressed, of which tidegate itself {ours / 2**20:.2f} MiB")
    assert whole <= MOST_COMPRESSED
    assert ours <= OURS_COMPRESSED
    paths = (f"/{path.relative_to(image)}" for path in image.rglob("*"))
    # bcc's stand-ins for kernel headers are compiled by bcc alone, and it is not in the image.
    assert [path for path in paths if FORBIDDEN.search(path) and "/bpf/trace/" not in path] == []


def test_without_a_command_it_says_what_there_is(image: Path) -> None:
    config = json.loads((CONFIG[0]).read_text())["OCIv1"]["config"]
    assert config["Entrypoint"] == ["/usr/bin/tidegate"]
    told = roots.Root(image).run(*config["Entrypoint"], *config["Cmd"], read_only=True).stdout
    assert "Usage: tidegate" in told


@pytest.mark.parametrize(
    ("mode", "capabilities"),
    [
        ("nftables", "net_admin"),
        ("iptables", "net_admin,net_raw"),
        ("ebpf", "net_admin,bpf,perfmon,sys_admin"),
    ],
)
def test_init_needs_the_documented_capabilities_and_no_writable_root(image: Path, mode: str, capabilities: str) -> None:
    only = ",".join(f"+{name}" for name in capabilities.split(","))
    held = f"setpriv --no-new-privs --bounding-set=-all,{only} --inh-caps=-all,{only} --"
    inner = f"trap 'tidegate cleanup' EXIT; tidegate init --mode {mode}; tidegate status"
    steps = f'! touch /probe && {held} sh -ec "{inner}"'
    roots.Root(image).run("sh", "-c", steps, read_only=True)


def test_the_sidecar_serves_as_its_own_user_without_any_capability(image: Path) -> None:
    held = "setpriv --reuid=1337 --regid=1337 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all --"
    ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:15020/healthz/ready').status)"
    steps = f"""
        {held} tidegate proxy &
        for i in $(seq 50); do python3 -c "{ask}" 2>/dev/null && exit 0; sleep 0.1; done
        exit 1
    """
    assert roots.Root(image).run("sh", "-c", steps, read_only=True).stdout.endswith("200\n")
