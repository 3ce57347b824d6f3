"""Committing chains to one table through libiptc (python-iptables): one commit a table and family."""

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from intercept.backends.iptables import iptc_import
from intercept.backends.iptables.gone import find
from intercept.errors import CaptureError, PrivilegeMissing, Unsupported

_NAMES = {4: "iptables", 6: "ip6tables"}


class Change(NamedTuple):
    """What one commit does, in this order: jumps away, chains emptied and removed, chains made and filled, jumps.

    remove: our chains. jumps_away: (built-in chain, position from 1). rules_away: the same, of our chains. create:
    chain -> entries, those that are led to first. jumps: built-in chain -> entry, put at its head. jumps_after:
    built-in chain -> position (from 1, as the chain was before this change) behind which the same entry is put once
    more.
    """

    remove: Sequence[str] = ()
    jumps_away: Sequence[tuple[str, int]] = ()
    rules_away: Sequence[tuple[str, int]] = ()
    create: Mapping[str, list[bytes]] = MappingProxyType({})
    jumps: Mapping[str, bytes] = MappingProxyType({})
    jumps_after: Mapping[str, int] = MappingProxyType({})


def commit(family: int, table: str, change: Change) -> None:
    """All of the change or nothing. Raises PrivilegeMissing, Unsupported, CaptureError.

    Rules of ours whose cgroup folder is gone are taken out with it where the kernel takes no commit otherwise.
    """
    refused = _commit(family, table, change)
    gone = find(family, table) if refused is not None and "nvalid argument" in refused else []
    if dead := [(one.chain, one.position) for one in gone if one.may_go]:
        refused = _commit(family, table, change._replace(rules_away=dead))
    if refused is None:
        return
    what = f"change the {_NAMES[family]} {table} table"
    if "ermission denied" in refused:
        raise PrivilegeMissing("CAP_NET_ADMIN (and CAP_NET_RAW)", what)
    if "No chain/target/match" in refused or "does not exist" in refused:
        raise Unsupported(f"cannot {what}: {refused}")
    for one in gone:
        if not one.may_go:
            refused += f"; chain {one.chain} has a rule for cgroup {one.path}, which is not there: remove that rule"
    raise CaptureError(f"cannot {what}: {refused}")


def _commit(family: int, table: str, change: Change) -> str | None:
    """None, or why the kernel has not taken it."""
    iptc = iptc_import.load()
    make = iptc.Table if family == 4 else iptc.Table6
    try:
        handle = make(table, autocommit=False)
        handle.refresh()
        _enact(handle, change)
        handle.commit()
        handle.close()
    except iptc.IPTCError as error:
        return str(error)
    return None


def _enact(handle: Any, change: Change) -> None:
    library = handle._iptc
    for chain, position in sorted({*change.jumps_away, *change.rules_away}, reverse=True):
        _call(handle, library.iptc_delete_num_entry, chain.encode(), ctypes.c_uint(position - 1))
    for chain in change.remove:
        handle.flush_entries(chain)
    for chain in change.remove:
        handle.delete_chain(chain)
    for chain in change.create:
        handle.create_chain(chain)
    for chain, entries in change.create.items():
        for entry in entries:
            handle.append_entry(chain, _pointer(entry))
    for chain, position in change.jumps_after.items():
        handle.insert_entry(chain, _pointer(change.jumps[chain]), position)
    for chain, entry in change.jumps.items():
        handle.insert_entry(chain, _pointer(entry), 0)


def _call(handle: Any, function: Any, *arguments: Any) -> None:
    if function(*arguments, handle._handle) != 1:
        raise iptc_import.load().IPTCError(handle.strerror())


def _pointer(entry: bytes) -> Any:
    return ctypes.create_string_buffer(entry, len(entry))


def missing_parts(family: int, parts: Iterable[tuple[str, str, int]]) -> list[str]:
    """Of (kind, module, revision), those that the kernel lacks, by their module names (xt_owner)."""
    from intercept.backends.iptables.peek import lacks_part

    prefix = {"tcp": "xt_tcpudp", "udp": "xt_tcpudp", "REJECT": f"ip{'6' if family == 6 else ''}t_REJECT"}
    return sorted(
        {
            f"{prefix.get(name, f'xt_{name}')} (revision {revision})"
            for kind, name, revision in parts
            if lacks_part(family, kind, name, revision)
        }
    )
