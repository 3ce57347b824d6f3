"""The OpenTelemetry SDK at work: a provider whose spans have the ids that the engine has put into the requests."""

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from proxy.core.lanes import Direction
from proxy.core.report.identity import UNKNOWN as UNKNOWN_OWN
from proxy.core.report.identity import Identity
from proxy.core.report.request import UNKNOWN, RequestRecord

_FAILED = 500


class _Given(IdGenerator):
    """The ids of the next span."""

    trace_id = 0
    span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


class OtlpTracing:
    """Exports in a thread of the SDK's. The exporter reads endpoint, headers and timeouts from the environment."""

    def __init__(self, own: Identity) -> None:
        self._ids = _Given()
        # Sampling is over: only what is sampled comes here.
        self._provider = TracerProvider(
            sampler=ALWAYS_ON, id_generator=self._ids, resource=_resource(own), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("tidegate")

    def export(self, request: RequestRecord, trace_id: bytes, span_id: bytes, parent_id: bytes) -> None:
        self._ids.trace_id, self._ids.span_id = int.from_bytes(trace_id), int.from_bytes(span_id)
        began_ns = round(request.started_at * 1e6) * 1000
        span = self._tracer.start_span(
            request.method if request.route == UNKNOWN else f"{request.method} {request.route}",
            context=_parent(trace_id, parent_id),
            kind=SpanKind.CLIENT if request.direction is Direction.OUTBOUND else SpanKind.SERVER,
            attributes=attributes(request),
            start_time=began_ns,
        )
        if request.status >= _FAILED or request.status == 0:
            span.set_status(Status(StatusCode.ERROR, request.flags if request.flags != UNKNOWN else None))
        span.end(began_ns + request.duration_us * 1000)

    def close(self) -> None:
        self._provider.shutdown()


def attributes(request: RequestRecord) -> dict[str, str | int | float]:
    """By OpenTelemetry's semantic conventions; the query stays here, for people put secrets into it."""
    found: dict[str, str | int | float] = {
        "http.request.method": request.method,
        "url.path": request.path.partition("?")[0],
        "url.scheme": "http",
        "network.protocol.name": "http",
        "network.protocol.version": request.protocol.removeprefix("HTTP/"),
        "client.address": request.source.ip,
        "client.port": request.source.port,
        "tidegate.response_flags": request.flags,
        "tidegate.attempts": request.attempts,
        "tidegate.proxy_ms": request.proxy_us / 1000,
        "http.request.size": request.request_bytes,
        "http.response.size": request.response_bytes,
    }
    if request.status:
        found["http.response.status_code"] = request.status
    if request.authority != UNKNOWN:
        found["server.address"] = request.authority
    if request.upstream.ip:
        found |= {"network.peer.address": request.upstream.ip, "network.peer.port": request.upstream.port}
    if request.upstream_us is not None:
        found["tidegate.upstream_ms"] = request.upstream_us / 1000
    named = {"tidegate.service": request.service, "tidegate.route": request.route}
    return found | {name: value for name, value in named.items() if value != UNKNOWN}


def _parent(trace_id: bytes, parent_id: bytes) -> Context:
    if not any(parent_id):
        return Context()
    parent = SpanContext(
        int.from_bytes(trace_id), int.from_bytes(parent_id), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
    return set_span_in_context(NonRecordingSpan(parent), Context())


def _resource(own: Identity) -> Resource:
    """What the environment says (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) wins over what we know."""
    known = {
        "service.name": own.canonical_service,
        "service.version": own.version,
        "service.namespace": own.namespace,
        "k8s.namespace.name": own.namespace,
    }
    given = Resource.create()
    names = {name: value for name, value in known.items() if value != UNKNOWN_OWN}
    has_name = not str(given.attributes.get("service.name", "")).startswith("unknown_service")
    return Resource(names).merge(given) if has_name else given.merge(Resource(names))
