"""Changes from the page: confirmed, with the token, in force when the page says so; and who is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.lab import Lab
from tests.netns.dashboard.rig import Dashboard, opened, rows
from tests.netns.parsed.routes_rig import SERVICES, shares, to
from tests.netns.proxy.config_rig import dump, proxy_with
from tests.netns.proxy.proxy_rig import until
from tests.unit.mesh.support import http_route

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
CANARY = SERVICES + http_route("{" + to("v1=1", "v2=0") + "}")
CHANGE = json.dumps({"proxy": "here", "service": "shop/web", "what": "weights", "weights": {"v2": 7}})
JSON = "application/json"


def press(page: Page, label: str) -> None:
    page.click(f"#routes button[aria-label='{label}']")


def test_weights_are_changed_when_confirmed_with_the_token(lab: Lab, file: Path, browser: Browser) -> None:
    with (
        proxy_with(lab, file, CANARY) as proxy,
        Dashboard(lab, "--write") as dashboard,
        opened(browser, dashboard.url) as page,
    ):
        press(page, "Change the weights of shop/web")
        page.fill("#change [name=v1]", "0")
        page.fill("#change [name=v2]", "5")
        page.click("#change-go")
        said = page.inner_text("#change-list").splitlines()
        assert said == ["shop/web at here: v1 1 → 0", "shop/web at here: v2 0 → 5"]
        assert set(shares(lab, 5)) == {"v1"}, "nothing has changed yet"
        page.fill("#token", dashboard.token)
        page.click("#change-go")
        page.wait_for_selector("#change-said:text('in force until the next reload')")
        assert set(shares(lab, 5)) == {"v2"}
        page.click("#change-cancel")
        until(lambda: [one["backends"] for one in rows(page, "routes")] == ["v1 0, v2 5"], "the new weights")
        assert "uid 0 set the weights of shop/web" in proxy.stderr()


def test_shedding_is_set_and_taken_back(lab: Lab, file: Path, browser: Browser) -> None:
    with (
        proxy_with(lab, file, CANARY) as proxy,
        Dashboard(lab, "--write") as dashboard,
        opened(browser, dashboard.url) as page,
    ):
        press(page, "Inject faults into shop/web, or shed")
        page.fill("#change [name=drop]", "25")
        page.click("#change-go")
        page.fill("#token", dashboard.token)
        page.click("#change-go")
        page.wait_for_selector("#change-said:text('shop/web: ')")
        page.click("#change-cancel")
        listed = json.loads(proxy.request("/policy")[1])
        assert [(one["service"], "shedding" in one["fields"]) for one in listed] == [("shop/web", True)]
        page.wait_for_selector("#routes button[aria-label='Take back what was set for shop/web']")
        press(page, "Take back what was set for shop/web")
        page.click("#change-go")
        page.click("#change-go")
        page.wait_for_selector("#change-said:text('is taken back')")
        assert json.loads(proxy.request("/policy")[1]) == []


def test_a_page_that_only_shows_offers_no_change(lab: Lab, file: Path, browser: Browser) -> None:
    with proxy_with(lab, file, CANARY), Dashboard(lab) as dashboard, opened(browser, dashboard.url) as page:
        until(lambda: rows(page, "routes"), "the route")
        assert page.query_selector_all("#routes button") == []
        own = dashboard.url.rstrip("/")
        code, said, _ = dashboard.ask("POST", "/api/change", CHANGE, origin=own, content_type=JSON)
        assert (code, "--write" in said) == (403, True)


def test_who_is_refused_changes_nothing(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, CANARY) as proxy, Dashboard(lab, "--write") as dashboard:
        own = dashboard.url.rstrip("/")
        good = {"origin": own, "content_type": JSON, "x_tidegate_token": dashboard.token}
        digest = dump(proxy)["digest"]
        for changed, told in (
            ({"x_tidegate_token": "guessed"}, "the token is not the one"),
            ({"origin": "https://evil.example"}, "pages of other origins"),
            ({"origin": f"http://localhost:{dashboard.port}"}, "pages of other origins"),
            ({"host": f"evil.example:{dashboard.port}"}, "loopback names only"),
            ({"content_type": "text/plain"}, "application/json"),
            ({"sec_fetch_site": "cross-site"}, "pages of other origins"),
        ):
            code, said, _ = dashboard.ask("POST", "/api/change", CHANGE, **{**good, **changed})
            assert (code, told in said) == (403, True), (changed, said)
        without = {name: value for name, value in good.items() if name != "origin"}
        assert dashboard.ask("POST", "/api/change", CHANGE, **without)[0] == 403
        for body, told in (
            ("[]", "a change is an object"),
            ("{", "Expecting"),
            (CHANGE.replace("7", "-7"), "a whole number from 0"),
            (CHANGE.replace("here", "there"), "no proxy is called 'there'"),
            (CHANGE.replace("weights", "drain"), "'drain' is not valid"),
        ):
            code, said, _ = dashboard.ask("POST", "/api/change", body, **good)
            assert (code, told in said) == (400, True), (body, said)
        code, said, _ = dashboard.ask("POST", "/api/change", CHANGE.replace("v2", "v9"), **good)
        assert (code, "no backendRef is named 'v9'" in said) == (409, True), said
        assert dump(proxy)["digest"] == digest
        assert dashboard.ask("POST", "/api/change", CHANGE, **good)[0] == 200
        assert dump(proxy)["digest"] != digest


def test_reading_is_for_loopback_names_too(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, CANARY), Dashboard(lab) as dashboard:
        for path in ("/", "/main.js", "/api/state", "/nowhere", "/api/request?number=1"):
            code, _, headers = dashboard.ask("GET", path)
            assert code in (200, 404)
            assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
            assert headers["x-content-type-options"] == "nosniff"
            assert dashboard.ask("GET", path, host="rebound.example")[0] == 403
        for path in ("/..%2fapp.py", "/%2e%2e/app.py", "/app.py", "/page/main.js", "/__init__.py"):
            assert dashboard.ask("GET", path)[0] == 404
        assert dashboard.ask("GET", "/api/requests?after=x")[0] == 400
        assert dashboard.ask("GET", "/api/requests?color=red")[0] == 400
