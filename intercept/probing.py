"""Connections made only to learn whether capture works: where to aim them, and making one.

Aiming is pure. A probe never reaches anybody else's host, also where capture is broken: it goes to an address of this
namespace where the plan captures those, and otherwise carries a hop limit of 1.
"""

import os
import random
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address

from intercept.explain import Connection, explain
from intercept.host import HostFacts
from intercept.rules import Plan

Address = IPv4Address | IPv6Address

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
    outcome: Outcome
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


def connect(target: Target, prepare: Callable[[], None], timeout_s: float) -> Result:
    """Connect from a forked process after `prepare` (which may join a cgroup, change the user); return what it heard.

    Call it from a process with one thread.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _probe(target, prepare, timeout_s, writer)
    os.close(writer)
    told = b""
    try:
        deadline = time.monotonic() + timeout_s + 1
        while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
            piece = os.read(reader, MOST_ANSWER)
            if not piece:
                break
            told += piece
    finally:
        os.close(reader)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    kind, _, rest = told.partition(b" ")
    match kind:
        case b"answer":
            return Result(Outcome.ANSWERED, answer=rest)
        case b"no-route":
            return Result(Outcome.NO_ROUTE, detail=rest.decode())
        case b"failed":
            return Result(Outcome.FAILED, detail=rest.decode())
    return Result(Outcome.FAILED, detail=f"no answer within {timeout_s:g} s")


def _probe(target: Target, prepare: Callable[[], None], timeout_s: float, tell: int) -> None:
    """In the child, and it never returns."""
    try:
        prepare()
        os.write(tell, _converse(target, timeout_s))
    except Exception as error:  # whatever prepare() raises has to reach the parent as words
        os.write(tell, f"failed {error}".encode()[:MOST_ANSWER])
    finally:
        os._exit(0)


def _converse(target: Target, timeout_s: float) -> bytes:
    family = socket.AF_INET6 if target.address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as prober:
            if not target.local:
                _stay_near(prober)
            prober.settimeout(timeout_s)
            prober.connect((str(target.address), target.port))
            return b"answer " + prober.recv(MOST_ANSWER)
    except OSError as error:
        name = _name(error)
        return f"{'no-route' if name in UNROUTABLE else 'failed'} {error.strerror or error}".encode()


def _stay_near(prober: socket.socket) -> None:
    """The first router drops what a broken capture lets out."""
    if prober.family == socket.AF_INET6:
        prober.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
    else:
        prober.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)


def _name(error: OSError) -> str:
    import errno

    return errno.errorcode.get(error.errno or 0, "")
