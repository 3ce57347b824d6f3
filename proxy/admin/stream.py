"""Answers that go on: what is told is sent at once, and dropped, counted and told where the client does not keep up."""

from collections.abc import Callable

ROOM = 256 * 1024
"""Bytes that may wait for one client."""


class ClientSink:
    """The sink of one client. write: sends bytes, or keeps them; waiting: how many bytes it keeps."""

    def __init__(
        self,
        write: Callable[[bytes], None],
        waiting: Callable[[], int],
        missed: Callable[[int], bytes],
        *,
        chunked: bool,
    ) -> None:
        self._write = write
        self._waiting = waiting
        self._missed = missed
        self._chunked = chunked
        self.dropped = 0
        """Items lost since the client was last told of any."""

    def put(self, data: bytes, items: int = 1) -> None:
        if self._waiting() + len(data) > ROOM:
            self.dropped += items
            return
        if self.dropped:
            data = self._missed(self.dropped) + data
            self.dropped = 0
        if data:
            self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
