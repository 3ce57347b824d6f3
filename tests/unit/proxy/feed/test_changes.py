"""Changes at run time: the client that asks is answered when the policy is in force, or why nothing was changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxy.feed.source import Change, PolicyRefused
from tests.unit.proxy.feed.test_feed import FIRST, SECOND, World, run

CHANGE = Change("shop", "web", "second")


def change(world: World, given: Change = CHANGE) -> asyncio.Task[tuple[str, ...]]:
    return asyncio.get_running_loop().create_task(world.feed.change(given))


def test_a_change_is_told_when_it_is_in_force(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        asked = change(world)
        await world.until(lambda: world.put)
        await asyncio.sleep(0.02)
        assert not asked.done()
        world.feed.published(world.put[-1])
        await asked
        assert (world.put, world.feed.policy) == ([SECOND], SECOND)

    run(tmp_path, test)


def test_a_change_that_changes_nothing_is_told_at_once(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await change(world, Change("shop", "web", "first"))
        assert (world.put, world.feed.policy) == ([], FIRST)

    run(tmp_path, test)


@pytest.mark.parametrize(("patch", "told"), [("wrong", "file:1: wrong"), ("defect", "too deep")])
def test_a_change_that_is_refused_says_why_and_is_no_refused_configuration(
    tmp_path: Path, patch: str, told: str
) -> None:
    async def test(world: World) -> None:
        with pytest.raises(PolicyRefused, match=told):
            await change(world, Change("shop", "web", patch))
        assert (world.put, world.feed.refused, world.feed.policy) == ([], None, FIRST)

    run(tmp_path, test)


def test_a_change_that_a_newer_policy_overtakes_is_in_force_with_that(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        asked = change(world)
        await world.until(lambda: world.put)
        world.write("third")
        await world.until(lambda: len(world.put) == 2)
        world.feed.published(world.put[0])
        await asyncio.sleep(0.02)
        assert not asked.done()
        world.feed.published(world.put[1])
        await asked

    run(tmp_path, test)


def test_a_change_that_could_not_be_published_is_told(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        asked = change(world)
        await world.until(lambda: world.put)
        world.feed.unpublished(world.put[-1], ZeroDivisionError("a defect"))
        with pytest.raises(RuntimeError, match="a defect"):
            await asked

    run(tmp_path, test)
