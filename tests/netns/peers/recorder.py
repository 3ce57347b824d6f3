"""A relay that remembers what went by: one stands before the proxy, one behind it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.lab.namespaces import Namespace


@dataclass
class Conversation:
    """One connection: what its client and its server said."""

    sent: bytearray = field(default_factory=bytearray)
    got: bytearray = field(default_factory=bytearray)


class Recorder:
    """Listens at a place in a namespace until the `with` block ends. dial: connects to where it leads.

    sent, got: all bytes of all connections in the order in which they came, which is an order of requests where the
    client makes one after the other.
    """

    def __init__(self, namespace: Namespace, place: tuple[str, int], dial: Callable[[], socket.socket]) -> None:
        with namespace.entered():
            self._listener = socket.create_server(place, backlog=100)
        self._dial = dial
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self.forget()
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def forget(self) -> None:
        self.conversations: list[Conversation] = []
        self.sent = bytearray()
        self.got = bytearray()

    def spoken(self) -> list[tuple[bytes, bytes]]:
        """Of the connections on which something was said."""
        with self._lock:
            return [(bytes(one.sent), bytes(one.got)) for one in self.conversations if one.sent or one.got]

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                thread = threading.Thread(target=self._relay, args=(sock,))
                self._threads.append(thread)
                thread.start()

    def _relay(self, client: socket.socket) -> None:
        conversation = Conversation()
        with client, contextlib.suppress(OSError), self._dial() as server, contextlib.ExitStack() as stack:
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            stack.callback(self._over, client, server)
            with self._lock:
                self.conversations.append(conversation)
            back = threading.Thread(target=self._pump, args=(server, client, conversation.got, self.got))
            back.start()
            self._pump(client, server, conversation.sent, self.sent)
            back.join()

    def _over(self, *socks: socket.socket) -> None:
        with self._lock:
            self._open.difference_update(socks)

    def _pump(self, source: socket.socket, sink: socket.socket, own: bytearray, all_: bytearray) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(1 << 16):
                with self._lock:
                    own += part
                    all_ += part
                sink.sendall(part)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
