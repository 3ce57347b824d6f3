"""A request or a connection as one line for a person."""

from typing import Any

from proxy.core.report.printable import printable

_ARROWS = {"outbound": "->", "inbound": "<-"}


def line(told: dict[str, Any], width: int | None, proxy: str | None = None) -> str:
    """told: an object of the `/tap` stream. width: columns to fit into; None: nothing is cut. proxy: whose it is, where
    several are followed."""
    text = ("" if proxy is None else f"{proxy}: ") + printable(
        _request(told) if "method" in told else _statement(told) if "database" in told else _connection(told)
    )
    return text if width is None or len(text) <= width else text[: width - 1] + "…"


def dropped_notice(count: int) -> str:
    return f"{count} more ended than could be shown"


def _request(told: dict[str, Any]) -> str:
    words = [
        _clock(told["time"]),
        _ARROWS.get(told["direction"], "--"),
        str(told["status"] or "---"),
        f"{told['duration_ms']:.1f}ms",
        told["method"],
        f"{'' if told['authority'] == '-' else told['authority']}{told['path']}",
    ]
    if told["flags"] != "-":
        words.insert(3, told["flags"])
    if told["attempts"] > 1:
        words.append(f"{told['attempts']} attempts")
    words += [
        f"{told['source']} to {told['upstream']}",
        *(told[key] for key in ("service", "route") if told[key] != "-"),
    ]
    return " ".join(words)


def _statement(told: dict[str, Any]) -> str:
    words = [
        _clock(told["time"]),
        _ARROWS.get(told["direction"], "--"),
        told["outcome"],
        f"{told['duration_ms']:.1f}ms",
        f"{told['database']} {told['kind']}",
        f"{told['source']} to {told['upstream']}",
    ]
    return " ".join(words if told["service"] == "-" else [*words, told["service"]])


def _connection(told: dict[str, Any]) -> str:
    words = [
        _clock(told["time"]),
        _ARROWS.get(told["direction"], "--"),
        told["protocol"],
        told["close_reason"],
        f"{told['duration_ms']:.1f}ms",
        f"{told['downstream']} to {told['original_destination']}",
    ]
    if told["upstream"] != told["original_destination"]:
        words.append(f"at {told['upstream']}")
    words += [f"{told['bytes_sent']} B sent, {told['bytes_received']} B received", told["lane"]]
    return " ".join(words)


def _clock(time: str) -> str:
    return time.partition("T")[2].removesuffix("Z") or time
