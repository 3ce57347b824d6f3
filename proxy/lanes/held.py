"""Held destinations: while a probe is expected, the engine punts every connection to its destination, so that Python
sees the probe and can answer it."""

import time

from proxy.core.addresses import OriginalDestination
from proxy.core.decide.probes import ProbeRegistry
from proxy.lanes.splice.lane import SpliceLane


class HeldProbes:
    """Belongs to the event loop."""

    def __init__(self, registry: ProbeRegistry, lane: SpliceLane) -> None:
        self._registry = registry
        self._lane = lane
        self._held: set[OriginalDestination] = set()

    def expect(self, destination: OriginalDestination, token: str, lifetime_s: float) -> None:
        """Answer connections to `destination` with `token` for `lifetime_s` seconds. Raises ProbeError."""
        self._registry.expect(destination, token, time.monotonic(), lifetime_s)
        self._held.add(destination)
        self._lane.hold(destination)

    def release_expired(self) -> None:
        """Give destinations without a live probe back to the engine. Call it about once a second."""
        for destination in self._held - self._registry.expected(time.monotonic()):
            self._held.discard(destination)
            self._lane.release(destination)
