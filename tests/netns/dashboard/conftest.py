"""Fixtures: a browser for a module's tests, and those of routes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.netns.dashboard.rig import chromium
from tests.netns.parsed.conftest import versions
from tests.netns.proxy.config_rig import file

__all__ = ["file", "versions"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made
