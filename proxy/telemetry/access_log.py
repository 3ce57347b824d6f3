"""The access log: one line a connection, when it closes, as text or as JSON.

A proxy that serves ten thousand connections a second writes as many lines, so what a line costs counts: each is one
expression, and what recurs is rendered once."""

import json
from datetime import UTC, datetime
from functools import lru_cache

from proxy.core.decide.verdict import Verdict
from proxy.core.lanes import Direction
from proxy.core.report.record import ConnectionRecord
from proxy.telemetry.log_writer import LineWriter


def as_json(record: ConnectionRecord) -> str:
    outbound = record.direction is Direction.OUTBOUND
    sent, received = (
        (record.to_upstream, record.to_downstream) if outbound else (record.to_downstream, record.to_upstream)
    )
    verdict = record.verdict
    return (
        f'{{"time":"{_time(record.started_at)}","direction":"{record.direction}","downstream":"{record.peer}",'
        f'"original_destination":"{record.destination}","upstream":"{record.upstream if record.upstream.ip else "-"}",'
        f'"protocol":"{verdict.protocol}","lane":"{verdict.lane}","bytes_sent":{sent},"bytes_received":{received},'
        f'"duration_ms":{record.age_s * 1000:.3f},"close_reason":"{record.close_reason or ""}",'
        f'"lane_reason":{_as_json(verdict.lane_reason)}}}'
    )


def as_text(record: ConnectionRecord) -> str:
    """`key=value` pairs; a value with a blank or a quote in it stands in JSON's quotes."""
    outbound = record.direction is Direction.OUTBOUND
    sent, received = (
        (record.to_upstream, record.to_downstream) if outbound else (record.to_downstream, record.to_upstream)
    )
    verdict = record.verdict
    return (
        f"{_time(record.started_at)} direction={record.direction} downstream={record.peer}"
        f" original_destination={record.destination} upstream={record.upstream if record.upstream.ip else '-'}"
        f" protocol={verdict.protocol} lane={verdict.lane} bytes_sent={sent} bytes_received={received}"
        f" duration_ms={record.age_s * 1000:.3f} close_reason={record.close_reason or _NONE}"
        f" lane_reason={_quoted(verdict.lane_reason)}"
    )


class AccessLog:
    """Writes to standard output, never waiting for its reader."""

    def __init__(self, *, json_lines: bool, fd: int = 1) -> None:
        self._format = as_json if json_lines else as_text
        self._quote = _as_json if json_lines else _quoted
        self._writer = LineWriter(fd)

    @property
    def dropped(self) -> int:
        """Lines lost because nobody read them in time."""
        return self._writer.dropped

    def closed(self, record: ConnectionRecord) -> None:
        self._writer.put(self._format(record))

    def rendered(self, lines: bytes, count: int) -> None:
        """Lines that the engine has rendered, to the same form (cext/engine/tell/log.c)."""
        self._writer.put_block(lines, count)

    def texts(self, verdict: Verdict) -> tuple[bytes, bytes, bytes]:
        """Protocol, lane and lane reason as they stand in a line."""
        reason = self._quote(verdict.lane_reason)
        return verdict.protocol.encode(), str(verdict.lane).encode(), reason.encode()

    def close(self) -> None:
        self._writer.close()


_NONE = '""'


def _time(moment: float) -> str:
    """When the connection began, in UTC with milliseconds."""
    milliseconds = int(moment * 1000)
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=64)
def _second(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%S}"


@lru_cache(maxsize=4096)
def _as_json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


@lru_cache(maxsize=4096)
def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if not value or any(c in value for c in ' "=') else value
