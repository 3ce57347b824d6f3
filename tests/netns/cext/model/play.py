"""Plays the clients of a script side by side and says what is wrong with what they heard."""

from __future__ import annotations

import itertools
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.netns.cext.model.script import Client, Ends, Request, answer

_NUMBERS = itertools.count(1)
NO_ANSWER = 0


@dataclass
class Played:
    """What became of a script. statuses: by request, NO_ANSWER where the connection ended before."""

    wrong: list[str] = field(default_factory=list)
    requests: dict[int, Request] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)


class _Heard:
    """A client's side of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._got = b""
        self.is_over = False
        """The proxy has said that it closes."""

    def more(self) -> bool:
        part = b""
        with suppress(ConnectionResetError):
            part = self._sock.recv(65536)
        self._got += part
        return part != b""

    def take(self, wanted: bytes) -> bytes:
        """As many bytes as are wanted, or fewer: the end has come. Stops at the first that differs."""
        while len(self._got) < len(wanted) and wanted.startswith(self._got) and self.more():
            pass
        taken, self._got = self._got[: len(wanted)], self._got[len(wanted) :]
        return taken

    def ours(self, *, to_head: bool) -> int:
        """The status of an answer that the proxy gave by itself; NO_ANSWER: the end has come, or it is none."""
        while b"\r\n\r\n" not in self._got:
            if not self.more():
                return NO_ANSWER
        head, _, self._got = self._got.partition(b"\r\n\r\n")
        self.is_over = b"\r\nconnection: close" in head
        found = re.fullmatch(rb"HTTP/1.1 (50[234]) .*\r\ncontent-length: (\d+)\r\n.*", head, re.DOTALL)
        if found is None:
            return NO_ANSWER
        while not to_head and len(self._got) < int(found[2]) and self.more():
            pass
        self._got = self._got[0 if to_head else int(found[2]) :]
        return int(found[1])

    def begins_with(self, text: bytes) -> bool:
        while len(self._got) < len(text) and text.startswith(self._got) and self.more():
            pass
        return self._got.startswith(text)

    def ends(self) -> bool:
        return self._got == b"" and not self.more()


class _Player:
    """One client. pooled: its upstream connections are everybody's; lossy: some server leaves without saying so."""

    def __init__(self, sock: socket.socket, played: Played, *, pooled: bool, lossy: bool) -> None:
        self._sock = sock
        self._heard = _Heard(sock)
        self._played = played
        self._pooled = pooled
        self._lossy = lossy
        self._left = False

    def talk(self, client: Client) -> str:
        """What is wrong; empty: nothing."""
        for index, batch in enumerate(client.batches):
            numbered = [(next(_NUMBERS), request) for request in batch]
            self._played.requests.update(numbered)
            sent = b"".join(request.wire(number) for number, request in numbered)
            step = client.cut if len(sent) < 20_000 else len(sent)
            with suppress(OSError):  # the connection may end while it is sent to
                for at in range(0, len(sent), step):
                    self._sock.sendall(sent[at : at + step])
                if client.half_closes and index == len(client.batches) - 1:
                    self._sock.shutdown(socket.SHUT_WR)
            for number, request in numbered:
                complaint, status = self._hear(number, request)
                self._played.statuses[number] = status
                is_last = status == request.status and request.ends in (Ends.LAST, Ends.PART)
                if complaint or status == NO_ANSWER or is_last or self._heard.is_over:
                    return complaint
                self._left = self._left or request.leaves
        return ""

    def _hear(self, number: int, request: Request) -> tuple[str, int]:
        heard = self._heard
        may_end = self._left and not self._pooled
        may_be_lost = self._lossy and not request.repeats
        if request.ends in (Ends.OURS_502, Ends.OURS_503):
            status = heard.ours(to_head=request.method == "HEAD")
            allowed = (
                {int(request.ends.value)} | ({503} if may_be_lost else set()) | ({NO_ANSWER} if may_end else set())
            )
            return ("" if status in allowed else f"{number} got {status}"), status
        if may_be_lost and heard.begins_with(b"HTTP/1.1 503 "):
            return "", heard.ours(to_head=request.method == "HEAD")
        whole = answer(number, request.does, request.size, request.method)
        got = heard.take(whole)
        if got == b"" and may_end:
            return "", NO_ANSWER
        if request.ends is Ends.PART:
            is_part = whole.startswith(got) and got != whole and heard.ends()
            return ("" if is_part else f"{number} got {len(got)} of {len(whole)} and more"), request.status
        if got != whole:
            same = next((at for at in range(len(got)) if got[at : at + 1] != whole[at : at + 1]), len(got))
            return f"{number} differs at {same} of {len(whole)}: {got[same : same + 80]!r}", request.status
        if request.ends is Ends.LAST and not heard.ends():
            return f"{number} is followed by something", request.status
        return "", request.status


def play(clients: list[Client], dial: Callable[[], socket.socket], *, pooled: bool) -> Played:
    """All clients side by side. dial: a new connection of a client, with a time limit."""
    played = Played()
    lossy = any(request.leaves for client in clients for batch in client.batches for request in batch)

    def one(client: Client) -> None:
        with dial() as sock:
            try:
                complaint = _Player(sock, played, pooled=pooled, lossy=lossy).talk(client)
            except TimeoutError:
                complaint = "it waits for ever"
        if complaint:
            played.wrong.append(f"{complaint}: {client}")

    threads = [threading.Thread(target=one, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return played
