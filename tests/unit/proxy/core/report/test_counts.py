"""Counts of endpoints."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.report.counts import EndpointCounts

counts = st.builds(EndpointCounts, *(st.integers(0, 1 << 40) for _ in EndpointCounts.__slots__))


@given(counts, counts)
def test_counts_add_up_and_tell_when_they_began_anew(one: EndpointCounts, other: EndpointCounts) -> None:
    both = one + other
    assert not both.is_behind(one)
    assert both.opened == one.opened + other.opened
    assert both.srtt_us == (other.srtt_us or one.srtt_us)
    assert one.is_behind(other) == any(
        getattr(one, name) < getattr(other, name) for name in EndpointCounts.__slots__ if name != "srtt_us"
    )


@pytest.mark.parametrize(
    "told", [{"opened": -1}, {"opened": "1"}, {"bytes_sent": 1.5}, {"closed": None}, {"failed": True}]
)
def test_what_is_no_count_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is no count"):
        EndpointCounts.of(told)
