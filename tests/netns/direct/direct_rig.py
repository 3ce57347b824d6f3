"""What the direct lane's tests share: services pushed into a lab's capture, servers that tell who they are."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Iterator

from intercept.backends.ebpf.direct import services
from intercept.backends.kernel_lane import Balance, KernelCounters, KernelEndpoint, KernelService
from tests.lab import Lab
from tests.netns.ebpf.ebpf_support import PEER, made_in
from tests.netns.proxy.proxy_rig import Server, until

VIRTUAL = {socket.AF_INET: "10.96.0.1", socket.AF_INET6: "fd96::1"}
"""No route leads there but the default one, and nobody answers."""
PORT = 20000
FIRST = 20001


def service(
    endpoints: int = 1,
    *,
    family: int = socket.AF_INET,
    weights: tuple[int, ...] = (),
    balance: Balance = "round-robin",
    number: int = 7,
    affinity_s: int = 0,
    denied: bool = False,
    rate_per_s: float = 0,
    burst: int = 1,
) -> KernelService:
    """One at VIRTUAL:PORT whose endpoints are the lab's PEER at FIRST and the ports after it."""
    weights = weights or (1,) * endpoints
    return KernelService(
        id=number,
        ip=VIRTUAL[family],
        port=PORT,
        balance=balance,
        endpoints=tuple(KernelEndpoint(PEER[family], FIRST + i, weight) for i, weight in enumerate(weights)),
        affinity_s=affinity_s,
        denied=denied,
        rate_per_s=rate_per_s,
        burst=burst,
    )


def push(lab: Lab, *wanted: KernelService) -> None:
    with lab.app.entered():
        services.push(wanted)


def told(lab: Lab) -> dict[int, KernelCounters]:
    """By the endpoint's port; 0: of the service."""
    with lab.app.entered():
        return {row.port: row for row in services.telemetry()}


def settled(lab: Lab) -> dict[int, KernelCounters]:
    """When everything that was opened is closed: the last of it is the kernel's to finish after our close()."""

    def when_closed() -> dict[int, KernelCounters]:
        rows = told(lab)
        return rows if all(row.opened == row.closed for row in rows.values()) else {}

    found: dict[int, KernelCounters] = until(when_closed, "the last connection to be counted as closed")
    return found


def name_itself(sock: socket.socket) -> None:
    """Sends its port, and then reads until the client has finished."""
    sock.sendall(b"%d\n" % sock.getsockname()[1])
    while sock.recv(65536):
        pass


@contextlib.contextmanager
def servers(lab: Lab, count: int, family: int = socket.AF_INET) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for i in range(count):
            stack.enter_context(Server(lab.peer, PEER[family], FIRST + i, name_itself))
        yield


def call(lab: Lab, *, family: int = socket.AF_INET, source: str = "", host: str = "") -> int:
    """Call the service once. Returns the port of the server that answered."""
    with made_in(lab.app, family) as client:
        if source:
            client.bind((source, 0))
        client.connect((host or VIRTUAL[family], PORT))
        return int(client.makefile("rb").readline())


def calls(lab: Lab, count: int, *, family: int = socket.AF_INET) -> Counter[int]:
    return Counter(call(lab, family=family) for _ in range(count))


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
