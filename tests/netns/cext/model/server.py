"""The server of a script: does with each request what its target asks for, and remembers which it got whole."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import Counter

from tests.netns.cext.http_world import head
from tests.netns.cext.model.script import Does, answer

_NO_ANSWER = (Does.HANGS_UP, Does.RESETS, Does.NONSENSE)
_ENDS = (Does.UNTIL_CLOSE, Does.SAYS_CLOSE, Does.LEAVES, Does.HANGS_UP, Does.CUT)


class ModelServer:
    def __init__(self) -> None:
        self.got: Counter[int] = Counter()
        """How often each request came, by its number."""
        self.spoiled: list[str] = []
        """Bodies that were not those that were sent."""
        self.busy = 0
        """Requests whose doing is not over, the end of their connection included."""
        self._lock = threading.Lock()

    def talk(self, sock: socket.socket) -> None:
        rest = b""
        while True:
            request, rest = head(sock, rest)
            if not request:
                return
            number = request.split(b"/", 2)[1]
            with self._lock:
                self.got[int(number)] += 1
                self.busy += 1
            goes_on = False
            try:
                rest, goes_on = self._serve(sock, request, rest)
            finally:
                if not goes_on:
                    sock.close()
                with self._lock:
                    self.busy -= 1
            if not goes_on:
                return

    def _serve(self, sock: socket.socket, request: bytes, rest: bytes) -> tuple[bytes, bool]:
        """What came behind the request; whether the connection goes on."""
        method, target, _ = request.split(b" ", 2)
        _, number, does, size = target.decode().split("/")
        told = answer(int(number), Does(does), int(size), method.decode())
        if Does(does) is Does.EARLY:
            sock.sendall(told)
        rest = self._body(sock, request, rest, number)
        return rest, self._do(sock, Does(does), told, is_head=method == b"HEAD")

    def _body(self, sock: socket.socket, request: bytes, rest: bytes, number: str) -> bytes:
        def need(count: int) -> None:
            nonlocal rest
            while len(rest) < count:
                part = sock.recv(65536)
                if not part:
                    raise ConnectionResetError
                rest += part

        body = b""
        if b"\r\nTransfer-Encoding: chunked" in request:
            while True:
                while b"\r\n" not in rest:
                    need(len(rest) + 1)
                size = int(rest[: rest.index(b"\r\n")], 16)
                rest = rest[rest.index(b"\r\n") + 2 :]
                need(size + 2)
                body, rest = body + rest[:size], rest[size + 2 :]
                if size == 0:
                    break
        elif b"\r\nContent-Length: " in request:
            size = int(request.partition(b"\r\nContent-Length: ")[2].split()[0])
            need(size)
            body, rest = rest[:size], rest[size:]
        if body != f"{number},".encode() * body.count(b","):
            with self._lock:
                self.spoiled.append(f"the body of {number}: {body[:60]!r}")
        return rest

    def _do(self, sock: socket.socket, does: Does, told: bytes, *, is_head: bool) -> bool:
        """False: the connection is over."""
        if does is Does.NONSENSE:
            sock.sendall(b"nonsense\r\n\r\n")
        elif does in (Does.CUT, Does.BROKEN):
            sock.sendall(told if is_head else told[:-1])
        elif does is Does.DRIPS:
            for at in range(0, len(told), max(1, len(told) // 4)):
                sock.sendall(told[at : at + max(1, len(told) // 4)])
                time.sleep(0.002)
        elif does is not Does.EARLY and does not in _NO_ANSWER:
            if does is Does.WAITS:
                time.sleep(0.02)
            sock.sendall(told)
        if does in (Does.RESETS, Does.BROKEN):
            time.sleep(0.01)  # what was said is read before the reset takes it away
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        return does not in _ENDS and does is not Does.NONSENSE
