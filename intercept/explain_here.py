"""Whether a connection is captured here, and why: the plan in force (or one that isn't), and what this host is like."""

from dataclasses import replace

from intercept.choose_mode import presume_mode
from intercept.errors import CaptureError
from intercept.host.facts import read_host
from intercept.in_force import watched
from intercept.intent.intent import Intent, Mode
from intercept.plan.explain import Connection, Decision, explain
from intercept.plan.rules import INBOUND


def explain_here(connection: Connection, intent: Intent | None) -> Decision:
    """By the plan in force, or (intent given) by one that isn't, which needs no privilege.

    `connection.local` None is found out: for what is in force from this namespace's addresses; for an intent, an
    inbound connection is taken to be for this namespace.
    """
    host = read_host()
    drift: tuple[str, ...] = ()
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
        plan, drift = found.plan, found.drift
    if connection.local is None:
        own = any(connection.destination in one for one in host.own if one.version == connection.destination.version)
        connection = replace(connection, local=own)
    decision = explain(plan, connection)
    carried = intent is None and plan.mode is Mode.EBPF and decision.decision == "capture"
    past = _past_the_proxy(connection) if carried and connection.protocol == "tcp" else None
    beside = [past] if past is not None else []
    if drift:
        beside.append(f"but what is in force has drifted: {', '.join(drift)}")
    return replace(decision, reason="; ".join([decision.reason, *beside]))


def _past_the_proxy(connection: Connection) -> str | None:
    from intercept.backends.ebpf.direct.told import told

    return told(inbound=connection.direction == INBOUND, ip=str(connection.destination), port=connection.port)
