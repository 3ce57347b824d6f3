"""Fixtures of the lab, and the rules about privilege, skips and leftovers that hold for every test."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How long one example takes says more about what else the machine does than about our code.
settings.register_profile(
    "usual", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("thorough", parent=settings.get_profile("usual"), max_examples=1000)
settings.load_profile("thorough" if os.environ.get("TIDEGATE_THOROUGH") == "1" else "usual")

BACKENDS = ("nftables", "iptables", "tproxy", "ebpf")
SKIP_MAY_STAND = ("kernel older than", "cannot express:")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backends", default=",".join(BACKENDS), help="comma separated: which backends the case table runs on"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("--backends").split(",")
        unknown = set(wanted) - set(BACKENDS)
        if unknown:
            raise pytest.UsageError(f"--backends: {', '.join(sorted(unknown))}: allowed are {', '.join(BACKENDS)}")
        metafunc.parametrize("backend", wanted, scope="module")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("kernel") and os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("kernel tests need root, and CI has to give it to them", pytrace=False)
        pytest.skip("needs root")


def refuse_skip(report: Any, reason: str) -> None:
    """Under TIDEGATE_NO_SKIP=1 a skip is a failure, but for the two reasons that no effort can remove."""
    if os.environ.get("TIDEGATE_NO_SKIP") == "1" and not reason.removeprefix("Skipped: ").startswith(SKIP_MAY_STAND):
        report.outcome = "failed"
        report.longrepr = f"a skip is a failure under TIDEGATE_NO_SKIP=1: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        refuse_skip(report, report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr))
    lab = getattr(item, "funcargs", {}).get("lab")
    if report.failed and lab is not None:
        report.sections.append(("lab", lab.hint()))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    report = yield
    if report.skipped:
        refuse_skip(report, report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr))
    return report


def pytest_sessionstart() -> None:
    if os.geteuid() == 0:
        from tests.lab import leftovers

        for thing in leftovers.sweep_dead():
            print(f"lab: removed {thing}, left by a session that was killed")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.geteuid() != 0:
        return
    from tests.lab import leftovers
    from tests.lab.lab import end_session

    end_session()
    left = leftovers.own_leftovers()
    if left:
        print("\nlab: this session left behind:\n  " + "\n  ".join(left))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="module")
def lab() -> Iterator[Any]:
    """One lab for a module's tests. A test that puts capture in force takes it out again."""
    from tests.lab import Lab

    made = Lab()
    try:
        yield made
    finally:
        made.close()
