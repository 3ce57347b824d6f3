"""tproxy's routing: marked packets are delivered here. Rules and routes of ours carry a protocol number of ours, and
nothing without it is ever touched.
"""

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from intercept.errors import CaptureError, PrivilegeMissing, Unsupported
from intercept.host.rtnetlink import rule_protocols
from intercept.intent.intent import Intent, Ipv6

PROTOCOL = 116
"""Who made a route or rule, as the kernel stores it; not in use by the daemons that /etc/iproute2/rt_protos lists."""
_LOOPBACK_INDEX = 1
_FAMILY_NAME: dict[int, str] = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}


class Piece(NamedTuple):
    """One rule (fwmark -> table) or one route (local default in the table) of one family."""

    kind: str
    family: int
    table: int
    mark: int

    def __str__(self) -> str:
        family = _FAMILY_NAME[self.family]
        if self.kind == "rule":
            return f"{family} rule fwmark {self.mark:#x} lookup {self.table}"
        return f"{family} route local default dev lo table {self.table}"


def wanted(intent: Intent, *, ipv6: bool) -> list[Piece]:
    """In the order in which they have to come: a rule whose table is still empty would lead on to the next rule."""
    families = [socket.AF_INET] + ([socket.AF_INET6] if ipv6 and intent.ipv6 is not Ipv6.OFF else [])
    return [
        Piece(kind, family, intent.tproxy_table, intent.tproxy_mark if kind == "rule" else 0)
        for kind in ("route", "rule")
        for family in families
    ]


def establish(pieces: list[Piece]) -> list[Piece]:
    """Make what is missing; what was made. On failure what was made is removed again. Raises CaptureError's kin."""
    made: list[Piece] = []
    with _netlink() as ip:
        there = set(_present(ip, ours_only=False))
        try:
            for piece in pieces:
                if piece not in there:
                    _change(ip, "add", piece)
                    made.append(piece)
        except CaptureError:
            _take_away(ip, made)
            raise
    return made


def withdraw(keep: list[Piece]) -> list[str]:
    """Remove everything of ours but `keep`, rules before routes; what was removed, in words."""
    with _netlink() as ip:
        surplus = [piece for piece in _present(ip, ours_only=True) if piece not in keep]
        _take_away(ip, surplus)
    return [str(piece) for piece in surplus]


def is_there() -> bool:
    """Whether a rule of ours stands here, asked without the library that changes them: a proxy that starts wants to
    know, and the library takes as long to import as all the rest of it."""
    return any(PROTOCOL in rule_protocols(family) for family in _FAMILY_NAME)


def ours() -> list[Piece]:
    with _netlink() as ip:
        return _present(ip, ours_only=True)


def missing(pieces: list[Piece]) -> list[str]:
    with _netlink() as ip:
        there = _present(ip, ours_only=False)
    return [f"{piece} is gone" for piece in pieces if piece not in there]


def _take_away(ip: Any, pieces: list[Piece]) -> None:
    for piece in sorted(pieces, key=lambda piece: piece.kind != "rule"):
        _change(ip, "del", piece)


@contextmanager
def _netlink() -> Iterator[Any]:
    try:
        from pyroute2 import IPRoute
    except ModuleNotFoundError:
        raise Unsupported("tproxy mode needs the Python module pyroute2") from None
    try:
        with IPRoute() as ip:
            yield ip
    except OSError as error:
        raise CaptureError(f"cannot talk to the kernel about routing: {error.strerror}") from None


def _change(ip: Any, action: str, piece: Piece) -> None:
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        if piece.kind == "rule":
            ip.rule(action, family=piece.family, fwmark=piece.mark, table=piece.table, protocol=PROTOCOL)
        else:
            scope = "host" if piece.family == socket.AF_INET else 0
            ip.route(
                action,
                dst="default",
                family=piece.family,
                table=piece.table,
                type="local",
                oif=_LOOPBACK_INDEX,
                scope=scope,
                proto=PROTOCOL,
            )
    except NetlinkError as error:
        _explain(error.code, action, piece)


def _explain(code: int, action: str, piece: Piece) -> None:
    what = f"{'make' if action == 'add' else 'remove'} the {piece}"
    if action == "del" and code in (errno.ENOENT, errno.ESRCH, errno.EAFNOSUPPORT):
        return
    if code in (errno.EPERM, errno.EACCES):
        raise PrivilegeMissing("CAP_NET_ADMIN", what)
    if code == errno.ENETDOWN:
        raise CaptureError(f"cannot {what}: the loopback interface is down here (ip link set lo up)")
    if code in (errno.EOPNOTSUPP, errno.EAFNOSUPPORT):
        raise Unsupported(f"cannot {what}: the kernel lacks policy routing (CONFIG_IP_MULTIPLE_TABLES)")
    raise CaptureError(f"cannot {what}: {errno.errorcode.get(code, code)}")


def _present(ip: Any, *, ours_only: bool) -> list[Piece]:
    """Rules and routes of the kind that we make: of ours, or of anybody."""
    found: list[Piece] = []
    for family in _FAMILY_NAME:
        for rule in _dump(ip.get_rules, family):
            mark, table = rule.get_attr("FRA_FWMARK"), rule.get_attr("FRA_TABLE")
            mine = rule.get_attr("FRA_PROTOCOL") == PROTOCOL
            if mark and (mine or not ours_only) and rule.get_attr("FRA_FWMASK") == 2**32 - 1:
                found.append(Piece("rule", family, table, mark))
        for route in _dump(ip.get_routes, family):
            is_local_default = route["type"] == 2 and route["dst_len"] == 0
            if is_local_default and (route["proto"] == PROTOCOL or not ours_only):
                found.append(Piece("route", family, route.get_attr("RTA_TABLE"), 0))
    return found


def _dump(read: Callable[..., Any], family: int) -> list[Any]:
    """Empty where the kernel has no such family: it refuses to tell, or tells of all families instead."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        return [one for one in read(family=family) if one["family"] == family]
    except NetlinkError as error:
        if error.code in (errno.EAFNOSUPPORT, errno.EOPNOTSUPP):
            return []
        raise CaptureError(f"cannot read the routing rules: {errno.errorcode.get(error.code, error.code)}") from None
