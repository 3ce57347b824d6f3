"""Who is compared. To add one: a function that starts it in a world, and a line in CONTESTANTS."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import rivals
from bench.processes import Program, run
from bench.world import PROXY_PORT, PROXY_UID, World

TIDEGATE = str(Path(sys.executable).with_name("tidegate"))
Start = Callable[[World, int], contextlib.AbstractContextManager[Program | None]]
"""Starts it in the pod, with that many threads for bytes; yields the program whose session is the proxy, up and with
capture in force, or None."""


@dataclass(frozen=True, slots=True)
class Contestant:
    name: str
    title: str
    start: Start
    proxied: bool = True
    """Whether the service sees connections of a proxy; otherwise the client's own. Checked before each measurement."""


@contextlib.contextmanager
def nothing(_where: World, _threads: int) -> Iterator[None]:
    yield None


@contextlib.contextmanager
def rival(where: World, threads: int, make: Callable[[World, int], Program]) -> Iterator[Program]:
    with make(where, threads) as program:
        yield program


def haproxy(*options: str) -> Start:
    return partial(rival, make=lambda where, threads: rivals.haproxy(where, threads, *options))


@contextlib.contextmanager
def captured(where: World, mode: str, program: Program) -> Iterator[Program]:
    """`tidegate init` for as long as the block lasts, behind it a proxy that listens."""
    where_flags = ["--netns", where.pod]
    with program:
        run(where.pod, [TIDEGATE, "init", "--mode", mode, "--include-inbound-ports", "", *where_flags], 20)
        try:
            program.wait_listening(PROXY_PORT)
            yield program
        finally:
            run(where.pod, [TIDEGATE, "cleanup", *where_flags], 20)


def sidecar(mode: str, lane: str) -> Start:
    """`tidegate proxy` as an operator starts it."""

    def start(where: World, threads: int) -> contextlib.AbstractContextManager[Program]:
        argv = [TIDEGATE, "proxy", "--lane", lane, "--workers", str(threads), "--drain-timeout", "0"]
        return captured(where, mode, Program(where.pod, argv, quiet=True))

    return start


def engine(mode: str) -> Start:
    """The engine's accepting lane alone (bench/engine_proxy.py)."""

    def start(where: World, threads: int) -> contextlib.AbstractContextManager[Program]:
        argv = [sys.executable, "-m", "bench.engine_proxy", str(PROXY_PORT), str(threads), str(PROXY_UID)]
        return captured(where, mode, Program(where.pod, argv))

    return start


CONTESTANTS = (
    Contestant("none", "no proxy", nothing, proxied=False),
    Contestant("haproxy", "HAProxy tcp, splice-auto", haproxy("option splice-auto")),
    Contestant(
        "haproxy-splice", "HAProxy tcp, splicing forced", haproxy("option splice-request", "option splice-response")
    ),
    Contestant("nginx", "nginx stream", partial(rival, make=rivals.nginx_stream)),
    Contestant("splice-nftables", "tidegate proxy, splice, nftables", sidecar("nftables", "splice")),
    Contestant("splice-ebpf", "tidegate proxy, splice, eBPF", sidecar("ebpf", "splice")),
    Contestant("engine-nftables", "tidegate's engine alone, nftables", engine("nftables")),
    Contestant("engine-ebpf", "tidegate's engine alone, eBPF", engine("ebpf")),
)
