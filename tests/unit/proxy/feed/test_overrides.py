"""Changes at run time lie on top of what a source says."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.core.policy.policy import Policy
from proxy.feed.overrides import Override, Overrides
from tests.unit.proxy.feed.test_feed import FIRST, World, run

BASE = Policy(digest="base")


def override(word: str, *keys: str, keep: bool = False) -> Override:
    def apply(policy: Policy) -> Policy:
        if policy.digest == "narrow":
            raise ValueError("there is no room")
        return replace(policy, digest=f"{policy.digest}+{word}")

    return Override(word, apply, keep, frozenset(keys))


def test_a_later_one_takes_the_place_of_those_that_it_covers() -> None:
    overrides = Overrides()
    assert overrides.add(BASE, override("a", "1")).digest == "base+a"
    assert overrides.add(BASE, override("b", "1", "2")).digest == "base+b"
    assert overrides.add(BASE, override("c", "2")).digest == "base+b+c"


def test_a_reload_keeps_what_is_to_be_kept_and_names_what_does_not_fit() -> None:
    overrides = Overrides()
    overrides.add(BASE, override("a", "1", keep=True))
    overrides.add(BASE, override("b", "2"))
    assert overrides.reloaded(Policy(digest="new")) == (Policy(digest="new+a"), [])
    narrow = Policy(digest="narrow")
    assert overrides.reloaded(narrow) == (
        narrow,
        ["a was to be kept and does not fit any more: there is no room"],
    )


def test_an_override_is_done_when_it_is_in_force_and_a_reload_ends_it(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        task = asyncio.ensure_future(world.feed.override(override("a", "1")))
        await world.until(lambda: world.put)
        await asyncio.sleep(0)
        assert not task.done()
        world.feed.published(world.put[0])
        await task
        assert world.feed.policy.digest == "first+a"
        await world.feed.override(override("a", "1"))
        assert len(world.put) == 1
        world.feed.request()
        await world.until(lambda: len(world.put) == 2)
        assert world.put[1] is FIRST

    run(tmp_path, test)


def test_an_override_that_can_not_be_published_is_undone(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        task = asyncio.ensure_future(world.feed.override(override("a", "1", keep=True)))
        await world.until(lambda: world.put)
        world.feed.unpublished(world.put[0], ZeroDivisionError("a defect"))
        with pytest.raises(RuntimeError, match="a defect"):
            await task
        assert world.feed.policy is FIRST
        world.feed.request()
        await world.until(lambda: world.told[-1:] == [True])
        assert len(world.put) == 1

    run(tmp_path, test)
