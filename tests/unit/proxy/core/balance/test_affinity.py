"""Session affinity is bounded."""

from __future__ import annotations

from proxy.core.balance.affinity import MAX_CLIENTS, Affinity
from tests.unit.proxy.core.build import endpoint


def test_clients_remembered_are_bounded() -> None:
    affinity = Affinity()
    for number in range(MAX_CLIENTS + 10):
        affinity.remember("x", str(number), endpoint(1), 10.0)
    assert affinity.remembered("x", "9", 0.0) is None
    assert affinity.remembered("x", "10", 0.0) == endpoint(1)
