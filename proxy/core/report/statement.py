"""The fields of a request to a database, in order, as `tap` shows them."""

from dataclasses import dataclass

from proxy.core.addresses import ClientAddress, OriginalDestination, UpstreamAddress
from proxy.core.lanes import Direction
from proxy.core.report.table import Field, Kind, Table


@dataclass(frozen=True, slots=True)
class StatementRecord:
    """One request. database, kind: words of ours, never a client's. service: a name of configuration, or `-`."""

    started_at: float
    direction: Direction
    database: str
    kind: str
    failed: bool
    duration_us: int
    source: ClientAddress
    original_destination: OriginalDestination
    upstream: UpstreamAddress
    service: str


FIELDS: tuple[Field[StatementRecord], ...] = (
    Field("time", Kind.MOMENT, lambda one: one.started_at),
    Field("direction", Kind.WORD, lambda one: one.direction),
    Field("database", Kind.WORD, lambda one: one.database),
    Field("kind", Kind.TEXT, lambda one: one.kind),
    Field("outcome", Kind.WORD, lambda one: "error" if one.failed else "ok"),
    Field("duration_ms", Kind.MILLISECONDS, lambda one: one.duration_us / 1000),
    Field("source", Kind.WORD, lambda one: one.source),
    Field("original_destination", Kind.WORD, lambda one: one.original_destination),
    Field("upstream", Kind.WORD, lambda one: one.upstream),
    Field("service", Kind.TEXT, lambda one: one.service),
)
json_line = Table(FIELDS).json_line
