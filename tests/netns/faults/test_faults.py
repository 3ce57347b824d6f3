"""Each fault is injected for real; the promise is judged where it is injected (scripts/faults)."""

from __future__ import annotations

import pytest

from scripts.faults.catalogue import FAULTS
from tests.lab import Lab

pytestmark = pytest.mark.kernel
SHORT = [name for name, one in FAULTS.items() if one.short]


def test_there_are_some() -> None:
    assert len(SHORT) >= 6


@pytest.mark.takes(12)
@pytest.mark.parametrize("name", SHORT)
def test_what_is_promised_holds(lab: Lab, name: str) -> None:
    seen = FAULTS[name].inject(lab)
    assert seen.text
