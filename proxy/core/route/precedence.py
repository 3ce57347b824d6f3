"""The order in which rules are asked: the most specific match first, as Gateway API lays it down for HTTPRoute."""

from typing import NamedTuple

from proxy.core.route.match import Kind, Match


class Origin(NamedTuple):
    """Where a match stands. Tuples compare as ties are broken: the older route, then by name, then as written."""

    created: str
    """The route's creationTimestamp, which sorts as text; empty: not known, so younger than all that are known."""
    namespace: str
    name: str
    rule: int
    match: int


_KINDS = {Kind.EXACT: 0, Kind.PREFIX: 1, Kind.REGEX: 2}
"""Where expressions stand is left open; last, so that one which matches everything hides nothing that is more exact."""


def order(match: Match, origin: Origin) -> tuple[object, ...]:
    """Sort key of a match: what sorts first is asked first."""
    length = len(match.path.value.rstrip("/")) if match.path.kind is Kind.PREFIX else len(match.path.value)
    return (
        _KINDS[match.path.kind],
        -length,
        match.method is None,
        -len(match.headers),
        -len(match.parameters),
        not origin.created,
        *origin,
    )
