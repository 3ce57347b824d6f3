"""Which mode `auto` takes here, and why."""

from intercept.backends import backend
from intercept.errors import CaptureError, Unsupported
from intercept.host import privilege
from intercept.host.facts import HostFacts
from intercept.intent.intent import Intent, Mode
from intercept.plan.build import build
from intercept.plan.rules import Plan

PREFERENCE = (Mode.EBPF, Mode.NFTABLES, Mode.IPTABLES)


def choose_mode(intent: Intent, host: HostFacts, *, lasting: bool = True) -> tuple[Plan, str]:
    """The plan for the mode to take, and why in words. Each candidate is tried for real.

    lasting: it has to outlive this process.

    Raises Unsupported, or PrivilegeMissing when that is all that is missing, with what each candidate lacks.
    """
    if intent.mode is not Mode.AUTO:
        return build(intent, _facts_for(intent.mode, host), intent.mode), f"--mode {intent.mode}"
    passed: list[str] = []
    for mode in PREFERENCE:
        try:
            plan = build(intent, _facts_for(mode, host), mode)
            lacks = backend(mode).available(lasting=lasting)
        except CaptureError as error:
            lacks = str(error)
        if lacks is None:
            return plan, "the best that works here" + (f"; passed over: {'; '.join(passed)}" if passed else "")
        passed.append(f"{mode}: {lacks}")
    privilege.require(privilege.NET_ADMIN, "put capture in force, in any mode")
    raise Unsupported("no mode works here: " + "; ".join(passed))


def _facts_for(mode: Mode, host: HostFacts) -> HostFacts:
    if mode is not Mode.IPTABLES:
        return host
    from intercept.backends.iptables.peek import lacks_table

    return host._replace(ip6tables_missing=lacks_table(6, "nat"))


def presume_mode(intent: Intent, host: HostFacts) -> tuple[Plan, str]:
    """As choose_mode without trying anything: the first mode that is built in and can express the intent."""
    if intent.mode is not Mode.AUTO:
        return build(intent, host, intent.mode), f"--mode {intent.mode}"
    passed: list[str] = []
    for mode in PREFERENCE:
        try:
            plan = build(intent, host, mode)
            backend(mode)
        except CaptureError as error:
            passed.append(f"{mode}: {error}")
        else:
            reason = "; passed over: " + "; ".join(passed) if passed else ""
            return plan, f"presumed, not tried: a dry run asks nothing of the kernel{reason}"
    raise Unsupported("no mode can do this: " + "; ".join(passed))
