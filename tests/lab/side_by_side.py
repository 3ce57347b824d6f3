"""How the tests are dealt to pytest-xdist's workers: a module's tests on one backend share a lab and stay together.

Each worker is a process that makes its own labs. What belongs to the whole host is never shared: namespaces, cgroup
folders and scratch folders carry the worker's pid, pins carry the namespace's cookie, abstract sockets and xtables'
rules are the namespace's own, and xtables' lock is waited for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

USUAL_S = 0.5
"""What a test without the mark `takes` is taken to last."""


def group_of(nodeid: str, kinds: Iterable[str]) -> str:
    """The name of the group that a test belongs to: its module, and its backend when it is one of `kinds`."""
    path, _, test = nodeid.partition("::")
    parameters = re.search(r"\[(.*)\]$", test, re.DOTALL)
    words = parameters[1].split("-") if parameters else []
    kind = next((word for word in words if word in kinds), "")
    return f"{path}[{kind}]"


def longest_first(items: list[pytest.Item], kinds: Iterable[str]) -> list[pytest.Item]:
    """The same tests, the groups that take longest first: what begins last should not be what lasts longest."""
    kinds = tuple(kinds)
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        groups.setdefault(group_of(item.nodeid, kinds), []).append(item)
    return [item for group in sorted(groups.values(), key=lambda group: -sum(map(expected_s, group))) for item in group]


def expected_s(item: pytest.Item) -> float:
    mark = item.get_closest_marker("takes")
    return float(mark.args[0]) if mark else USUAL_S


class Scheduling(LoadScopeScheduling):
    """xdist's own scheduling by scope, where the scope is our group."""

    kinds: tuple[str, ...] = ()

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid, self.kinds)


def scheduling(config: pytest.Config, log: Any, kinds: Iterable[str]) -> Scheduling:
    config.option.loadscopereorder = False  # the workers have ordered them: `longest_first`
    made = Scheduling(config, log)
    made.kinds = tuple(kinds)
    return made
