"""Who calls whom here, before capture is put in force or beside it: what there is to capture, and what would be."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from intercept.backends.ebpf.anchors import netns_cookie, open_anchors
from intercept.backends.ebpf.errors import require_capabilities, translated
from intercept.choose_mode import presume_mode
from intercept.errors import CaptureError, Unsupported
from intercept.host.cgroups import find_mount_point
from intercept.host.facts import HostFacts, read_host
from intercept.host.processes import process_id
from intercept.in_force import plan_in_force
from intercept.intent.intent import Intent
from intercept.intent.parsing import cgroup
from intercept.plan.explain import Connection, Decision
from intercept.plan.explain import explain as judge
from intercept.plan.rules import Plan

_PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp", 136: "udplite", 262: "mptcp"}


class Found(NamedTuple):
    """Calls of one process to one destination. `in_force`: decided by the capture in force, not by init's defaults."""

    pid: int
    name: str
    uid: int
    protocol: str
    destination: str
    calls: int
    decision: Decision
    in_force: bool

    def as_dict(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in ("pid", "name", "uid", "protocol", "destination", "calls")}
        judged = {"decision": self.decision.decision, "rule": self.decision.rule, "in_force": self.in_force}
        return {**plain, **judged}


class Discovered(NamedTuple):
    found: list[Found]
    lost: int
    """Calls that were not counted, for want of room."""


@contextmanager
def discovering(
    *, cgroup_text: str | None, pid_text: str | None, everywhere: bool
) -> Iterator[Callable[[], Discovered]]:
    """Counts for as long as the block lasts; calling what it yields tells what was counted so far.

    In this network namespace, or `everywhere`. Raises Unsupported, PrivilegeMissing, BadInput.
    """
    from bpf.trace import discover

    require_capabilities()
    pid = None if pid_text is None else process_id(pid_text)
    folder = None if cgroup_text is None else cgroup("--cgroup", cgroup_text, _mount_point())
    with translated(), open_anchors(folder) as anchors:
        try:
            discovery = discover.Discovery(anchors.workload, netns=None if everywhere else netns_cookie(), pid=pid)
        except discover.Unavailable as missing:
            raise Unsupported(str(missing)) from None
        try:
            yield lambda: _judged(discovery)
        finally:
            discovery.close()


def _mount_point() -> str | None:
    found = find_mount_point()
    return None if found is None else str(found)


def _judged(discovery: Any) -> Discovered:
    host = read_host()
    try:
        plan = plan_in_force(host)
    except CaptureError:
        plan = None
    defaults = presume_mode(Intent(), host)[0]
    found = [_found(call, plan or defaults, host, in_force=plan is not None) for call in discovery.calls()]
    return Discovered(sorted(found, key=lambda one: (-one.calls, one.name, one.destination)), discovery.lost())


def _found(call: Any, plan: Plan, host: HostFacts, *, in_force: bool) -> Found:
    protocol = _PROTOCOLS.get(call.protocol, str(call.protocol))
    version = call.address.version
    own = call.address.is_loopback or any(call.address in one for one in host.own if one.version == version)
    caller = Connection.outbound(uid=call.uid, gid=call.gid, protocol=protocol)
    decision = judge(plan, caller.to(call.address, call.port, local=own))
    text = f"[{call.address}]:{call.port}" if version == 6 else f"{call.address}:{call.port}"
    return Found(call.pid, call.name, call.uid, protocol, text, call.times, decision, in_force)
