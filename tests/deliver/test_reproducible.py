"""Two builds, in two folders and at two times, give one hash."""

import hashlib
from pathlib import Path

import pytest

from scripts.release import deb, wheel
from scripts.release.suites import SUITES

pytestmark = [pytest.mark.kernel, pytest.mark.deliver, pytest.mark.timeout(900)]


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_wheel_is_the_same_twice(built_wheel: Path, tmp_path: Path) -> None:
    again = wheel.build(tmp_path)
    assert again.name == built_wheel.name
    assert digest(again) == digest(built_wheel)


@pytest.mark.parametrize("suite", SUITES)
def test_the_package_is_the_same_twice(
    suite: str, packages: dict[str, Path], built_wheel: Path, tmp_path: Path
) -> None:
    again = deb.build(built_wheel, SUITES[suite], tmp_path)
    assert again.name == packages[suite].name
    assert digest(again) == digest(packages[suite])
