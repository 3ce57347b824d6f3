"""The engine reads trace contexts as proxy/core/trace does, whatever stands there, and continues them in place."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.trace import w3c
from proxy.core.trace.context import context
from tests.unit.cext.trace.tracer import continued, found, head_of, line

TRACE, SPAN, OWN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", b"\xfe" * 8
VALID = f"00-{TRACE}-{SPAN}-01"
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["traceparent", "TraceParent", "b3", "X-B3-TraceId", "x-b3-spanid", "X-B3-Sampled", "X-B3-Flags", "Host"]
        ),
        st.one_of(
            st.from_regex(r"\A[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-x)?\Z"),
            st.from_regex(r"\A([0-9a-f]{16}){1,2}-[0-9a-f]{16}(-[01d](-[0-9a-f]{16})?)?\Z"),
            st.from_regex(r"\A([0-9a-f]{16}){1,2}\Z"),
            st.sampled_from(
                ["0", "1", "true", "d", "", VALID, VALID.upper(), f"00-{'0' * 32}-{SPAN}-01", f"{TRACE}-{'0' * 16}"]
            ),
            st.text(st.characters(codec="ascii", exclude_characters="\r\n\0"), max_size=60),
        ),
    ),
    max_size=6,
)


def raw(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers]


@given(HEADERS)
def test_both_read_the_same(headers: list[tuple[str, str]]) -> None:
    known = context(headers)
    assert found(raw(headers)) == (None if known is None else (known.trace_id, known.parent_id, known.sampled))


@given(HEADERS)
def test_a_head_stays_as_long_as_it_is_and_says_the_same_trace(headers: list[tuple[str, str]]) -> None:
    before = bytes(head_of(raw(headers))[1])
    after = continued(raw(headers), OWN)
    assert len(after) == len(before)
    known = found(raw(headers))
    if known is None:
        assert after == before
        return
    lines = after.split(b"\r\n")[1:-2]
    again = found([tuple(line.split(b": ", 1)) for line in lines])  # type: ignore[misc]
    assert again == (known[0], OWN, known[2])


def test_what_stands_beside_is_left_alone() -> None:
    headers = [("Host", "shop"), ("traceparent", VALID), ("tracestate", "a=b"), ("b3", f"{TRACE}-{SPAN}-1-{SPAN}")]
    after = continued(raw(headers), OWN).decode()
    assert f"traceparent: 00-{TRACE}-{OWN.hex()}-01\r\n" in after
    assert f"b3: {TRACE}-{OWN.hex()}-1-{SPAN}\r\n" in after
    assert "tracestate: a=b\r\n" in after


def test_a_line_of_our_own_is_read_again() -> None:
    trace_id, span_id = bytes(range(16)), bytes(range(8, 16))
    for sampled in (True, False):
        name, _, value = line(trace_id, span_id, sampled).partition(b": ")
        assert value.endswith(b"\r\n")
        assert value[:-2].decode() == w3c.render(trace_id, span_id, sampled)
        assert found([(name, value[:-2])]) == (trace_id, span_id, sampled)


def test_the_examples_of_the_specifications() -> None:
    parent, trace = bytes.fromhex(SPAN), bytes.fromhex(TRACE)
    assert found([(b"traceparent", VALID.encode())]) == (trace, parent, True)
    assert found([(b"traceparent", VALID.encode()[:-1] + b"0")]) == (trace, parent, False)
    assert found([(b"traceparent", b"cc" + VALID.encode()[2:] + b"-what-the-future-brings")]) == (trace, parent, True)
    assert found([(b"traceparent", VALID.encode() + b"-extra")]) is None
    assert found([(b"traceparent", b"ff" + VALID.encode()[2:])]) is None
    assert found([(b"traceparent", VALID.encode())] * 2) is None
    short = [(b"X-B3-TraceId", SPAN.encode()), (b"X-B3-SpanId", SPAN.encode()), (b"X-B3-Flags", b"1")]
    assert found(short) == (bytes(8) + parent, parent, True)
    assert found([(b"b3", b"0")]) is None
