"""Requests to databases one by one, in `tap` and on the page."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.lab import Lab
from tests.netns.dashboard.conftest import browser
from tests.netns.dashboard.rig import Dashboard, opened, rows
from tests.netns.databases import servers
from tests.netns.proxy.proxy_rig import PEER_V4, ProxyProcess, rules, until
from tests.netns.proxy.test_proxy_tap import tapped
from tests.netns.shared_folder import shared_folder

__all__ = ["browser"]
pytestmark = pytest.mark.kernel
ASKED = "SET secret-key secret-value\nGET secret-key\nINCR secret-key\n"


@pytest.fixture(scope="module", autouse=True)
def redis(lab: Lab) -> Iterator[None]:
    with shared_folder("redis") as folder, servers.redis(lab, folder), rules(lab.app):
        yield


def ask(lab: Lab, asked: str = ASKED) -> None:
    lab.app.run(["redis-cli", "-h", PEER_V4], stdin=asked)


def test_tap_shows_each_and_no_value(lab: Lab) -> None:
    with ProxyProcess(lab) as proxy:
        ask(lab)
        with tapped(lab, proxy, "--json") as tap:
            ask(lab)
            lines = tap.lines(5)  # redis-cli asks for COMMAND first; the connection ends, too
        shown = [json.loads(line) for line in lines]
        statements = [one for one in shown if "database" in one and one["kind"] != "COMMAND"]
        outcomes = [(one["kind"], one["outcome"]) for one in statements]
        assert outcomes == [("SET", "ok"), ("GET", "ok"), ("INCR", "error")]
        for one in statements:
            assert (one["database"], one["upstream"], one["direction"]) == ("redis", f"{PEER_V4}:6379", "outbound")
            assert 0 <= one["duration_ms"] < 10_000
        assert "secret" not in "".join(lines)


def test_lines_for_people_and_filters(lab: Lab) -> None:
    with (
        ProxyProcess(lab) as proxy,
        tapped(lab, proxy, "--route", "redis GET") as chosen,
        tapped(lab, proxy, "--status", "5xx") as other,
    ):
        ask(lab)
        (line,) = chosen.lines(1)
        assert " -> ok " in line
        assert "redis GET 10.0.0.2:" in line
        assert line.endswith(f"to {PEER_V4}:6379")
        assert other.end()[:2] == (0, "")


def test_what_is_too_much_is_counted_and_told(lab: Lab) -> None:
    with ProxyProcess(lab) as proxy, tapped(lab, proxy, "--json") as tap:
        asked = ["redis-benchmark", "-h", PEER_V4, "-t", "get", "-n", "200000", "-P", "64", "-c", "4", "-q"]
        lab.app.run(asked)
        until(lambda: any("dropped" in json.loads(line) for line in tap.lines(100)), "what was dropped", 30)


def test_the_page_shows_them(lab: Lab, browser: Browser) -> None:
    with ProxyProcess(lab), Dashboard(lab) as dashboard, opened(browser, dashboard.url) as page:
        page.wait_for_selector("#state:text('The proxy answers')")
        ask(lab)
        until(lambda: "redis GET" in {one["what"] for one in rows(page, "live")}, "the request")
        until(lambda: any(one["route"] == "redis INCR" for one in rows(page, "traffic")), "the table")
        counted = {one["route"]: (one["requests"], one["failed"]) for one in rows(page, "traffic")}
        assert counted["redis GET"] == ("1", "0")
        assert counted["redis INCR"] == ("1", "1")
        label = page.get_attribute("#graph g.edge", "aria-label") or ""
        assert label.startswith(f"here to {PEER_V4}:6379: ")
        assert "secret" not in page.content()
