"""What `run` writes for scripts: the document of `--report`."""

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tidegate.supervise.names import named
from tidegate.supervise.observed import Observed
from tidegate.supervise.requests import Requests

CONNECTION_KEYS = (
    "direction", "original_destination", "upstream", "protocol", "lane",
    "bytes_sent", "bytes_received", "duration_ms", "close_reason", "lane_reason",
)  # fmt: skip


def as_document(
    command: list[str],
    exit_code: int,
    mode: str,
    connections: Iterable[dict[str, Any]],
    *,
    duration_ms: float,
    requests: Requests | None = None,
    not_captured: Iterable[str] = (),
    observed: Observed | None = None,
    hosts: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The `--report` document of the contract. not_captured: what the mode leaves out, in words, as `status` has it.
    observed: what the command did and was not captured; None where the kernel can't tell. hosts: names of addresses."""
    told = requests or Requests()
    ended = list(connections)
    names = named(ended, told.kept, hosts or {})
    records = [_told(record, observed, names) for record in ended]
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
            "requests": len(told.kept) + told.left_out,
            "requests_left_out": told.left_out,
        },
        "connections": records,
        "requests": [_without_event(one) for one in told.kept],
        "not_captured": list(not_captured),
        "seen_not_captured": None if observed is None else [one.as_report() for one in observed.not_captured],
    }


def _told(record: dict[str, Any], observed: Observed | None, known_as: Mapping[str, str]) -> dict[str, Any]:
    """A connection as the contract has it, with the names of the processes that it may belong to."""
    told = {key: record[key] for key in CONNECTION_KEYS if key in record}
    destination = record["original_destination"]
    if observed is None:
        names: tuple[str, ...] = ()
    elif record["direction"] == "outbound":
        names = observed.callers.get(destination, ())
    else:
        names = observed.listeners.get(int(destination.rpartition(":")[2]), ())
    name = known_as.get(destination) if record["direction"] == "outbound" else None
    return told | {"processes": list(names), "name": name}


def _without_event(request: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in request.items() if key != "event"}


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
