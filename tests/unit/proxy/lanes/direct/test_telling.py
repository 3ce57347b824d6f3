"""The follower is told of one change at a time, and in the end of all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.decide.lane import Lanes
from proxy.core.lanes import Lane, LaneChoice
from proxy.core.lower.kernel_messages import ToldService, read_change
from proxy.core.lower.to_kernel import BalancedService, balanced_service
from proxy.core.policy.policy import Key, Target
from proxy.core.resilience.health import HEALTHY
from proxy.lanes.direct.numbers import Numbers
from proxy.lanes.direct.telling import Telling
from tests.unit.proxy.core.build import cluster, destination

BOTH = Lanes(LaneChoice.AUTO, frozenset({Lane.DIRECT, Lane.SPLICE}))


def service(key: Key, endpoints: int) -> BalancedService:
    found = balanced_service(key, destination(Target(1, cluster(endpoints))), BOTH, HEALTHY)
    assert found is not None
    return found


def key(number: int) -> Key:
    return (f"10.0.0.{number}", 80)


class World:
    """A loop of which each round is made by hand, and a follower that keeps what it is told."""

    def __init__(self) -> None:
        self.rounds: list[Callable[[], None]] = []
        self.telling = Telling(Numbers().of, self.rounds.append)
        self.services: dict[Key, ToldService] = {}
        self.straight: frozenset[int] = frozenset()
        self.unanswered: list[int] = []
        self.changes = 0

    def follow(self, *, published: bool = False) -> None:
        self.services, self.straight = {(key(99)): service(key(99), 1).told(1)}, frozenset({9})
        self.unanswered.clear()
        self.telling.begin_anew(self.tell, published=published)

    def tell(self, event: str, **values: Any) -> None:
        part = read_change({"event": event, **json.loads(json.dumps(values))})
        if part.begin:
            self.services.clear()
        self.services.update(((one.ip, one.port), one) for one in part.services)
        for gone in part.gone:
            self.services.pop(gone, None)
        self.straight = self.straight if part.straight is None else part.straight
        if part.last:
            self.changes += 1
            self.unanswered.append(part.version)

    def turn(self) -> None:
        while self.rounds:
            self.rounds.pop(0)()

    def answer(self, error: str | None = None, *, refused: bool = False) -> None:
        self.turn()
        self.telling.answered(self.unanswered.pop(), error, refused=refused)
        self.turn()

    def sizes(self) -> dict[Key, int]:
        return {one: len(told.endpoints) for one, told in self.services.items()}


steps = st.lists(
    st.tuples(
        st.dictionaries(st.integers(1, 5), st.integers(0, 3), max_size=3),
        st.sets(st.integers(1, 5), max_size=2),
        st.sets(st.integers(80, 82)),
        st.sampled_from(["wait", "answer", "turn", "follower"]),
    ),
    max_size=12,
)


@given(steps)
def test_the_follower_ends_with_all_that_was_published(
    steps: list[tuple[dict[int, int], set[int], set[int], str]],
) -> None:
    world, wanted, straight = World(), {}, frozenset[int]()
    world.follow()
    for changed, left, ports, then in steps:
        gone = left - changed.keys()
        wanted = {one: size for one, size in wanted.items() if one not in map(key, gone)}
        wanted |= {key(number): size for number, size in changed.items()}
        straight = frozenset(ports)
        services = {key(number): service(key(number), size) for number, size in changed.items()}
        world.telling.exchange(services, [key(number) for number in gone], straight)
        assert len(world.unanswered) <= 1
        if then == "turn":
            world.turn()
        elif then == "answer":
            world.turn()
            if world.unanswered:
                world.answer()
        elif then == "follower":
            world.follow(published=True)
    world.turn()
    while world.unanswered:
        world.answer()
    if steps:
        assert (world.sizes(), world.straight) == (wanted, straight)
        assert world.telling.behind is None


def test_what_comes_meanwhile_is_one_change() -> None:
    world = World()
    world.follow()
    for number in range(1, 50):
        world.telling.exchange({key(number): service(key(number), 1)}, (), frozenset())
    assert world.telling.behind == "the direct lane is being filled"
    world.answer()
    world.answer()
    assert (world.changes, len(world.services)) == (2, 49)
    assert world.telling.behind is None


def test_a_follower_waits_for_what_is_published_for_it() -> None:
    world = World()
    world.telling.exchange({key(1): service(key(1), 1)}, (), frozenset())
    assert world.telling.behind == "no companion takes the direct lane's changes to the kernel"
    world.follow()
    world.turn()
    assert (world.changes, world.sizes()) == (0, {key(99): 1})
    world.telling.exchange({key(2): service(key(2), 1)}, (), frozenset())
    world.answer()
    assert world.sizes() == {key(1): 1, key(2): 1}


def test_a_failure_is_shown_until_the_kernel_takes_it(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.follow()
    world.telling.exchange({key(1): service(key(1), 1)}, (), frozenset())
    world.turn()
    version = world.unanswered[-1]
    for _ in range(3):
        world.telling.answered(version, "no room", refused=False)
    assert world.telling.behind == "the direct lane was not changed: no room"
    assert [record.getMessage() for record in caplog.records] == ["the direct lane was not changed: no room"]
    world.telling.answered(version, None, refused=False)
    assert world.telling.behind is None


def test_after_a_refusal_everything_is_told_with_the_next_change() -> None:
    world = World()
    world.follow()
    world.telling.exchange({key(1): service(key(1), 1)}, (), frozenset({80}))
    world.answer("endpoints: 0", refused=True)
    assert world.changes == 1
    world.services.clear()
    world.telling.exchange({key(2): service(key(2), 2)}, (), frozenset({80}))
    world.answer()
    assert (world.sizes(), world.straight) == ({key(1): 1, key(2): 2}, {80})
    assert world.telling.behind is None
