"""What else is known of the command on the network: which process went where, and what was not captured.

The kernel counts it on the command's cgroup (bpf/seen.py), whatever the backend is. Where it can't, nothing is claimed.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from bpf.seen import BOUND, TCP, UDP, Observation, Seen
from cext.libbpf.libbpf import BpfError
from intercept.host.facts import HostFacts
from intercept.plan.explain import Connection, explain
from intercept.plan.rules import Plan
from proxy.core.addresses import Address

_DNS_PORT = 53


class NotCaptured(NamedTuple):
    """times: connections of TCP, packets of UDP. processes: names, where they are known."""

    protocol: str
    destination: str
    times: int
    reason: str
    processes: tuple[str, ...]

    def as_report(self) -> dict[str, object]:
        return {
            "protocol": self.protocol,
            "destination": self.destination,
            "count": self.times,
            "reason": self.reason,
            "processes": list(self.processes),
        }


class Observed(NamedTuple):
    callers: dict[str, tuple[str, ...]]
    """Names of the processes that asked for a destination, by `ip:port`."""
    listeners: dict[int, tuple[str, ...]]
    """Names of the processes that bound a TCP socket to a port."""
    not_captured: tuple[NotCaptured, ...]
    overflow: int
    """How much more found no room in the kernel's table."""


def begin(cgroup: Path) -> Observation | None:
    """Observe the processes of `cgroup`; call it before capture is put in force. None: the kernel does not let us."""
    try:
        return Observation(cgroup)
    except (BpfError, OSError):
        return None


def finish(observation: Observation, plan: Plan, host: HostFacts) -> Observed:
    """What was seen, judged by the plan that was in force."""
    found, overflow = observation.read()
    return judge(found, overflow, plan, host)


def judge(found: Iterable[Seen], overflow: int, plan: Plan, host: HostFacts) -> Observed:
    """Pure."""
    callers: defaultdict[str, set[str]] = defaultdict(set)
    listeners: defaultdict[int, set[str]] = defaultdict(set)
    counts: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for one in found:
        if one.protocol == BOUND:
            listeners[one.port].add(one.name)
            continue
        destination = str(Address(str(one.address), one.port))
        if one.protocol == TCP:
            callers[destination].add(one.name)
        reason = _why_not_captured(one, plan, host)
        if reason is not None:
            counts["tcp" if one.protocol == TCP else "udp", destination, reason] += one.times
    return Observed(
        {destination: tuple(sorted(names)) for destination, names in callers.items()},
        {port: tuple(sorted(names)) for port, names in listeners.items()},
        tuple(
            NotCaptured(protocol, destination, count, reason, _names(protocol, destination, callers))
            for (protocol, destination, reason), count in sorted(counts.items(), key=lambda item: -item[1])
        ),
        overflow,
    )


def _names(protocol: str, destination: str, callers: dict[str, set[str]]) -> tuple[str, ...]:
    return tuple(sorted(callers.get(destination, ()))) if protocol == "tcp" else ()


def _why_not_captured(one: Seen, plan: Plan, host: HostFacts) -> str | None:
    """None: it was captured."""
    own = any(one.address in network for network in host.own if network.version == one.address.version)
    if one.protocol == UDP and own and one.port == plan.intent.listeners.dns:
        return None  # a captured question, as it leaves after it was steered
    protocol = "tcp" if one.protocol == TCP else "udp"
    caller = Connection.outbound(uid=one.uid, gid=one.gid, protocol=protocol)
    decision = explain(plan, caller.to(one.address, one.port, local=own))
    if decision.decision == "capture":
        return None
    if one.protocol == UDP and decision.rule == "default":
        return "UDP; --dns captures questions to name servers" if one.port == _DNS_PORT else "UDP"
    return decision.reason
