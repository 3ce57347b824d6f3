"""Publishing survives any policy and any defect, and what is in force is the last that could be published."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from cext.engine.acceptor import Acceptor
from cext.engine.engine import Engine, EngineError
from cext.engine.values import Log, Verdict
from proxy.control.channel import ControlConnection
from proxy.control.direct import direct_operations
from proxy.core.addresses import OriginalDestination
from proxy.core.close_reason import CloseReason
from proxy.core.decide.lane import Lanes
from proxy.core.lanes import Direction, Lane
from proxy.core.lower import lowering
from proxy.core.policy.policy import NO_POLICY, Destination, Policy, Target, frozen
from proxy.core.resilience.health import Fitness, health
from proxy.lanes.direct.lane import DirectLane
from proxy.lanes.publish import Publisher
from proxy.lanes.punted.verdicts import Verdicts
from proxy.lanes.splice.lane import LaneEvents, SpliceLane
from proxy.lanes.splice.verdict_table import Defaults
from tests.unit.proxy.core.build import CLIENT, VIP, cluster, destination, endpoint


def ignored(*_: Any) -> None:
    return None


class Follower:
    """In place of a companion's connection."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def tell(self, event: str, **values: Any) -> None:
        self.told.append({"event": event, **values})


class World:
    def __init__(self, loop: asyncio.AbstractEventLoop, engine: Engine) -> None:
        self.refused: list[tuple[Policy, Exception]] = []
        self.verdicts = Verdicts(Lanes())
        self.direct = DirectLane(lambda: self.publisher.publish(), ignored, loop.call_soon)  # noqa: PLW0108
        self.set: list[tuple[int, Any, int]] = []
        events = LaneEvents(ignored, ignored, ignored, ignored, ignored)
        self.splice = SpliceLane(
            engine, [], Defaults(1.0, 0.0), events, log=Log.NONE, log_texts=lambda _: (b"", b"", b"")
        )
        self.publisher = Publisher(loop, self.verdicts, self.direct, self.splice)
        self.publisher.refused = lambda *refused: self.refused.append(refused)

    def follow(self, available: bool) -> Follower:
        follower = Follower()
        connection = cast(ControlConnection, follower)
        self.operations = direct_operations(self.direct, connection)
        self.operations["direct-follow"]({"available": available})
        return follower

    def upstream(self) -> str:
        return self.verdicts.first(Direction.OUTBOUND, VIP, CLIENT).upstream.ip


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, int]]:
    """What the engine's table was told: places, and how many endpoints they have."""
    found: list[tuple[Any, int]] = []
    real = Acceptor.set_verdict

    def spy(self: Acceptor, scope: int, place: Any, verdict: Verdict) -> None:
        found.append((place and place.ip, len(verdict.endpoints)))
        real(self, scope, place, verdict)

    monkeypatch.setattr(Acceptor, "set_verdict", spy)
    return found


def one_service(size: int = 2, *more: tuple[str, Destination]) -> Policy:
    claims = {(VIP.ip, VIP.port): destination(Target(1, cluster(size)))}
    claims |= {(ip, 80): each for ip, each in more}
    return Policy(frozen(claims.items()), clusters=(cluster(size),), digest=str(size))


def run(test: Callable[[World], Awaitable[None]]) -> None:
    async def whole() -> None:
        engine = Engine(threads=1, capacity=4)
        world = World(asyncio.get_running_loop(), engine)
        try:
            await asyncio.wait_for(test(world), 20)
        finally:
            world.publisher.close()
            engine.close()

    asyncio.run(whole())


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110  # there is no event: it is looked at from outside
        await asyncio.sleep(0.005)


def test_the_first_publication_is_in_force_when_it_has_started(told: list[tuple[Any, int]]) -> None:
    async def test(world: World) -> None:
        world.publisher.put_in_force(one_service())
        assert world.publisher.behind == "the first policy is being published"
        await world.publisher.start()
        assert world.publisher.behind is None
        assert world.verdicts.policy.digest == "2"
        assert sorted(found, key=str) == [(VIP.ip, 2), (None, 0), (None, 0)]
        found.clear()
        world.publisher.put_in_force(one_service(3))
        await until(lambda: found)
        assert found == [(VIP.ip, 3)]

    found = told
    run(test)


def test_a_defect_in_compiling_is_refused_and_the_next_policy_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(world: World) -> None:
        world.publisher.put_in_force(one_service())
        await world.publisher.start()
        bad, real = one_service(3), lowering.ruling

        def broken(one: Destination, *rest: Any) -> Any:
            if len(one.targets[0].cluster.endpoints) == 3:  # type: ignore[union-attr]
                raise ZeroDivisionError("a defect")
            return real(one, *rest)

        monkeypatch.setattr(lowering, "ruling", broken)
        world.publisher.put_in_force(bad)
        await until(lambda: world.refused)
        ((policy, defect),) = world.refused
        assert policy is bad
        assert isinstance(defect, ZeroDivisionError)
        assert world.verdicts.policy.digest == "2"
        assert world.publisher.behind is None
        world.publisher.put_in_force(one_service(1))
        await until(lambda: world.verdicts.policy.digest == "1")
        assert len(world.refused) == 1

    run(test)


def test_a_first_policy_that_cannot_be_published_keeps_it_unready(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(world: World) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(lowering, "balanced_service", lambda *_: 1 / 0)
            world.publisher.put_in_force(one_service())
            await world.publisher.start()
        assert world.publisher.behind is not None
        assert "could not be published" in world.publisher.behind
        assert world.verdicts.policy is NO_POLICY
        assert world.upstream() == VIP.ip
        world.publisher.put_in_force(one_service(1))
        await until(lambda: world.publisher.behind is None)
        assert world.upstream() == endpoint(1).ip

    run(test)


def test_what_the_engine_does_not_take_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(world: World) -> None:
        world.publisher.put_in_force(one_service())
        await world.publisher.start()
        real = Acceptor.set_verdict
        rulings: dict[Any, int] = {}

        def failing(self: Acceptor, scope: int, place: Any, verdict: Verdict) -> None:
            if place is not None and place.ip == "10.0.0.9":
                raise EngineError(12, "no memory")
            if place is not None:
                rulings[place.ip] = len(verdict.endpoints)
            real(self, scope, place, verdict)

        monkeypatch.setattr(Acceptor, "set_verdict", failing)
        world.publisher.put_in_force(one_service(3, ("10.0.0.9", destination(Target(1, cluster(1))))))
        await until(lambda: world.refused)
        await until(lambda: world.verdicts.policy.digest == "2")
        await until(lambda: rulings.get(VIP.ip) == 2)

    run(test)


def test_health_reaches_every_lane(told: list[tuple[Any, int]]) -> None:
    async def test(world: World) -> None:
        follower = world.follow(True)
        world.publisher.put_in_force(one_service())
        await world.publisher.start()
        assert world.publisher.behind == "the direct lane is being filled"
        await until(lambda: follower.told and follower.told[-1]["last"])
        world.operations["direct-pushed"]({"version": follower.told[-1]["version"], "error": None})
        assert world.publisher.behind is None
        found.clear()
        world.publisher.set_health(health([("web", endpoint(1), Fitness(0, "refuses"))]))
        await until(lambda: len(follower.told) > 2 and follower.told[-1]["last"])
        assert found == [(VIP.ip, 1)]
        services = [one for message in follower.told[2:] for one in message.get("services", ())]
        assert [[one[0] for one in service["endpoints"]] for service in services] == [[endpoint(2).ip]]
        assert {world.upstream() for _ in range(50)} == {endpoint(2).ip}

    found = told
    run(test)


def test_the_direct_lane_comes_and_goes() -> None:
    async def test(world: World) -> None:
        world.publisher.put_in_force(one_service())
        await world.publisher.start()
        follower = world.follow(True)
        await until(lambda: follower.told and follower.told[-1]["last"])
        assert follower.told[0]["begin"] is True
        assert Lane.DIRECT in world.verdicts.lanes.available
        world.operations["direct-follow"]({"available": False})
        await until(lambda: Lane.DIRECT not in world.verdicts.lanes.available)
        assert world.publisher.behind is None

    run(test)


def test_a_service_without_ready_endpoints_is_refused_not_passed_on() -> None:
    async def test(world: World) -> None:
        world.follow(True)
        world.publisher.put_in_force(one_service())
        await world.publisher.start()
        world.publisher.put_in_force(one_service(0))
        await until(lambda: world.verdicts.policy.digest == "0")
        assert world.refused == []
        verdict = world.verdicts.first(Direction.OUTBOUND, OriginalDestination(VIP), CLIENT)
        assert verdict.refusal is CloseReason.NO_ENDPOINTS

    run(test)
