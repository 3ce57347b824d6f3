"""What a consistent hash looks a request up by. The engine does the same: cext/engine/balance/key.c."""

import math
from ipaddress import ip_address

from proxy.core.dice import hash_of
from proxy.core.policy.upstream import ConsistentHash
from proxy.core.route.cookies import cookie
from proxy.core.route.match import Request


def key_hash(hashed: ConsistentHash, request: Request, client: str) -> int | None:
    """client: its IP. None: the request has nothing that is hashed, and any endpoint is as good as another."""
    if hashed.source_ip:
        return hash_of(ip_address(client).packed)
    if hashed.header:
        value = request.headers.get(hashed.header)
    elif hashed.cookie:
        value = cookie(request, hashed.cookie)
    else:
        value = request.parameters.get(hashed.parameter)
    return None if value is None else hash_of(value.encode("utf-8", "surrogateescape"))


def cookie_end(hashed: ConsistentHash) -> str | None:
    """What stands behind name=value in the Set-Cookie for a client that came without the cookie. None: it gets none."""
    if not hashed.cookie or hashed.cookie_ttl_s is None:
        return None
    age = f"; Max-Age={math.ceil(hashed.cookie_ttl_s)}" if hashed.cookie_ttl_s else ""
    path = f"; Path={hashed.cookie_path}" if hashed.cookie_path else ""
    return f"{age}{path}; HttpOnly"
