"""Spans reach a collector with the ids that the requests carried; without an endpoint nothing of it is imported."""

import subprocess
import sys
import time

import pytest

from cext.engine.exchanges import Exchanges
from proxy.core.report.identity import NOBODY, Identity
from proxy.core.trace.sampling import exports, share
from proxy.errors import BadSetting
from proxy.telemetry.spans import CLOSE_S, MOST, spans_as_configured
from tests.unit.cext.tell.teller import Teller, address, teller
from tests.unit.proxy.telemetry.collector import attributes, collector

TRACE, SPAN, PARENT = bytes(range(1, 17)), b"\x01" * 8, b"\x02" * 8
OWN = Identity("shop-web", "store", "shop", "v2", "shop", "v2", "east")
ENDPOINT, SAMPLER, ARGUMENT = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"


def records(one: Teller) -> bytes:
    exchanges: Exchanges = one.exchanges
    return exchanges.take(records=True).records


def test_a_collector_gets_the_request_as_a_span(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as there, teller() as one:
        monkeypatch.setenv(ENDPOINT, there.endpoint)
        spans = spans_as_configured(OWN)
        assert spans is not None
        one.exchanges.keep(True)
        ids = {"trace_id": TRACE, "span_id": SPAN, "parent_id": PARENT, "traced": 2}
        one.tell(
            **ids, method=b"GET", target=b"/cart?password=1", authority=b"shop", route=b"ns/canary", service=b"ns/shop",
            status=503, flags=0x10, duration_us=2_000_000, upstream=address(b"\x0a\x00\x00\x09", 8080),
        )  # fmt: skip
        one.tell(trace_id=TRACE, span_id=b"\x03" * 8, traced=2, inbound=1, method=b"POST")
        one.tell(trace_id=TRACE, span_id=b"\x04" * 8, traced=1)
        one.tell(trace_id=TRACE, traced=2)
        spans.take(records(one))
        spans.close()
        (resource, first), (_, second) = sorted(there.spans, key=lambda pair: pair[1].span_id)
        assert (resource["service.name"], resource["service.version"], resource["k8s.namespace.name"]) == (
            "shop", "v2", "store",
        )  # fmt: skip
        assert (first.trace_id, first.span_id, first.parent_span_id) == (TRACE, SPAN, PARENT)
        assert (first.name, first.kind, first.status.code) == ("GET ns/canary", 3, 2)
        assert first.end_time_unix_nano - first.start_time_unix_nano == 2_000_000_000
        told = attributes(first.attributes)
        assert told["http.response.status_code"] == 503
        assert (told["url.path"], told["network.peer.port"], told["tidegate.response_flags"]) == ("/cart", 8080, "UF")
        assert "password" not in str(first)
        assert (second.trace_id, second.span_id, second.parent_span_id) == (TRACE, b"\x03" * 8, b"")
        assert (second.name, second.kind, second.status.code) == ("POST", 2, 0)


def test_more_than_there_is_time_for_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as there, teller() as one:
        monkeypatch.setenv(ENDPOINT, there.endpoint)
        spans = spans_as_configured(NOBODY)
        assert spans is not None
        one.exchanges.keep(True)
        one.tell(trace_id=TRACE, span_id=SPAN, traced=2, times=MOST + 7)
        spans.take(records(one))
        spans.close()
        assert (len(there.spans), spans.dropped) == (MOST, 7)


def test_a_collector_that_is_not_there_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    with teller() as one:
        spans = spans_as_configured(NOBODY)
        assert spans is not None
        one.exchanges.keep(True)
        one.tell(trace_id=TRACE, span_id=SPAN, traced=2)
        spans.take(records(one))
        began = time.monotonic()
        spans.close()
        assert time.monotonic() - began < CLOSE_S + 1


def test_without_an_endpoint_nothing_of_it_is_imported() -> None:
    program = (
        "import sys\nfrom proxy.telemetry.spans import spans_as_configured\n"
        "from proxy.core.report.identity import NOBODY\n"
        "import proxy.sidecar\nassert spans_as_configured(NOBODY) is None\n"
        "assert not [name for name in sys.modules if 'opentelemetry' in name or name == 'requests']\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={})


@pytest.mark.parametrize(
    ("environment", "sent"),
    [
        ({}, False),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: "http://a:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a:4318/v1/traces"}, True),
        ({ENDPOINT: "http://a:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({ENDPOINT: "http://a:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_traces_are_sent_where_an_endpoint_is_set(environment: dict[str, str], sent: bool) -> None:
    assert exports(environment) is sent


@pytest.mark.parametrize(
    ("sampler", "argument", "part"),
    [("", "", 1.0), ("always_off", "", 0.0), ("parentbased_traceidratio", "0.01", 0.01), ("traceidratio", "", 1.0)],
)
def test_the_share_is_opentelemetrys(sampler: str, argument: str, part: float) -> None:
    assert share({SAMPLER: sampler, ARGUMENT: argument}) == part


@pytest.mark.parametrize(("sampler", "argument"), [("jaeger_remote", ""), ("traceidratio", "2"), ("traceidratio", "x")])
def test_a_sampler_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch, sampler: str, argument: str) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setenv(SAMPLER, sampler)
    monkeypatch.setenv(ARGUMENT, argument)
    with pytest.raises(BadSetting, match="OTEL_TRACES_SAMPLER"):
        spans_as_configured(NOBODY)
