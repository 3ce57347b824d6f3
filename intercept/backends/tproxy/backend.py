"""Inbound by TPROXY with the source address kept; outbound and DNS as in nftables, in the same table.

Routing comes into force before the rules that mark packets for it and goes after them: without rules it does nothing.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress

from intercept import runs
from intercept.backends.contract import Held, InForce
from intercept.backends.nftables import backend as nftables
from intercept.backends.nftables.trial import lacks_tproxy
from intercept.backends.persistence import persistently
from intercept.backends.tproxy import policy_routing
from intercept.errors import CaptureError
from intercept.host.facts import read_host
from intercept.intent.intent import Mode
from intercept.intent.listeners import EVERY_LISTENER, Sign
from intercept.plan.rules import Plan
from intercept.plan.stored import Document, Unreadable, read_document

MODE = Mode.TPROXY


def available(*, lasting: bool = True) -> str | None:  # noqa: ARG001 # a backend's signature
    """The nftables backend's scratch table, and reading the routing rules."""
    lacks = nftables.available() or lacks_tproxy()
    if lacks is not None:
        return lacks
    try:
        policy_routing.ours()
    except CaptureError as error:
        return str(error)
    return None


def apply(plan: Plan, document: str, *, name: str, wait_s: float) -> bool:
    pieces = _pieces(plan)
    made = policy_routing.establish(pieces)
    try:
        changed = nftables.apply(plan, document, name=name, wait_s=wait_s)
    except BaseException:
        with suppress(CaptureError):
            persistently(_withdraw_unused)
        raise
    surplus: list[str] = []
    with suppress(
        CaptureError
    ):  # routing that no rule marks packets for does nothing; status tells, cleanup removes it
        surplus = persistently(_withdraw_unused)
    return changed or bool(made) or bool(surplus)


def bind(plan: Plan, document: str, *, name: str, wait_s: float) -> Held:
    """The kernel holds the rules, not the routing: that does nothing without them, but somebody has to remove it."""
    policy_routing.establish(_pieces(plan))
    try:
        held = nftables.bind(plan, document, name=name, wait_s=wait_s)
    except BaseException:
        with suppress(CaptureError):
            persistently(_withdraw_unused)
        raise

    def close() -> None:
        held.close()
        persistently(_withdraw_unused)

    return Held(False, close, held.refresh)


def names() -> list[str]:
    """Tables in tproxy mode; the plain name too when routing of ours stands here without a table."""
    found = [name for name in nftables.names() if _document(name) is not None]
    if not found and policy_routing.ours():
        found.append(runs.PLAIN)
    return found


def inspect(name: str, expected: Callable[[str], Plan | None]) -> InForce | None:
    found = nftables.inspect(name, expected)
    read = _document(name)
    if found is None or read is None:
        return None
    lost = policy_routing.missing(policy_routing.wanted(read.intent, ipv6=6 in read.families and _has_ipv6()))
    return found._replace(drift=(*found.drift, *lost))


def remove(name: str, *, wait_s: float) -> list[str]:
    removed = nftables.remove(name, wait_s=wait_s) if _document(name) is not None else []
    return [*removed, *persistently(_withdraw_unused)]


def refresh_alive(name: str, listening: Iterable[Sign] = EVERY_LISTENER) -> None:
    nftables.refresh_alive(name, listening)


def render(plan: Plan) -> str:
    """nft's text, then the routing as `ip` commands would say it."""
    lines = []
    for piece in policy_routing.wanted(plan.intent, ipv6=6 in plan.families):
        version = "-6" if str(piece).startswith("IPv6") else "-4"
        if piece.kind == "rule":
            lines.append(f"# ip {version} rule add fwmark {piece.mark:#x} lookup {piece.table}")
        else:
            lines.append(f"# ip {version} route add local default dev lo table {piece.table}")
    return nftables.render(plan) + "\n".join(lines) + "\n"


def _pieces(plan: Plan) -> list[policy_routing.Piece]:
    return policy_routing.wanted(plan.intent, ipv6=6 in plan.families and _has_ipv6())


def _has_ipv6() -> bool:
    return read_host().ipv6_missing is None


def _document(name: str) -> Document | None:
    """What is stored with that table, if it is in tproxy mode."""
    stored = nftables.stored(name)
    if stored is None:
        return None
    with suppress(Unreadable):
        read = read_document(stored)
        if read.mode is Mode.TPROXY:
            return read
    return None


def _withdraw_unused() -> list[str]:
    """Remove routing that no table in tproxy mode needs."""
    needed: list[policy_routing.Piece] = []
    for name in nftables.names():
        read = _document(name)
        if read is not None:
            needed += policy_routing.wanted(read.intent, ipv6=True)
    return policy_routing.withdraw(needed)
