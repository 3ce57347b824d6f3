"""The access log: one line a connection and a request, when it ends, as text or as JSON (core/report)."""

from collections.abc import Callable

from proxy.core.decide.verdict import Verdict
from proxy.core.report.fields import json_line, text_line
from proxy.core.report.record import ConnectionRecord
from proxy.core.report.table import in_json, in_text
from proxy.telemetry.log_writer import LineWriter

Follower = Callable[[bytes, int], None]
"""Gets whole lines, and how many they are; must not wait."""


class AccessLog:
    """Writes to standard output, never waiting for its reader."""

    def __init__(self, *, json_lines: bool, fd: int = 1) -> None:
        self._json = json_lines
        self._format = json_line if json_lines else text_line
        self._writer = LineWriter(fd)
        self._followers: tuple[Follower, ...] = ()

    @property
    def dropped(self) -> int:
        """Lines lost because nobody read them in time."""
        return self._writer.dropped

    @property
    def is_json(self) -> bool:
        return self._json

    @property
    def content_type(self) -> str:
        return "application/x-ndjson" if self._json else "text/plain; charset=utf-8"

    def missed(self, lines: int) -> bytes:
        """The line that tells a follower that it was too slow for so many."""
        return b'{"dropped":%d}\n' % lines if self._json else b"dropped=%d\n" % lines

    def closed(self, record: ConnectionRecord) -> None:
        line = self._format(record)
        self._writer.put(line)
        if self._followers:
            self._tell(line.encode("utf-8", "backslashreplace") + b"\n", 1)

    def rendered(self, lines: bytes, count: int) -> None:
        """Lines that the engine has rendered, to the same form (cext/engine/tell/log.c)."""
        self._writer.put_block(lines, count)
        if self._followers:
            self._tell(lines, count)

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Have every line from now on told to `follower` too, until what this returns is called."""
        self._followers = (*self._followers, follower)

        def end() -> None:
            self._followers = tuple(one for one in self._followers if one is not follower)

        return end

    def texts(self, verdict: Verdict) -> tuple[bytes, bytes, bytes]:
        """Protocol, lane and lane reason as they stand in a line."""
        quote = in_json if self._json else in_text
        return verdict.protocol.encode(), str(verdict.lane).encode(), quote(verdict.lane_reason).encode()

    def close(self) -> None:
        self._writer.close()

    def _tell(self, lines: bytes, count: int) -> None:
        for follower in self._followers:
            follower(lines, count)
