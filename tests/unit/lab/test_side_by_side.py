"""Which tests stay together, and which begin first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.lab.side_by_side import group_of, longest_first

KINDS = ("nftables", "ebpf")


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/a.py::test_x", "tests/a.py[]"),
        ("tests/a.py::test_x[out-all]", "tests/a.py[]"),
        ("tests/a.py::test_x[ebpf-out-all]", "tests/a.py[ebpf]"),
        ("tests/a.py::test_x[out-all-nftables]", "tests/a.py[nftables]"),
        ("tests/a.py::test_x[ebpfish]", "tests/a.py[]"),
        ("tests/a.py::TestIt::test_x[a::b-ebpf]", "tests/a.py[ebpf]"),
        ("tests/b.py::test_x[a\nb-ebpf]", "tests/b.py[ebpf]"),
    ],
)
def test_a_modules_tests_on_one_backend_stay_together(nodeid: str, group: str) -> None:
    assert group_of(nodeid, KINDS) == group


def item(nodeid: str, takes: float | None = None) -> Any:
    mark = SimpleNamespace(args=(takes,)) if takes else None
    return SimpleNamespace(nodeid=nodeid, get_closest_marker=lambda name: mark if name == "takes" else None)


def test_the_group_that_takes_longest_comes_first_and_keeps_its_order() -> None:
    items = [item("a::x"), item("b::x"), item("b::y"), item("c::x", 9), item("b::z"), item("a::y[ebpf]", 0.1)]
    assert [one.nodeid for one in longest_first(items, KINDS)] == ["c::x", "b::x", "b::y", "b::z", "a::x", "a::y[ebpf]"]
