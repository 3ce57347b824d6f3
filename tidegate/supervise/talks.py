"""What a run has talked so far, by destination, as `run --live` shows it. Pure: records in, lines out."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.supervise.columns import cut, duration, percentile, plural, size
from tidegate.supervise.names import named, shown

MOST_DURATIONS = 200
MOST_DESTINATIONS = 1_000
_ARROWS = {"outbound": "->", "inbound": "<-"}
_NUMBERS = ("conns", "open", "reqs", "failed", "sent", "received", "p50")
_WIDTHS = (6, 5, 6, 6, 9, 9, 7)
Record = Mapping[str, Any]


@dataclass(slots=True)
class Talk:
    connections: int = 0
    requests: int = 0
    failed: int = 0
    sent: int = 0
    received: int = 0
    durations_ms: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_DURATIONS))
    """Of requests, where there are any, else of connections: the last ones."""


@dataclass(slots=True)
class Talks:
    by_destination: dict[tuple[str, str], Talk] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)
    left_out: int = 0
    """Connections to destinations for which there was no room."""

    def take(self, connections: Iterable[Record], requests: Iterable[Record]) -> None:
        """What has ended since the last time."""
        ended, answered = list(connections), list(requests)
        self.names = {**named(ended, answered, self.hosts), **self.names}
        for one in ended:
            talk = self._of(one)
            if talk is None:
                self.left_out += 1
                continue
            talk.connections += 1
            talk.failed += one["close_reason"] not in ("finished", "")
            talk.sent += one["bytes_sent"]
            talk.received += one["bytes_received"]
            if not talk.requests:
                talk.durations_ms.append(one["duration_ms"])
        for one in answered:
            key = (one["direction"], one["upstream"])
            talk = self.by_destination.get(key) or self._new(key)
            if talk is not None:
                if not talk.requests:
                    talk.durations_ms.clear()
                talk.requests += 1
                talk.failed += one["status"] == 0 or one["status"] >= 500
                talk.durations_ms.append(one["duration_ms"])

    def lines(self, open_: Iterable[Record], width: int, most: int) -> list[str]:
        """A title and a line for each destination, the busiest first; at most so many in all, none wider."""
        now: dict[tuple[str, str], Talk] = {}
        count: dict[tuple[str, str], int] = {}
        for one in open_:
            key = (one["direction"], one["original_destination"])
            count[key] = count.get(key, 0) + 1
            talk = now.setdefault(key, Talk())
            talk.sent += one["bytes_sent"]
            talk.received += one["bytes_received"]
        rows = []
        for key in {*self.by_destination, *now}:
            over, going = self.by_destination.get(key, Talk()), now.get(key, Talk())
            sent, received = over.sent + going.sent, over.received + going.received
            rows.append((sent + received, key, over, count.get(key, 0), sent, received))
        rows.sort(key=lambda row: (-row[0], row[1]))
        first = max(12, width - sum(_WIDTHS) - len(_WIDTHS))
        title = _line("   tidegate --live", _NUMBERS, first)
        lines = [
            _line(f"{_ARROWS[key[0]]} {shown(key[1], self.names)}", _numbers(over, opened, sent, received), first)
            for _, key, over, opened, sent, received in rows[: max(0, most - 1)]
        ]
        return [one[:width] for one in (title, *lines)]

    def sentence(self, open_: int) -> str:
        """All of it in a line, for where there is no terminal."""
        every = self.by_destination.values()
        requests = sum(one.requests for one in every)
        parts = [
            f"{plural(sum(one.connections for one in every) + self.left_out, 'connection')} ended, {open_} open",
            *([plural(requests, "request")] if requests else []),
            f"{sum(one.failed for one in every)} failed",
            f"{size(sum(one.sent for one in every))} sent, {size(sum(one.received for one in every))} received",
        ]
        return ", ".join(parts)

    def _of(self, one: Record) -> Talk | None:
        key = (one["direction"], one["original_destination"])
        return self.by_destination.get(key) or self._new(key)

    def _new(self, key: tuple[str, str]) -> Talk | None:
        if len(self.by_destination) >= MOST_DESTINATIONS:
            return None
        return self.by_destination.setdefault(key, Talk())


def _numbers(talk: Talk, opened: int, sent: int, received: int) -> tuple[str, ...]:
    middle = duration(percentile(list(talk.durations_ms), 50)) if talk.durations_ms else "-"
    total = talk.connections + opened
    return (str(total), str(opened), str(talk.requests), str(talk.failed), size(sent), size(received), middle)


def _line(whom: str, numbers: tuple[str, ...], first: int) -> str:
    return f"{cut(whom, first):<{first}} " + " ".join(
        f"{text:>{width}}" for text, width in zip(numbers, _WIDTHS, strict=True)
    )
