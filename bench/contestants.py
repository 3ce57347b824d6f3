"""Who is compared. To add one: a function that starts it in a world, and a line in CONTESTANTS."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import rivals
from bench.processes import BenchError, Program, run
from bench.world import ADDRESSES, BULK_PORT, HTTP_PORT, PROXY_PORT, PROXY_UID, World

DIRECT_S = 10.0
LARGEST_PIPE = 1 << 20
"""Of the kernel's pipe-max-size: HAProxy's strongest form."""
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


def haproxy(*options: str, tuning: tuple[str, ...] = ()) -> Start:
    return partial(rival, make=lambda where, threads: rivals.haproxy(where, threads, *options, tuning=tuning))


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


_SERVICES = """\
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: bench}}
spec:
  clusterIP: {ip}
  ports: [{{name: tcp-http, port: {http}}}, {{name: tcp-bulk, port: {bulk}}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, namespace: bench, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: tcp-http, port: {http}}}, {{name: tcp-bulk, port: {bulk}}}]
endpoints: [{endpoints}]
---
"""


def services() -> str:
    """A Service at each address of the world; its connections are balanced over all of them."""
    endpoints = ", ".join(f'{{addresses: ["{one}"]}}' for one in ADDRESSES)
    values = {"http": HTTP_PORT, "bulk": BULK_PORT, "endpoints": endpoints}
    return "".join(_SERVICES.format(name=f"s{n}", ip=ip, **values) for n, ip in enumerate(ADDRESSES))


@contextlib.contextmanager
def direct(where: World, threads: int) -> Iterator[Program]:
    """`tidegate proxy` with its companion, the services in the kernel, and nothing in the path."""
    config = where.home / "services.yaml"
    config.write_text(services())
    where.home.chmod(0o755)
    argv = [TIDEGATE, "proxy", "--config", str(config), "--workers", str(threads), "--drain-timeout", "0"]
    with captured(where, "ebpf", Program(where.pod, argv, quiet=True)) as program:
        _wait_direct(where)
        yield program
        if _carried(where) == 0:
            raise BenchError("nothing went by the direct lane")


def _wait_direct(where: World) -> None:
    """Until the companion has taken the services to the kernel: a connection shows it."""
    ask = [
        "/usr/bin/python3",
        "-c",
        f"import socket; socket.create_connection(('{ADDRESSES[0]}', {HTTP_PORT})).close()",
    ]
    deadline = time.monotonic() + DIRECT_S
    while _carried(where) == 0:
        if time.monotonic() > deadline:
            raise BenchError(f"no connection went by the direct lane within {DIRECT_S:g} s")
        run(where.pod, ask, 5)
        time.sleep(0.2)


def _carried(where: World) -> float:
    """Connections of the direct lane, as the proxy's metrics have them."""
    get = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:15020/metrics').read().decode())"
    lines = run(where.pod, ["/usr/bin/python3", "-c", get], 5).splitlines()
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in lines
        if line.startswith("tidegate_lane_connections_total{") and 'lane="direct"' in line
    )


CONTESTANTS = (
    Contestant("none", "no proxy", nothing, proxied=False),
    Contestant("haproxy", "HAProxy tcp, splice-auto", haproxy("option splice-auto")),
    Contestant(
        "haproxy-splice",
        "HAProxy tcp, splicing forced, pipes of 1 MB",
        haproxy("option splice-request", "option splice-response", tuning=(f"tune.pipesize {LARGEST_PIPE}",)),
    ),
    Contestant("envoy", "Envoy 1.40, tcp_proxy", partial(rival, make=rivals.envoy_tcp)),
    Contestant("nginx", "nginx stream", partial(rival, make=rivals.nginx_stream)),
    Contestant("splice-nftables", "tidegate proxy, splice, nftables", sidecar("nftables", "splice")),
    Contestant("splice-ebpf", "tidegate proxy, splice, eBPF", sidecar("ebpf", "splice")),
    Contestant("direct-ebpf", "tidegate, direct lane, eBPF", direct, proxied=False),
    Contestant("engine-nftables", "tidegate's engine alone, nftables", engine("nftables")),
    Contestant("engine-ebpf", "tidegate's engine alone, eBPF", engine("ebpf")),
)
