"""The fields of a request, in order: the one table from which text lines, JSON lines, /requests, `tap` and reports are
made. The engine renders the log's lines itself (cext/engine/tell/request_line.c), to the same bytes: a test compares
them."""

from proxy.core.report.request import UNKNOWN, RequestRecord
from proxy.core.report.table import Field, JsonObject, Kind, Table

FIELDS: tuple[Field[RequestRecord], ...] = (
    Field("time", Kind.MOMENT, lambda one: one.started_at),
    Field("direction", Kind.WORD, lambda one: one.direction),
    Field("method", Kind.TEXT, lambda one: one.method),
    Field("authority", Kind.TEXT, lambda one: one.authority),
    Field("path", Kind.TEXT, lambda one: one.path),
    Field("protocol", Kind.WORD, lambda one: one.protocol),
    Field("status", Kind.COUNT, lambda one: one.status),
    Field("flags", Kind.WORD, lambda one: one.flags),
    Field("duration_ms", Kind.MILLISECONDS, lambda one: one.duration_us / 1000),
    Field("upstream_ms", Kind.MILLISECONDS, lambda one: None if one.upstream_us is None else one.upstream_us / 1000),
    Field("proxy_ms", Kind.MILLISECONDS, lambda one: one.proxy_us / 1000),
    Field("upstream", Kind.WORD, lambda one: one.upstream if one.upstream.ip else UNKNOWN),
    Field("attempts", Kind.COUNT, lambda one: one.attempts),
    Field("route", Kind.TEXT, lambda one: one.route),
    Field("service", Kind.TEXT, lambda one: one.service),
    Field("source", Kind.WORD, lambda one: one.source),
    Field("bytes_sent", Kind.COUNT, lambda one: one.bytes_sent),
    Field("bytes_received", Kind.COUNT, lambda one: one.bytes_received),
    Field("trace_id", Kind.WORD, lambda one: one.trace_id),
    Field("id", Kind.COUNT, lambda one: one.id),
)
_TABLE = Table(FIELDS)


def report(record: RequestRecord) -> JsonObject:
    """The request object of contract.md."""
    return _TABLE.report(record)


text_line = _TABLE.text_line
json_line = _TABLE.json_line
