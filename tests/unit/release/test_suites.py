"""What each distribution's package gets from where."""

import re

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from scripts.release.bundle import LOCK, pinned
from scripts.release.deb import package_version
from scripts.release.suites import SUITES, Suite, bundled, requirements


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_what_a_suite_provides_is_new_enough_and_wanted(suite: Suite) -> None:
    wanted = {each.name: each for each in requirements()}
    assert set(suite.provided) <= set(wanted)
    for name, package in suite.provided.items():
        bound = re.fullmatch(r"python3-[a-z0-9.-]+ \(>= ([0-9.]+)\)", package)
        assert bound is not None, package
        assert str(wanted[name].specifier) == f">={bound[1]}"


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_what_a_suite_lacks_is_pinned_by_hash_and_new_enough(suite: Suite) -> None:
    lock = pinned()
    wanted = {each.name: each for each in requirements()}
    assert bundled(suite)
    for name in bundled(suite):
        pin = Requirement(lock[name].split("--hash")[0])
        (one,) = SpecifierSet(str(pin.specifier))
        assert one.operator == "=="
        assert one.version in wanted[name].specifier
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", lock[name])


def test_nothing_is_pinned_that_no_suite_bundles() -> None:
    assert set(pinned()) == {name for suite in SUITES.values() for name in bundled(suite)}
    assert LOCK.read_text(encoding="utf-8").startswith("# What the packages bundle")


def test_versions_follow_the_distribution_when_it_is_upgraded() -> None:
    """Debian 12's package is older than Debian 13's of the same release, and a later revision is newer than both."""
    from subprocess import run

    def older(one: str, other: str) -> bool:
        return run(["dpkg", "--compare-versions", one, "lt", other], check=False).returncode == 0

    twelve, thirteen = package_version(SUITES["bookworm"]), package_version(SUITES["trixie"])
    assert older(twelve, thirteen)
    assert older(thirteen, package_version(SUITES["bookworm"], revision=2))
    assert not older(thirteen, twelve)
