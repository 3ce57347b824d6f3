"""Fixtures: captured connections, and two versions of a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.parsed.routes_rig import V1, V2, nginx
from tests.netns.proxy.config_rig import file
from tests.netns.proxy.proxy_rig import rules

__all__ = ["file"]


@pytest.fixture(scope="module")
def versions(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder: Path = tmp_path_factory.mktemp("nginx")
    with nginx(lab, folder, v1=V1, v2=V2), rules(lab.app):
        yield
