"""Rendering metrics costs the event loop time, and everybody who reaches the telemetry port may ask for them: a page is
made in slices between which the loop goes on, and rendering gets a share of the time. Beyond that share the page of a
moment ago is shown."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple, Protocol

SHARE = 0.1
"""Of the time, spent on rendering in the long run."""
BURST_S = 0.25
"""Rendering that may be done at once after a quiet time."""
OLDEST_S = 10.0
"""A page older than this is never shown again."""
SLICE_S = 0.002
"""After as much rendering the loop gets its turn."""


class Page(NamedTuple):
    content_type: str
    body: bytes


class Renderer(Protocol):
    def form(self, accept: str) -> str:
        """The content type that an Accept header amounts to; one of few."""

    def slices(self, accept: str) -> Iterator[bytes]:
        """The body, in pieces that take little time each."""


@dataclass(frozen=True, slots=True)
class _Made:
    page: Page
    made_at: float


class Scrapes:
    """Belongs to the event loop. A page is at most 1/SHARE times as old as it takes to render one, or fresh. Clients
    that ask while one is being made get that one."""

    def __init__(
        self,
        metrics: Renderer,
        prepare: Callable[[], None],
        clock: Callable[[], float],
        looked_at: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        """prepare: brings up to date what is going to be rendered. looked_at: what a page is made inside of."""
        self._metrics = metrics
        self._prepare = prepare
        self._looked_at = looked_at
        self._clock = clock
        self._credit_s = BURST_S
        self._credited_at = clock()
        self._pages: dict[str, _Made] = {}
        self._making: dict[str, asyncio.Task[Page]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def page(self, accept: str) -> Page:
        """For an Accept header."""
        form = self._metrics.form(accept)
        now = self._clock()
        self._credit_s = min(BURST_S, self._credit_s + SHARE * (now - self._credited_at))
        self._credited_at = now
        last = self._pages.get(form)
        if last is not None and self._credit_s <= 0 and now - last.made_at < OLDEST_S:
            return last.page
        making = self._making.get(form)
        if making is None:
            making = self._making[form] = asyncio.get_running_loop().create_task(self._make(form, accept))
            making.add_done_callback(lambda _: self._making.pop(form))
        # The client that asked first may go away; the others wait for the page all the same.
        return await asyncio.shield(making)

    async def _make(self, form: str, accept: str) -> Page:
        async with self._one_at_a_time, self._looked_at():
            pieces = []
            made_at = begun = self._clock()
            self._prepare()
            for piece in self._metrics.slices(accept):
                pieces.append(piece)
                now = self._clock()
                if now - begun >= SLICE_S:
                    self._credit_s -= now - begun
                    await asyncio.sleep(0)
                    begun = self._clock()
            self._credit_s -= self._clock() - begun
            page = Page(form, b"".join(pieces))
            self._pages[form] = _Made(page, made_at)
            return page
