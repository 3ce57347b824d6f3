"""The hooks: which program hangs where, and since which kernel that is possible. Values only."""

from typing import NamedTuple

from cext.libbpf.kinds import AttachType, ProgramType


class Where:
    """WORKLOAD: the captured cgroup. TOP: the top of the cgroup namespace, since the proxy may run outside the captured
    cgroup and its sockets are meant. NETNS: the network namespace."""

    WORKLOAD = "workload"
    TOP = "top"
    NETNS = "netns"


class Hook(NamedTuple):
    """name: also of its pin. kernel: the version that the hook came with (or what the program needs of it)."""

    name: str
    object: str
    program: str
    type: int
    attach: int
    where: str
    kernel: str
    does: str


_ADDR = ProgramType.CGROUP_SOCK_ADDR

# In the order of attaching: who answers for a steered connection goes before who steers.
CARRY = Hook(
    "sockops", "sockops", "connection", ProgramType.SOCK_OPS, AttachType.SOCK_OPS, Where.TOP, "5.8",
    "hands the original destination to the accepted socket, registers inbound listeners, measures the direct lane",
)  # fmt: skip
ANSWER = Hook(
    "getsockopt", "getsockopt", "getsockopt", ProgramType.CGROUP_SOCKOPT, AttachType.GETSOCKOPT, Where.TOP, "5.8",
    "answers SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST",
)  # fmt: skip
TOLD = Hook(
    "setsockopt", "setsockopt", "setsockopt", ProgramType.CGROUP_SOCKOPT, AttachType.SETSOCKOPT, Where.TOP, "5.8",
    "hears from the proxy for which client it calls the workload",
)  # fmt: skip
PEER = (
    Hook("getpeername4", "peername", "getpeername4", _ADDR, AttachType.GETPEERNAME4, Where.WORKLOAD, "5.8",
         "shows the workload the peer that it asked for, or the client that called it"),
    Hook("getpeername6", "peername", "getpeername6", _ADDR, AttachType.GETPEERNAME6, Where.WORKLOAD, "5.8",
         "shows the workload the peer that it asked for, or the client that called it"),
)  # fmt: skip
NAME = (
    Hook("getsockname4", "sockname", "getsockname4", _ADDR, AttachType.GETSOCKNAME4, Where.WORKLOAD, "5.8",
         "shows the workload the local address that routing would have given"),
    Hook("getsockname6", "sockname", "getsockname6", _ADDR, AttachType.GETSOCKNAME6, Where.WORKLOAD, "5.8",
         "shows the workload the local address that routing would have given"),
)  # fmt: skip
STEER = (
    Hook("connect4", "connect", "connect4", _ADDR, AttachType.CONNECT4, Where.WORKLOAD, "5.8",
         "steers connect(), or balances it (direct lane)"),
    Hook("connect6", "connect", "connect6", _ADDR, AttachType.CONNECT6, Where.WORKLOAD, "5.8",
         "steers connect(), or balances it (direct lane)"),
)  # fmt: skip
DNS = (
    Hook("recvmsg4", "udp_recvmsg", "recvmsg4", _ADDR, AttachType.RECVMSG4, Where.WORKLOAD, "5.8",
         "shows the DNS server that was asked as the sender of the answer"),
    Hook("recvmsg6", "udp_recvmsg", "recvmsg6", _ADDR, AttachType.RECVMSG6, Where.WORKLOAD, "5.8",
         "shows the DNS server that was asked as the sender of the answer"),
    Hook("sendmsg4", "udp_sendmsg", "sendmsg4", _ADDR, AttachType.SENDMSG4, Where.WORKLOAD, "5.8",
         "steers DNS queries of sockets that are not connected"),
    Hook("sendmsg6", "udp_sendmsg", "sendmsg6", _ADDR, AttachType.SENDMSG6, Where.WORKLOAD, "5.8",
         "steers DNS queries of sockets that are not connected"),
)  # fmt: skip
LISTENERS = Hook(
    "listen", "listen", "workload_listen", ProgramType.SOCK_OPS, AttachType.SOCK_OPS, Where.WORKLOAD, "5.8",
    "knows which ports the captured cgroup's processes listen on",
)  # fmt: skip
INBOUND = Hook(
    "sk_lookup", "sk_lookup", "inbound", ProgramType.SK_LOOKUP, AttachType.SK_LOOKUP, Where.NETNS, "5.9",
    "gives arriving connections to the inbound listener",
)  # fmt: skip

ALL = (CARRY, ANSWER, TOLD, *PEER, *NAME, LISTENERS, INBOUND, *DNS, *STEER)


def wanted(*, dns: bool, scoped: bool) -> tuple[Hook, ...]:
    """Those that such a policy needs, in the order of attaching."""
    surplus = (() if dns else DNS) + (() if scoped else (LISTENERS,))
    return tuple(hook for hook in ALL if hook not in surplus)
