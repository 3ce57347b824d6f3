"""What the tests of delivery share: the packages, built once, and root folders to install them in."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.release import deb, wheel
from scripts.release.suites import SUITES
from tests.deliver import roots
from tests.deliver.roots import Root

TRIED = ("bookworm", "trixie")


@pytest.fixture(scope="session")
def built_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel.build(tmp_path_factory.mktemp("wheel"))


class Packages(dict[str, Path]):
    """Suite -> its package, built when it is first asked for."""

    def __init__(self, built: Path, out: Path) -> None:
        super().__init__()
        self._built, self._out = built, out

    def __missing__(self, suite: str) -> Path:
        self[suite] = deb.build(self._built, SUITES[suite], self._out)
        return self[suite]


@pytest.fixture(scope="session")
def packages(built_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Packages:
    return Packages(built_wheel, tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module", params=TRIED)
def suite(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def root(suite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    """A fresh minimal system."""
    folder = tmp_path_factory.mktemp(suite) / "root"
    try:
        yield roots.make(suite, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
