"""Looks at the direct lane's counters with a budget: each tells a part, and all of them together tell each change."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bpf import direct_layout
from cext.libbpf import libbpf
from intercept.backends.ebpf.direct import counters

pytestmark = pytest.mark.kernel

HASH = 1
COUNT = 10_000


def key(number: int) -> bytes:
    return number.to_bytes(4, "little")


def value(number: int) -> bytes:
    return number.to_bytes(direct_layout.STATE_SIZE, "little")


@pytest.fixture
def states() -> Iterator[int]:
    """A map of services' counters, with more entries than the kernel gives in one piece."""
    sizes = (4, direct_layout.STATE_SIZE)
    fd = libbpf.map_create(HASH, "tg_test_looks", sizes=sizes, max_entries=4 * COUNT)
    try:
        libbpf.map_update_many(fd, [(key(n), value(n)) for n in range(1, 4 * COUNT)])
        yield fd
    finally:
        os.close(fd)


def look(seen: counters.Seen, fd: int, current: set[bytes]) -> dict[bytes, bytes]:
    return dict(seen.differing(fd, current, counters.is_over))


def test_looks_without_time_tell_a_piece_each_and_all_of_it_in_the_end(
    states: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(1_000_000))
    monkeypatch.setattr(counters.time, "monotonic", lambda: next(ticks))  # a tick at each question: one piece a look
    seen = counters.Seen(4, direct_layout.STATE_SIZE, zeros=False, budget_s=2)
    current = {key(n) for n in range(1, 4 * COUNT)}
    found: dict[bytes, bytes] = {}
    sizes = []
    while part := look(seen, states, current):
        assert not found.keys() & part.keys(), "nothing is told twice that has not changed"
        found |= part
        sizes.append(len(part))
    assert len(sizes) > 1, "one look must not have told all of it"
    assert found == {key(n): value(n) for n in range(1, 4 * COUNT)}


def test_pieces_that_change_all_the_time_do_not_keep_the_others_from_being_told(
    states: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(1_000_000))
    monkeypatch.setattr(counters.time, "monotonic", lambda: next(ticks))
    seen = counters.Seen(4, direct_layout.STATE_SIZE, zeros=False, budget_s=2)
    current = {key(n) for n in range(1, 4 * COUNT)}
    pieces = len(list(libbpf.map_chunks(states, 4, direct_layout.STATE_SIZE)))
    first = next(iter(libbpf.map_chunks(states, 4, direct_layout.STATE_SIZE)))[0][:4]
    found: dict[bytes, bytes] = {}
    for turn in range(2 * pieces):
        libbpf.map_update(states, first, value(1_000_000 + turn))
        found |= look(seen, states, current)
    assert found.keys() == current


def test_what_is_gone_is_told_as_it_was_last_although_no_look_has_come_to_it(
    states: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = counters.Seen(4, direct_layout.STATE_SIZE, zeros=False)
    current = {key(n) for n in range(1, 4 * COUNT)}
    look(seen, states, current)
    libbpf.map_update(states, key(7), value(7_000_000))
    monkeypatch.setattr(seen, "_budget_s", -1)
    assert look(seen, states, current - {key(7)}) == {key(7): value(7_000_000)}
    assert libbpf.map_lookup(states, key(7), direct_layout.STATE_SIZE) is None
