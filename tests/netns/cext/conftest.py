"""Fixtures of the engine's tests: a namespace of their own with redirection to the engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.netns.cext.engine_world import World, own_namespace


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with own_namespace(), ExitStack() as made:
        yield made


@pytest.fixture
def world(stack: ExitStack) -> World:
    return World(stack)
