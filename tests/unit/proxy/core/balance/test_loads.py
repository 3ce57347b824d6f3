"""Loads count what is open, and forget what is over."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.balance.loads import EndpointLoad, Loads
from tests.unit.proxy.core.build import endpoint

steps = st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60)
ALL = [("web", endpoint(number)) for number in range(4)]


@given(steps)
def test_what_has_gone_is_forgotten_with_its_last_connection(steps: list[tuple[int, bool]]) -> None:
    loads, open_ = Loads(), Counter[int]()
    for number, take in steps:
        if take:
            loads.taken("web", endpoint(number))
            open_[number] += 1
        elif open_[number]:
            loads.released("web", endpoint(number))
            open_[number] -= 1
    assert loads.active("web") == sum(open_.values())
    loads.exchange(come=(), gone=ALL)
    assert {number: loads.load("web", endpoint(number)).active for number in range(4)} == {
        number: open_[number] for number in range(4)
    }
    for number in open_.elements():
        loads.released("web", endpoint(number))
    assert (len(loads), loads.active("web")) == (0, 0)


def test_an_endpoint_that_comes_back_keeps_its_counts() -> None:
    loads, one = Loads(), ("web", endpoint(1))
    loads.taken(*one)
    loads.connected(*one)
    loads.failed(*one)
    loads.exchange(come=(), gone=[one])
    loads.exchange(come=[one], gone=())
    loads.released(*one)
    assert loads.load(*one) == EndpointLoad(0, 1, 1)
