"""Captured DNS over UDP: who is served, and questions that would go round for ever."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.namespaces import Namespace
from tests.netns.proxy.proxy_rig import APP_V4, APP_V6, ProxyProcess, rules

pytestmark = pytest.mark.kernel
RESOLVER = "10.0.2.2"
STUB = "127.0.0.53"
CAPTURED = """
table inet dns_rig {
  chain out {
    type nat hook output priority -100
    meta skuid 1337 return
    udp dport 53 redirect to :15053
  }
  chain count {
    type filter hook output priority 0
    meta l4proto udp counter
  }
}
"""


def question(number: int, name: str = "web", more: bytes = b"") -> bytes:
    labels = bytes((len(name),)) + name.encode() + b"\0"
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!2H", 1, 1) + more


def answer(asked: bytes) -> bytes:
    return asked[:2] + b"\x81\x80" + asked[4:]


class UdpServer:
    """Gives each datagram to `handle`, in a thread of its own, with what sends the reply."""

    def __init__(
        self, namespace: Namespace, host: str, port: int, handle: Callable[[bytes, Callable[[bytes], None]], None]
    ) -> None:
        with namespace.entered():
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.bind((host, port))
        self._handle = handle
        self.asked: list[bytes] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            data, asker = self._socket.recvfrom(4096)
            if not data:
                return
            self.asked.append(data)

            def reply(text: bytes, asker: tuple[str, int] = asker) -> None:
                with contextlib.suppress(OSError):
                    self._socket.sendto(text, asker)

            threading.Thread(target=self._handle, args=(data, reply), daemon=True).start()

    def __enter__(self) -> UdpServer:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()


def ask(namespace: Namespace, host: str, port: int, asked: bytes, timeout: float = 1.0) -> bytes | None:
    with namespace.entered():
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(timeout)
        sock.sendto(asked, (host, port))
        try:
            return sock.recv(4096)
        except (TimeoutError, ConnectionRefusedError):
            return None


@contextlib.contextmanager
def proxy_with(lab: Lab, tmp_path: Path, *servers: str) -> Iterator[ProxyProcess]:
    file = tmp_path / "resolv.conf"
    file.write_text("".join(f"nameserver {one}\n" for one in servers))
    script = f'mount --bind {file} "$(readlink -f /etc/resolv.conf)" && exec "$@"'
    with ProxyProcess(lab, prefix=("unshare", "-m", "sh", "-c", script, "sh")) as proxy:
        yield proxy


def test_only_the_workload_is_served(lab: Lab, tmp_path: Path) -> None:
    with (
        UdpServer(lab.guest, RESOLVER, 53, lambda asked, reply: reply(answer(asked))) as resolver,
        proxy_with(lab, tmp_path, RESOLVER) as proxy,
    ):
        for host in (APP_V4, APP_V6):
            assert ask(lab.peer, host, 15053, question(1)) is None
        assert resolver.asked == []
        assert proxy.metric("tidegate_dns_questions_total", outcome="refused") == 2
        for host in ("127.0.0.1", "::1"):
            assert ask(lab.app, host, 15053, question(2)) == answer(question(2))
        with rules(lab.app, CAPTURED, "inet dns_rig"):
            assert ask(lab.app, "192.0.2.1", 53, question(3)) == answer(question(3))
        assert proxy.metric("tidegate_dns_questions_total", outcome="answered") == 3


def packets(lab: Lab) -> int:
    listing = lab.app.run(["nft", "list", "chain", "inet", "dns_rig", "count"]).stdout
    return int(listing.split("counter packets ")[1].split()[0])


def test_a_question_to_a_resolver_whose_own_questions_are_captured_does_not_go_round(lab: Lab, tmp_path: Path) -> None:
    def forward(asked: bytes, reply: Callable[[bytes], None]) -> None:
        """A stub resolver: asks the server that it knows, under an id of its own, and hands its answer on."""
        found = ask(lab.app, RESOLVER, 53, bytes((asked[0] ^ 0xFF,)) + asked[1:], timeout=5)
        if found is not None:
            reply(asked[:2] + found[2:])

    with (
        UdpServer(lab.guest, RESOLVER, 53, lambda asked, reply: reply(answer(asked))),
        proxy_with(lab, tmp_path, STUB),
        rules(lab.app, CAPTURED, "inet dns_rig"),
        UdpServer(lab.app, STUB, 53, forward),
    ):
        found = ask(lab.app, "192.0.2.1", 53, question(7), timeout=6)
        assert found is not None, "the asker is told"
        assert (found[:2], found[3] & 15) == (question(7)[:2], 2), "SERVFAIL"
        time.sleep(1)
        assert packets(lab) <= 10


def test_the_same_question_of_many_is_answered_to_all(lab: Lab, tmp_path: Path) -> None:
    """A resolver on this host has one at a time; those that wait get its answer, each under its own id."""

    def slowly(asked: bytes, reply: Callable[[bytes], None]) -> None:
        time.sleep(0.2)
        reply(answer(asked))

    asked = [question(number, more=b"" if number % 2 else b"\0\0\x29") for number in range(20)] + [question(20, "db")]
    with UdpServer(lab.app, STUB, 53, slowly) as stub, proxy_with(lab, tmp_path, STUB):
        found: dict[int, bytes | None] = {}

        def client(number: int) -> None:
            found[number] = ask(lab.app, "127.0.0.1", 15053, asked[number], timeout=5)

        threads = [threading.Thread(target=client, args=(number,)) for number in range(len(asked))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {number: answer(one) for number, one in enumerate(asked)}
        assert len(stub.asked) <= 8


def test_a_resolver_that_is_silent_leaves_it_to_the_next(lab: Lab, tmp_path: Path) -> None:
    with (
        UdpServer(lab.app, STUB, 53, lambda *_: None),
        UdpServer(lab.guest, RESOLVER, 53, lambda asked, reply: reply(answer(asked))),
        proxy_with(lab, tmp_path, STUB, RESOLVER),
    ):
        found: list[bytes | None] = []
        threads = [
            threading.Thread(target=lambda: found.append(ask(lab.app, "127.0.0.1", 15053, question(5), timeout=5)))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [answer(question(5))] * 3
