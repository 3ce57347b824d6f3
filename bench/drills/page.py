"""The tables of docs/resilience.md, from bench/results/drills.json. Pure."""

from __future__ import annotations

from typing import NamedTuple

BEGIN, END = "<!-- drills: begin -->", "<!-- drills: end -->"


class Result(NamedTuple):
    kind: str
    contestant: str
    requests: int
    failed: int
    p50_ms: float
    p99_ms: float
    upstream: int
    """Requests that the endpoints got."""
    back_s: float | None
    """How long after its recovery the endpoint had half of its share; None: it had not, or was not one to recover."""


def tables(results: list[Result]) -> str:
    """A table for each drill."""
    parts = []
    for kind in dict.fromkeys(one.kind for one in results):
        rows = [one for one in results if one.kind == kind]
        recovers = kind == "recovering"
        parts.append(f"### One of ten is {kind}" if kind != "healthy" else "### All are healthy")
        parts.append("")
        extra = (" share back after |", "---|") if recovers else ("", "")
        parts.append("| through | failed | p50 | p99 | extra upstream requests |" + extra[0])
        parts.append("|---|---|---|---|---|" + extra[1])
        parts += [_row(one, recovers=recovers) for one in rows]
        parts.append("")
    return "\n".join(parts)


def _row(one: Result, *, recovers: bool) -> str:
    failed = f"{100 * one.failed / one.requests:.2f} %" if one.requests else "-"
    extra = f"{100 * (one.upstream - one.requests) / one.requests:+.1f} %" if one.requests else "-"
    row = f"| {one.contestant} | {failed} | {one.p50_ms:.1f} ms | {one.p99_ms:.1f} ms | {extra} |"
    if recovers:
        row += f" {one.back_s:.0f} s |" if one.back_s is not None else " not in the drill |"
    return row


def back_after(seconds: dict[str, dict[int, int]], sick: str, recovered_s: int) -> float | None:
    """Of an endpoint that has recovered at that second: until it got half of its fair share, over three seconds."""
    last = max((max(one, default=0) for one in seconds.values()), default=0)
    for at in range(recovered_s, last - 1):
        window = range(at, at + 3)
        total = sum(one.get(second, 0) for one in seconds.values() for second in window)
        own = sum(seconds[sick].get(second, 0) for second in window)
        if total and own / total >= 0.5 / len(seconds):
            return float(at - recovered_s)
    return None


def put_into(page: str, text: str) -> str:
    """The page with the tables in their place. Raises ValueError where it has no place for them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{text.rstrip()}\n{END}{after}"
