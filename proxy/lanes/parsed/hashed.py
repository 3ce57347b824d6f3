"""What the engine is told about a consistent hash."""

from typing import NamedTuple

from cext.engine.clusters import HashBy
from proxy.core.balance.key import cookie_end
from proxy.core.policy.upstream import ConsistentHash


class Hashed(NamedTuple):
    """The fields of ClusterSpec that say what of a request is hashed."""

    hash_by: HashBy = HashBy.NOTHING
    hash_name: bytes = b""
    cookie_end: bytes | None = None


def hashed(one: ConsistentHash | None) -> Hashed:
    if one is None:
        return Hashed()
    if one.source_ip:
        return Hashed(HashBy.SOURCE)
    if one.header:
        return Hashed(HashBy.HEADER, one.header.encode())
    if one.parameter:
        return Hashed(HashBy.PARAMETER, one.parameter.encode())
    end = cookie_end(one)
    return Hashed(HashBy.COOKIE, one.cookie.encode(), None if end is None else end.encode())
