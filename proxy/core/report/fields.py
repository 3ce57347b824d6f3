"""The fields of a connection, in order: the one table from which text lines, JSON lines, /connections and reports are
made. The engine renders most lines itself (cext/engine/tell/log.c), to the same bytes: tests/netns/cext compares them.
"""

from proxy.core.lanes import Direction
from proxy.core.report.record import ConnectionRecord
from proxy.core.report.table import Field, JsonObject, Kind, Table


def _sent(record: ConnectionRecord) -> int:
    """What the workload sent: it is the client of an outbound and the server of an inbound connection."""
    return record.to_upstream if record.direction is Direction.OUTBOUND else record.to_downstream


def _received(record: ConnectionRecord) -> int:
    return record.to_downstream if record.direction is Direction.OUTBOUND else record.to_upstream


FIELDS: tuple[Field[ConnectionRecord], ...] = (
    Field("time", Kind.MOMENT, lambda one: one.started_at, reported=False),
    Field("direction", Kind.WORD, lambda one: one.direction),
    Field("downstream", Kind.WORD, lambda one: one.peer),
    Field("original_destination", Kind.WORD, lambda one: one.destination),
    Field("upstream", Kind.WORD, lambda one: one.upstream if one.upstream.ip else "-"),
    Field("protocol", Kind.WORD, lambda one: one.verdict.protocol),
    Field("lane", Kind.WORD, lambda one: one.verdict.lane),
    Field("bytes_sent", Kind.COUNT, _sent),
    Field("bytes_received", Kind.COUNT, _received),
    Field("duration_ms", Kind.MILLISECONDS, lambda one: one.age_s * 1000),
    Field("close_reason", Kind.TEXT, lambda one: one.close_reason or ""),
    Field("lane_reason", Kind.TEXT, lambda one: one.verdict.lane_reason),
    Field("state", Kind.WORD, lambda one: one.state, logged=False),
    Field("age_ms", Kind.MILLISECONDS, lambda one: one.age_s * 1000, logged=False),
    Field("sni", Kind.TEXT, lambda one: one.sni, logged=False),
    Field("alpn", Kind.TEXT, lambda one: one.alpn, logged=False),
    Field("cluster", Kind.TEXT, lambda one: one.verdict.cluster, logged=False),
    Field("service", Kind.TEXT, lambda one: one.verdict.service.host if one.verdict.service else "", logged=False),
    Field("id", Kind.COUNT, lambda one: one.id, logged=False),
)

_TABLE = Table(FIELDS)


def report(record: ConnectionRecord) -> JsonObject:
    """The connection object of contract.md, with the keys that /connections adds."""
    return _TABLE.report(record)


text_line = _TABLE.text_line
json_line = _TABLE.json_line
tap_line = Table([one._replace(logged=one.logged or one.name == "id") for one in FIELDS]).json_line
"""A JSON line with the id, by which `tidegate why --id` finds the connection again."""
