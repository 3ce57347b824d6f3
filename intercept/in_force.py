"""What is in force in this network namespace, read back from what the kernel keeps. Changes nothing."""

from collections.abc import Callable

from intercept import runs, traces
from intercept.backends import MODULES, backend
from intercept.backends.contract import Backend, InForce
from intercept.drift import drift_of_host
from intercept.errors import CaptureError, Unsupported
from intercept.host.facts import HostFacts
from intercept.intent.intent import Ipv6, Mode
from intercept.plan.build import Plan, build
from intercept.plan.stored import Document, Unreadable, read_document
from intercept.results import Watched

INSPECTION_ORDER = (Mode.EBPF, Mode.IPTABLES, Mode.TPROXY, Mode.NFTABLES)
"""A table in tproxy mode is known to both tproxy and nftables; tproxy says more about it, so it is asked first."""


def installed(mode: Mode) -> Backend | None:
    """None: this mode can't have put anything in force here, or this installation has no such backend."""
    if not traces.may_have(mode):
        return None
    if mode in (Mode.NFTABLES, Mode.TPROXY) and not _nftables_can_be_asked():
        return None
    try:
        return backend(mode)
    except Unsupported:
        return None


def _nftables_can_be_asked() -> bool:
    """Without its library this installation has put nothing there; only one that has the library can take it away."""
    try:
        import nftables  # noqa: F401
    except ImportError:
        return False
    return True


def has(mode: Mode, name: str) -> bool:
    """Whether `mode` has anything under that name, damaged or half made included."""
    there = installed(mode)
    return there is not None and name in there.names()


def found_in(mode: Mode, name: str, host: HostFacts) -> InForce | None:
    """What `mode` has under that name; None: nothing."""
    there = installed(mode)
    return there.inspect(name, _expected(host)) if there else None


def plan_of(mode: Mode, name: str, host: HostFacts) -> Plan | None:
    """The plan that `mode` has in force under that name; None also where what is there is damaged."""
    found = found_in(mode, name, host)
    read, _ = read_stored(found.document) if found is not None and found.active else (None, "")
    return plan_again(read, host) if read is not None else None


def watched(host: HostFacts) -> Watched | None:
    """None: no capture of `init`'s is in force here."""
    for mode in INSPECTION_ORDER:
        found = found_in(mode, runs.PLAIN, host)
        if found is None or not found.active:
            continue
        read, problem = read_stored(found.document)
        if read is None:
            return Watched(mode, (*found.drift, problem), None, found)
        drift = (*found.drift, *drift_of_host(read, host))
        return Watched(read.mode, drift, plan_again(read, host), found)
    return None


def plan_in_force(host: HostFacts) -> Plan | None:
    """What `init` put in force here, made again from what is stored with it. CaptureError: it is damaged."""
    found = watched(host)
    if found is None:
        return None
    if found.plan is None:
        raise CaptureError(found.drift[-1])
    return found.plan


def living_runs() -> tuple[str, ...]:
    """The names of `tidegate run`s that live and capture in this network namespace."""
    found: set[str] = set()
    for mode in MODULES:
        there = installed(mode)
        found.update(name for name in (there.names() if there else []) if runs.lives(name))
    return tuple(sorted(found))


def read_stored(document: str | None) -> tuple[Document | None, str]:
    """What is stored with the rules, or None and why it can't be read."""
    if document is None:
        return None, "the intent stored with the rules is damaged: run init again"
    try:
        return read_document(document), ""
    except Unreadable as unreadable:
        return None, str(unreadable)


def plan_again(read: Document, host: HostFacts) -> Plan:
    """The plan as it was made when capture was put in force: what the host was like then is stored with the intent."""
    known = host._replace(resolvers=read.resolvers, cgroup_id=read.cgroup_id)
    if read.mode is Mode.IPTABLES and 6 not in read.families and read.intent.ipv6 is not Ipv6.OFF:
        known = known._replace(ip6tables_missing="ip6tables was missing when capture was put in force")
    return build(read.intent, known, read.mode)


def _expected(host: HostFacts) -> Callable[[str], Plan | None]:
    def expected(document: str) -> Plan | None:
        read, _ = read_stored(document)
        if read is None:
            return None
        try:
            return plan_again(read, host)
        except CaptureError:
            return None

    return expected
