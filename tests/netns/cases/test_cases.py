"""The case table on every backend: `pytest tests/netns/cases/test_cases.py --backends=nftables -k out-all`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.netns.cases import dns, identity, inbound, outbound, scope, selfcalls
from tests.netns.cases.model import Case
from tests.netns.cases.runner import Runner

pytestmark = pytest.mark.kernel

CASES = (*outbound.CASES, *inbound.CASES, *identity.CASES, *selfcalls.CASES, *dns.CASES, *scope.CASES)


@pytest.fixture(scope="module")
def runner(backend: str, lab: Lab) -> Iterator[Runner]:
    made = Runner(lab, backend)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(runner: Runner, case: Case) -> None:
    runner.run(case)


def test_ids_are_unique() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
