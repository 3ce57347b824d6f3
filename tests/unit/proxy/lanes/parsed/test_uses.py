"""A cluster is idle as long as no site names it, whatever publications came and ended half-way."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.lanes import Direction
from proxy.core.lower.to_engine import Site
from proxy.lanes.parsed.uses import ClusterUses

SITES = [Site(Direction.OUTBOUND, f"10.0.0.{n}", 80) for n in range(3)]
puts = st.tuples(st.sampled_from(SITES), st.frozensets(st.integers(1, 4)))


@given(st.lists(puts | st.integers(1, 4) | st.none()))
def test_idle_is_what_has_a_number_and_no_site(steps: list[tuple[Site, frozenset[int]] | int | None]) -> None:
    uses, named, numbered = ClusterUses(), dict[Site, frozenset[int]](), set[int]()
    for step in steps:
        used = frozenset[int]().union(*named.values())
        if step is None:
            assert uses.take_idle() == numbered - used
            numbered &= used
        elif isinstance(step, int):
            uses.numbered(step)
            numbered.add(step)
        else:
            site, numbers = step
            for number in numbers:
                uses.numbered(number)
            numbered |= numbers
            uses.put(site, numbers)
            named[site] = numbers
    assert uses.take_idle() == numbered - frozenset[int]().union(*named.values())
