"""Metrics are rendered in a share of the time, and are fresh for all who don't ask for more."""

from proxy.telemetry import scrapes
from proxy.telemetry.scrapes import Scrapes


class Slow:
    """A page takes `cost_s` to render, and has the number of its rendering."""

    def __init__(self, cost_s: float) -> None:
        self.now = 1000.0
        self.cost_s = cost_s
        self.rendered = 0
        self.prepared = 0
        self.pages = Scrapes(self, self.prepare, lambda: self.now)

    def prepare(self) -> None:
        self.prepared += 1

    def form(self, accept: str) -> str:
        return "text/" + accept

    def render(self, accept: str) -> tuple[str, bytes]:
        self.now += self.cost_s
        self.rendered += 1
        return "text/" + accept, b"%d" % self.rendered


def test_a_usual_scraper_gets_fresh_pages() -> None:
    slow = Slow(0.02)
    for number in range(1, 50):
        assert slow.pages.page("plain") == ("text/plain", b"%d" % number)
        slow.now += 1.0
    assert slow.prepared == slow.rendered


def test_whoever_asks_without_a_pause_takes_no_more_than_the_share() -> None:
    slow = Slow(0.02)
    began = slow.now
    for _ in range(20_000):
        slow.pages.page("plain")
        slow.now += 0.0005
    took = slow.now - began
    assert slow.rendered * slow.cost_s <= scrapes.SHARE * took + scrapes.BURST_S + slow.cost_s
    assert slow.rendered > 30, "pages do not get stale"


def test_a_page_is_never_older_than_it_took_to_render_ten() -> None:
    slow = Slow(0.02)
    shown: dict[bytes, float] = {}
    for _ in range(5000):
        page = slow.pages.page("plain")[1]
        shown.setdefault(page, slow.now)
        assert slow.now - shown[page] <= 0.02 / scrapes.SHARE + 0.03
        slow.now += 0.0005


def test_each_form_has_its_own_page_and_an_old_one_is_not_shown() -> None:
    slow = Slow(1.0)
    assert slow.pages.page("plain")[1] == b"1"
    assert slow.pages.page("open")[1] == b"2"
    assert slow.pages.page("plain")[1] == b"1"
    slow.now += scrapes.OLDEST_S
    assert slow.pages.page("open")[1] == b"3"
