"""The face of capture: what the front door calls. Everything works on the network namespace that the caller is in."""

from collections.abc import Iterable

from intercept import runs
from intercept.backends import backend
from intercept.backends.persistence import persistently
from intercept.change_over import change_over, crosses
from intercept.choose_mode import choose_mode, presume_mode
from intercept.errors import BadInput, CaptureError
from intercept.host import passthrough_address
from intercept.host.facts import HostFacts, read_host
from intercept.in_force import INSPECTION_ORDER, found_in, has, installed, plan_in_force, plan_of, watched
from intercept.intent.intent import Intent, Mode
from intercept.intent.listeners import EVERY_LISTENER, Sign
from intercept.lock import changing_capture
from intercept.plan.build import Plan
from intercept.plan.stored import document_of
from intercept.results import Applied, Bound, Planned

__all__ = ["apply", "bind", "dry_run", "plan_for", "plan_in_force", "refresh_alive", "remove", "render", "watched"]

# What another mode left is removed after the new one is in force, rules before routes. nftables and tproxy share one
# table: applying tproxy has replaced what nftables had.
_SUCCEEDED = {
    Mode.EBPF: (Mode.IPTABLES, Mode.TPROXY, Mode.NFTABLES),
    Mode.NFTABLES: (Mode.EBPF, Mode.IPTABLES, Mode.TPROXY),
    Mode.IPTABLES: (Mode.EBPF, Mode.TPROXY, Mode.NFTABLES),
    Mode.TPROXY: (Mode.EBPF, Mode.IPTABLES),
}
_REMOVAL_ORDER = (Mode.EBPF, Mode.IPTABLES, Mode.TPROXY, Mode.NFTABLES)


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
        _remove_dead_runs(wait_s)
        host = _facts_for(intent)
        plan, why = choose_mode(intent, host)
        # Looked for beforehand, so that failing to look fails while nothing has been changed yet.
        succeeded = [mode for mode in _SUCCEEDED[plan.mode] if has(mode, name)]
        changed = _put_in_force(plan, host, name, wait_s) or added
        for mode in succeeded:
            changed = bool(_remove_from(mode, name, wait_s)) or changed
        if name == runs.PLAIN and not passthrough_address.needed(intent, host):
            changed = bool(passthrough_address.withdraw()) or changed
        left_out = _left_out(plan, name, host)
    return Applied(plan.mode, why, changed, list(plan.warnings), [*plan.not_captured, *left_out], plan)


def _left_out(plan: Plan, name: str, host: HostFacts) -> list[str]:
    """Listeners that could not be captured, said before `init` ends. Netfilter steers ports, so there are none; ebpf
    registers sockets where capture is scoped to a cgroup."""
    if plan.mode is not Mode.EBPF or plan.intent.cgroup is None:
        return []
    found = found_in(plan.mode, name, host)
    return list(found.not_captured) if found is not None else []


def _put_in_force(plan: Plan, host: HostFacts, name: str, wait_s: float) -> bool:
    """False: it was in force already."""
    for mode in INSPECTION_ORDER:
        if not crosses(mode, plan.mode) or installed(mode) is None:
            continue
        old = plan_of(mode, name, host)
        if old is None:
            continue
        change_over(old, plan, name=name, wait_s=wait_s)
        return True
    return backend(plan.mode).apply(plan, document_of(plan), name=name, wait_s=wait_s)


def bind(intent: Intent, *, name: str, wait_s: float = 5.0) -> Bound:
    """Like apply under a name of its own, for no longer than the calling process lives where the kernel can do it."""
    _check_cgroup(intent)
    with changing_capture(wait_s):
        _remove_dead_runs(wait_s)
        plan, why = choose_mode(intent, _facts_for(intent), lasting=False)
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
        there = installed(mode)
        if there is not None and name in there.names():
            there.refresh_alive(name, listening)
            return
    raise CaptureError(f"nothing is in force under the name {name}")


def _facts_for(intent: Intent) -> HostFacts:
    if intent.cgroup is None:
        return read_host()
    from intercept.host import cgroups

    return read_host()._replace(cgroup_id=cgroups.id_of(intent.cgroup))


def _check_cgroup(intent: Intent) -> None:
    if intent.cgroup is None:
        return
    from intercept.host import cgroups

    if not cgroups.exists(intent.cgroup):
        raise BadInput("--cgroup", intent.cgroup, f"a folder that exists below {cgroups.mount_point()}")


def _remove_dead_runs(wait_s: float) -> None:
    """Rules of runs that were killed together with their guardians. What other modes have the kernel removes itself."""
    there = installed(Mode.IPTABLES)
    for name in there.names() if there else ():
        if runs.is_run(name) and not runs.lives(name):
            _remove_from(Mode.IPTABLES, name, wait_s)


def _remove_from(mode: Mode, name: str, wait_s: float) -> list[str]:
    there = installed(mode)
    return persistently(lambda: there.remove(name, wait_s=wait_s)) if there else []


def _removable(mode: Mode, name: str | None) -> list[str]:
    if name is not None:
        return [name]
    there = installed(mode)
    return [one for one in there.names() if not runs.lives(one)] if there else []
