"""Rendering metrics costs the event loop milliseconds, and whoever reaches the telemetry port may ask for them: it gets
a share of the time, and beyond that the page of a moment ago."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

SHARE = 0.1
"""Of the time, spent on rendering in the long run."""
BURST_S = 0.25
"""Rendering that may be done at once after a quiet time."""
OLDEST_S = 10.0
"""A page older than this is never shown again."""


class Renderer(Protocol):
    def form(self, accept: str) -> str:
        """The content type that an Accept header amounts to; one of few."""

    def render(self, accept: str) -> tuple[str, bytes]:
        """Content type and body."""


@dataclass(frozen=True, slots=True)
class _Page:
    content_type: str
    body: bytes
    made_at: float


class Scrapes:
    """Belongs to the event loop. A page is at most 1/SHARE times as old as it takes to render one, or fresh."""

    def __init__(self, metrics: Renderer, prepare: Callable[[], None], clock: Callable[[], float]) -> None:
        """prepare: brings up to date what is going to be rendered."""
        self._metrics = metrics
        self._prepare = prepare
        self._clock = clock
        self._credit_s = BURST_S
        self._credited_at = clock()
        self._pages: dict[str, _Page] = {}

    def page(self, accept: str) -> tuple[str, bytes]:
        """Content type and body for an Accept header."""
        form = self._metrics.form(accept)
        now = self._clock()
        self._credit_s = min(BURST_S, self._credit_s + SHARE * (now - self._credited_at))
        self._credited_at = now
        last = self._pages.get(form)
        if last is not None and self._credit_s <= 0 and now - last.made_at < OLDEST_S:
            return last.content_type, last.body
        self._prepare()
        content_type, body = self._metrics.render(accept)
        self._credit_s -= self._clock() - now
        self._pages[form] = _Page(content_type, body, now)
        return content_type, body
