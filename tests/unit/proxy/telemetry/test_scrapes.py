"""Metrics are rendered in a share of the time, in slices, and are fresh for all that don't ask for more."""

import asyncio
from collections.abc import Iterator

from proxy.telemetry import scrapes
from proxy.telemetry.scrapes import Scrapes


class Slow:
    """A page takes `cost_s` to render, in slices, and has the number of its rendering."""

    def __init__(self, cost_s: float, slices: int = 1) -> None:
        self.now = 1000.0
        self.cost_s = cost_s
        self.count = slices
        self.rendered = 0
        self.prepared = 0
        self.pages = Scrapes(self, self.prepare, lambda: self.now)

    def prepare(self) -> None:
        self.prepared += 1

    def form(self, accept: str) -> str:
        return "text/" + accept

    def slices(self, accept: str) -> Iterator[bytes]:  # noqa: ARG002
        self.rendered += 1
        for number in range(self.count):
            self.now += self.cost_s / self.count
            yield b"%d" % self.rendered if number == 0 else b""

    async def page(self, accept: str) -> bytes:
        return (await self.pages.page(accept)).body


def test_a_usual_scraper_gets_fresh_pages() -> None:
    async def scrape() -> None:
        slow = Slow(0.02)
        for number in range(1, 50):
            assert await slow.pages.page("plain") == ("text/plain", b"%d" % number)
            slow.now += 1.0
        assert slow.prepared == slow.rendered

    asyncio.run(scrape())


def test_a_scraper_without_a_pause_takes_no_more_than_the_share() -> None:
    async def scrape() -> None:
        slow = Slow(0.02)
        began = slow.now
        for _ in range(20_000):
            await slow.page("plain")
            slow.now += 0.0005
        took = slow.now - began
        assert slow.rendered * slow.cost_s <= scrapes.SHARE * took + scrapes.BURST_S + slow.cost_s
        assert slow.rendered > 30, "pages do not get stale"

    asyncio.run(scrape())


def test_a_page_is_never_older_than_it_took_to_render_ten() -> None:
    async def scrape() -> None:
        slow = Slow(0.02)
        shown: dict[bytes, float] = {}
        for _ in range(5000):
            page = await slow.page("plain")
            shown.setdefault(page, slow.now)
            assert slow.now - shown[page] <= 0.02 / scrapes.SHARE + 0.03
            slow.now += 0.0005

    asyncio.run(scrape())


def test_each_form_has_its_own_page_and_an_old_one_is_not_shown() -> None:
    async def scrape() -> None:
        slow = Slow(1.0)
        assert await slow.page("plain") == b"1"
        assert await slow.page("open") == b"2"
        assert await slow.page("plain") == b"1"
        slow.now += scrapes.OLDEST_S
        assert await slow.page("open") == b"3"

    asyncio.run(scrape())


def test_the_loop_has_its_turns_while_a_page_is_made_and_all_who_ask_meanwhile_get_it() -> None:
    async def scrape() -> None:
        slow = Slow(1.0, slices=200)
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.get_running_loop().create_task(others())
        both = await asyncio.gather(slow.page("plain"), slow.page("plain"))
        other.cancel()
        assert both == [b"1", b"1"]
        assert turns >= 150

    asyncio.run(scrape())


def test_two_forms_are_never_made_at_the_same_time() -> None:
    async def scrape() -> None:
        slow = Slow(1.0, slices=50)
        assert await asyncio.gather(slow.page("plain"), slow.page("open")) == [b"1", b"2"]
        assert slow.prepared == 2

    asyncio.run(scrape())


def test_a_client_that_goes_away_takes_the_page_from_nobody() -> None:
    async def scrape() -> None:
        slow = Slow(1.0, slices=50)
        loop = asyncio.get_running_loop()
        first, second = loop.create_task(slow.page("plain")), loop.create_task(slow.page("plain"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == b"1"

    asyncio.run(scrape())
