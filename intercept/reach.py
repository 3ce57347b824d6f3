"""Who listens where capture steers to, and what a new connection gets at this moment."""

import socket
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address

from intercept.backends.contract import InForce
from intercept.errors import Unsupported
from intercept.host.facts import HostFacts
from intercept.host.listeners import Listening, listening
from intercept.host.owners import Owner, owners_of
from intercept.intent.intent import Mode, WhenDown
from intercept.intent.listeners import LISTENERS, Sign
from intercept.intent.value import Value
from intercept.plan.rules import Plan
from intercept.plan.steering import steered

PROXIED, REFUSED, PAST = "proxied", "refused", "direct"
_WHERE_REDIRECT_LEADS = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_FATE = {REFUSED: "are refused", PAST: "go direct, past the proxy (--when-down open)"}


class Stop(Value):
    """One listener of the proxy's that some connections are steered to.

    now: what a new one of them gets: PROXIED, REFUSED or PAST. Where IP versions differ it is the worse of them.
    missing: the versions in which steered connections do not reach a listener. why: one sentence for a person.
    """

    name: str
    port: int
    owner: Owner | None
    now: str
    missing: tuple[int, ...]
    why: str


Reach = Mapping[str, Stop]
"""By the names of LISTENERS; one that nothing is steered to is left out."""


def listeners_as_dict(reach: Reach) -> dict[str, object]:
    return {name: _as_dict(reach[name]) if name in reach else None for name in LISTENERS}


def now_as_dict(reach: Reach) -> dict[str, str | None]:
    return {name: reach[name].now if name in reach else None for name in LISTENERS}


def _as_dict(stop: Stop) -> dict[str, object]:
    pid, name = stop.owner or (None, "")
    return {"port": stop.port, "pid": pid, "name": name}


def reach_of(plan: Plan, host: HostFacts, found: InForce) -> Reach:
    """Needs no privilege; whose a listener is stays unknown without CAP_SYS_PTRACE."""
    heard = {name: _heard(plan, name) for name in LISTENERS}
    owners = owners_of(one.inode for sockets in heard.values() for one in sockets if one.inode)
    return judged(plan, heard, owners, found, ipv6=host.ipv6_missing is None)


def reach_without_owners(plan: Plan, host: HostFacts) -> Reach:
    """By the sockets alone: quick, because it looks at no process and asks no backend."""
    heard = {name: _heard(plan, name) for name in LISTENERS}
    return judged(plan, heard, {}, InForce(None), ipv6=host.ipv6_missing is None)


def _heard(plan: Plan, name: str) -> list[Listening]:
    """The sockets on that listener's port. DNS counts by UDP: not every proxy answers it over TCP too."""
    protocol = "udp" if name == "dns" else "tcp"
    try:
        sockets = listening(socket.IPPROTO_UDP if name == "dns" else socket.IPPROTO_TCP)
    except Unsupported:
        from intercept.host.socket_table import listening_rows

        sockets = listening_rows(protocol)
    return [one for one in sockets if one.port == getattr(plan.intent.listeners, name)]


def judged(
    plan: Plan, heard: Mapping[str, list[Listening]], owners: Mapping[int, Owner], found: InForce, *, ipv6: bool
) -> Reach:
    """Pure. `heard`: the sockets on each listener's port. `ipv6`: this namespace has IPv6."""
    stops = {}
    for name, versions in steered(plan).items():
        wanted = tuple(version for version in sorted(versions) if version == 4 or ipv6)
        if wanted:
            owner = next((owners[one.inode] for one in heard[name] if one.inode in owners), None)
            stops[name] = _stop(plan, name, wanted, heard[name], owner=owner, found=found)
    return stops


def _stop(
    plan: Plan, name: str, wanted: tuple[int, ...], sockets: list[Listening], *, owner: Owner | None, found: InForce
) -> Stop:
    """Each version is judged by itself: what keeps a connection from a listener in it, or None."""
    port: int = getattr(plan.intent.listeners, name)
    who = f"{owner.name} (process {owner.pid})" if owner else "a process that cannot be looked into from here"
    obstacles = {version: _obstacle(plan, Sign(name, version), sockets, found) for version in wanted}
    missing = tuple(version for version in wanted if obstacles[version] is not None)
    if not missing:
        return Stop(name, port, owner, PROXIED, (), f"{who} listens on port {port}")
    # Until the sign of life runs out the rules go on steering to a listener that has gone.
    open_rules = plan.intent.when_down is WhenDown.OPEN
    steering = any(Sign(name, version) in (found.alive or ()) for version in missing)
    now = PAST if open_rules and not steering else REFUSED
    obstacle = obstacles[missing[0]] or ""
    where = "" if missing == wanted else f" over IPv{missing[0]}"
    cause = f"nobody listens on port {port}{where}" if not obstacle else f"{who} on port {port}{where} {obstacle}"
    return Stop(name, port, owner, now, missing, f"{cause}: new connections{where} {_FATE[now]}")


def _obstacle(plan: Plan, sign: Sign, sockets: list[Listening], found: InForce) -> str | None:
    """None: a connection reaches a listener. '': nobody listens. Else what is wrong with who listens."""
    there = [one for one in sockets if sign.family in one.versions]
    if not there:
        return ""
    wrong = [_cannot_serve(plan, sign.listener, one) for one in there]
    if None not in wrong:
        return wrong[0]
    if sign in found.out_of_reach:
        return f"has a socket that {plan.mode} mode cannot steer to"
    if found.alive is not None and sign not in found.alive:
        return "listens, but the rules are not told so (run init again)"
    return None


def _cannot_serve(plan: Plan, name: str, one: Listening) -> str | None:
    """Why connections that are steered to its port do not reach this socket, or None."""
    if name != "inbound":
        ok = one.address is None or one.address in _WHERE_REDIRECT_LEADS
        return None if ok else f"listens on {one.address} only, and connections are steered to the loopback address"
    if plan.mode is Mode.TPROXY and one.transparent is False:
        return "has a socket without IP_TRANSPARENT, which TPROXY does not deliver to"
    if plan.mode is not Mode.EBPF and one.address is not None and one.address.is_loopback:
        return "listens on the loopback address only"
    return None
