"""Connections from before capture: they go on as they began, past the proxy. Found, and on request closed.

Which those are is decided purely, from the kernel's table of sockets and the plan in force.
"""

import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, NamedTuple

from intercept.errors import CaptureError, PrivilegeMissing, Unsupported
from intercept.host.facts import HostFacts
from intercept.plan.explain import Connection, as_on_the_wire, explain
from intercept.plan.rules import INBOUND, OUTBOUND, Plan

Address = IPv4Address | IPv6Address
Endpoint = tuple[Address, int]

ESTABLISHED = 1
LISTEN = 10
SOCK_DESTROY = 21
NLM_F_REQUEST_ACK = 0x5


class Socket(NamedTuple):
    """One TCP socket of this namespace. `diag`: the kernel's own description, which names it in a request."""

    state: int
    local: Endpoint
    remote: Endpoint
    uid: int
    mark: int
    cgroup: int
    diag: Any = None


class Existing(NamedTuple):
    """A connection that capture would take if it were opened now."""

    direction: str
    socket: Socket

    def as_dict(self) -> dict[str, object]:
        """`workload` is the end in this namespace, `peer` the other one."""
        return {
            "direction": self.direction,
            "workload": _text(self.socket.local),
            "peer": _text(self.socket.remote),
            "uid": self.socket.uid,
        }


def past_the_proxy(plan: Plan, host: HostFacts, sockets: Iterable[Socket], cgroup: int | None) -> list[Existing]:
    """Those of `sockets` that the plan would capture and that are not captured. Pure.

    `cgroup`: the id of the plan's cgroup folder, None for the whole namespace. Groups of sockets are not known to the
    kernel's table: a rule about groups is taken not to match.
    """
    known = list(sockets)
    listening = {one.local[1] for one in known if one.state == LISTEN}
    ours = {plan.intent.listeners.outbound, plan.intent.listeners.inbound}
    # A captured connection has a second socket, the proxy's, whose peer is what the workload's socket calls itself.
    taken = {one.remote for one in known if one.local[1] in ours}
    found = []
    for one in known:
        if one.state != ESTABLISHED or one.local[1] in ours or one.local in taken:
            continue
        direction = INBOUND if one.local[1] in listening else OUTBOUND
        if direction == INBOUND and one.uid in plan.intent.exempt.uids:
            continue  # steered to the proxy's socket with the addresses that were dialled
        inside = cgroup is None or one.cgroup == cgroup
        decision = explain(plan, _as_connection(direction, one, host, inside=inside))
        if decision.decision == "capture":
            found.append(Existing(direction, one))
    return found


def read_sockets() -> list[Socket]:
    """The TCP sockets of this namespace that are established or listen."""
    from pyroute2 import DiagSocket

    found = []
    with DiagSocket() as diag:
        diag.bind()
        for family in (socket.AF_INET, socket.AF_INET6):
            for message in diag.get_sock_stats(family=family, states=1 << ESTABLISHED | 1 << LISTEN):
                found.append(_socket(message))
    return found


def close(connections: Iterable[Existing]) -> int:
    """Have the kernel abort these; both ends see a reset. Returns how many were still there.

    Raises PrivilegeMissing (CAP_NET_ADMIN), Unsupported where the kernel has no CONFIG_INET_DIAG_DESTROY.
    """
    import errno

    from pyroute2 import DiagSocket
    from pyroute2.netlink.diag import inet_diag_req
    from pyroute2.netlink.exceptions import NetlinkError

    closed = 0
    with DiagSocket() as diag:
        diag.bind()
        for one in connections:
            request = inet_diag_req()
            described = one.socket.diag
            request["sdiag_family"] = described["idiag_family"]
            request["sdiag_protocol"] = socket.IPPROTO_TCP
            request["idiag_states"] = 1 << ESTABLISHED
            for name in ("sport", "dport", "if", "cookie"):
                request[f"idiag_{name}"] = described[f"idiag_{name}"]
            for name in ("src", "dst"):
                request[f"idiag_{name}"] = _words(described[f"idiag_{name}"])
            try:
                tuple(diag.nlm_request(request, SOCK_DESTROY, NLM_F_REQUEST_ACK))  # a generator: asked for, it sends
            except NetlinkError as refused:
                if refused.code == errno.EPERM:
                    raise PrivilegeMissing("CAP_NET_ADMIN", "close connections of others") from None
                if refused.code == errno.EOPNOTSUPP:
                    raise Unsupported("closing connections needs CONFIG_INET_DIAG_DESTROY in the kernel") from None
                if refused.code != errno.ENOENT:  # it has ended by itself
                    raise CaptureError(f"cannot close {_text(one.socket.local)}: {refused}") from None
            else:
                closed += 1
    return closed


def _as_connection(direction: str, one: Socket, host: HostFacts, *, inside: bool) -> Connection:
    if direction == OUTBOUND:
        caller = Connection(OUTBOUND, one.remote[0], one.remote[1], uid=one.uid, mark=one.mark, in_cgroup=inside)
        return caller.to(one.remote[0], one.remote[1], local=_is_own(one.remote[0], host))
    # A peer with an address of this namespace came over the loopback interface, whatever address it dialled.
    interface = "lo" if _is_own(one.remote[0], host) else None
    return Connection(
        INBOUND, as_on_the_wire(one.local[0]), one.local[1], source=one.remote[0], interface=interface, local=True,
        in_cgroup=inside,
    )  # fmt: skip


def _is_own(address: Address, host: HostFacts) -> bool:
    return any(address in network for network in host.own if network.version == address.version)


def _socket(message: Any) -> Socket:
    mark = message.get_attr("INET_DIAG_MARK")
    return Socket(
        state=message["idiag_state"],
        local=(_plain(message["idiag_src"]), message["idiag_sport"]),
        remote=(_plain(message["idiag_dst"]), message["idiag_dport"]),
        uid=message["idiag_uid"],
        mark=int.from_bytes(bytes.fromhex(mark.replace(":", "")), "little") if isinstance(mark, str) else 0,
        cgroup=message.get_attr("INET_DIAG_CGROUP_ID") or 0,
        diag=message,
    )


def _words(address: str) -> tuple[int, ...]:
    """As a request carries it: four words, IPv4 in the first."""
    packed = ip_address(address).packed.ljust(16, b"\0")
    return struct.unpack(">4I", packed)


def _plain(text: str) -> Address:
    return as_on_the_wire(ip_address(text)) if text not in ("0.0.0.0", "::") else ip_address(text)


def _text(endpoint: Endpoint) -> str:
    address, port = endpoint
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
