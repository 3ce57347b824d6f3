"""Was what happened what the case says? Pure: values in, complaints out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.lab import wire
from tests.lab.actor import Reply
from tests.lab.patience import patient
from tests.netns.cases.model import INBOUND, Captured, Dial, Direct, Refused, Unserved, address

AT_ONCE_MS = patient(1000)
DECISIONS = {Captured: "capture", Direct: "direct", Refused: "drop", Unserved: "direct"}


@dataclass(frozen=True, slots=True)
class Seen:
    """One dial as it went: by family, what the client saw, what the proxy recorded meanwhile."""

    dial: Dial
    family: int
    reply: Reply
    records: Sequence[Mapping[str, Any]]

    @property
    def target(self) -> str:
        return wire.show(address(self.dial.to, self.family), self.dial.port)

    @property
    def inbound(self) -> bool:
        return self.dial.where != "app"

    def __str__(self) -> str:
        dial = self.dial
        kind = "udp" if dial.udp else "tcp"
        who = f"uid {dial.who.uid} gid {dial.who.gid}"
        options = f" {dict(dial.options)}" if dial.options else ""
        return f"{dial.where} ({who}) -> {kind} {self.target}{options}"


def complaints(seen: Seen, *, mode: str, relay: bool) -> list[str]:
    """What is wrong with this dial's outcome; empty when it went as the case says."""
    expect = seen.dial.expect
    match expect:
        case Captured():
            wrong = _captured(seen, expect.listener, mode=mode, relay=relay)
        case Direct():
            wrong = _direct(seen)
        case _:
            wrong = _refused(seen)
    return [f"{seen}: wanted {expect}: {what}: {seen.reply}; proxy recorded {list(seen.records)}" for what in wrong]


def _captured(seen: Seen, listener: int, *, mode: str, relay: bool) -> list[str]:
    line, raw = seen.reply.line, seen.reply.raw
    if line is None or (line["who"] != "proxy" and not relay):
        return ["not captured"]
    if seen.dial.udp:
        return [] if raw["sender"] == _as_dialled(seen) else [f"the answer seems to come from {raw['sender']}"]
    wrong = []
    if len(seen.records) != 1:
        return ["the proxy should have accepted exactly one connection"]
    record = seen.records[0]
    if record["listener"] != listener:
        wrong.append(f"it came to the listener on {record['listener']}")
    # the contract lets a tproxy listener learn it from getsockname
    named = record["sockname"] if mode == "tproxy" and listener == INBOUND and seen.inbound else record["original"]
    if named != seen.target:
        wrong.append(f"the proxy recovered {named}")
    if raw["remote"] != _as_dialled(seen):
        wrong.append(f"getpeername says {raw['remote']}")
    if seen.inbound and record["source"] != local_end(raw):
        wrong.append(f"the proxy saw the source {record['source']} instead of {local_end(raw)}")
    if relay and line["at"] != seen.target:
        wrong.append(f"the payload is not that of {seen.target}")
    return wrong


def _direct(seen: Seen) -> list[str]:
    line, raw = seen.reply.line, seen.reply.raw
    if line is None:
        return ["nobody answered"]
    if line["who"] == "proxy" or seen.records:
        return ["captured"]
    wrong = []
    if line["at"] != seen.target:
        wrong.append(f"it reached {line['at']}")
    if "local" in raw and line["source"] != local_end(raw):
        wrong.append(f"its source became {line['source']}")
    if seen.dial.udp and raw["sender"] != _as_dialled(seen):
        wrong.append(f"the answer seems to come from {raw['sender']}")
    return wrong


def _refused(seen: Seen) -> list[str]:
    if seen.reply.status != "refused":
        return ["not refused"]
    return [] if seen.reply.ms < AT_ONCE_MS else ["refused, but not at once"]


def _as_dialled(seen: Seen) -> str:
    host = address(seen.dial.to, seen.family)
    return wire.show(f"::ffff:{host}" if seen.dial.options.get("mapped") else host, seen.dial.port)


def local_end(raw: Mapping[str, Any]) -> str:
    """The client's own address and port, as a server that isn't behind a translation sees it."""
    host, _, port = str(raw["local"]).rpartition(":")
    return wire.show(wire.unmap(host.strip("[]")), int(port))


def explain_complaints(seen: Seen, explained: Mapping[str, Any], *, mode: str) -> list[str]:
    """Does `explain` say the same as what the case expects (and, by `complaints`, as what happened)?"""
    expect = seen.dial.expect
    wrong = []
    missing = sorted({"decision", "listener", "rule", "reason", "mode"} - explained.keys())
    if missing:
        return [f"{seen}: wanted {expect}: explain lacks {', '.join(missing)}: {dict(explained)}"]
    if explained["decision"] != DECISIONS[type(expect)]:
        wrong.append(f"it says {explained['decision']}")
    elif isinstance(expect, Captured) and explained["listener"] != expect.listener:
        wrong.append(f"it names the listener {explained['listener']}")
    elif not isinstance(expect, Captured) and explained["listener"] is not None:
        wrong.append(f"it names a listener where nothing is captured: {explained['listener']}")
    if explained["mode"] != mode:
        wrong.append(f"it names the mode {explained['mode']}")
    return [f"{seen}: wanted {expect}: explain: {what}: {dict(explained)}" for what in wrong]
