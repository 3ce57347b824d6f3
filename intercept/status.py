"""What `status` tells: what `init` put in force in this network namespace, and what became of it."""

import os
from collections.abc import Mapping
from types import MappingProxyType

from intercept import runs
from intercept.drift import drift_of_host
from intercept.host.facts import read_host
from intercept.in_force import INSPECTION_ORDER, found_in, living_runs, plan_again, read_stored
from intercept.intent.value import Value
from intercept.plan.stored import as_flags
from intercept.reach import Reach, listeners_as_dict, now_as_dict, reach_of


class Status(Value):
    active: bool
    mode: str = ""
    scope: Mapping[str, object] = MappingProxyType({})
    intent: Mapping[str, object] = MappingProxyType({})
    drift: tuple[str, ...] = ()
    not_captured: tuple[str, ...] = ()
    reach: Reach = MappingProxyType({})
    conntrack: dict[str, int] | None = None
    counters: Mapping[str, int] = MappingProxyType({})
    runs: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        return {
            "active": self.active,
            "mode": self.mode,
            "scope": dict(self.scope),
            "intent": dict(self.intent),
            "drift": list(self.drift),
            "not_captured": list(self.not_captured),
            "listeners": listeners_as_dict(self.reach),
            "now": now_as_dict(self.reach),
            "conntrack": self.conntrack,
            "counters": dict(self.counters),
            "runs": list(self.runs),
        }


def status() -> Status:
    """What `init` put in force here, and what became of it."""
    host = read_host()
    living = living_runs()
    for mode in INSPECTION_ORDER:
        found = found_in(mode, runs.PLAIN, host)
        if found is None:
            continue
        if not found.active:
            return Status(False, str(mode), drift=found.drift, conntrack=_conntrack(), runs=living)
        read, problem = read_stored(found.document)
        if read is None:
            scope: dict[str, object] = {"netns": _netns(), "cgroup": None}
            return Status(True, str(mode), scope, drift=(*found.drift, problem), conntrack=_conntrack(), runs=living)
        plan = plan_again(read, host)
        return Status(
            active=True,
            mode=str(read.mode),
            scope={"netns": _netns(), "cgroup": read.intent.cgroup, "families": list(read.families)},
            intent=dict(as_flags(read.intent)),
            drift=(*found.drift, *drift_of_host(read, host)),
            not_captured=(*plan.not_captured, *found.not_captured),
            reach=reach_of(plan, host, found),
            conntrack=_conntrack(),
            counters=found.counters,
            runs=living,
        )
    return Status(False, conntrack=_conntrack(), runs=living)


def _netns() -> str:
    return os.readlink("/proc/thread-self/ns/net")


def _conntrack() -> dict[str, int] | None:
    numbers = {}
    for key, file_name in (("count", "nf_conntrack_count"), ("max", "nf_conntrack_max")):
        try:
            with open(f"/proc/sys/net/netfilter/{file_name}", encoding="ascii") as file:
                numbers[key] = int(file.read())
        except OSError:
            return None
    return numbers
