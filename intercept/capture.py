"""The face of capture: what the front door calls. Everything works on the network namespace that the caller is in."""

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from intercept import runs, traces
from intercept.backends import MODULES, backend
from intercept.backends.contract import ALIVE_S, EVERY_LISTENER, Backend, Sign
from intercept.backends.persistence import persistently
from intercept.choose_mode import choose_mode, presume_mode
from intercept.errors import BadInput, CaptureError, Unsupported
from intercept.host import passthrough_address
from intercept.host.facts import HostFacts, read_host
from intercept.intent.intent import Intent, Ipv6, Mode
from intercept.lock import changing_capture
from intercept.plan.build import Plan, build
from intercept.plan.rules import INBOUND
from intercept.plan.stored import Document, Unreadable, as_flags, document_of, read_document
from intercept.results import Applied, Bound, Planned, Status, Watched

if TYPE_CHECKING:
    from intercept.plan.explain import Connection, Decision

__all__ = [
    "ALIVE_S",
    "Applied",
    "Bound",
    "Planned",
    "Status",
    "Watched",
    "apply",
    "bind",
    "choose_mode",
    "dry_run",
    "explain",
    "plan_for",
    "plan_in_force",
    "refresh_alive",
    "remove",
    "render",
    "status",
    "watched",
]

# What another mode left is removed after the new one is in force, rules before routes. nftables and tproxy share one
# table: applying tproxy has replaced what nftables had.
_SUCCEEDED = {
    Mode.EBPF: (Mode.IPTABLES, Mode.TPROXY, Mode.NFTABLES),
    Mode.NFTABLES: (Mode.EBPF, Mode.IPTABLES, Mode.TPROXY),
    Mode.IPTABLES: (Mode.EBPF, Mode.TPROXY, Mode.NFTABLES),
    Mode.TPROXY: (Mode.EBPF, Mode.IPTABLES),
}
_REMOVAL_ORDER = (Mode.EBPF, Mode.IPTABLES, Mode.TPROXY, Mode.NFTABLES)
# A table in tproxy mode is known by both tproxy and nftables; tproxy says more about it.
_INSPECTION_ORDER = (Mode.EBPF, Mode.IPTABLES, Mode.TPROXY, Mode.NFTABLES)


def plan_for(intent: Intent, host: HostFacts) -> Plan:
    """Pure. For AUTO the plan of the first mode that can express the intent."""
    return presume_mode(intent, host)[0]


def render(plan: Plan) -> str:
    """The plan in its backend's notation. Pure."""
    return backend(plan.mode).render(plan)


def dry_run(intent: Intent) -> Planned:
    """What `apply` would put in force. Needs no privilege and no tool."""
    host = read_host()
    plan, why = presume_mode(intent, host)
    return Planned(plan, why, render(plan) + passthrough_address.rendered(intent, host))


def apply(intent: Intent, *, wait_s: float = 5.0, name: str = runs.PLAIN) -> Applied:
    """Put the intent in force, in the place of whatever `name` had in force, in any mode. All or nothing.

    Raises Unsupported, PrivilegeMissing, CaptureError; what was in force before is then still in force.
    """
    _check_cgroup(intent)
    with changing_capture(wait_s), passthrough_address.in_place(intent) as added:
        host = read_host()
        plan, why = choose_mode(intent, host)
        # Looked for beforehand, so that failing to look fails while nothing has been changed yet.
        succeeded = [mode for mode in _SUCCEEDED[plan.mode] if _has(mode, name)]
        changed = _put_in_force(plan, host, name, wait_s) or added
        for mode in succeeded:
            changed = bool(_remove_from(mode, name, wait_s)) or changed
        if name == runs.PLAIN and not passthrough_address.needed(intent, host):
            changed = bool(passthrough_address.withdraw()) or changed
    return Applied(plan.mode, why, changed, list(plan.warnings), list(plan.not_captured), plan)


def _put_in_force(plan: Plan, host: HostFacts, name: str, wait_s: float) -> bool:
    """False: it was in force already."""
    from intercept import change_over as switching

    for mode in _INSPECTION_ORDER:
        if not switching.crosses(mode, plan.mode) or _built(mode) is None:
            continue
        old = _plan_of(mode, name, host)
        if old is None:
            continue
        switching.change_over(old, plan, name=name, wait_s=wait_s)
        return True
    return backend(plan.mode).apply(plan, document_of(plan), name=name, wait_s=wait_s)


def _plan_of(mode: Mode, name: str, host: HostFacts) -> Plan | None:
    """What this mode has in force under that name; None also where that is damaged."""
    there = _built(mode)
    found = there.inspect(name, _expected(host)) if there else None
    read, _ = _read(found.document) if found is not None and found.active else (None, "")
    return _plan_again(read, host) if read is not None else None


def bind(intent: Intent, *, name: str, wait_s: float = 5.0) -> Bound:
    """Like apply under a name of its own, for no longer than the calling process lives where the kernel can do it."""
    _check_cgroup(intent)
    with changing_capture(wait_s):
        plan, why = choose_mode(intent, read_host())
        held = backend(plan.mode).bind(plan, document_of(plan), name=name, wait_s=wait_s)
    return Bound(plan, why, held)


def remove(*, name: str | None = None, wait_s: float = 5.0) -> list[str]:
    """Remove what `name` has in force in any backend, left-overs of a crash too; what was removed, in words.

    None: everything of ours in this network namespace except what belongs to runs that live.
    """
    removed: list[str] = []
    with changing_capture(wait_s):
        # All looking comes before all removing, so that failing to look fails while nothing has been changed yet.
        found = [(mode, one) for mode in _REMOVAL_ORDER for one in _removable(mode, name)]
        for mode, one in found:
            removed += _remove_from(mode, one, wait_s)
        if name in (None, runs.PLAIN):
            removed += passthrough_address.withdraw()
    return removed


def refresh_alive(name: str = runs.PLAIN, listening: Iterable[Sign] = EVERY_LISTENER) -> None:
    """For `--when-down open`: whoever watches the proxy calls this each 0.3 s, with the listeners that are up.

    Needs CAP_NET_ADMIN. Raises CaptureError when nothing is in force under that name.
    """
    for mode in _REMOVAL_ORDER:
        there = _built(mode)
        if there is not None and name in there.names():
            there.refresh_alive(name, listening)
            return
    raise CaptureError(f"nothing is in force under the name {name}")


def status() -> Status:
    """What `init` put in force here, and what became of it."""
    host = read_host()
    living = _living_runs()
    for mode in _INSPECTION_ORDER:
        there = _built(mode)
        found = there.inspect(runs.PLAIN, _expected(host)) if there else None
        if found is None:
            continue
        if not found.active:
            return Status(False, str(mode), drift=found.drift, conntrack=_conntrack(), runs=living)
        read, problem = _read(found.document)
        if read is None:
            scope: dict[str, object] = {"netns": _netns(), "cgroup": None}
            return Status(True, str(mode), scope, drift=(*found.drift, problem), conntrack=_conntrack(), runs=living)
        plan = _plan_again(read, host)
        return Status(
            active=True,
            mode=str(read.mode),
            scope={"netns": _netns(), "cgroup": read.intent.cgroup, "families": list(read.families)},
            intent=dict(as_flags(read.intent)),
            drift=(*found.drift, *passthrough_address.drift(read.intent, host)),
            not_captured=plan.not_captured,
            conntrack=_conntrack(),
            counters=found.counters,
            runs=living,
        )
    return Status(False, conntrack=_conntrack(), runs=living)


def watched(host: HostFacts) -> Watched | None:
    """None: no capture of `init`'s is in force here."""
    for mode in _INSPECTION_ORDER:
        there = _built(mode)
        found = there.inspect(runs.PLAIN, _expected(host)) if there else None
        if found is None or not found.active:
            continue
        read, problem = _read(found.document)
        if read is None:
            return Watched(mode, (*found.drift, problem), None)
        drift = (*found.drift, *passthrough_address.drift(read.intent, host))
        return Watched(read.mode, drift, _plan_again(read, host))
    return None


def explain(connection: "Connection", intent: Intent | None) -> "Decision":
    """By the plan in force, or (intent given) by one that isn't, which needs no privilege.

    `connection.local` None is found out: for what is in force from this namespace's addresses; for an intent, an
    inbound connection is taken to be for this namespace.
    """
    from dataclasses import replace

    from intercept.plan.explain import Decision
    from intercept.plan.explain import explain as judge

    host = read_host()
    if intent is not None:
        plan = plan_for(intent, host)
        if connection.local is None and connection.direction == INBOUND:
            connection = replace(connection, local=True)
    else:
        in_force = plan_in_force(host)
        if in_force is None:
            return Decision("direct", None, "none", "no capture is in force in this network namespace", "none")
        plan = in_force
    if connection.local is None:
        own = any(connection.destination in one for one in host.own if one.version == connection.destination.version)
        connection = replace(connection, local=own)
    decision = judge(plan, connection)
    carried = intent is None and plan.mode is Mode.EBPF and decision.decision == "capture"
    past = _past_the_proxy(connection) if carried and connection.protocol == "tcp" else None
    return decision if past is None else replace(decision, reason=f"{decision.reason}; {past}")


def _past_the_proxy(connection: "Connection") -> str | None:
    from intercept.backends.ebpf.direct.told import told

    return told(inbound=connection.direction == INBOUND, ip=str(connection.destination), port=connection.port)


def _check_cgroup(intent: Intent) -> None:
    if intent.cgroup is None:
        return
    from intercept.host import cgroups

    if not cgroups.exists(intent.cgroup):
        raise BadInput("--cgroup", intent.cgroup, f"a folder that exists below {cgroups.mount_point()}")


def plan_in_force(host: HostFacts) -> Plan | None:
    """What `init` put in force here, made again from what is stored with it. CaptureError: it is damaged."""
    found = watched(host)
    if found is None:
        return None
    if found.plan is None:
        raise CaptureError(found.drift[-1])
    return found.plan


def _built(mode: Mode) -> Backend | None:
    """None: this mode can't have put anything in force here, or there is no such backend in this installation."""
    if not traces.may_have(mode):
        return None
    if mode in (Mode.NFTABLES, Mode.TPROXY) and not _nftables_can_be_asked():
        return None
    try:
        return backend(mode)
    except Unsupported:
        return None


def _nftables_can_be_asked() -> bool:
    """Without its library this installation has put nothing there; one that has it would have to take it away."""
    try:
        import nftables  # noqa: F401
    except ImportError:
        return False
    return True


def _remove_from(mode: Mode, name: str, wait_s: float) -> list[str]:
    there = _built(mode)
    return persistently(lambda: there.remove(name, wait_s=wait_s)) if there else []


def _removable(mode: Mode, name: str | None) -> list[str]:
    if name is not None:
        return [name]
    there = _built(mode)
    return [one for one in there.names() if not runs.lives(one)] if there else []


def _has(mode: Mode, name: str) -> bool:
    there = _built(mode)
    return there is not None and name in there.names()


def _living_runs() -> tuple[str, ...]:
    found: set[str] = set()
    for mode in MODULES:
        there = _built(mode)
        found.update(name for name in (there.names() if there else []) if runs.lives(name))
    return tuple(sorted(found))


def _read(document: str | None) -> tuple[Document | None, str]:
    if document is None:
        return None, "the intent stored with the rules is damaged: run init again"
    try:
        return read_document(document), ""
    except Unreadable as unreadable:
        return None, str(unreadable)


def _plan_again(read: Document, host: HostFacts) -> Plan:
    known = host._replace(resolvers=read.resolvers)
    if read.mode is Mode.IPTABLES and 6 not in read.families and read.intent.ipv6 is not Ipv6.OFF:
        known = known._replace(ip6tables_missing="ip6tables was missing when capture was put in force")
    return build(read.intent, known, read.mode)


def _expected(host: HostFacts) -> Callable[[str], Plan | None]:
    def expected(document: str) -> Plan | None:
        read, _ = _read(document)
        if read is None:
            return None
        try:
            return _plan_again(read, host)
        except CaptureError:
            return None

    return expected


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
