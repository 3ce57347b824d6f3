"""The page on real traffic: what it shows is what the servers saw. Screenshots of the documentation are made here, when
TIDEGATE_SCREENSHOTS=1."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.lab import Lab
from tests.netns.dashboard.rig import Dashboard, opened, rows
from tests.netns.parsed.routes_rig import SERVICES, V1, V2, VIP, curl, shares, to
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import PEER_V4, ROOT, Server, dial, echo, until
from tests.unit.mesh.support import http_route

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
CANARY = SERVICES + http_route("{" + to("v1=90", "v2=10") + "}")
OPAQUE = 12710
IMAGES = ROOT / "docs" / "images"


def counted(page: Page) -> Counter[str]:
    """Requests by endpoint, as the page shows them."""
    return Counter({one["endpoint"]: int(one["requests"]) for one in rows(page, "traffic") if one["requests"] != "0"})


def photograph(page: Page, name: str, folder: Path) -> None:
    taken = page.screenshot(path=folder / f"{name}.png")
    assert len(taken) > 10_000
    if os.environ.get("TIDEGATE_SCREENSHOTS") == "1":
        IMAGES.mkdir(exist_ok=True)
        (IMAGES / f"{name}.png").write_bytes(taken)


def test_what_it_shows_is_what_the_servers_saw(lab: Lab, file: Path, browser: Browser, tmp_path: Path) -> None:
    with (
        proxy_with(lab, file, CANARY),
        Dashboard(lab) as dashboard,
        Server(lab.peer, PEER_V4, OPAQUE, echo),
        dial(lab.app, PEER_V4, OPAQUE) as opaque,
        opened(browser, dashboard.url, color_scheme="light", viewport={"width": 1280, "height": 900}) as page,
    ):
        opaque.sendall(b"\x00opaque")
        assert opaque.recv(100) == b"\x00opaque"
        page.wait_for_selector("#state:text('The proxy answers')")
        seen = shares(lab, 300)
        wanted = Counter({f"{PEER_V4}:{V1}": seen["v1"], f"{PEER_V4}:{V2}": seen["v2"]})
        until(lambda: counted(page) == wanted, f"{wanted} in the table of traffic")
        curl(lab, "/unwell", "-o", "/dev/null")
        until(lambda: any(one["failed"] == "1" for one in rows(page, "traffic")), "the failed one")
        assert sum(counted(page).values()) == 301

        edges = "#graph g.edge"
        until(lambda: len(page.query_selector_all(edges)) == 2, "an edge to the Service and one past all Services")
        labels = sorted(str(one.get_attribute("aria-label")) for one in page.query_selector_all(edges))
        assert labels[0].startswith(f"here to {PEER_V4}:{OPAQUE}: ")
        assert "1 open" in labels[0]
        assert labels[1].startswith("here to shop/web: ")

        (route,) = [one for one in rows(page, "routes") if one["route"] == "shop/route"]
        assert route["backends"] == "v1 90, v2 10"
        health = {(one["service"], one["address"]): one["health"] for one in rows(page, "endpoints")}
        assert health["shop/v1", f"{PEER_V4}:{V1}"] == health["shop/v2", f"{PEER_V4}:{V2}"] == "healthy"

        page.fill("#filters [name=status]", "5xx")
        until(lambda: [one["what"] for one in rows(page, "live")] == [f"GET {VIP}/unwell"], "the one with a 5xx")
        page.fill("#filters [name=status]", "")
        until(lambda: len(rows(page, "live")) == 200, "the last 200")
        photograph(page, "dashboard-light", tmp_path)
        page.emulate_media(color_scheme="dark")
        photograph(page, "dashboard-dark", tmp_path)


def test_a_requests_path_by_keyboard_alone(lab: Lab, file: Path, browser: Browser, tmp_path: Path) -> None:
    with proxy_with(lab, file, CANARY), Dashboard(lab) as dashboard, opened(browser, dashboard.url) as page:
        page.wait_for_selector("#state:text('The proxy answers')")
        curl(lab, "/cart?item=7", "-o", "/dev/null")
        until(lambda: rows(page, "live"), "the request")
        page.focus("#pause")
        page.keyboard.press("Tab")
        assert "The path of GET" in str(page.evaluate("document.activeElement.getAttribute('aria-label')"))
        page.keyboard.press("Enter")
        page.wait_for_selector("#path[open] li")
        told = page.eval_on_selector_all("#steps li", "all => all.map(one => one.innerText)")
        steps = dict(line.split(maxsplit=1) for line in told)
        assert list(steps) == ["capture", "destination", "detection", "route", "endpoint", "attempts", "answer"]
        assert steps["capture"].endswith("taken by the outbound listener")
        assert steps["destination"] == f"Service shop/web, reached at {VIP}:80"
        assert steps["route"].startswith("shop/route")
        assert steps["endpoint"].startswith((f"{PEER_V4}:{V1} of ", f"{PEER_V4}:{V2} of "))
        assert steps["attempts"].startswith("1; ")
        assert steps["answer"].startswith("200, ")
        photograph(page, "dashboard-path", tmp_path)
        page.keyboard.press("Escape")
        page.wait_for_selector("#path", state="hidden")
        assert "The path of GET" in str(page.evaluate("document.activeElement.getAttribute('aria-label')"))


def test_a_proxy_that_dies_is_told_and_one_that_comes_back_is_seen(lab: Lab, file: Path, browser: Browser) -> None:
    with proxy_with(lab, file, CANARY) as proxy, Dashboard(lab) as dashboard, opened(browser, dashboard.url) as page:
        page.wait_for_selector("#state:text('The proxy answers')")
        proxy.process.kill()
        proxy.process.wait()
        page.wait_for_selector("#state:text('no proxy answers at 127.0.0.1:15000')")
        with proxy_with(lab, file, CANARY):
            page.wait_for_selector("#state:text('The proxy answers')")
            assert shares(lab, 20)
            until(lambda: sum(counted(page).values()) == 20, "the new proxy's count")
