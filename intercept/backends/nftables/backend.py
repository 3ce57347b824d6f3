"""One `inet` table of ours, put in force, replaced and removed in one transaction each, by libnftables in process."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from intercept import runs
from intercept.backends.contract import ALIVE_S, Held, InForce
from intercept.backends.nftables import render as nft_render
from intercept.backends.nftables.elements import add_ids
from intercept.backends.nftables.hooks import ALIVE
from intercept.backends.nftables.listing import Listing, read_listing
from intercept.backends.nftables.match import Table
from intercept.backends.nftables.session import Rejected, Session
from intercept.backends.persistence import persistently
from intercept.errors import CaptureError, Unsupported
from intercept.intent.intent import Mode
from intercept.intent.listeners import EVERY_LISTENER, Sign
from intercept.plan.rules import Plan
from intercept.plan.stored import pack, unpack

MODE = Mode.NFTABLES
_SCRATCH = "tidegate_scratch"
_CHUNK = 120


def available() -> str | None:
    """Judges a scratch table that is never committed."""
    try:
        with Session() as session:
            session.try_out(_scratch(), "try the expressions that capture needs")
    except CaptureError as error:
        return str(error)
    return None


def lacks_tproxy() -> str | None:
    """Why TPROXY can't be used here, or None."""
    try:
        with Session() as session:
            session.try_out(
                _scratch("meta l4proto tcp tproxy to :9 accept\nsocket transparent 1 accept\n"), "try TPROXY"
            )
    except CaptureError as error:
        return str(error)
    return None


def apply(plan: Plan, document: str, *, name: str, wait_s: float) -> bool:  # noqa: ARG001 - nftables has no lock to wait for
    with Session() as session, _cgroups_seen(plan.intent.cgroup is not None):
        found = _find(session, name)
        if found is not None and found.document == document and not found.drift:
            return False
        if found is not None and found.drift:
            # A set of ours may hold what somebody put there, and then conflicts with itself as it should be.
            _load(session, name, plan, document, old=found.listing, salt="mending")
            found = _find(session, name)
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
    table = nft_render.build(plan, salt=salt)
    text = nft_render.text(name, table, flags=flags, stored=pack(document))
    try:
        if table.ids:
            # Named by content and led to by nothing yet, these change nothing until the transaction that uses them.
            session.run(nft_render.sets_text(name, table, table.ids, flags=flags), f"make sets of table {name}")
            add_ids(session.socket, name, table.ids)
        session.run(_clearing(name, table, old) + text, f"put table {name} in force")
    except CaptureError:
        _forget_sets(session, name, table, old)
        raise
    with suppress(CaptureError):  # it is in force; status tells that the seal is missing, and init mends it
        persistently(lambda: _seal(session, name))


def _seal(session: Session, name: str) -> None:
    listing = _list(session, name)
    if listing is None:
        raise CaptureError(f"table {name} vanished just after it was put in force: another program flushed the ruleset")
    if not listing.seal:
        target = f"inet {name} {nft_render.SEAL}"
        text = f'add chain {target}\nadd rule {target} accept comment "{listing.digest}"\n'
        session.run(text, f"seal table {name}")


def _forget_sets(session: Session, name: str, table: Table, old: Listing | None) -> None:
    """Undo what was prepared. The error that led here is what the caller wants to see, so one more is not raised."""
    made = [one for one in table.ids if old is not None and one not in old.sets]
    text = f"delete table inet {name}\n" if old is None else "".join(f"delete set inet {name} {one}\n" for one in made)
    with suppress(CaptureError):
        persistently(lambda: session.run(text, f"remove what was prepared in table {name}"))


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


class _Found:
    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.document = unpack(listing.stored)
        self.drift = _drift_of(listing)


def _drift_of(listing: Listing) -> tuple[str, ...]:
    if not listing.seal:
        return ("the rules carry no seal: putting them in force was interrupted, or somebody removed it",)
    if listing.seal != listing.digest:
        return ("the rules are not those that were put in force",)
    return ()


def _find(session: Session, name: str) -> _Found | None:
    listing = _list(session, name)
    return None if listing is None else _Found(listing)


def _list(session: Session, name: str) -> Listing | None:
    text = session.table(name)
    return None if text is None else read_listing(text)


def inspect(name: str, expected: Callable[[str], Plan | None]) -> InForce | None:
    with Session() as session:
        listing = _list(session, name)
        if listing is None:
            return None
        with _cgroups_seen(listing.names_cgroup):
            found = _find(session, name)
            counted = session.table(name, counters=True)
            if found is None or counted is None:
                return None
            drift = found.drift
            if drift and found.document is not None:
                drift = (*drift, *_differences(found, expected(found.document)))
        if not found.listing.chains:
            return InForce(None, ("an interrupted init left a table without rules: run init or cleanup",), active=False)
        return InForce(found.document, drift, read_listing(counted).counters)


def _differences(found: _Found, plan: Plan | None) -> Iterator[str]:
    """In words: what the table lacks, has too much or has in another order. Rules are known by chain and comment."""
    if plan is None:
        return
    wanted = nft_render.build(plan)
    listing = found.listing
    for chain in wanted.chains:
        if chain not in listing.chains:
            yield f"chain {chain} is gone"
    for chain, comments in listing.chains.items():
        if chain in (nft_render.STORE, nft_render.SEAL):
            continue
        if chain not in wanted.chains:
            yield f"chain {chain} is not ours"
            continue
        ours = nft_render.comments_of(wanted.chains[chain][1])
        yield from _chain_differences(chain, ours, comments)
    for one in wanted.sets:
        if one not in listing.sets:
            yield f"set {one} is gone"


def _chain_differences(chain: str, wanted: list[str], there: list[str]) -> Iterator[str]:
    missing = _minus(wanted, there)
    added = _minus(there, wanted)
    yield from (f"rule {comment} of chain {chain} is gone" for comment in missing)
    yield from (f"chain {chain} has a rule that is not ours{f' ({comment})' if comment else ''}" for comment in added)
    if not missing and not added and wanted != there:
        yield f"the rules of chain {chain} are in another order"


def _minus(these: list[str], those: list[str]) -> list[str]:
    left = list(those)
    result = []
    for one in these:
        if one in left:
            left.remove(one)
        else:
            result.append(one)
    return result


def names() -> list[str]:
    with Session() as session:
        return [name for name in session.tables() if runs.is_ours(name)]


def stored(name: str) -> str | None:
    """The document that the table of that name keeps; None when there is no table or it is damaged."""
    with Session() as session:
        listing = _list(session, name)
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
    table = nft_render.build(plan)
    table.sets = nft_render.with_ids(table)
    return nft_render.text("tidegate", table)


@contextmanager
def _cgroups_seen(needed: bool) -> Iterator[None]:
    """Within, nft finds cgroup paths, if that is needed."""
    if not needed:
        yield
        return
    from intercept.host.cgroup_view import seen_by_nft

    with seen_by_nft():
        yield


def _scratch(more: str = "") -> str:
    return (
        f"table inet {_SCRATCH} {{\n"
        "set p {\ntype inet_service\nflags interval\nelements = { 1-2 }\n}\n"
        "chain o {\ntype nat hook output priority -100; policy accept;\n"
        "fib daddr type local tcp dport @p tcp flags & (fin|syn|rst|ack) == syn redirect to :9\n}\n"
        "chain g {\ntype filter hook prerouting priority -150; policy accept;\n"
        "ct state invalid drop\nmeta l4proto tcp reject with tcp reset\n" + more + "}\n"
        "}\n"
    )
