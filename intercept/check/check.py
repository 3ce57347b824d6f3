"""Does the capture that is in force really work? Probes through it, each with a witness at the listener."""

from contextlib import ExitStack

from intercept.check.checker import Checker, Probe, ThoroughChecker
from intercept.check.neighbour import neighbour
from intercept.check.witness import OurProxy
from intercept.host.facts import read_host
from intercept.in_force import plan_in_force
from intercept.intent.intent import Ipv6
from intercept.plan.rules import Plan


def check(*, stand_in: bool) -> list[Probe]:
    """Probe what is in force in this namespace. Nothing in force: one failed probe that says so.

    `stand_in`: where nobody listens to a listener's port, listen there ourselves for the time of the check; otherwise
    probes to that listener fail, as new connections do.

    A neighbour namespace is made for the time of the check: outbound probes are meant for it, inbound ones come from
    it, so that no probe can reach anybody else's host, also where capture is broken. Call it from a process with one
    thread. Raises PrivilegeMissing (CAP_SYS_ADMIN, CAP_NET_ADMIN) and CaptureError.
    """
    host = read_host()
    plan = plan_in_force(host)
    if plan is None:
        return [Probe("capture", False, "no capture is in force in this network namespace")]
    versions = (4,) if plan.intent.ipv6 is Ipv6.OFF or host.ipv6_missing else (4, 6)
    with ExitStack() as stack:
        beside = stack.enter_context(neighbour(versions))
        checker = ThoroughChecker(plan, read_host(), stack, beside, stand_in=stand_in)
        return [probe for version in versions for probe in checker.probes(version)]


def look(plan: Plan, ours: OurProxy | None = None) -> list[Probe]:
    """The outbound probes alone, without a neighbour: cheap enough to be made every few seconds by whoever watches.

    A family without a captured destination that has a route is left out: that is nobody's failure. ours: a channel to
    our proxy, where the caller has one.
    """
    host = read_host()
    with ExitStack() as stack:
        checker = Checker(plan, host, stack, stand_in=False, ours=ours)
        found = (checker.outbound(version) for version in ((4,) if host.ipv6_missing else (4, 6)))
        return [probe for probe in found if probe is not None]
