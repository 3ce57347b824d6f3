"""What clients put into requests stays text: nothing of it is run, loaded, or shown as something that it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.lab import Lab
from tests.netns.dashboard.rig import Dashboard, opened, rows
from tests.netns.parsed.routes_rig import SERVICES, VIP, to
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import dial, read_all, until
from tests.unit.mesh.support import http_route

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
TARGETS = (
    b"/<img/src=x/onerror=document.title=1>",
    b'/"><script>document.title=1</script>',
    b"/javascript:document.title=1//%3Cb%3E",
    b"/?<svg/onload=document.title=1>",
    b"/`${document.title=1}`{{document.title=1}}",
    "/\u202egnp.exe".encode(),
    b"/%00%1b[31m",
)
HOSTS = (b"<b>bold</b>", b"'-alert(1)-'", b"a&amp;b&lt;i&gt;")


def send(lab: Lab, target: bytes, host: bytes) -> bytes:
    with dial(lab.app, VIP, 80) as client:
        client.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
        return read_all(client)


def test_requests_are_shown_as_text(lab: Lab, file: Path, browser: Browser) -> None:
    with (
        proxy_with(lab, file, SERVICES + http_route("{" + to("v1") + "}")),
        Dashboard(lab) as dashboard,
        opened(browser, dashboard.url) as page,
    ):
        page.wait_for_selector("#state:text('The proxy answers')")
        elements = page.evaluate("[...new Set([...document.querySelectorAll('*')].map(one => one.localName))].sort()")
        for number, target in enumerate(TARGETS):
            assert send(lab, target, HOSTS[number % len(HOSTS)]).startswith(b"HTTP/1.1 ")
        forwarded = [one.decode() for one in TARGETS if one.isascii()]
        until(lambda: all(any(one in row["what"] for row in rows(page, "live")) for one in forwarded), "all of them")
        shown = " ".join(one["what"] for one in rows(page, "live"))
        assert all(one.decode() in shown for one in HOSTS)
        assert "\u202e" not in shown
        assert "\x1b" not in shown
        for button in page.query_selector_all("#live tbody button"):
            button.click()
            page.wait_for_selector("#path[open] li")
            page.click("#path button")
        after = page.evaluate("[...new Set([...document.querySelectorAll('*')].map(one => one.localName))].sort()")
        assert set(after) - set(elements) <= {"b", "li", "td", "tr", "button", "path", "rect", "text", "title", "g"}
        assert page.eval_on_selector_all("b", "all => all.filter(one => !one.closest('#steps')).length") == 0
        assert page.title() == "tidegate"


def test_a_filter_of_nonsense_is_answered_in_words(lab: Lab, file: Path, browser: Browser) -> None:
    with proxy_with(lab, file, SERVICES), Dashboard(lab) as dashboard:
        context = browser.new_context()
        page = context.new_page()  # not watched: the browser itself reports an answer of 400
        page.goto(dashboard.url)
        page.fill("#filters [name=status]", "<b>9x")
        page.wait_for_selector("#live-state:text(\"status '<b>9x': expected a status such as 503\")")
        context.close()
