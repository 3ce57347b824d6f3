"""The last lines of a terminal, kept for us: what a command writes scrolls above them as if the terminal were smaller.

The terminal's own scroll region does it, so the command's bytes are neither read nor changed. Each change is one write:
what the command writes at the same moment comes before or after it."""

import contextlib
import os
from collections.abc import Sequence

LEAST_ROWS = 12
"""A smaller terminal is left to the command."""
MOST_LINES = 10
_SAVE, _RESTORE = "\x1b7", "\x1b8"


class Screen:
    """fd: a terminal. Use as a context manager; nothing happens while we are in the background."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._size: os.terminal_size | None = None
        """For which the region is set."""

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def room(self) -> tuple[int, int]:
        """Columns, and lines that may be shown; 0: the terminal is too small, or another has it at the moment."""
        try:
            size = os.get_terminal_size(self._fd)
            if os.tcgetpgrp(self._fd) != os.getpgrp():
                return size.columns, 0
        except OSError:
            return 80, 0
        return size.columns, 0 if size.lines < LEAST_ROWS else min(MOST_LINES, size.lines // 3)

    def show(self, lines: Sequence[str]) -> None:
        """lines: as many as `room` said at most, none wider."""
        columns, most = self.room()
        if most == 0:
            self.leave()
            return
        size = os.terminal_size((columns, most))
        rows = os.get_terminal_size(self._fd).lines
        text = ""
        if size != self._size:
            # Room is made first, so that what stands in the last lines scrolls up and is not written over.
            text += "" if self._size else "\n" * most + f"\x1b[{most}A"
            text += f"{_SAVE}\x1b[1;{rows - most}r{_RESTORE}"
            self._size = size
        shown = [*lines[:most], *[""] * (most - len(lines))]
        text += _SAVE + "".join(
            f"\x1b[{rows - most + 1 + number};1H\x1b[2K{line[:columns]}" for number, line in enumerate(shown)
        )
        self._write(text + _RESTORE)

    def leave(self) -> None:
        """The terminal is whole again, and our lines are gone."""
        if self._size is None:
            return
        with contextlib.suppress(OSError):
            rows = os.get_terminal_size(self._fd).lines
            self._write(f"{_SAVE}\x1b[r\x1b[{rows - self._size.lines + 1};1H\x1b[J{_RESTORE}")
        self._size = None

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal has gone, and with it its reader
            os.write(self._fd, text.encode("utf-8", "replace"))
