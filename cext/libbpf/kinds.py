"""The kernel's numbers (linux/bpf.h) that are in use here, and what it tells about its objects."""

from typing import NamedTuple


class MapType:
    """Kernel numbers (linux/bpf.h), those in use here."""

    HASH = 1
    ARRAY = 2
    PERCPU_ARRAY = 6
    LPM_TRIE = 11
    ARRAY_OF_MAPS = 12
    SOCKMAP = 15
    SOCKHASH = 18
    SK_STORAGE = 24


class ProgramType:
    """Kernel numbers."""

    CGROUP_SKB = 8
    SOCK_OPS = 13
    CGROUP_SOCK_ADDR = 18
    CGROUP_SOCKOPT = 25
    SK_LOOKUP = 30


class AttachType:
    """Kernel numbers."""

    INET_INGRESS = 0
    INET_EGRESS = 1
    SOCK_OPS = 3
    CONNECT4 = 10
    CONNECT6 = 11
    POST_BIND4 = 12
    POST_BIND6 = 13
    SENDMSG4 = 14
    SENDMSG6 = 15
    RECVMSG4 = 19
    RECVMSG6 = 20
    GETSOCKOPT = 21
    SETSOCKOPT = 22
    GETPEERNAME4 = 29
    GETPEERNAME6 = 30
    GETSOCKNAME4 = 31
    GETSOCKNAME6 = 32
    SK_LOOKUP = 36


class Helper:
    """Kernel numbers."""

    GET_NETNS_COOKIE = 122
    SET_RETVAL = 187


class MapInfo(NamedTuple):
    type: int
    id: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


class ProgramInfo(NamedTuple):
    type: int
    id: int
    tag: str


class LinkInfo(NamedTuple):
    """target: cgroup id or inode of the network namespace; 0 when that no longer exists."""

    type: int
    id: int
    program_id: int
    attach_type: int
    target: int
