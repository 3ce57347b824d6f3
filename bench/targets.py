"""What tidegate promises against no proxy and against HAProxy, and how a run judges it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.summary import Run, Spread, figure, ratio

SPLICE = ("splice-nftables", "splice-ebpf", "engine-nftables", "engine-ebpf")
DIRECT = ("direct-ebpf",)


@dataclass(frozen=True, slots=True)
class Target:
    figure: str
    contestants: tuple[str, ...]
    bound: float
    at_least: bool
    """Else at most."""
    against: str | None = None
    """The contestant whose figure of the same round it is a ratio to; None: the bound is absolute."""


@dataclass(frozen=True, slots=True)
class Judgement:
    target: Target
    contestant: str
    measured: Spread | None
    met: bool | None
    """None: not measured."""


TARGETS = (
    Target("bulk1_gbit_s", DIRECT, 0.97, True, "none"),
    Target("keepalive_rps", DIRECT, 0.97, True, "none"),
    Target("short_conn_s", DIRECT, 0.97, True, "none"),
    Target("bulk1_gbit_s", SPLICE, 1.1, True, "haproxy-splice"),
    Target("bulk4_gbit_s", SPLICE, 1.1, True, "haproxy-splice"),
    Target("bulk1_proxy_us_per_gib", SPLICE, 1.0, False, "haproxy-splice"),
    Target("short_conn_s", SPLICE, 1.15, True, "haproxy"),
    Target("short_proxy_us_per_connection", SPLICE, 0.9, False, "haproxy"),
    Target("keepalive_p50_us", SPLICE, 1.0, False, "haproxy"),
    Target("memory_each_bytes", SPLICE, 8000, False),
)


def judge(runs: Sequence[Run], targets: Sequence[Target] = TARGETS) -> list[Judgement]:
    judged = []
    for target in targets:
        for contestant in target.contestants:
            if target.against is None:
                measured = figure(runs, contestant, target.figure)
            else:
                measured = ratio(runs, contestant, target.against, target.figure)
            judged.append(Judgement(target, contestant, measured, _met(target, measured)))
    return judged


def _met(target: Target, measured: Spread | None) -> bool | None:
    if measured is None:
        return None
    return measured.median >= target.bound if target.at_least else measured.median <= target.bound
