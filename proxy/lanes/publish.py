"""Publishing: policy and health go down to every lane, by difference.

A thread compiles what differs; the event loop only exchanges values, a slice at a time. What comes while a publication
is under way is in the next one: only the last of it counts."""

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from proxy.core.decide.lane import Lanes
from proxy.core.lanes import Lane
from proxy.core.lower.lowering import Lowering, Publication
from proxy.core.policy.policy import NO_POLICY, Policy
from proxy.core.resilience.health import HEALTHY, Health
from proxy.lanes.direct.lane import DirectLane
from proxy.lanes.parsed.lane import Prepared, RequestLane
from proxy.lanes.punted.verdicts import Verdicts
from proxy.lanes.splice.lane import SpliceLane

SLICE_S = 0.003
"""Of the loop's time, until others get their turn."""
BURST_S = 0.002
"""The compiling thread lets go of the interpreter after so long: without, the loop would wait 5 ms for it each time."""
BREATH_S = 0.0001
LARGE = 200
"""Sites of a publication from which on the garbage collector is kept from looking at what is to stay."""

_log = logging.getLogger("tidegate.proxy")


class _Breath:
    """Belongs to the compiling thread; to be called often."""

    def __init__(self) -> None:
        self._since = 0.0

    def __call__(self) -> None:
        if time.monotonic() - self._since >= BURST_S:
            time.sleep(BREATH_S)
            self._since = time.monotonic()


class Publisher:
    """Belongs to the event loop. The lane that the operator forced is the one that `verdicts` begins with."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        verdicts: Verdicts,
        direct: DirectLane,
        splice: SpliceLane,
        requests: RequestLane | None = None,
    ) -> None:
        """requests: None where the engine decides no request."""
        self._loop = loop
        self._verdicts = verdicts
        self._wanted = verdicts.lanes
        self._direct = direct
        self._splice = splice
        self._requests = requests
        self.refused: Callable[[Policy, Exception], None] = lambda *_: None
        """Told of a policy that could not be published; what was in force before stays."""
        self.published: list[Callable[[Policy], None]] = []
        """Told of a policy that is in force in the proxy itself; the companion is told of it."""
        self._breathe = _Breath()
        self._lowering = Lowering(self._breathe)
        self._thread = ThreadPoolExecutor(1, "compile")
        self._policy = NO_POLICY
        self._health = HEALTHY
        self._wake = asyncio.Event()
        self._first = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._problem: str | None = "the first policy is being published"
        self._stand_in: Policy | None = None
        """In force in place of a first policy that could not be published."""

    @property
    def behind(self) -> str | None:
        """Why what is configured is not in force in every lane that it is for; None: it is. Later changes are no reason
        to be unready, as long as they can be made."""
        return self._problem or self._direct.behind

    def put_in_force(self, policy: Policy) -> None:
        """Publish a policy. It holds for new connections; open ones keep their verdict."""
        self._policy = policy
        self._wake.set()

    def set_health(self, health: Health) -> None:
        """Publish another health; the endpoints of a cluster of which it says nothing are whole."""
        self._health = health
        self._wake.set()

    def publish(self) -> None:
        """Other lanes are available: what is in force is published anew."""
        self._wake.set()

    async def start(self) -> None:
        """Publish what there is, and go on publishing; returns when the first of it is in force in the proxy itself."""
        self._wake.set()
        self._task = self._loop.create_task(self._run())
        await self._first.wait()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            before, policy, health = self._verdicts.policy, self._policy, self._health
            available = frozenset({Lane.SPLICE, Lane.PARSED} | ({Lane.DIRECT} if self._direct.available else set()))
            lanes = replace(self._wanted, available=available)
            try:
                with _collector_at_rest(self._is_large(policy)):
                    await self._publish(policy, lanes, health)
            except Exception as defect:
                # No document and no defect in compiling it may end publishing: the next change is taken.
                self._refuse(policy, before, defect)
            else:
                self._problem = self._problem if policy is self._stand_in else None
                for tell in self.published:
                    tell(policy)
            if not self._wake.is_set():
                self._first.set()

    async def _publish(self, policy: Policy, lanes: Lanes, health: Health) -> None:
        """Nothing of what was made for it is kept when this returns: of a large policy it is tens of megabytes."""
        made, prepared = await self._loop.run_in_executor(self._thread, self._compiled, policy, lanes, health)
        await self._exchange(made, prepared)

    def _refuse(self, policy: Policy, before: Policy, defect: Exception) -> None:
        """Take back what a publication has begun: the policy before it is published again, whole."""
        _log.error("policy %s could not be published; what was in force stays", policy.digest, exc_info=defect)
        if self._problem is not None:
            self._problem = f"the first policy could not be published: {defect!r}"
            self._stand_in = before
        self._lowering.distrust()
        if self._policy is policy and policy is not before:
            self._policy = before
            self._wake.set()
        self.refused(policy, defect)

    def _compiled(self, policy: Policy, lanes: Lanes, health: Health) -> tuple[Publication, Prepared | None]:
        """In the thread."""
        made = self._lowering.exchange(policy, lanes, health)
        if self._requests is None:
            return made, None
        return made, self._requests.prepared(made.policy, made.rulings, self._breathe)

    async def _exchange(self, made: Publication, prepared: Prepared | None) -> None:
        """The cheapest lane first: what a lane takes never reaches the next one. The rules for requests are there
        before the verdicts that name them, and go after those."""
        self._verdicts.exchange(made.policy, made.lanes, made.health, made.difference)
        await self._in_slices(self._direct.exchange(made.services, made.services_gone, made.straight))
        if self._requests is not None and prepared is not None:
            await self._in_slices(self._requests.exchange(prepared, made.health))
        await self._in_slices(self._splice.exchange(made.rulings, made.sites_gone))
        if self._requests is not None and prepared is not None:
            await self._in_slices(self._requests.forget(prepared, made.sites_gone))

    async def _in_slices(self, steps: Iterator[None]) -> None:
        end = time.monotonic() + SLICE_S
        for _ in steps:
            if time.monotonic() >= end:
                await asyncio.sleep(0)
                end = time.monotonic() + SLICE_S

    def _is_large(self, policy: Policy) -> bool:
        was = self._verdicts.policy
        return abs(len(policy.outbound) - len(was.outbound)) + abs(len(policy.inbound) - len(was.inbound)) > LARGE


@contextmanager
def _collector_at_rest(large: bool) -> Iterator[None]:
    """A collection looks at every object that lives, with the interpreter held: 0.2 s where there are ten thousand
    Services. What a large publication has made stays, so it is not looked at again and again."""
    if not large:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
