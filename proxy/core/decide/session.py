"""Sessions of a rule: the client brings a token back that names the endpoint its session belongs to.

Nothing is remembered: the token holds all of it, so it means the same to every worker and after a restart. The engine
does the same: cext/engine/route/heads/session.c."""

import re
from typing import NamedTuple

from proxy.core.addresses import UpstreamAddress
from proxy.core.dice import hash_of
from proxy.core.policy.http import HttpRule, Persistence
from proxy.core.route.cookies import cookie
from proxy.core.route.match import Kind, Match, Request

_TOKEN = re.compile(r"([0-9a-f]{16})\.([0-9a-f]{1,12})\.([0-9a-f]{1,12})")
_SAYABLE = re.compile(r"[!-:<-~]+")
"""What may stand in a cookie's path."""


class Token(NamedTuple):
    """Times are whole seconds since 1970."""

    endpoint: int
    """Its identity."""
    issued_s: int
    used_s: int

    def __str__(self) -> str:
        return f"{self.endpoint:016x}.{self.issued_s:x}.{self.used_s:x}"


class Place(NamedTuple):
    """A target of a rule, and the endpoint of its cluster, by their indices."""

    target: int
    endpoint: int


def identity(cluster: str, endpoint: UpstreamAddress) -> int:
    """By which a token names an endpoint of a cluster."""
    return hash_of(f"{cluster} {endpoint}".encode())


def token_of(session: Persistence, request: Request, now_s: int) -> Token | None:
    """None: the request has no token of the session, or its time is over."""
    text = request.first(session.name.lower()) if session.header else cookie(request, session.name)
    found = None if text is None else _TOKEN.fullmatch(text)
    if found is None:
        return None
    token = Token(*(int(part, 16) for part in found.groups()))
    absolute_s, idle_s = seconds(session.absolute_s), seconds(session.idle_s)
    over = (absolute_s and _age(token.issued_s, now_s) >= absolute_s) or (
        idle_s and _age(token.used_s, now_s) >= idle_s
    )
    return None if over else token


def place_of(rule: HttpRule, request: Request, now_s: int) -> Place | None:
    """Where the request's session belongs, whatever the targets' weights. None: nowhere yet, or not any more."""
    token = None if rule.persistence is None else token_of(rule.persistence, request, now_s)
    if token is None:
        return None
    for number, target in enumerate(rule.targets):
        for index, endpoint in enumerate(target.cluster.endpoints if target.cluster is not None else ()):
            if target.cluster is not None and identity(target.cluster.name, endpoint) == token.endpoint:
                return Place(number, index)
    return None


def line(session: Persistence, path: str, token: Token, now_s: int) -> tuple[str, str]:
    """The header by which the answer gives the token to the client. path: see `cookie_path`."""
    if session.header:
        return session.name, str(token)
    lives = ""
    if session.permanent:
        lives = f"; Max-Age={seconds(session.absolute_s) - _age(token.issued_s, now_s)}"
    return "set-cookie", f"{session.name}={token}{lives}{f'; Path={path}' if path else ''}; HttpOnly"


def cookie_path(session: Persistence, match: Match) -> str:
    """The session's own, else what the rule matches, so that the cookie comes back to the rule and to no other."""
    if session.header:
        return ""
    path = session.path or (match.path.value if match.path.kind is not Kind.REGEX else "/")
    return path if _SAYABLE.fullmatch(path) else "/"


def seconds(given: float | None) -> int:
    """0: no limit; a limit is at least a second, for tokens know nothing finer."""
    return 0 if not given else max(1, round(given))


def _age(since_s: int, now_s: int) -> int:
    return max(0, now_s - since_s)
