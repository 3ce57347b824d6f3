"""Fixtures of the lab, and the rules about privilege, skips, workers and leftovers that hold for every test."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.lab import side_by_side, skips

# How long one example takes says more about what else the machine does than about our code.
settings.register_profile(
    "usual", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("thorough", parent=settings.get_profile("usual"), max_examples=1000)
settings.load_profile("thorough" if os.environ.get("TIDEGATE_THOROUGH") == "1" else "usual")

BACKENDS = ("nftables", "iptables", "tproxy", "ebpf")
WORKERS = pytest.StashKey[set[int]]()
"""In the process that the session was started with: pids of its workers."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backends", default=",".join(BACKENDS), help="comma separated: which backends the case table runs on"
    )
    parser.addoption(
        "--write-golden", action="store_true", help="tests/unit/intercept/backends/golden: write, do not compare"
    )
    parser.addoption("--outcome", type=Path, help="write there what became of each test, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    from tests.lab import leftovers

    config.stash[WORKERS] = set()
    leftovers.begin_session()


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("--backends").split(",")
        unknown = set(wanted) - set(BACKENDS)
        if unknown:
            raise pytest.UsageError(f"--backends: {', '.join(sorted(unknown))}: allowed are {', '.join(BACKENDS)}")
        metafunc.parametrize("backend", wanted, scope="module")


# ---- side by side


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if is_worker(config):
        items[:] = side_by_side.longest_first(items, BACKENDS)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> side_by_side.Scheduling:
    return side_by_side.scheduling(config, log, BACKENDS)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodeready(node: Any) -> None:
    node.config.stash[WORKERS].add(node.gateway._rinfo().pid)


# ---- privilege and skips


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("kernel") and os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("kernel tests need root, and CI has to give it to them", pytrace=False)
        pytest.skip("needs root")


def refuse_skip(report: Any) -> None:
    from intercept.doctor.host import version_of

    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    strict = os.environ.get("TIDEGATE_NO_SKIP") == "1"
    objection = skips.objection(reason, version_of(os.uname().release), strict=strict)
    if objection:
        report.outcome = "failed"
        report.longrepr = objection


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        refuse_skip(report)
    lab = getattr(item, "funcargs", {}).get("lab")
    if report.failed and lab is not None:
        report.sections.append(("lab", lab.hint()))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    report = yield
    if report.skipped:
        refuse_skip(report)
    return report


# ---- beginning and end


def pytest_sessionstart(session: pytest.Session) -> None:
    if os.geteuid() == 0 and not is_worker(session.config):
        from tests.lab import leftovers

        for thing in leftovers.sweep_dead():
            print(f"lab: removed {thing}, left by a session that was killed")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker ends what it keeps for the session. The process that began it looks for what is left, by whomever."""
    from tests.lab import leftovers, outcome
    from tests.lab.lab import end_session

    end_session()
    if is_worker(session.config):
        return
    left = leftovers.of_session({os.getpid(), *session.config.stash[WORKERS]}) if os.geteuid() == 0 else []
    if left:
        print("\nlab: this session left behind:\n  " + "\n  ".join(left))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    written = session.config.getoption("--outcome")
    if written:
        reporter: Any = session.config.pluginmanager.getplugin("terminalreporter")
        outcome.of(reporter.stats, left).write(written)


@pytest.fixture(scope="module")
def lab() -> Iterator[Any]:
    """One lab for a module's tests. A test that puts capture in force takes it out again."""
    from tests.lab import Lab

    made = Lab()
    try:
        yield made
    finally:
        made.close()
