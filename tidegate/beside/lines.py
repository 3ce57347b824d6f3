"""JSON lines from a proxy that may have been broken into: each is bounded, and what is no object is refused."""

import json
from collections.abc import Iterator
from typing import Any

from proxy.core.lower.kernel_messages import LONGEST_LINE, MessageError

Message = dict[str, Any]


class Lines:
    """Cuts a stream into messages. Keeps at most LONGEST_LINE bytes; a longer line is passed over."""

    def __init__(self) -> None:
        self._received = b""
        self._passing_over = False

    def take(self, data: bytes) -> Iterator[Message | MessageError]:
        """Every message that is complete now, or what is wrong with it."""
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            if self._passing_over:
                self._passing_over = False
            elif len(line) > LONGEST_LINE:
                yield _too_long()
            else:
                yield parsed(line)
        if len(self._received) > LONGEST_LINE:
            self._received = b""
            if not self._passing_over:
                self._passing_over = True
                yield _too_long()


def _too_long() -> MessageError:
    return MessageError(f"a line is longer than {LONGEST_LINE} bytes")


def parsed(line: bytes) -> Message | MessageError:
    """One line."""
    try:
        message = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as wrong:
        return MessageError(f"a line is no JSON: {wrong}")
    return message if isinstance(message, dict) else MessageError("a line is no JSON object")


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number")
