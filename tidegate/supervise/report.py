"""What `run` tells at the end: a file for scripts, a table for people."""

import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

CONNECTION_KEYS = (
    "direction", "original_destination", "upstream", "protocol", "lane",
    "bytes_sent", "bytes_received", "duration_ms", "close_reason", "lane_reason",
)  # fmt: skip
# More destinations than this in the table help nobody; the report file has them all.
TABLE_ROWS = 20


@dataclass(slots=True)
class Talk:
    """What went between the command and one destination, over all its connections."""

    connections: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    duration_ms: float = 0.0
    lanes: set[str] = field(default_factory=set)
    ends: set[str] = field(default_factory=set)


def as_document(
    command: list[str], exit_code: int, mode: str, connections: Iterable[dict[str, Any]], duration_ms: float
) -> dict[str, Any]:
    """The `--report` document of the contract."""
    records = [{key: record[key] for key in CONNECTION_KEYS if key in record} for record in connections]
    return {
        "command": command,
        "exit_code": exit_code,
        "mode": mode,
        "summary": {
            "connections": len(records),
            "destinations": len({record["original_destination"] for record in records}),
            "bytes_sent": sum(record["bytes_sent"] for record in records),
            "bytes_received": sum(record["bytes_received"] for record in records),
            "duration_ms": round(duration_ms, 3),
        },
        "connections": records,
        "requests": [],
    }


def write(path: Path, document: dict[str, Any]) -> None:
    """Write the whole document or nothing. Raises OSError."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(document, file, indent=1)
            file.write("\n")
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def by_destination(connections: Iterable[dict[str, Any]]) -> dict[tuple[str, str, str], Talk]:
    """Group records by direction, destination and protocol, the busiest first."""
    talks: defaultdict[tuple[str, str, str], Talk] = defaultdict(Talk)
    for record in connections:
        talk = talks[record["direction"], record["original_destination"], record["protocol"]]
        talk.connections += 1
        talk.bytes_sent += record["bytes_sent"]
        talk.bytes_received += record["bytes_received"]
        talk.duration_ms += record["duration_ms"]
        talk.lanes.add(record["lane"])
        talk.ends.add(record["close_reason"])
    return dict(sorted(talks.items(), key=lambda item: -(item[1].bytes_sent + item[1].bytes_received)))


def print_summary(document: dict[str, Any], to: TextIO) -> None:
    """The table a person reads. Plain text when `to` is no terminal."""
    connections = document["connections"]
    talks = by_destination(connections)
    head = f"tidegate: {_plural(len(connections), 'connection')} captured ({document['mode']})"
    if not talks:
        print(head, file=to)
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    # An IPv6 address in brackets is not markup.
    console = Console(file=to, markup=False, emoji=False, highlight=False, width=None if to.isatty() else 120)
    table = Table(title=head, title_justify="left", title_style="", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("direction", "destination", "protocol", "lane", "closed"):
        table.add_column(name)
    for name in ("conns", "sent", "received", "time"):
        table.add_column(name, justify="right")
    for (direction, destination, protocol), talk in list(talks.items())[:TABLE_ROWS]:
        table.add_row(
            direction, destination, protocol, "+".join(sorted(talk.lanes)), ", ".join(sorted(talk.ends)),
            str(talk.connections), _size(talk.bytes_sent), _size(talk.bytes_received), _time(talk.duration_ms),
        )  # fmt: skip
    console.print(table)
    if len(talks) > TABLE_ROWS:
        print(f"… and {_plural(len(talks) - TABLE_ROWS, 'destination')} more: --report FILE has them all", file=to)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _time(duration_ms: float) -> str:
    return f"{duration_ms:.0f} ms" if duration_ms < 10_000 else f"{duration_ms / 1000:.1f} s"
