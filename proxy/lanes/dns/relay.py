"""Captured DNS over UDP: each question goes on to the servers of resolv.conf, one after the other until one answers.

Where a question was meant for is not known here: for UDP, netfilter tells the receiver only the address after
redirection. With `--dns resolvers` it was one of these servers anyway; with `--dns all` they answer in its place, as
Istio's agent does. DNS over TCP is relayed like any connection, to its original destination.
"""

import asyncio
import errno
import logging
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from proxy.core import dns
from proxy.errors import AddressInUse, ProxyError

SERVER_S = 2.0
"""How long one server may take before the next is asked. Below what resolvers wait for us (5 s)."""
MOST_OPEN = 1024
"""Questions under way. One more makes the oldest give up: under a flood the newest are those still waited for."""
RESOLV_CONF = "/etc/resolv.conf"
BATCH = 64

_IPV6_RECVPKTINFO = 49
_IPV6_PKTINFO = 50
_IP_PKTINFO = 8
_PKTINFO = {socket.AF_INET: (socket.IPPROTO_IP, _IP_PKTINFO), socket.AF_INET6: (socket.IPPROTO_IPV6, _IPV6_PKTINFO)}

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
    """Owns its sockets until `close`. Belongs to the event loop. `count` is told each question's outcome."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sockets: list[socket.socket], count: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._sockets = sockets
        self._count = count
        self._open: dict[int, _Question] = {}
        self._numbers = 0
        self._servers: list[tuple[str, int]] = []
        self._servers_of = -1

    def open(self) -> None:
        for sock in self._sockets:
            self._loop.add_reader(sock, self._take_batch, sock)

    def close(self) -> None:
        for sock in self._sockets:
            self._loop.remove_reader(sock)
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
            if not dns.is_question(datagram):
                self._count("malformed")
                continue
            self._ask(_Question(listener, datagram, asker, _from_there(listener, ancillary), self._known_servers()))

    def _ask(self, question: _Question) -> None:
        while len(self._open) >= MOST_OPEN:
            self._end(next(iter(self._open)), "dropped")
        self._numbers += 1
        self._open[self._numbers] = question
        self._try_next(self._numbers)

    def _try_next(self, number: int) -> None:
        """Ask the next server, or tell the asker that there is none left."""
        question = self._open[number]
        self._let_go(question)
        while question.servers:
            server = question.servers.pop(0)
            # A socket for each question, so that each goes from a port of its own: guessing it is the spoofer's work.
            upstream = socket.socket(
                socket.AF_INET6 if ":" in server[0] else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
            )
            try:
                upstream.connect(server)
                upstream.send(question.datagram)
            except OSError as failed:
                upstream.close()
                _log.debug("DNS server %s: %s", server[0], failed.strerror)
                continue
            question.upstream = upstream
            question.timer = self._loop.call_later(SERVER_S, self._try_next, number)
            self._loop.add_reader(upstream, self._hear, number, upstream)
            return
        self._answer(question, dns.failure(question.datagram))
        self._end(number, "failed")

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
            self._end(number, "answered")

    def _answer(self, question: _Question, datagram: bytes) -> None:
        """From the address that was asked: a wildcard socket would answer from whichever routing prefers."""
        try:
            question.listener.sendmsg([datagram], question.asked_at, 0, question.asker)
        except OSError as failed:
            _log.debug("answering %s: %s", question.asker[0], failed.strerror)

    def _end(self, number: int, outcome: str) -> None:
        self._let_go(self._open.pop(number))
        self._count(outcome)

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


def bind_dns(flag: str, port: int) -> list[socket.socket]:
    """UDP sockets on `port`, IPv4 and (where there is IPv6) IPv6. Raises AddressInUse or ProxyError."""
    made: list[socket.socket] = []
    try:
        for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            if family == socket.AF_INET6 and not _has_ipv6():
                continue
            sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            made.append(sock)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            sock.bind((host, port))
    except OSError as failed:
        for sock in made:
            sock.close()
        if failed.errno == errno.EADDRINUSE:
            raise AddressInUse(flag, f"UDP port {port}") from failed
        raise ProxyError(f"{flag}: can't serve DNS on UDP port {port}: {failed.strerror}") from failed
    return made


def _has_ipv6() -> bool:
    return os.path.exists("/proc/self/net/if_inet6")


def _from_there(listener: socket.socket, ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """The control message that makes an answer leave from the address at which the question arrived."""
    level, kind = _PKTINFO[socket.AddressFamily(listener.family)]
    for its_level, its_kind, data in ancillary:
        if (its_level, its_kind) == (level, kind):
            if level == socket.IPPROTO_IPV6:
                return [(level, kind, data[:16] + struct.pack("=I", 0))]
            # struct in_pktinfo: interface, the address to use (spec_dst), the header's address.
            return [(level, kind, struct.pack("=I", 0) + data[4:8] + struct.pack("=I", 0))]
    return []
