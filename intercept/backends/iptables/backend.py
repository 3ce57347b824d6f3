"""iptables-legacy: own chains in up to four tables of both families, armed and disarmed all at one instant.

One commit a table can't be atomic over all of them, so rules come in two generations, A and B, told apart by one ipset
that holds every port or none: A's jumps match while it is full, B's while it is empty. A new generation is laid beside
the old one, inert; one `ipset swap` then takes all tables and families over; the old generation is removed when it does
nothing any more. Whenever this process is killed, exactly one generation (or none) is in force, and a later `init` or
`cleanup` finds what is left by name.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import ip_network

from intercept.backends.contract import Held, InForce
from intercept.backends.iptables import iptc_import, peek, tables
from intercept.backends.iptables.build import ALIVE
from intercept.backends.iptables.generation import GATE, OTHER, SPARE, Generation, laid_out, tag_of
from intercept.backends.iptables.ipset import Ipset
from intercept.backends.iptables.lock import locked
from intercept.backends.iptables.survey import Installed, names_here, survey
from intercept.backends.iptables.text import render
from intercept.backends.persistence import persistently
from intercept.errors import CaptureError, PrivilegeMissing, Unsupported
from intercept.host import privilege
from intercept.intent.intent import Mode, PortRange, WhenDown
from intercept.intent.listeners import EVERY_LISTENER, Sign
from intercept.plan.rules import Plan

__all__ = ["MODE", "apply", "available", "bind", "inspect", "names", "refresh_alive", "remove", "render"]

MODE = Mode.IPTABLES
ALIVE_S = 1
"""ipset counts whole seconds."""
_EVERY_PORT = PortRange(0, 65535)
_HALVES = {
    4: (ip_network("0.0.0.0/1"), ip_network("128.0.0.0/1")),
    6: (ip_network("::/1"), ip_network("8000::/1")),
}
_SCRATCH_SET = "TIDEGATE_TRY"


def _require_privileges() -> None:
    """libiptc opens a raw socket and reads and replaces tables through it."""
    for capability in (privilege.NET_ADMIN, privilege.NET_RAW):
        privilege.require(capability, "look at and change iptables rules")


def available(*, lasting: bool = True) -> str | None:  # noqa: ARG001 # a backend's signature
    """Looks for libiptc, for the tables and modules in the kernel, and makes an ipset, which it removes again."""
    try:
        _require_privileges()
        iptc_import.load()
        for table in ("nat", "filter"):
            lacks = peek.lacks_table(4, table)
            if lacks is not None:
                return lacks
        parts = [("match", "owner", 1), ("match", "set", 4), ("match", "addrtype", 1), ("match", "comment", 0)]
        lacking = tables.missing_parts(4, [*parts, ("target", "REDIRECT", 0)])
        if lacking:
            return f"the kernel lacks {', '.join(lacking)}"
        with Ipset() as ipset:
            ipset.create_ports(_SCRATCH_SET, [])
            ipset.destroy(_SCRATCH_SET)
    except (CaptureError, OSError) as error:
        return str(error)
    return None


def apply(plan: Plan, document: str, *, name: str, wait_s: float) -> bool:
    tag = tag_of(name)
    _require_privileges()
    with locked(wait_s), Ipset() as ipset:
        there = survey(ipset, tag)
        active = there.active
        if active is not None and active.document == document and not active.drift(ipset):
            if active.letter == "A":
                return _clear(ipset, tag, "B")
            _move(ipset, tag, laid_out(plan, document, name, "A"), plan)
            return True
        _check_parts(laid_out(plan, document, name, "A"))
        if active is None or active.letter == "B":
            _move(ipset, tag, laid_out(plan, document, name, "A"), plan)
            return True
        _move(ipset, tag, laid_out(plan, document, name, "B"), plan)
        with suppress(CaptureError):  # it is in force, whole, where it is; the next init tries again
            _move(ipset, tag, laid_out(plan, document, name, "A"), plan)
    return True


def _check_parts(wanted: Generation) -> None:
    for family in wanted.families:
        lacking = tables.missing_parts(family, wanted.parts(family))
        if lacking:
            raise Unsupported(f"the kernel lacks {', '.join(lacking)}, which this capture needs in iptables mode")


def _move(ipset: Ipset, tag: str, wanted: Generation, plan: Plan) -> None:
    """Put `wanted` in force and take what it succeeds out. What is in force comes to rest in A, so that the same intent
    gives the same rules whatever was there before.
    """
    there = survey(ipset, tag)
    made_gate = False
    try:
        _clear(ipset, tag, wanted.letter)
        made_gate = _prepare_gate(ipset, tag, there, wanted.letter)
        _make_sets(ipset, tag, wanted, plan, there)
        wanted.install(ipset, survey(ipset, tag).generations.get(OTHER[wanted.letter]))
        ipset.swap(f"{tag}_{GATE}", f"{tag}_{SPARE}")
    except BaseException:
        # The caller wants to see what went wrong first; what is left over is inert, and cleanup finds it.
        with suppress(CaptureError):
            _clear(ipset, tag, wanted.letter)
            new_sets = [GATE, *ALIVE.values()] if made_gate else []
            _destroy(ipset, [f"{tag}_{one}" for one in (SPARE, *new_sets)])
        raise
    unused = [] if plan.intent.when_down is WhenDown.OPEN else [f"{tag}_{one}" for one in ALIVE.values()]
    with suppress(CaptureError):  # what is left of the old generation does nothing; the next init or cleanup removes it
        persistently(lambda: _clear(ipset, tag, "A" if wanted.letter == "B" else "B"))
        persistently(lambda: _destroy(ipset, [f"{tag}_{SPARE}", *unused]))


def _prepare_gate(ipset: Ipset, tag: str, there: Installed, letter: str) -> bool:
    """Leave the gate so that `letter` is inert and the spare so that swapping arms it. Whether the gate is new."""
    full_when_armed = letter == "A"
    new = not there.has_gate
    if new:
        ipset.create_ports(f"{tag}_{GATE}", [] if full_when_armed else [_EVERY_PORT])
    _destroy(ipset, [f"{tag}_{SPARE}"])
    ipset.create_ports(f"{tag}_{SPARE}", [_EVERY_PORT] if full_when_armed else [])
    return new


def _make_sets(ipset: Ipset, tag: str, wanted: Generation, plan: Plan, there: Installed) -> None:
    for name, ranges in wanted.sets.ports.items():
        ipset.create_ports(name, ranges)
    for name, networks in wanted.sets.networks.items():
        ipset.create_networks(name, networks[0].version, networks)
    if plan.intent.when_down is WhenDown.OPEN:
        # Both generations share them, so that replacing doesn't forget that the proxy is alive.
        for (_, family), short in ALIVE.items():
            name = f"{tag}_{short}"
            if name not in there.sets:
                ipset.create_networks(name, family, [], timeout_s=ALIVE_S)


def _clear(ipset: Ipset, tag: str, letter: str) -> bool:
    """Remove a generation that is inert: rules first, then the sets that they named. Whether there was anything."""
    # Looked up anew: every jump that is put in or taken out moves the others.
    generations = survey(ipset, tag).generations
    generation = generations.get(letter)
    if generation is None:
        return False
    generation.uninstall(generations.get(OTHER[letter]))
    _destroy(ipset, generation.own_sets)
    return True


def _destroy(ipset: Ipset, names: list[str]) -> None:
    present = set(ipset.names())
    for name in names:
        if name in present:
            ipset.destroy(name)


def bind(plan: Plan, document: str, *, name: str, wait_s: float) -> Held:
    """The kernel ties no iptables rule to a process: a guardian has to remove them when this one dies."""
    apply(plan, document, name=name, wait_s=wait_s)

    def close() -> None:
        remove(name, wait_s=wait_s)

    return Held(False, close, lambda: refresh_alive(name))


def names() -> list[str]:
    _require_privileges()
    with Ipset() as ipset:
        return sorted(names_here(ipset))


def inspect(name: str, expected: Callable[[str], Plan | None]) -> InForce | None:  # noqa: ARG001 - rules name themselves
    tag = tag_of(name)
    with Ipset() as ipset:
        there = survey(ipset, tag)
        if there.active is not None:
            active = there.active
            signs = {sign: f"{tag}_{short}" for sign, short in ALIVE.items() if f"{tag}_{short}" in there.sets}
            alive = frozenset(sign for sign, one in signs.items() if ipset.content(one)) if signs else None
            return InForce(active.document, tuple(active.drift(ipset)), active.counters(), alive=alive)
    if there.generations or there.sets:
        return InForce(None, ("an interrupted init or cleanup left inert rules: run init or cleanup",), active=False)
    return None


def remove(name: str, *, wait_s: float) -> list[str]:
    tag = tag_of(name)
    if not peek.anything_of_ours((f"{tag}_{GATE}", f"{tag}_{SPARE}")):
        return []
    with locked(wait_s), Ipset() as ipset:
        there = survey(ipset, tag)
        if not there.generations and not there.sets:
            return []
        if there.active is not None:
            _prepare_gate(ipset, tag, there, "B" if there.active.letter == "A" else "A")
            ipset.swap(f"{tag}_{GATE}", f"{tag}_{SPARE}")
        removed = [words for generation in there.generations.values() for words in generation.words()]
        persistently(lambda: _take_everything_away(ipset, tag))
    return [*removed, *(f"ipset {one}" for one in there.sets)]


def _take_everything_away(ipset: Ipset, tag: str) -> None:
    """Nothing of it is in force any more."""
    for letter in ("A", "B"):
        _clear(ipset, tag, letter)
    _destroy(ipset, [one for one in ipset.names() if one.startswith(f"{tag}_")])


def refresh_alive(name: str, listening: Iterable[Sign] = EVERY_LISTENER) -> None:
    tag = tag_of(name)
    with Ipset() as ipset:
        try:
            for sign in listening:
                ipset.renew(f"{tag}_{ALIVE[sign]}", _HALVES[sign.family], ALIVE_S)
        except PrivilegeMissing:
            raise
        except CaptureError as error:
            raise CaptureError(f"cannot say that the proxy is alive: {error}") from None
