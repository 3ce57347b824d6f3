"""The access log: one line a connection, when it closes, as text or as JSON."""

import json
import logging
from datetime import UTC, datetime

from proxy.core.record import ConnectionRecord
from proxy.telemetry.log_writer import QueuedHandler

_FIELDS = (
    "direction",
    "downstream",
    "original_destination",
    "upstream",
    "protocol",
    "lane",
    "bytes_sent",
    "bytes_received",
    "duration_ms",
    "close_reason",
    "lane_reason",
)


def as_json(record: ConnectionRecord) -> str:
    report = record.as_report()
    line = {"time": _time(record), **{name: report[name] for name in _FIELDS}}
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False)


def as_text(record: ConnectionRecord) -> str:
    """`key=value` pairs; a value with a blank or a quote in it stands in JSON's quotes."""
    report = record.as_report()
    return " ".join([_time(record), *(f"{name}={_quoted(str(report[name]))}" for name in _FIELDS)])


class AccessLog:
    """Writes to standard output through the stdlib logger `tidegate.access`, never waiting for its reader."""

    def __init__(self, *, json_lines: bool, fd: int = 1) -> None:
        self._format = as_json if json_lines else as_text
        self._handler = QueuedHandler(fd)
        self._handler.setFormatter(logging.Formatter("%(message)s"))
        self._logger = logging.getLogger("tidegate.access")
        self._logger.setLevel(logging.INFO)
        self._logger.propagate = False
        self._logger.addHandler(self._handler)

    @property
    def dropped(self) -> int:
        """Lines lost because nobody read them in time."""
        return self._handler.dropped

    def closed(self, record: ConnectionRecord) -> None:
        self._logger.info("%s", self._format(record))

    def close(self) -> None:
        self._logger.removeHandler(self._handler)
        self._handler.close()


def _time(record: ConnectionRecord) -> str:
    """When the connection began, in UTC with milliseconds."""
    moment = datetime.fromtimestamp(record.started_at, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if not value or any(c in value for c in ' "=') else value
