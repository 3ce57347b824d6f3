"""Captured DNS over UDP: each question goes on to the servers of resolv.conf, one after the other until one answers.

Where a question was meant for is not known here: for UDP, netfilter tells the receiver only the address after
redirection. With `--dns resolvers` it was one of these servers anyway; with `--dns all` they answer in its place, as
Istio's agent does. DNS over TCP is relayed like any connection, to its original destination.

Only the workload is served: what arrives from elsewhere is dropped (askers.py). And a resolver on this host may send
our question back to us (queues.py).
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from proxy.core import dns
from proxy.lanes.dns.askers import Askers
from proxy.lanes.dns.queues import Queues

SERVER_S = 2.0
"""How long one server may take before the next is asked. Below what resolvers wait for us (5 s)."""
RESOLV_CONF = "/etc/resolv.conf"
BATCH = 64

_log = logging.getLogger("tidegate.dns")


@dataclass(slots=True)
class _Question:
    """One question under way. `upstream` is owned by it and connected to the server that is asked at present."""

    listener: socket.socket
    datagram: bytes
    asker: tuple[str, int]
    asked_at: list[tuple[int, int, bytes]]
    servers: list[tuple[str, int]]
    upstream: socket.socket | None = None
    timer: asyncio.TimerHandle | None = None


class DnsRelay:
    """Owns its sockets until `close`. Belongs to the event loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sockets: list[socket.socket], count: Callable[[str], None], most: int
    ) -> None:
        """count: told each question's outcome. most: questions under way. One more makes the oldest give up: under a
        flood the newest are those still waited for."""
        self._loop = loop
        self._sockets = sockets
        self._count = count
        self._open: dict[int, _Question] = {}
        self._most = most
        self._askers = Askers()
        self._queues = Queues()
        self._numbers = 0
        self._servers: list[tuple[str, int]] = []
        self._servers_of = -1

    def serve_interfaces(self, names: tuple[str, ...]) -> None:
        """Besides the workload, serve what arrives on these interfaces: their DNS is captured too."""
        self._askers.interfaces = names

    def open(self) -> None:
        for sock in self._sockets:
            self._loop.add_reader(sock, self._take_batch, sock)

    def step_back(self) -> None:
        """Take no more questions: another process does. Those under way are answered. Undone by `take_back`."""
        for sock in self._sockets:
            self._loop.remove_reader(sock)

    def take_back(self) -> None:
        self.open()

    def close(self) -> None:
        self.step_back()
        for sock in self._sockets:
            sock.close()
        for number in list(self._open):
            self._end(number, "dropped")
        self._sockets = []

    def _take_batch(self, listener: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                datagram, ancillary, _, asker = listener.recvmsg(dns.LARGEST, socket.CMSG_SPACE(64))
            except BlockingIOError:
                return
            except OSError as failed:
                # An ICMP error of an answer that we sent; it says nothing about the next question.
                _log.debug("receiving a question: %s", failed.strerror)
                continue
            answer_from = self._askers.admitted(ancillary)
            if answer_from is None:
                self._count("refused")
                continue
            if not dns.is_question(datagram):
                self._count("malformed")
                continue
            self._ask(_Question(listener, datagram, asker, answer_from, self._known_servers()))

    def _ask(self, question: _Question) -> None:
        while len(self._open) >= self._most:
            self._end(next(iter(self._open)), "dropped")
        self._numbers += 1
        self._open[self._numbers] = question
        self._try_next(self._numbers)

    def _try_next(self, number: int) -> None:
        """Ask the next server, or tell the asker that there is none left."""
        question = self._open[number]
        self._let_go(question)
        for waiting in self._queues.done(number):
            self._loop.call_soon(self._skip_server, waiting)
        while question.servers:
            server = question.servers[0]
            upstream: socket.socket | None = None
            try:
                # A socket for each question, so that each goes from a port of its own: guessing it is the spoofer's
                # work.
                family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
                upstream = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                upstream.connect(server)
                if _is_here(upstream, server) and not self._queues.may_ask(
                    number, server, dns.asked(question.datagram)
                ):
                    upstream.close()
                    return
                upstream.send(question.datagram)
            except OSError as failed:
                if upstream is not None:
                    upstream.close()
                _log.debug("DNS server %s: %s", server[0], failed.strerror)
                question.servers.pop(0)
                continue
            question.servers.pop(0)
            question.upstream = upstream
            question.timer = self._loop.call_later(SERVER_S, self._try_next, number)
            self._loop.add_reader(upstream, self._hear, number, upstream)
            return
        self._answer(question, dns.failure(question.datagram))
        self._end(number, "failed")

    def _skip_server(self, number: int) -> None:
        """The server did not answer the question that this one has waited behind, nor will it answer this one."""
        if number in self._open:
            self._open[number].servers.pop(0)
            self._try_next(number)

    def _hear(self, number: int, upstream: socket.socket) -> None:
        question = self._open[number]
        try:
            datagram = upstream.recv(dns.LARGEST)
        except BlockingIOError:
            return
        except OSError:  # refused: nobody serves DNS there
            self._try_next(number)
            return
        if dns.answers(datagram, question.datagram):
            self._answer(question, datagram)
            waiting = self._queues.done(number)
            self._end(number, "answered")
            for other in waiting:
                self._loop.call_soon(self._share, other, question, datagram)

    def _share(self, number: int, with_: _Question, datagram: bytes) -> None:
        """A question that waited behind another: the answer is its own, if it was put in the same words."""
        question = self._open.get(number)
        if question is None:
            return
        if question.datagram[2:] == with_.datagram[2:]:
            self._answer(question, question.datagram[:2] + datagram[2:])
            self._end(number, "answered")
        else:
            self._try_next(number)

    def _answer(self, question: _Question, datagram: bytes) -> None:
        """From the address that was asked: a wildcard socket would answer from whichever routing prefers."""
        try:
            question.listener.sendmsg([datagram], question.asked_at, 0, question.asker)
        except OSError as failed:
            _log.debug("answering %s: %s", question.asker[0], failed.strerror)

    def _end(self, number: int, outcome: str) -> None:
        self._let_go(self._open.pop(number))
        self._count(outcome)
        for waiting in self._queues.done(number):
            self._loop.call_soon(self._skip_server, waiting)

    def _let_go(self, question: _Question) -> None:
        if question.upstream is not None:
            self._loop.remove_reader(question.upstream)
            question.upstream.close()
            question.upstream = None
        if question.timer is not None:
            question.timer.cancel()
            question.timer = None

    def _known_servers(self) -> list[tuple[str, int]]:
        """A fresh list of resolv.conf's servers; the file is read again when it has changed."""
        try:
            changed = os.stat(RESOLV_CONF).st_mtime_ns
            if changed != self._servers_of:
                with open(RESOLV_CONF, encoding="utf-8", errors="replace") as file:
                    self._servers = [*filter(None, map(self._usable, dns.servers_in(file.read())))]
                self._servers_of = changed
        except OSError as failed:
            _log.warning("%s: %s", RESOLV_CONF, failed.strerror)
        return list(self._servers)

    def _usable(self, text: str) -> tuple[str, int] | None:
        try:
            ip_address(text.partition("%")[0])
        except ValueError:
            _log.warning("%s: %r is no address of a name server", RESOLV_CONF, text)
            return None
        return text, 53


def _is_here(upstream: socket.socket, server: tuple[str, int]) -> bool:
    """Whether the server that the socket is connected to is on this host."""
    address = ip_address(server[0].partition("%")[0])
    return address.is_loopback or address == ip_address(upstream.getsockname()[0].partition("%")[0])
