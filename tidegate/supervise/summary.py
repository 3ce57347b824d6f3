"""What `run` tells a person at the end: a table that fits 80 columns, and what was not captured. Pure text."""

import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tidegate.supervise import requests
from tidegate.supervise.columns import INDENT, WIDTH, cut, duration, percentile, plural, size
from tidegate.supervise.names import shown

TABLE_ROWS = 20
"""A longer table is not read; the report file has all destinations."""
LEFT_OUT_ROWS = 10
_DESTINATION, _PROCESS, _LANE, _COUNT, _SIZE, _TIME = 21, 10, 6, 5, 8, 6
_ARROWS = {"outbound": "->", "inbound": "<-"}


@dataclass(slots=True)
class Talk:
    """What went between the command and one destination, over all its connections."""

    bytes_sent: int = 0
    bytes_received: int = 0
    durations_ms: list[float] = field(default_factory=list)
    lanes: set[str] = field(default_factory=set)
    protocols: set[str] = field(default_factory=set)
    processes: set[str] = field(default_factory=set)
    ends: Counter[str] = field(default_factory=Counter)

    @property
    def connections(self) -> int:
        return len(self.durations_ms)


def by_destination(connections: Iterable[dict[str, Any]]) -> dict[tuple[str, str], Talk]:
    """Group records by direction and destination, the busiest first."""
    talks: defaultdict[tuple[str, str], Talk] = defaultdict(Talk)
    for record in connections:
        talk = talks[record["direction"], record["original_destination"]]
        talk.bytes_sent += record["bytes_sent"]
        talk.bytes_received += record["bytes_received"]
        talk.durations_ms.append(record["duration_ms"])
        talk.lanes.add(record["lane"])
        talk.protocols.add(record["protocol"])
        talk.processes.update(record.get("processes", ()))
        talk.ends[record["close_reason"]] += 1
    return dict(sorted(talks.items(), key=lambda item: -(item[1].bytes_sent + item[1].bytes_received)))


def summary(document: dict[str, Any]) -> str:
    """The lines, from the document of `--report`. A destination is shown by its name where that is known and never cut:
    one that is too long for its column has a line of its own."""
    talks = by_destination(document["connections"])
    names = {one["original_destination"]: one["name"] for one in document["connections"] if one.get("name")}
    connections, count = plural(len(document["connections"]), "connection"), document["summary"]["requests"]
    of_which = f", {plural(count, 'request')}" if count else ""
    lines = [f"tidegate: {connections} captured ({document['mode']}){of_which}"]
    if talks:
        lines += ["", _row(INDENT + "destination", "process", "lane", ("conns", "sent", "received", "p50", "p99"))]
        for (direction, destination), talk in list(talks.items())[:TABLE_ROWS]:
            lines += _talk_lines(f"{_ARROWS[direction]} {shown(destination, names)}", talk)
    if len(talks) > TABLE_ROWS:
        lines.append(f"… and {plural(len(talks) - TABLE_ROWS, 'destination')} more: --report FILE has them all")
    lines += requests.table(document["requests"], document["summary"]["requests_left_out"])
    # What else the mode leaves out is so in each run, and is told below where the command did it.
    for left_out in document["not_captured"]:
        if left_out.startswith("inbound"):
            lines += _wrapped(f"not captured: {left_out}")
    lines += _seen(document["seen_not_captured"] or [], names)
    return "\n".join(lines) + "\n"


def _talk_lines(destination: str, talk: Talk) -> list[str]:
    numbers = (
        str(talk.connections),
        size(talk.bytes_sent),
        size(talk.bytes_received),
        duration(percentile(talk.durations_ms, 50)),
        duration(percentile(talk.durations_ms, 99)),
    )
    process, lane = "+".join(sorted(talk.processes)), "+".join(sorted(talk.lanes))
    lines = []
    if len(destination) > len(INDENT) + _DESTINATION:
        lines.append(destination)
        destination = ""
    lines.append(_row(destination, process, lane, numbers))
    notes = [f"{count} {reason}" for reason, count in sorted(talk.ends.items()) if reason != "finished"]
    if talk.protocols - {"tcp"}:
        notes.insert(0, "+".join(sorted(talk.protocols)))
    if notes:
        lines += textwrap.wrap(", ".join(notes), WIDTH, initial_indent=INDENT * 2, subsequent_indent=INDENT * 2)
    return lines


def _row(destination: str, process: str, lane: str, numbers: tuple[str, ...]) -> str:
    widths = (_COUNT, _SIZE, _SIZE, _TIME, _TIME)
    cells = [
        f"{destination:<{len(INDENT) + _DESTINATION}}",
        f"{cut(process, _PROCESS):<{_PROCESS}}",
        f"{cut(lane, _LANE):<{_LANE}}",
        *(f"{text:>{width}}" for text, width in zip(numbers, widths, strict=True)),
    ]
    return " ".join(cells).rstrip()


def _seen(not_captured: list[dict[str, Any]], names: dict[str, str]) -> list[str]:
    lines = []
    for one in not_captured[:LEFT_OUT_ROWS]:
        noun = "connection" if one["protocol"] == "tcp" else "UDP packet"
        by = f" by {', '.join(one['processes'])}" if one["processes"] else ""
        text = f"{plural(one['count'], noun)} to {shown(one['destination'], names)}{by}: {one['reason']}"
        lines += _wrapped(f"not captured: {text}")
    if len(not_captured) > LEFT_OUT_ROWS:
        lines.append(f"not captured: {plural(len(not_captured) - LEFT_OUT_ROWS, 'kind')} more: see --report FILE")
    return lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=INDENT, break_long_words=False, break_on_hyphens=False)
