"""Log lines that never make the event loop wait: a bounded queue and a thread that writes.

Our standard output and error may be pipes that somebody reads slowly, or not at all. Making them non-blocking is no
way out: the flag belongs to the open file, which we share with whoever started us.
"""

import logging
import os
import threading
from collections import deque

DEFAULT_LIMIT = 16384
_CLOSE_S = 1.0


class LineWriter:
    """Writes lines to a descriptor that it does not own. One that finds the queue full is dropped and counted in
    `dropped`; so is what can't be written because nobody reads any more."""

    def __init__(self, fd: int, limit: int = DEFAULT_LIMIT) -> None:
        self.dropped = 0
        self._fd = fd
        self._limit = limit
        self._lines: deque[str] = deque()
        self._blocks: deque[tuple[bytes, int]] = deque()
        self._in_blocks = 0
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._write_all, name="tidegate-log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """line: without its end."""
        if len(self._lines) + self._in_blocks >= self._limit:
            self.dropped += 1
            return
        self._lines.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def put_block(self, block: bytes, lines: int) -> None:
        """So many lines, each with its end."""
        if len(self._lines) + self._in_blocks >= self._limit:
            self.dropped += lines
            return
        self._in_blocks += lines
        self._blocks.append((block, lines))
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Write what is queued, for at most a second: a full pipe must not keep the process alive."""
        if not self._closing:
            self._closing = True
            self._wake.set()
            self._thread.join(_CLOSE_S)

    def _write_all(self) -> None:
        while not self._closing or self._lines or self._blocks:
            self._wake.wait()
            self._wake.clear()
            while self._blocks:
                block, lines = self._blocks[0]
                try:
                    self._write(block)
                except OSError:
                    self.dropped += lines
                self._blocks.popleft()
                self._in_blocks -= lines
            while self._lines:
                # Lines are taken only as they are written: those in a batch still count against the limit.
                batch = list(self._lines)[:256]
                try:
                    self._write("\n".join(batch).encode("utf-8", "backslashreplace") + b"\n")
                except OSError:
                    self.dropped += len(batch)
                for _ in batch:
                    self._lines.popleft()

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]


class QueuedHandler(logging.Handler):
    """The same for log records."""

    def __init__(self, fd: int, limit: int = DEFAULT_LIMIT) -> None:
        self._writer = LineWriter(fd, limit)  # first: where no thread can be started, logging must not know of us
        super().__init__()

    @property
    def dropped(self) -> int:
        return self._writer.dropped

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.put(self.format(record))

    def close(self) -> None:
        self._writer.close()
        super().close()
