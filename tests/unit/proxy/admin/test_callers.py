"""Whose socket is at the other end: as the kernel says, and never on the word of a socket that nobody owns any more."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from proxy.admin import callers
from proxy.admin.callers import Callers
from proxy.core.addresses import from_sockaddr


@pytest.fixture
def asked() -> Iterator[Callers]:
    made = Callers()
    yield made
    made.close()


@pytest.fixture(params=["sock_diag", "proc"])
def uid_of(request: pytest.FixtureRequest, asked: Callers, monkeypatch: pytest.MonkeyPatch) -> Callers:
    if request.param == "proc":
        monkeypatch.setattr(Callers, "_ask", lambda *_: None)
    return asked


def pair(family: socket.AddressFamily, host: str) -> tuple[socket.socket, socket.socket, socket.socket]:
    listener = socket.create_server((host, 0), family=family)
    client = socket.socket(family)
    client.connect(listener.getsockname())
    server, _ = listener.accept()
    return listener, client, server


def ends(server: socket.socket) -> tuple[callers.Address, callers.Address]:
    return from_sockaddr(server.getpeername()), from_sockaddr(server.getsockname())


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_the_owner_of_a_connected_socket(uid_of: Callers, family: socket.AddressFamily, host: str) -> None:
    listener, client, server = pair(family, host)
    with listener, client, server:
        assert uid_of.uid_of(*ends(server)) == os.getuid()
        client.shutdown(socket.SHUT_WR)  # as curl and nc do after the request
        assert uid_of.uid_of(*ends(server)) == os.getuid()


def test_an_ipv6_socket_that_speaks_ipv4(uid_of: Callers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_INET6) as client:
        client.connect(("::ffff:127.0.0.1", listener.getsockname()[1]))
        server, _ = listener.accept()
        with server:
            assert uid_of.uid_of(*ends(server)) == os.getuid()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to be somebody else")
def test_a_client_of_another_user(uid_of: Callers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = os.fork()
        if child == 0:
            os.setresuid(1000, 1000, 1000)
            with socket.create_connection(listener.getsockname()) as mine:
                mine.recv(1)
            os._exit(0)
        server, _ = listener.accept()
        with server:
            assert uid_of.uid_of(*ends(server)) == 1000
        os.waitpid(child, 0)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_socket_that_was_closed_belongs_to_nobody(uid_of: Callers, how: str) -> None:
    """The kernel shows uid 0 for it: a client must not become root by closing right after it has asked."""
    listener, client, server = pair(socket.AF_INET, "127.0.0.1")
    with listener, server:
        peer, local = ends(server)
        client.sendall(b"POST /quitquitquit")
        if how == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        time.sleep(0.05)
        assert uid_of.uid_of(peer, local) is None


def test_a_listener_at_the_clients_port_is_not_the_client(asked: Callers) -> None:
    """Where no connection has the four numbers, the kernel finds who listens at the address instead."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as other, socket.socket() as client:
        for sock in (client, other):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.bind(("127.0.0.1", 0))
        client.connect(listener.getsockname())
        other.bind(client.getsockname())
        other.listen()
        server, _ = listener.accept()
        with server:
            peer, local = ends(server)
            assert asked.uid_of(peer, local) == os.getuid()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            assert asked._ask(peer, local) is None
            assert asked.uid_of(peer, local) is None


def test_a_kernel_without_answers_is_said_once(
    asked: Callers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Callers, "_ask", lambda *_: None)
    listener, client, server = pair(socket.AF_INET, "127.0.0.1")
    with listener, client, server:
        for _ in range(3):
            assert asked.uid_of(*ends(server)) == os.getuid()
    assert caplog.text.count("tcp_diag") == 1
