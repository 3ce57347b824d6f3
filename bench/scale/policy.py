"""`python -m bench.scale.policy`: how soon a change of policy is in force in engine and kernel, and at what cost.

A policy of many Services goes through the proxy's publisher: a real engine, and a courier in a process and a network
namespace of its own with real ebpf capture. Endpoints go and come; a probe measures how long the event loop was held.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import os
import random
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from typing import Any

import uvloop

from bench.rounds import say
from cext.engine.engine import Engine
from cext.engine.values import Log
from demo.network import Network
from proxy.control.channel import ControlConnection
from proxy.control.direct import direct_operations
from proxy.core.addresses import Address, UpstreamAddress
from proxy.core.decide.lane import Lanes
from proxy.core.policy.policy import Cluster, Destination, Policy, Protocol, Rule, ServiceName, Target, frozen
from proxy.lanes.direct.lane import DirectLane
from proxy.lanes.parsed.clusters import HealthEvents
from proxy.lanes.parsed.lane import Asking, RequestLane
from proxy.lanes.publish import Publisher
from proxy.lanes.punted.verdicts import Verdicts
from proxy.lanes.splice.lane import LaneEvents, SpliceLane
from proxy.lanes.splice.verdict_table import Defaults

TICK_S = 0.001
MARKS = {"changed_ms": 50.0, "held_ms": 10.0, "full_s": 4.0, "rss_mb": 160.0}
"""What is owed at 10,000 Services of 10 endpoints."""


def service(number: int, endpoints: int) -> Destination:
    name = ServiceName("bench", f"service-{number}")
    base = number * 16
    found = tuple(
        UpstreamAddress(Address(f"10.{128 + (base + n >> 16)}.{base + n >> 8 & 255}.{base + n & 255}", 8080))
        for n in range(endpoints)
    )
    cluster = Cluster(f"outbound|80||{name.host}", name, 80, found)
    return Destination(cluster.name, name, 80, Protocol.TCP, "port name tcp", (Rule((Target(1, cluster),)),))


def policy(services: int, endpoints: int) -> Policy:
    claims = [((f"10.{96 + (n >> 16)}.{n >> 8 & 255}.{n & 255}", 80), service(n, endpoints)) for n in range(services)]
    return Policy(frozen(claims), clusters=tuple(_cluster(one) for _, one in claims), digest="whole")


def changed(before: Policy, dice: random.Random, number: int) -> Policy:
    """An endpoint of a random Service goes, or one comes; all else is shared."""
    key = dice.choice(list(before.outbound))
    old = before.outbound[key]
    cluster = _cluster(old)
    endpoints = cluster.endpoints[:-1] if len(cluster.endpoints) > 8 else (*cluster.endpoints, _newcomer(number))
    new = replace(cluster, endpoints=endpoints)
    claims = dict(before.outbound) | {key: replace(old, rules=(Rule((Target(1, new),)),))}
    clusters = tuple(new if one is cluster else one for one in before.clusters)
    return Policy(frozen(claims.items()), clusters=clusters, digest=str(number))


def _cluster(one: Destination) -> Cluster:
    return next(target.cluster for target in one.targets if target.cluster is not None)


def _newcomer(number: int) -> UpstreamAddress:
    return UpstreamAddress(Address(f"11.0.{number >> 8 & 255}.{number & 255}", 8080))


class LoopProbe:
    """How late a timer is: for so long other callbacks, or other threads' Python, have held the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.lags: list[float] = []
        self._next()

    def _next(self) -> None:
        self._due = time.monotonic() + TICK_S
        self._timer = self._loop.call_later(TICK_S, self._rang)

    def _rang(self) -> None:
        self.lags.append(time.monotonic() - self._due)
        self._next()

    def taken(self) -> dict[str, float]:
        lags, self.lags = sorted(self.lags), []
        return {"held_ms": 1000 * lags[-1], "held_p999_ms": 1000 * lags[int(len(lags) * 0.999)]}


class Bench:
    def __init__(self, loop: asyncio.AbstractEventLoop, engine: Engine) -> None:
        def ignored(*_: Any) -> None:
            return None

        self.published: dict[str, float] = {}
        self.verdicts = Verdicts(Lanes())
        self.direct = DirectLane(lambda: self.publisher.publish(), ignored, loop.call_soon)  # noqa: PLW0108
        events = LaneEvents(ignored, ignored, ignored, ignored, ignored)
        texts = (b"tcp", b"splice", b"a reason of some length")
        self.requests = RequestLane(
            engine,
            Asking(),
            lambda cluster, endpoint: self.splice.request_group(cluster, endpoint),  # noqa: PLW0108
            HealthEvents(ignored, ignored),
            5.0,
        )
        self.splice = SpliceLane(
            engine,
            [],
            Defaults(5, 0),
            events,
            log=Log.TEXT,
            log_texts=lambda _: texts,
            number_of=self.requests.number,
        )
        self.publisher = Publisher(loop, self.verdicts, self.direct, self.splice, self.requests)
        self.publisher.refused = _defect
        self.publisher.published.append(self._published)
        self.probe = LoopProbe(loop)

    def _published(self, made: Policy) -> None:
        self.published[made.digest] = time.monotonic()

    async def in_force(self, made: Policy) -> None:
        """In the engine and in the kernel."""
        while made.digest not in self.published or not self.direct.settled:  # noqa: ASYNC110
            await asyncio.sleep(0.0005)

    async def connect(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        connection = ControlConnection({}, lambda: None)
        connection.operations |= direct_operations(self.direct, connection)
        await loop.connect_accepted_socket(lambda: connection, sock)


def _defect(_: Policy, defect: Exception) -> None:
    raise SystemExit(f"a defect: {defect!r}")


async def measure(bench: Bench, asked: argparse.Namespace, sock: socket.socket) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    made = await loop.run_in_executor(None, policy, asked.services, asked.endpoints)
    gc.collect()
    gc.freeze()
    found: dict[str, Any] = {"policy_rss_mb": rss_mb()}
    await bench.publisher.start()
    await bench.connect(sock)
    while not bench.direct.available:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    bench.probe.taken()
    began = time.monotonic()
    bench.publisher.put_in_force(made)
    await bench.in_force(made)
    found |= {"full_s": time.monotonic() - began, "full_engine_s": bench.published["whole"] - began}
    found |= {f"full_{key}": value for key, value in bench.probe.taken().items()} | {"rss_mb": rss_mb()}
    await asyncio.sleep(1)
    bench.probe.taken()
    dice, took, engine_took = random.Random(1), [], []
    for number in range(asked.changes):
        made = await loop.run_in_executor(None, changed, made, dice, number)
        began = time.monotonic()
        bench.publisher.put_in_force(made)
        await bench.in_force(made)
        took.append(1000 * (time.monotonic() - began))
        engine_took.append(1000 * (bench.published[made.digest] - began))
        await asyncio.sleep(0.02)
    found |= {"changed_ms": max(took), "changed_p50_ms": median(took), "engine_ms": max(engine_took)}
    found |= bench.probe.taken()
    return found | await sustain(bench, made, dice, asked) | {"rss_end_mb": rss_mb()}


async def sustain(bench: Bench, made: Policy, dice: random.Random, asked: argparse.Namespace) -> dict[str, Any]:
    """A hundred changes a second, whatever comes of them."""
    loop = asyncio.get_running_loop()
    began, cpu, count = time.monotonic(), time.process_time(), int(asked.rate * asked.seconds)
    waits, late = [], []
    published = len(bench.published)
    for number in range(count):
        made = await loop.run_in_executor(None, changed, made, dice, 10_000 + number)
        due = began + number / asked.rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        bench.publisher.put_in_force(made)
        if number % 50 == 49:
            told = time.monotonic()
            await bench.in_force(made)
            waits.append(1000 * (time.monotonic() - told))
        late.append(time.monotonic() - due)
    await bench.in_force(made)
    whole = time.monotonic() - began
    return {
        "sustained_per_s": count / whole,
        "sustained_publications": len(bench.published) - published,
        "sustained_ms": max(waits),
        "sustained_cpu": (time.process_time() - cpu) / whole,
    } | {f"sustained_{key}": value for key, value in bench.probe.taken().items()}


def rss_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


@contextlib.contextmanager
def courier(netns: str) -> Iterator[socket.socket]:
    """A process in the namespace with a courier and ebpf capture; our end of its channel."""
    enter = ["nsenter", f"--net=/run/netns/{netns}", sys.executable, "-P", "-m"]
    subprocess.run([*enter, "tidegate", "init", "--mode", "ebpf"], check=True, stdout=subprocess.DEVNULL)
    ours, theirs = socket.socketpair()
    argv = [*enter, "bench.scale.policy", "--courier", str(theirs.fileno())]
    child = subprocess.Popen(argv, pass_fds=[theirs.fileno()])
    theirs.close()
    try:
        yield ours
    finally:
        child.terminate()
        child.wait()
        subprocess.run([*enter, "tidegate", "cleanup"], check=True, stdout=subprocess.DEVNULL)


def carry(fd: int) -> None:
    """The courier's process: what the companion does once the capture is in force."""
    from intercept.backends.ebpf.direct import lane
    from tidegate.beside.courier import SOME_ENDED, Courier
    from tidegate.beside.lines import Lines

    channel, lines = socket.socket(fileno=fd), Lines()
    carrier = Courier(lane.pinned(), lambda text: print(text, file=sys.stderr), SOME_ENDED)

    def send(request: dict[str, Any]) -> None:
        channel.sendall(json.dumps(request).encode() + b"\n")

    send({"op": "direct-follow", "available": True})
    channel.settimeout(1.0)
    while True:
        try:
            data = channel.recv(1 << 16)
        except TimeoutError:
            for request in carrier.requests():
                send(request)
            continue
        if not data:
            return
        for message in lines.take(data):
            answer = carrier.hear(message)
            if answer is not None:
                send(answer)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.scale.policy", description=__doc__)
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--endpoints", type=int, default=10)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--courier", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.courier is not None:
        carry(asked.courier)
        return 0
    if os.geteuid() != 0:
        say("bench.scale.policy: needs root: it makes a network namespace and puts capture in force there")
        return 4
    with Network() as network, courier(network.app) as sock:
        engine = Engine(threads=1, capacity=1024)
        try:
            found = uvloop.run(_whole(engine, asked, sock))
        finally:
            engine.close()
    for name, value in found.items():
        mark = MARKS.get(name.removeprefix("full_").removeprefix("sustained_"), MARKS.get(name))
        say(f"{name:28} {value:10.2f}" + ("" if mark is None else f"   owed: {mark:g}"))
    return 0


async def _whole(engine: Engine, asked: argparse.Namespace, sock: socket.socket) -> dict[str, Any]:
    bench = Bench(asyncio.get_running_loop(), engine)
    try:
        return await measure(bench, asked, sock)
    finally:
        bench.publisher.close()


if __name__ == "__main__":
    sys.exit(main())
