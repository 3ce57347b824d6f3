"""Spans over OTLP/HTTP, by the OpenTelemetry SDK. Nothing of it is imported unless an endpoint is set."""

import os
import threading
from typing import Protocol

from cext.engine.exchange_records import SAMPLED, heads, record
from proxy.core.report.identity import Identity
from proxy.core.report.request import RequestRecord
from proxy.core.trace import sampling
from proxy.errors import BadSetting, MissingLibrary
from proxy.telemetry.exchange_told import told

MOST = 100
"""Spans that are made of one batch: the event loop has other things to do."""
CLOSE_S = 2.0
TRACED, SPAN_ID = 34, 37
"""Places among the fields of `heads`."""
_NONE = bytes(8)


class Tracing(Protocol):
    """Where spans go."""

    def export(self, request: RequestRecord, trace_id: bytes, span_id: bytes, parent_id: bytes) -> None: ...
    def close(self) -> None: ...


class Spans:
    """Belongs to the event loop."""

    def __init__(self, tracing: Tracing, share: float) -> None:
        self.share = share
        """Of the traces that begin here, those that are sampled."""
        self.dropped = 0
        self._tracing = tracing

    def take(self, batch: bytes) -> None:
        """Make spans of the sampled requests among these records."""
        made = 0
        for at, values in heads(batch):
            if values[TRACED] != SAMPLED or values[SPAN_ID] == _NONE:
                continue
            if made == MOST:
                self.dropped += 1
                continue
            made += 1
            one = record(batch, at, values)
            self._tracing.export(told(one), one.trace_id, one.span_id, one.parent_id)

    def close(self) -> None:
        """Send what is left, for at most CLOSE_S: a collector that does not answer must not keep the process alive."""
        thread = threading.Thread(target=self._tracing.close, name="tidegate-spans", daemon=True)
        thread.start()
        thread.join(CLOSE_S)


def spans_as_configured(own: Identity) -> Spans | None:
    """None: no endpoint is set. Raises BadSetting, MissingLibrary (the SDK is not installed)."""
    if not sampling.exports(os.environ):
        return None
    try:
        share = sampling.share(os.environ)
    except ValueError as wrong:
        raise BadSetting(*wrong.args) from None
    try:
        from proxy.telemetry.otlp import OtlpTracing
    except ModuleNotFoundError as missing:
        raise MissingLibrary(str(missing.name), "export traces", "tidegate[otlp]") from None
    return Spans(OtlpTracing(own), share)
