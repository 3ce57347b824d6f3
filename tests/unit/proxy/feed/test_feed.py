"""A source pushes; whatever it pushes or breaks, the proxy goes on and takes the next change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set
from pathlib import Path

import pytest

from proxy.core.policy.policy import Policy
from proxy.feed.feed import Feed
from proxy.feed.source import Change, Configured, PolicyRefused

FIRST, SECOND, THIRD = (Policy(digest=name) for name in ("first", "second", "third"))


class Source:
    """A file whose text names a policy, or what is wrong."""

    names = ("the file",)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen = self.text()
        self.looks = 0

    def text(self) -> str:
        return self.path.read_text()

    def folders(self) -> Set[str]:
        return {str(self.path.parent)}

    def changed(self) -> bool:
        self.looks += 1
        return self.text() != self.seen

    def load(self) -> tuple[Policy, tuple[str, ...]]:
        self.seen = self.text()
        return self.read(self.seen)

    def change(self, change: Change) -> tuple[Policy, tuple[str, ...]]:
        return self.read(change.patch or "first")

    def changes(self) -> tuple[tuple[Change, tuple[str, ...]], ...]:
        return ()

    def read(self, text: str) -> tuple[Policy, tuple[str, ...]]:
        if text == "wrong":
            raise PolicyRefused(("file:1: wrong", "file:2: wrong too"))
        if text == "defect":
            raise RecursionError("too deep")
        return {"first": FIRST, "second": SECOND, "third": THIRD}[text], ("a warning",)

    def unreadable(self) -> tuple[str, ...]:
        return ()


class World:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.put: list[Policy] = []
        self.told: list[bool] = []

    async def begin(self) -> None:
        self.write("first")
        self.source = Source(self.path)
        loop = asyncio.get_running_loop()
        self.feed = Feed(loop, Configured(self.source, FIRST, ()), self.put.append, self.told.append)
        self.feed.start()

    def write(self, text: str) -> None:
        self.path.write_text(text)

    async def until(self, condition: Callable[[], object]) -> None:
        for _ in range(600):
            if condition():
                return
            await asyncio.sleep(0.005)
        raise AssertionError("waited in vain")


def run(path: Path, test: Callable[[World], object]) -> World:
    world = World(path / "file")

    async def whole() -> None:
        await world.begin()
        try:
            await test(world)  # type: ignore[misc]
        finally:
            world.feed.close()

    asyncio.run(whole())
    return world


@pytest.mark.parametrize("bad", ["wrong", "defect"])
def test_what_is_wrong_is_shown_and_the_next_change_is_taken(tmp_path: Path, bad: str) -> None:
    async def test(world: World) -> None:
        world.write(bad)
        await world.until(lambda: world.feed.refused)
        assert world.feed.refused is not None
        assert ("wrong" if bad == "wrong" else "too deep") in world.feed.refused.errors[0]
        assert (world.put, world.told, world.feed.policy) == ([], [False], FIRST)
        world.write("second")
        await world.until(lambda: world.put)
        assert (world.put, world.feed.refused, world.feed.warnings) == ([SECOND], None, ("a warning",))
        assert world.feed.policy is FIRST
        world.feed.published(SECOND)
        assert world.feed.policy is SECOND

    run(tmp_path, test)


def test_a_notice_wakes_the_source_at_once(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await asyncio.sleep(0.1)
        world.write("second")
        began = asyncio.get_running_loop().time()
        await world.until(lambda: world.put)
        assert asyncio.get_running_loop().time() - began < 0.7

    run(tmp_path, test)


def test_what_could_not_be_published_is_pushed_again_when_it_is_asked_for(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.write("second")
        await world.until(lambda: world.put)
        world.feed.unpublished(SECOND, ZeroDivisionError("a defect"))
        assert world.feed.refused is not None
        assert "a defect" in world.feed.refused.errors[0]
        assert world.feed.policy is FIRST
        world.feed.request()
        await world.until(lambda: len(world.put) == 2)
        assert world.put == [SECOND, SECOND]

    run(tmp_path, test)


def test_a_request_that_finds_nothing_new_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test(world: World) -> None:
        world.feed.request()
        await world.until(lambda: world.told)
        assert (world.put, world.told) == ([], [True])

    with caplog.at_level("INFO"):
        run(tmp_path, test)
    assert "nothing changed (first)" in caplog.text


def test_any_thread_may_push(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await asyncio.get_running_loop().run_in_executor(None, world.feed.push, THIRD)
        await world.until(lambda: world.put)
        assert world.put == [THIRD]

    run(tmp_path, test)


def test_closing_ends_the_thread(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.feed.close()
        await world.until(lambda: not world.feed._follower._thread.is_alive())
        world.write("second")
        await asyncio.sleep(0.05)
        assert world.put == []

    async def whole() -> None:
        world = World(tmp_path / "file")
        await world.begin()
        await test(world)

    asyncio.run(whole())
