"""Connections made only to learn whether capture works: where to aim them, and making one.

Aiming is pure. A probe never reaches anybody else's host, also where capture is broken: it goes to an address of this
namespace where the plan captures those, and otherwise carries a hop limit of 1.
"""

import errno
import os
import random
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address

from intercept.host.facts import HostFacts
from intercept.plan.explain import Connection, explain
from intercept.plan.rules import Plan

Address = IPv4Address | IPv6Address
Endpoint = tuple[Address, int]

# Documentation prefixes (RFC 5737, RFC 3849): nobody lives there.
NOWHERE: tuple[Address, ...] = (IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1"))
LOOPBACK: tuple[Address, ...] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
# Ports of probes: above well-known ones, below Linux' range for ephemeral ports.
PORTS = range(20_000, 32_000)
MOST_NETWORKS = 8
MOST_ANSWER = 4096
UNROUTABLE = {"ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT", "EINVAL", "EACCES"}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a probe goes. `local`: the address is this namespace's own."""

    address: Address
    port: int
    local: bool

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"


class Outcome(Enum):
    ANSWERED = "answered"
    NO_ROUTE = "no route"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """`prober`: where the connection came from, if it came to stand."""

    outcome: Outcome
    prober: Endpoint | None = None
    answer: bytes = b""
    detail: str = ""


def outbound_targets(
    plan: Plan, version: int, host: HostFacts, caller: Connection, rng: random.Random
) -> Iterator[Target]:
    """Destinations of IP `version` that `plan` steers to the outbound listener for `caller`, harmless ones first."""
    intent = plan.intent
    own = _dialable(host)
    networks = [network for network in intent.outbound.include_cidrs or () if network.version == version]
    elsewhere = [network[rng.randrange(min(network.num_addresses, 1 << 16))] for network in networks[:MOST_NETWORKS]]
    ports = [rng.choice(PORTS), *(ports.first for ports in intent.outbound.include_ports)]
    for address in (*own, *LOOPBACK, *NOWHERE, *elsewhere):
        if address.version != version:
            continue
        local = address in own or address.is_loopback
        for port in ports:
            decision = explain(plan, caller.to(address, port, local=local))
            if decision.listener == intent.listeners.outbound and decision.decision == "capture":
                yield Target(address, port, local)
                break


def _dialable(host: HostFacts) -> list[Address]:
    """Single addresses of this namespace that can be dialled without naming an interface."""
    single = (network[0] for network in host.own if network.num_addresses == 1)
    return [address for address in single if not (address.is_loopback or address.is_link_local)]


class Bystander:
    """Watches a probe being made: the base one looks on. Called from the thread that called `connect`."""

    def sockets(self) -> Sequence[socket.socket]:
        """What to serve meanwhile, each readable one with `serve`."""
        return ()

    def serve(self, ready: socket.socket) -> None: ...

    def connected(self, prober: Endpoint) -> None:
        """The connection stands, from this address of the prober's; it is not closed before this returns."""


def connect(
    target: Target,
    prepare: Callable[[], None],
    timeout_s: float,
    bystander: Bystander | None = None,
    source_port: int = 0,
) -> Result:
    """Connect from a forked process after `prepare` (which may join a cgroup, change the user); return what it heard.

    Call it from a process with one thread.
    """
    news, child_tells = os.pipe()
    child_hears, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(news)
        os.close(tell)
        _Prober(target, timeout_s, child_tells, child_hears).run(prepare, source_port)
    os.close(child_tells)
    os.close(child_hears)
    try:
        return _watch(news, tell, timeout_s, bystander or Bystander())
    finally:
        os.close(news)
        os.close(tell)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _watch(news: int, tell: int, timeout_s: float, bystander: Bystander) -> Result:
    """Serve the bystander until the child has told how it ended."""
    told = b""
    prober: Endpoint | None = None
    # Two waits of the child's (for the connection, for an answer), and a moment to tell of them.
    deadline = time.monotonic() + 2 * timeout_s + 1
    while (left := deadline - time.monotonic()) > 0:
        serving = {one.fileno(): one for one in bystander.sockets()}
        ready, _, _ = select.select([news, *serving], [], [], left)
        for fd in serving.keys() & set(ready):
            bystander.serve(serving[fd])
        if news in ready:
            piece = os.read(news, MOST_ANSWER)
            if not piece:
                return _ended(told, prober)
            told += piece
            if prober is None and told.startswith(b"from ") and b"\n" in told:
                line, _, told = told.partition(b"\n")
                prober = _endpoint(line)
                bystander.connected(prober)
                os.write(tell, b".")
    return Result(Outcome.FAILED, prober=prober, detail=f"no end within {timeout_s:g} s")


def _ended(told: bytes, prober: Endpoint | None) -> Result:
    kind, _, rest = told.partition(b" ")
    if kind == b"answer":
        return Result(Outcome.ANSWERED, prober, answer=rest)
    outcome = Outcome.NO_ROUTE if kind == b"no-route" else Outcome.FAILED
    return Result(outcome, prober, detail=rest.decode(errors="replace") or "the prober ended without a word")


def _endpoint(line: bytes) -> Endpoint:
    _, address, port = line.decode().split()
    return ip_address(address), int(port)


class _Prober:
    """In the child."""

    def __init__(self, target: Target, timeout_s: float, tells: int, hears: int) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._tells = tells
        self._hears = hears

    def run(self, prepare: Callable[[], None], source_port: int) -> None:
        """Never returns."""
        try:
            prepare()
        except Exception as error:  # whatever it raises has to reach the parent as words, and none means "no route"
            self._tell(f"failed {error}")
            os._exit(0)
        try:
            self._converse(source_port)
        except OSError as error:
            word = "no-route" if errno.errorcode.get(error.errno or 0, "") in UNROUTABLE else "failed"
            self._tell(f"{word} {error.strerror or error}")
        finally:
            os._exit(0)

    def _converse(self, source_port: int) -> None:
        address = self._target.address
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as prober:
            if not self._target.local:
                _stay_near(prober)
            if source_port:
                prober.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                prober.bind(("", source_port))
            prober.settimeout(self._timeout_s)
            prober.connect((str(address), self._target.port))
            host, port, *_ = prober.getsockname()
            self._tell(f"from {host} {port}\n")
            os.read(self._hears, 1)
            try:
                answer = prober.recv(MOST_ANSWER)
            except TimeoutError:
                answer = b""
            os.write(self._tells, b"answer " + answer)

    def _tell(self, text: str) -> None:
        os.write(self._tells, text.encode()[:MOST_ANSWER])


def _stay_near(prober: socket.socket) -> None:
    """The first router drops what a broken capture lets out."""
    if prober.family == socket.AF_INET6:
        prober.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
    else:
        prober.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
