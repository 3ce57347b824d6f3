"""What stands in the kernel under a table's name, and how it differs from what should stand there."""

from collections.abc import Iterator

from intercept.backends.nftables import text
from intercept.backends.nftables.listing import Listing, read_listing
from intercept.backends.nftables.session import Session
from intercept.plan.rules import Plan
from intercept.plan.stored import unpack


class Found:
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


def find(session: Session, name: str) -> Found | None:
    listing = list_of(session, name)
    return None if listing is None else Found(listing)


def list_of(session: Session, name: str) -> Listing | None:
    text = session.table(name)
    return None if text is None else read_listing(text)


def differences(found: Found, plan: Plan | None) -> Iterator[str]:
    """In words: what the table lacks, has too much or has in another order. Rules are known by chain and comment."""
    if plan is None:
        return
    wanted = text.build(plan)
    listing = found.listing
    for chain in wanted.chains:
        if chain not in listing.chains:
            yield f"chain {chain} is gone"
    for chain, comments in listing.chains.items():
        if chain in (text.STORE, text.SEAL):
            continue
        if chain not in wanted.chains:
            yield f"chain {chain} is not ours"
            continue
        ours = text.comments_of(wanted.chains[chain][1])
        yield from _chaindifferences(chain, ours, comments)
    for one in wanted.sets:
        if one not in listing.sets:
            yield f"set {one} is gone"


def _chaindifferences(chain: str, wanted: list[str], there: list[str]) -> Iterator[str]:
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
