"""What HTTPRoutes and GRPCRoutes say of requests to a destination: rules in the order in which they are asked."""

from dataclasses import dataclass, field
from typing import NamedTuple

from proxy.core.policy.cluster import Cluster
from proxy.core.policy.settings import Retries
from proxy.core.route.filters import HeaderEdits, Redirect, Rewrite
from proxy.core.route.match import Match


class Mirror(NamedTuple):
    """A copy of `numerator` of `denominator` requests goes there, and its answer nowhere. Without a cluster no copy is
    made, and `unresolved` says why."""

    cluster: Cluster | None
    numerator: int = 1
    denominator: int = 1
    unresolved: str = ""


@dataclass(frozen=True, slots=True)
class Cors:
    """As in Gateway API: `*` stands for all, a wildcard in an origin for one or more of its labels."""

    allow_origins: tuple[str, ...] = ()
    allow_credentials: bool = False
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age_s: int = 5


@dataclass(frozen=True, slots=True)
class Filters:
    request: HeaderEdits = field(default_factory=HeaderEdits)
    response: HeaderEdits = field(default_factory=HeaderEdits)
    redirect: Redirect | None = None
    rewrite: Rewrite | None = None
    mirrors: tuple[Mirror, ...] = ()
    cors: Cors | None = None
    unobeyed: tuple[str, ...] = ()
    """Types of filters that the proxy can't obey: requests that would need them are answered 500."""


NO_FILTERS = Filters()


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """A share of a rule's requests. Without a cluster they are answered 500, and `unresolved` says why."""

    weight: int
    cluster: Cluster | None
    unresolved: str = ""
    name: str = ""
    """The backendRef's, by which `route set-weight` knows it."""
    filters: Filters = NO_FILTERS


@dataclass(frozen=True, slots=True)
class RuleTimeouts:
    """Seconds; None: not said, what the destination's settings say holds; 0: no limit."""

    request_s: float | None = None
    per_try_s: float | None = None


@dataclass(frozen=True, slots=True)
class Persistence:
    """Requests of one session go to one endpoint. The session is named by a cookie or by a header."""

    name: str
    header: bool = False
    permanent: bool = False
    """The cookie outlives the client's own session, by `absolute_s`."""
    path: str = ""
    """Of the cookie; empty: that of the rule."""
    absolute_s: float | None = None
    idle_s: float | None = None


@dataclass(frozen=True, slots=True)
class HttpRule:
    """One match of a route's rule, and what is done with the requests that it takes. With neither a redirect nor a
    target of a weight above 0 they are answered 500."""

    match: Match
    targets: tuple[HttpTarget, ...]
    route: str
    """NAMESPACE/NAME; with `kind` it names the document."""
    rule: str
    """The rule's name, else its index from 0."""
    kind: str = "HTTPRoute"
    filters: Filters = NO_FILTERS
    timeouts: RuleTimeouts = field(default_factory=RuleTimeouts)
    retries: Retries | None = None
    """None: the destination's settings hold."""
    persistence: Persistence | None = None
