"""Whether a connection is captured here, and why: the plan in force (or one that isn't), and what this host is like."""

from collections.abc import Iterator
from dataclasses import replace

from intercept.choose_mode import presume_mode
from intercept.errors import CaptureError
from intercept.host.facts import HostFacts, read_host
from intercept.in_force import watched
from intercept.intent.intent import Intent, Mode
from intercept.plan.explain import Connection, Decision, explain
from intercept.plan.rules import INBOUND, Plan
from intercept.plan.steering import listener_named
from intercept.reach import reach_of
from intercept.results import Watched


def explain_here(connection: Connection, intent: Intent | None) -> Decision:
    """By the plan in force, or (intent given) by one that isn't, which needs no privilege.

    `connection.local` None is found out: for what is in force from this namespace's addresses; for an intent, an
    inbound connection is taken to be for this namespace.
    """
    host = read_host()
    found = None
    if intent is not None:
        plan = presume_mode(intent, host)[0]
        if connection.local is None and connection.direction == INBOUND:
            connection = replace(connection, local=True)
    else:
        found = watched(host)
        if found is None:
            return Decision("direct", None, "none", "no capture is in force in this network namespace", "none")
        if found.plan is None:
            raise CaptureError(found.drift[-1])
        plan = found.plan
    if connection.local is None:
        own = any(connection.destination in one for one in host.own if one.version == connection.destination.version)
        connection = replace(connection, local=own)
    decision = explain(plan, connection)
    if found is None:
        return decision
    return replace(
        decision, reason="; ".join([decision.reason, *_at_this_moment(found, plan, connection, decision, host)])
    )


def _at_this_moment(
    found: Watched, plan: Plan, connection: Connection, decision: Decision, host: HostFacts
) -> Iterator[str]:
    """What the plan does not know: who carries the connection now, or why nobody does."""
    if found.drift:
        yield f"but what is in force has drifted: {', '.join(found.drift)}"
    if decision.listener is None:
        return
    if connection.direction == INBOUND:
        yield from found.found.not_captured
    past = _past_the_proxy(connection) if plan.mode is Mode.EBPF and connection.protocol == "tcp" else None
    if past is not None:
        yield past
        return
    stop = reach_of(plan, host, found.found)[listener_named(plan, decision.listener)]
    if connection.destination.version in stop.missing:
        yield f"at this moment {stop.why}"


def _past_the_proxy(connection: Connection) -> str | None:
    from intercept.backends.ebpf.direct.told import told

    return told(inbound=connection.direction == INBOUND, ip=str(connection.destination), port=connection.port)
