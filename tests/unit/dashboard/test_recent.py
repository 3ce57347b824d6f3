"""The ring of what has ended, and a request's way in words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from dashboard.changes import change
from dashboard.recent import AT_ONCE, KEPT, Recent, passes
from dashboard.steps import steps
from proxy.core.report.wanted import wanted
from tests.unit.house.repository import ROOT


def request(**more: Any) -> dict[str, Any]:
    return {
        "time": "2026-01-01T00:00:00.000Z",
        "direction": "outbound",
        "method": "GET",
        "path": "/cart",
        "protocol": "HTTP/1.1",
        "status": 200,
        "flags": "-",
        "duration_ms": 2.0,
        "upstream_ms": 1.0,
        "proxy_ms": 0.1,
        "upstream": "10.0.0.1:8101",
        "attempts": 1,
        "route": "shop/route",
        "service": "shop/web",
        "source": "10.0.0.2:5000",
        "bytes_received": 9,
        **more,
    }


def test_a_page_gets_what_is_new_and_is_told_what_it_missed() -> None:
    recent = Recent()
    for number in range(1, 6):
        recent.add("here", request(status=500 + number))
    first = recent.since(0, wanted({}))
    assert ([one["status"] for one in first.rows], first.missed, first.last) == ([501, 502, 503, 504, 505], 0, 5)
    assert recent.since(5, wanted({})).rows == []
    for _ in range(KEPT + 20):
        recent.add("here", request())
    later = recent.since(5, wanted({}))
    assert (len(later.rows), later.missed, later.last) == (AT_ONCE, 20 + KEPT - AT_ONCE, KEPT + 25)
    assert recent.one(3) is None
    assert recent.one(later.last) is not None


@pytest.mark.parametrize(
    ("asked", "passed"),
    [
        ({"status": "2xx"}, True),
        ({"status": "503,404"}, False),
        ({"service": "web"}, True),
        ({"service": "other/web"}, False),
        ({"path": "/ca"}, True),
        ({"path": "ca"}, False),
        ({"source": "10.0.0.2"}, True),
        ({"source": "10.0.0.3"}, False),
        ({"route": "shop/route"}, True),
    ],
)
def test_filters_are_those_of_tap(asked: dict[str, str], passed: bool) -> None:
    assert passes(request(), wanted(asked)) is passed
    connection = {"downstream": "10.0.0.2:5000", "direction": "outbound"}
    assert passes(connection, wanted(asked)) is (asked == {"source": "10.0.0.2"})


def test_the_filters_of_the_page_are_filters_of_tap() -> None:
    from proxy.core.report.wanted import KEYS

    markup = (Path(ROOT) / "dashboard/page/index.html").read_text()
    form = markup.partition('<form id="filters">')[2].partition("</form>")[0]
    assert tuple(re.findall(r'name="(\w+)"', form)) == KEYS


def test_flags_and_what_was_not_chosen_are_said_in_words() -> None:
    told = request(upstream="-", flags="UH,DC", status=503, attempts=0, upstream_ms=None, service="-", route="-")
    said = {one["step"]: one["says"] for one in steps(told, [], [])}
    assert said["endpoint"] == "none was chosen"
    assert said["destination"].startswith("no Service claims it")
    assert "UH: no endpoint of the Service is ready" in said["answer"]
    assert "DC: the client left" in said["answer"]


def test_a_route_that_has_gone_is_said_to_have_gone() -> None:
    said = {one["step"]: one["says"] for one in steps(request(), [], [])}
    assert said["route"] == "shop/route, which is no longer configured"


@pytest.mark.parametrize(
    "asked",
    [
        None,
        {},
        {"proxy": "here", "service": "s", "what": "quit"},
        {"proxy": "here", "service": "", "what": "revert"},
        {"proxy": "here", "service": "s", "what": "weights", "weights": {}},
        {"proxy": "here", "service": "s", "what": "weights", "weights": {"a": True}},
        {"proxy": "here", "service": "s", "what": "weights", "weights": {"a": 1.5}},
        {"proxy": "here", "service": "s", "what": "policy", "patch": {"timeouts": {}}},
        {"proxy": "here", "service": "s", "what": "policy", "patch": []},
    ],
)
def test_a_change_that_is_none_is_refused(asked: object) -> None:
    with pytest.raises(ValueError, match=r"missing|valid|object|patch"):
        change(asked)
