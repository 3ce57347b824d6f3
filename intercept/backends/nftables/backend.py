"""One `inet` table of ours, put in force, replaced and removed in one transaction each, by libnftables in process."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from intercept import runs
from intercept.backends.contract import ALIVE_S, Held, InForce
from intercept.backends.nftables import text
from intercept.backends.nftables.elements import add_ids
from intercept.backends.nftables.found import differences, find, list_of
from intercept.backends.nftables.hooks import ALIVE
from intercept.backends.nftables.listing import Listing, read_listing
from intercept.backends.nftables.match import Table
from intercept.backends.nftables.session import Rejected, Session
from intercept.backends.nftables.trial import available
from intercept.backends.persistence import persistently
from intercept.errors import CaptureError, Unsupported
from intercept.intent.intent import Mode
from intercept.intent.listeners import EVERY_LISTENER, Sign
from intercept.plan.rules import Plan
from intercept.plan.stored import pack, unpack

__all__ = ["MODE", "apply", "available", "bind", "inspect", "names", "refresh_alive", "remove", "render", "stored"]

MODE = Mode.NFTABLES
_CHUNK = 120


def apply(plan: Plan, document: str, *, name: str, wait_s: float) -> bool:  # noqa: ARG001 - nftables has no lock to wait for
    with Session() as session, _cgroups_seen(plan.intent.cgroup is not None):
        found = find(session, name)
        if found is not None and found.document == document and not found.drift:
            return False
        if found is not None and found.drift:
            # A set of ours may hold what somebody put there, and then conflicts with itself as it should be.
            _load(session, name, plan, document, old=found.listing, salt="mending")
            found = find(session, name)
        _load(session, name, plan, document, old=found.listing if found else None)
    return True


def bind(plan: Plan, document: str, *, name: str, wait_s: float) -> Held:
    """The table belongs to this session's socket: the kernel removes it when the last process that holds it is gone."""
    session = Session()
    try:
        with _cgroups_seen(plan.intent.cgroup is not None):
            try:
                _load(session, name, plan, document, flags="owner")
            except (Rejected, Unsupported):
                session.close()
                apply(plan, document, name=name, wait_s=wait_s)
                return Held(False, lambda: _ignore(remove(name, wait_s=wait_s)), lambda: refresh_alive(name))
    except BaseException:
        session.close()
        raise

    def refresh() -> None:
        _refresh(session, name, EVERY_LISTENER)

    return Held(True, session.close, refresh)


def _ignore(_what: object) -> None:
    return None


def _load(
    session: Session,
    name: str,
    plan: Plan,
    document: str,
    *,
    old: Listing | None = None,
    flags: str = "",
    salt: str = "",
) -> None:
    """One transaction that leaves exactly `plan`; then the seal, without which only drift detection is missing."""
    table = text.build(plan, salt=salt)
    commands = text.table_text(name, table, flags=flags, stored=pack(document))
    try:
        if table.ids:
            # Named by content and led to by nothing yet, these change nothing until the transaction that uses them.
            session.run(text.sets_text(name, table, table.ids, flags=flags), f"make sets of table {name}")
            add_ids(session.socket, name, table.ids)
        session.run(_clearing(name, table, old) + commands, f"put table {name} in force")
    except CaptureError:
        _forget_sets(session, name, table, old)
        raise
    with suppress(CaptureError):  # it is in force; status tells that the seal is missing, and init mends it
        persistently(lambda: _seal(session, name))


def _seal(session: Session, name: str) -> None:
    listing = list_of(session, name)
    if listing is None:
        raise CaptureError(f"table {name} vanished just after it was put in force: another program flushed the ruleset")
    if not listing.seal:
        target = f"inet {name} {text.SEAL}"
        commands = f'add chain {target}\nadd rule {target} accept comment "{listing.digest}"\n'
        session.run(commands, f"seal table {name}")


def _forget_sets(session: Session, name: str, table: Table, old: Listing | None) -> None:
    """Undo what was prepared. The error that led here is what the caller wants to see, so one more is not raised."""
    made = [one for one in table.ids if old is not None and one not in old.sets]
    commands = (
        f"delete table inet {name}\n" if old is None else "".join(f"delete set inet {name} {one}\n" for one in made)
    )
    with suppress(CaptureError):
        persistently(lambda: session.run(commands, f"remove what was prepared in table {name}"))


def _clearing(name: str, table: Table, old: Listing | None) -> str:
    """Commands that empty the old table within the same transaction.

    Base chains that stay are kept and refilled, never deleted and made again: a packet looks at the ruleset's
    generation once in each base chain, so with two side by side it could meet the new too early and the old too late.
    """
    if old is None:
        return f"add table inet {name}\n"
    lines = [f"flush table inet {name}"]
    kept = {chain for chain, (base, _) in table.chains.items() if base}
    lines += [f"delete chain inet {name} {chain}" for chain in old.chains if chain not in kept]
    lines += [f"delete set inet {name} {one}" for one in old.sets if one not in _kept_sets(table)]
    return "\n".join(lines) + "\n"


def _kept_sets(table: Table) -> set[str]:
    """Those of listeners keep what they know of the proxy; sets of ids are named by their content."""
    return {one for one in table.sets if one in table.ids or one.startswith(ALIVE)}


def inspect(name: str, expected: Callable[[str], Plan | None]) -> InForce | None:
    with Session() as session:
        listing = list_of(session, name)
        if listing is None:
            return None
        with _cgroups_seen(listing.names_cgroup):
            found = find(session, name)
            counted = session.table(name, counters=True)
            if found is None or counted is None:
                return None
            drift = found.drift
            if drift and found.document is not None:
                drift = (*drift, *differences(found, expected(found.document)))
        if not found.listing.chains:
            return InForce(None, ("an interrupted init left a table without rules: run init or cleanup",), active=False)
        with_state = read_listing(counted)
        opens = any(one.startswith(ALIVE) for one in with_state.sets)
        return InForce(found.document, drift, with_state.counters, alive=with_state.alive if opens else None)


def names() -> list[str]:
    with Session() as session:
        return [name for name in session.tables() if runs.is_ours(name)]


def stored(name: str) -> str | None:
    """The document that the table of that name keeps; None when there is no table or it is damaged."""
    with Session() as session:
        listing = list_of(session, name)
    return None if listing is None else unpack(listing.stored)


def remove(name: str, *, wait_s: float) -> list[str]:  # noqa: ARG001 - nftables has no lock to wait for
    with Session() as session:
        if name not in session.tables():
            return []
        try:
            session.run(f"delete table inet {name}\n", f"remove table {name}")
        except Rejected as rejected:
            if rejected.missing:
                return []
            raise
    return [f"nftables table inet {name}"]


def refresh_alive(name: str, listening: Iterable[Sign] = EVERY_LISTENER) -> None:
    """Raw form: `delete element`, `add element` of the sets `alive_…` (nf_proto, timeout) in one transaction."""
    with Session() as session:
        _refresh(session, name, listening)


def _refresh(session: Session, name: str, listening: Iterable[Sign]) -> None:
    life = f"timeout {int(ALIVE_S * 1000)}ms"
    lines = []
    for listener, family in listening:
        target = f"element inet {name} {ALIVE}{listener}"
        # Kernels before 6.12 don't renew the timeout of an element that is there: delete it and add it again. `add`
        # before `delete` makes deleting possible also when it has expired.
        add = f"add {target} {{ ipv{family} {life} }}\n"
        lines.append(f"{add}delete {target} {{ ipv{family} }}\n{add}")
    session.run("".join(lines), "say that the proxy is alive")


def render(plan: Plan) -> str:
    table = text.build(plan)
    table.sets = text.with_ids(table)
    return text.table_text("tidegate", table)


@contextmanager
def _cgroups_seen(needed: bool) -> Iterator[None]:
    """Within, nft finds cgroup paths, if that is needed."""
    if not needed:
        yield
        return
    from intercept.host.cgroup_view import seen_by_nft

    with seen_by_nft():
        yield
