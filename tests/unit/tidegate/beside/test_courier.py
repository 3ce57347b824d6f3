"""The courier takes changes to the kernel, and lives whatever it is told."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence, Set
from typing import Any

import pytest

from intercept.backends.kernel_lane import KernelCounters, KernelLane, KernelService
from intercept.errors import CaptureError
from proxy.core.lower.kernel_messages import CHANGE, LONGEST_LINE, MOST_SERVICES, ToldService, changes
from proxy.core.lower.kernel_reports import read
from tidegate.beside.courier import ALL_ENDED, Courier
from tidegate.beside.lines import Lines


class Kernel:
    """What stands in the kernel."""

    def __init__(self) -> None:
        self.services: dict[tuple[str, int], KernelService] = {}
        self.straight: Set[int] = frozenset()
        self.exchanged: list[tuple[list[tuple[str, int]], list[tuple[str, int]]]] = []
        self.fails = ""
        self.counters: list[KernelCounters] = []

    def push(self, services: Sequence[KernelService]) -> None:
        if self.fails:
            raise CaptureError(self.fails)
        self.services = {(one.ip, one.port): one for one in services}

    def exchange(self, services: Sequence[KernelService], gone: Collection[tuple[str, int]]) -> None:
        if self.fails:
            raise CaptureError(self.fails)
        self.exchanged.append(([(one.ip, one.port) for one in services], list(gone)))
        self.services |= {(one.ip, one.port): one for one in services}
        for key in gone:
            self.services.pop(key, None)

    def push_inbound(self, ports: Set[int]) -> None:
        self.straight = ports

    def lane(self) -> KernelLane:
        return KernelLane(self.push, self.exchange, lambda: self.counters, lambda _: [], self.push_inbound, list, list)


def told(number: int, *endpoints: str) -> ToldService:
    return ToldService(number, f"10.0.0.{number}", 80, False, tuple((one, 8080, 1) for one in endpoints), 0, (), 0, 1)


class World:
    def __init__(self) -> None:
        self.kernel = Kernel()
        self.said: list[str] = []
        self.courier = Courier(self.kernel.lane(), self.said.append, ALL_ENDED)
        self.lines = Lines()
        self.version = 0

    def hear(self, data: bytes) -> list[dict[str, Any] | None]:
        return [self.courier.hear(message) for message in self.lines.take(data)]

    def change(self, *services: ToldService, gone: Sequence[tuple[str, int]] = (), begin: bool = False) -> Any:
        self.version += 1
        messages = changes(self.version, services, gone, (80,), begin=begin)
        lines = [json.dumps({"event": CHANGE, **message}).encode() + b"\n" for message in messages]
        return next((one for one in reversed(self.hear(b"".join(lines))) if one is not None), None)


@pytest.fixture
def world() -> World:
    return World()


def test_changes_add_up_to_what_the_proxy_wants(world: World) -> None:
    assert world.change(told(1, "10.1.0.1"), told(2), begin=True) == {
        "op": "direct-pushed",
        "version": 1,
        "error": None,
        "refused": False,
    }
    assert world.kernel.straight == {80}
    world.change(told(1, "10.1.0.2"), told(3), gone=[("10.0.0.2", 80)])
    assert sorted(world.kernel.services) == [("10.0.0.1", 80), ("10.0.0.3", 80)]
    assert [one.ip for one in world.kernel.services["10.0.0.1", 80].endpoints] == ["10.1.0.2"]
    world.change(told(4), begin=True)
    assert sorted(world.kernel.services) == [("10.0.0.4", 80)]


def test_half_a_change_changes_nothing(world: World) -> None:
    world.change(told(1), begin=True)
    first, *_ = changes(2, [told(2)], (), None, begin=True)
    assert world.courier.deliver(json.loads(json.dumps(first))) is None
    assert sorted(world.kernel.services) == [("10.0.0.1", 80)]
    world.version = 2
    assert "begins before 2 is complete" in world.change(told(3))["error"]
    world.change(told(5), begin=True)
    assert sorted(world.kernel.services) == [("10.0.0.5", 80)]


@pytest.mark.parametrize(
    "line",
    [
        b"{not json",
        b"[1]",
        b'{"event": "direct-change"}',
        b'{"event": "direct-change", "version": NaN, "begin": true, "last": true}',
        b"[" * 100_000,
        b"\xff\xfe",
        json.dumps(
            {"event": CHANGE, "version": 1, "begin": True, "last": True, "services": [{"ip": "evil.example"}]}
        ).encode(),
    ],
)
def test_a_bad_message_is_refused_told_and_survived(world: World, line: bytes) -> None:
    world.change(told(1), begin=True)
    (answer,) = world.hear(line + b"\n")
    assert answer is not None
    assert answer["error"]
    assert "refused" in world.said[-1]
    assert sorted(world.kernel.services) == [("10.0.0.1", 80)]
    assert world.change(told(2))["error"] is None
    assert sorted(world.kernel.services) == [("10.0.0.1", 80), ("10.0.0.2", 80)]


def test_an_endless_line_is_not_kept(world: World) -> None:
    answers = [one for _ in range(200) for one in world.hear(b"x" * 65536)]
    assert len(answers) == 1
    assert len(world.lines._received) <= LONGEST_LINE
    assert world.hear(b"the rest\n") == []
    assert world.change(told(1), begin=True)["error"] is None


def test_too_many_services_are_refused(world: World) -> None:
    many = [ToldService(1 + n, f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 80, False, (), 0, (), 0, 1)
            for n in range(MOST_SERVICES + 1)]  # fmt: skip
    assert "are too many" in world.change(*many, begin=True)["error"]
    assert world.said == [
        f"a change of the direct lane is refused: services: {MOST_SERVICES + 1} are too many: "
        f"the direct lane takes {MOST_SERVICES}"
    ]
    assert world.kernel.services == {}
    assert world.change(told(1), begin=True)["error"] is None


def test_what_the_kernel_refuses_is_told_and_tried_again(world: World) -> None:
    world.kernel.fails = "no room"
    assert world.change(told(1), begin=True)["error"] == "no room"
    assert [one["error"] for one in world.courier.requests()] == ["no room"]
    assert world.said == ["the direct lane was not changed: no room"]
    world.kernel.fails = ""
    first, *_ = world.courier.requests()
    assert first["error"] is None
    assert sorted(world.kernel.services) == [("10.0.0.1", 80)]


def test_the_kernel_gets_only_what_differs(world: World) -> None:
    world.change(told(1), told(2), begin=True)
    world.kernel.exchanged.clear()
    world.change(told(3), gone=[("10.0.0.2", 80)])
    assert world.kernel.exchanged == [([("10.0.0.3", 80)], [("10.0.0.2", 80)])]
    world.kernel.fails = "no room"
    world.change(told(4))
    world.kernel.fails = ""
    world.change(told(5))
    assert sorted(world.kernel.exchanged[-1][0]) == [("10.0.0.4", 80), ("10.0.0.5", 80)]
    assert sorted(one[1] for one in world.kernel.services) == [80] * 4


def test_totals_are_told(world: World) -> None:
    world.change(told(1), begin=True)
    world.kernel.counters = [KernelCounters(1, "10.1.0.1", 80, opened=1), KernelCounters(1, "10.1.0.2", 80, opened=2)]
    (report,) = [read(one) for one in world.courier.requests() if "counters" in one]
    assert [(one.endpoint.ip, one.counts.opened) for one in report.counters] == [("10.1.0.1", 1), ("10.1.0.2", 2)]
