"""Ring hash and Maglev: evenness and minimal disruption, measured."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.balance.excluded import Excluded
from proxy.core.balance.hashed import HashTable, pick_hashed
from proxy.core.balance.maglev import maglev
from proxy.core.balance.ring import ring
from proxy.core.dice import hash_of

NAMES = [b"10.0.%d.%d:80" % divmod(index, 250) for index in range(200)]
KEYS = [hash_of(b"key-%d" % index) for index in range(20_000)]


def shares(table: HashTable, count: int) -> list[int]:
    found = Counter(table.places)
    return [found[index] for index in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 10, 100])
def test_maglev_fills_all_places_evenly(count: int) -> None:
    size = 4999
    found = shares(maglev(NAMES[:count], [1] * count, size), count)
    assert sum(found) == size
    assert max(found) - min(found) <= 1


def test_maglev_obeys_weights() -> None:
    found = shares(maglev(NAMES[:4], [4, 2, 1, 0], 7001), 4)
    assert found[3] == 0
    assert found[0] / found[2] == pytest.approx(4, rel=0.01)
    assert found[1] / found[2] == pytest.approx(2, rel=0.01)


def moved(
    before: HashTable, after: HashTable, names_before: list[bytes], names_after: list[bytes], gone: bytes
) -> float:
    """The part of the keys that changed hands although their endpoint is still there."""
    pairs = [(names_before[before.place(key)], names_after[after.place(key)]) for key in KEYS]
    return sum(old != new for old, new in pairs if old != gone) / len(KEYS)


def test_maglev_moves_little_besides_the_keys_of_the_one_that_has_gone() -> None:
    """The paper's figure 11: with a table a hundred times the endpoints, a few percent of the others' places."""
    names, left = NAMES[:100], NAMES[:40] + NAMES[41:100]
    table, after = maglev(names, [1] * 100, 65537), maglev(left, [1] * 99, 65537)
    assert 0 < moved(table, after, names, left, NAMES[40]) < 0.03


def test_a_ring_moves_no_key_but_those_of_the_one_that_has_gone() -> None:
    names, left = NAMES[:100], NAMES[:40] + NAMES[41:100]
    # Equal numbers of points each: the ring's least size is a multiple of both.
    table, after = ring(names, [1] * 100, 100 * 99), ring(left, [1] * 99, 99 * 99)
    assert moved(table, after, names, left, NAMES[40]) == 0


def test_the_share_of_the_one_that_has_gone_is_spread() -> None:
    names = NAMES[:10]
    table, after = ring(names, [1] * 10, 9000), ring(names[1:], [1] * 9, 8100)
    heirs = Counter(after.place(key) for key in KEYS if table.place(key) == 0)
    assert len(heirs) == 9
    assert max(heirs.values()) < 0.3 * sum(heirs.values())


def test_a_larger_ring_is_more_even() -> None:
    def worst(size: int) -> float:
        table = ring(NAMES[:20], [1] * 20, size)
        found = Counter(table.place(key) for key in KEYS)
        return max(found.values()) * 20 / len(KEYS)

    assert worst(20_000) < 1.15 < worst(200)


def test_a_ring_has_points_by_weight_and_one_at_least() -> None:
    table = ring(NAMES[:3], [1000, 1, 0], 64)
    assert shares(table, 3) == [1000, 1, 0]
    assert list(table.points) == sorted(table.points)
    assert len(ring(NAMES[:3], [1, 1, 1], 1024).places) == 3 * 342


def test_no_weight_no_table() -> None:
    assert not ring(NAMES[:2], [0, 0]).places
    assert not maglev(NAMES[:2], [0, 0]).places
    assert not maglev([], []).places


@given(st.integers(0, 2**64 - 1), st.sets(st.integers(0, 7), max_size=6), st.booleans())
def test_a_key_belongs_to_the_next_endpoint_that_admits_it(key: int, full: set[int], on_ring: bool) -> None:
    weights = [1] * 8
    table = ring(NAMES[:8], weights, 64) if on_ring else maglev(NAMES[:8], weights, 251)
    excluded = Excluded(weights)
    excluded.add(3)
    found = pick_hashed(table, key, excluded, lambda one: one not in full)
    assert (found is None) == (full | {3} == set(range(8)))
    assert found not in full | {3}
    if table.place(key) not in full | {3}:
        assert found == table.place(key)
    elif found is not None and on_ring:
        walked = [table.place(key, step) for step in range(len(table.places))]
        assert next(one for one in walked if one not in full | {3}) == found


def test_a_key_between_two_points_belongs_to_the_next_one() -> None:
    table = HashTable((7, 8, 9), (10, 20, 30))
    assert [table.place(key) for key in (0, 10, 11, 20, 30, 31)] == [7, 7, 8, 8, 9, 7]
