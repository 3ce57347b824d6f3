"""Draining: the earlier deadline counts, and each wish is heard once."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from proxy.lanes.drain import DRAINED, DRAINING, HANDED_OVER, SERVING, Drain


class Timer:
    def __init__(self, when: float, then: Any) -> None:
        self._when = when
        self.then = then
        self.cancelled = False

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, then: Any) -> Timer:
        timer = Timer(self.now + delay, then)
        self.timers.append(timer)
        return timer

    def go_to(self, now: float) -> None:
        while due := [one for one in self.timers if not one.cancelled and one.when() <= now]:
            first = min(due, key=Timer.when)
            self.now = max(self.now, first.when())
            self.timers.remove(first)
            first.then()
        self.now = now


class Lane:
    """Connections that go on until they are aborted."""

    def __init__(self) -> None:
        self.open = 2
        self.closed = 0
        self.aborted_at: list[float] = []
        self.steps: list[str] = []

    def step_back(self) -> None:
        self.steps.append("back")

    def take_back(self) -> None:
        self.steps.append("forth")

    def close(self) -> None:
        self.closed += 1

    def outstanding(self) -> int:
        return self.open

    def abort_all(self) -> None:
        """Both of the lane's and of those that are decided one by one."""


class World:
    def __init__(self) -> None:
        self.loop, self.lane = Loop(), Lane()
        self.drained: list[float] = []
        self.exited: list[float] = []
        self.lane.abort_all = lambda: self.lane.aborted_at.append(self.loop.now)  # type: ignore[method-assign]
        self.drain = Drain(
            cast(asyncio.AbstractEventLoop, self.loop),
            cast(Any, self.lane),
            cast(Any, Lane()),
            lambda: self.drained.append(self.loop.now),
            lambda: self.exited.append(self.loop.now),
        )


def test_the_earlier_deadline_counts_whichever_comes_first() -> None:
    for first, second in ((20.0, 5.0), (5.0, 20.0)):
        world = World()
        world.drain.begin(first, then_exit=False)
        world.drain.begin(second, then_exit=False)
        world.loop.go_to(4.9)
        assert world.lane.aborted_at == []
        world.loop.go_to(60.0)
        assert world.lane.aborted_at == [5.0]


def test_a_deadline_is_counted_from_when_it_was_asked_for() -> None:
    world = World()
    world.drain.begin(10.0, then_exit=False)
    world.loop.go_to(8.0)
    world.drain.begin(5.0, then_exit=False)
    world.loop.go_to(60.0)
    assert world.lane.aborted_at == [10.0]


def test_it_ends_as_soon_as_nothing_is_open_and_exits_only_if_wished() -> None:
    world = World()
    assert world.drain.state == SERVING
    world.drain.begin(10.0, then_exit=False)
    assert (world.drain.state, world.lane.closed) == (DRAINING, 1)
    world.loop.go_to(1.0)
    world.lane.open = 0
    world.drain.look()
    assert (world.drain.state, world.drained, world.exited) == (DRAINED, [1.0], [])
    world.loop.go_to(60.0)
    assert world.lane.aborted_at == []
    world.drain.begin(1.0, then_exit=True)
    world.drain.begin(1.0, then_exit=True)
    assert (world.drained, world.exited, world.lane.closed) == ([1.0], [60.0], 1)


def test_what_is_not_reported_after_the_deadline_is_not_waited_for() -> None:
    world = World()
    world.drain.begin(2.0, then_exit=True)
    world.loop.go_to(60.0)
    assert (world.lane.aborted_at, world.drained, world.exited) == ([2.0], [3.0], [3.0])


def test_what_is_handed_over_has_no_deadline_and_can_be_taken_back() -> None:
    world = World()
    begun: list[str] = []
    world.drain.begins = lambda: begun.append(world.drain.state)
    world.drain.hand_over()
    world.loop.go_to(3600.0)
    assert (world.drain.state, world.lane.steps, world.lane.aborted_at, begun) == (HANDED_OVER, ["back"], [], [SERVING])
    assert world.drain.take_back()
    assert (world.drain.state, world.drain.handed_over, world.lane.steps) == (SERVING, False, ["back", "forth"])
    assert not world.drain.take_back()


def test_who_leaves_ends_with_the_last_connection_and_takes_nothing_back() -> None:
    world = World()
    world.drain.hand_over()
    world.drain.leave()
    world.loop.go_to(3600.0)
    assert (world.drain.state, world.drain.take_back(), world.lane.closed, world.exited) == (DRAINING, False, 1, [])
    world.lane.open = 0
    world.drain.look()
    assert (world.drain.state, world.exited) == (DRAINED, [3600.0])


def test_a_drain_after_the_hand_over_has_the_deadline_that_it_is_given() -> None:
    world = World()
    world.drain.hand_over()
    world.drain.begin(2.0, then_exit=True)
    world.drain.leave()
    world.loop.go_to(60.0)
    assert (world.lane.closed, world.lane.aborted_at, world.exited) == (1, [2.0], [3.0])
