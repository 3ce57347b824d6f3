"""What a connection's first bytes are taken for. A decision is final: no later byte changes it."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.cext.http.detector import (
    Detected,
    alpn,
    detect,
    extension,
    handshake,
    library,
    openssl_hello,
    records,
    server_name,
    vector,
)
from tests.unit.cext.http.framer import requests

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

REQUESTS = {
    "curl": b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n\r\n",
    "HTTP/1.0": b"HEAD /x HTTP/1.0\r\n\r\n",
    "a proxy's target": b"GET http://a/ HTTP/1.1\r\n\r\n",
    "CONNECT": b"CONNECT a:443 HTTP/1.1\r\n\r\n",
    "OPTIONS": b"OPTIONS * HTTP/1.1\r\n\r\n",
    "a method of its own": b"M-SEARCH * HTTP/1.1\r\n\r\n",
    "a line break before": b"\r\nGET / HTTP/1.1\r\n\r\n",
}

REFUSED_LATER = {
    "two spaces": b"GET  / HTTP/1.1\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\n\r\n",
    "a control in the target": b"GET /a\x01 HTTP/1.1\r\n\r\n",
    "NUL in the target": b"GET /a\0 HTTP/1.1\r\n\r\n",
    "a tab for a space": b"GET\t/\tHTTP/1.1\r\n\r\n",
    "a space behind the version": b"GET / HTTP/1.1 \r\n\r\n",
    "a bare line feed": b"GET / HTTP/1.1\n\n",
    "a bare carriage return behind the version": b"GET / HTTP/1.1\rHost: a\r\n\r\n",
    "a bare carriage return for a space": b"GET /\rHTTP/1.1\r\n\r\n",
    "line feeds before": b"\n\n\nGET / HTTP/1.1\r\n\r\n",
    "a space before": b" GET / HTTP/1.1\r\n\r\n",
    "another case": b"GET / http/1.1\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\n\r\n",
    "HTTP/11": b"GET / HTTP/11\r\n\r\n",
    "nearly the preface": b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n",
}

OPAQUE = {
    "HTTP/0.9": b"GET /\r\n",
    "RTSP": b"DESCRIBE rtsp://a/b RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    "SIP": b"OPTIONS sip:a@b SIP/2.0\r\n\r\n",
    "an answer": b"HTTP/1.1 200 OK\r\n\r\n",
    "Redis, RESP": b"*1\r\n$4\r\nPING\r\n",
    "Redis, inline": b"SET a b\r\n",
    "memcached": b"get a\r\n",
    "memcached, binary": b"\x80\x0b" + bytes(22),
    "PostgreSQL": b"\0\0\0\x08\x04\xd2\x16\x2f",
    "AMQP 0-9-1": b"AMQP\0\0\x09\x01",
    "SSH": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "SMTP": b"EHLO a\r\n",
    "MQTT": b"\x10\x10\0\x04MQTT\x04\x02",
    "MongoDB": b"\x3a\0\0\0\x01\0\0\0\0\0\0\0\xd4\x07\0\0",
    "STOMP": b"CONNECT\naccept-version:1.2\n\n\0",
    "PROXY protocol": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n\r\n",
    "JSON lines": b'{"a": 1}',
    "a line of an access log": b'1.2.3.4 - - [x] "GET / HTTP/1.1" 200 5\n',
    "a word of 65 characters": b"M" * 65,
    "TLS, an alert first": b"\x15\x03\x01\0\x02\x02\x28",
    "TLS, a ServerHello first": b"\x16\x03\x01\0\x04\x02\0\0\0",
    "TLS, an empty record": b"\x16\x03\x01\0\0",
    "TLS, a record that is too long": b"\x16\x03\x01\x40\x01",
    "TLS 2": b"\x16\x02",
    "SSL 2": b"\x80\x2e\x01\x03\x01",
    "TLS, a long ClientHello": b"\x16\x03\x01\x40\0\x01\x01\0\0",
    "two server names": records(handshake(server_name(b"a"), server_name(b"b"))),
    "two server names in a list": records(handshake(extension(0, vector(2, b"\0\0\1a\0\0\1b")))),
    "an empty server name": records(handshake(server_name(b""))),
    "an endless server name": records(handshake(server_name(b"a" * 256))),
    "another kind of name": records(handshake(server_name(b"a", kind=1))),
    "NUL in a server name": records(handshake(server_name(b"a\0b"))),
    "a line feed in a server name": records(handshake(server_name(b"a\nb"))),
    "a rest behind the server name": records(handshake(extension(0, vector(2, b"\0\0\1a") + b"x"))),
    "a list longer than its extension": records(handshake(extension(0, b"\0\xff\0\0\1a"))),
    "two lists of protocols": records(handshake(alpn(b"h2"), alpn(b"h2"))),
    "an empty protocol": records(handshake(alpn(b"h2", b""))),
    "no protocols": records(handshake(alpn())),
    "no cipher suites": records(handshake(suites=b"")),
    "half a cipher suite": records(handshake(suites=b"abc")),
    "no compression": records(handshake(compressions=b"")),
    "a session of 33 bytes": records(handshake(session=bytes(33))),
    "another record within": records(handshake(server_name(b"a")), 20).replace(
        b"\x16\x03\x01\0\x14", b"\x17\x03\x01\0\x14"
    )[25:],
}

HELLOS = {
    "OpenSSL": (openssl_hello("a.example", "h2", "http/1.1"), Detected("tls", b"a.example", (b"h2", b"http/1.1"))),
    "OpenSSL without names": (openssl_hello(None), Detected("tls")),
    "no extensions": (records(handshake()), Detected("tls")),
    "a byte a record": (records(handshake(alpn(b"h2"), server_name(b"a.b")), 1), Detected("tls", b"a.b", (b"h2",))),
    "binary protocols": (records(handshake(alpn(b"\x0a\x0a", b"h2"))), Detected("tls", b"", (b"\x0a\x0a", b"h2"))),
    "the longest name": (records(handshake(server_name(b"a" * 255))), Detected("tls", b"a" * 255)),
    "more protocols than fit": (
        records(handshake(alpn(b"a" * 200, b"b" * 60, b"h2"))),
        Detected("tls", b"", (b"a" * 200, b"h2")),
    ),
    "large keys": (records(handshake(extension(51, bytes(40000)), server_name(b"a"))), Detected("tls", b"a")),
}

SAMPLES = [
    *REQUESTS.values(),
    *REFUSED_LATER.values(),
    *OPAQUE.values(),
    *(data for data, _ in HELLOS.values()),
    PREFACE,
]


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_http(name: str) -> None:
    assert detect(REQUESTS[name]) == Detected("http1")
    assert not requests(REQUESTS[name]).refusal


@pytest.mark.parametrize("name", REFUSED_LATER)
def test_what_a_lenient_server_may_take_for_a_request_is_http_and_is_refused_by_the_framing(name: str) -> None:
    assert detect(REFUSED_LATER[name]) == Detected("http1")
    assert requests(REFUSED_LATER[name]).refusal


@pytest.mark.parametrize("name", OPAQUE)
def test_anything_else_is_opaque_at_once(name: str) -> None:
    assert detect(OPAQUE[name]) == Detected("opaque")


@pytest.mark.parametrize("name", HELLOS)
def test_a_client_hello_tells_its_names(name: str) -> None:
    data, expected = HELLOS[name]
    assert detect(data) == expected
    assert detect(data + b"early data") == expected
    assert detect(data[:-1]) == Detected("nothing")


def test_the_preface_of_http2_is_whole_or_undecided() -> None:
    assert detect(PREFACE + bytes(9)) == Detected("http2")
    assert all(detect(PREFACE[:length]) == Detected("nothing") for length in range(len(PREFACE)))


@pytest.mark.parametrize(
    "begun", [b"", b"G", b"GET", b"GET ", b"GET /a HTTP/1.1", b"\r\n", b"\x16", b"\x16\x03\x01\x02"]
)
def test_a_beginning_is_undecided(begun: bytes) -> None:
    assert detect(begun) == Detected("nothing")


def test_what_is_undecided_for_long_is_opaque() -> None:
    most = library()[1].DETECT_MAX
    line = b"GET /" + b"a" * most
    assert detect(line[: most - 1]) == Detected("nothing")
    assert detect(line[:most]) == Detected("opaque")
    assert detect(line + b" HTTP/1.1\r\n") == Detected("opaque")
    assert detect(records(handshake(extension(51, bytes(65000))), 1)) == Detected("opaque")


def assert_final(data: bytes) -> None:
    decided = detect(b"")
    for length in range(len(data) + 1):
        now = detect(data[:length])
        assert decided.protocol == "nothing" or now == decided, f"changes with byte {length}"
        decided = now


@pytest.mark.parametrize("data", [data for data in SAMPLES if len(data) < 600])
def test_no_later_byte_changes_a_decision(data: bytes) -> None:
    assert_final(data + b" HTTP/1.1\r\n\r\n")


@given(st.sampled_from([data for data in SAMPLES if len(data) < 200]), st.data())
def test_no_later_byte_changes_a_decision_about_damaged_bytes(data: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(data)))
    assert_final(data[:at] + draw.draw(st.binary(max_size=4)) + data[at + draw.draw(st.integers(0, 4)) :])


hosts = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255).map(str.encode)


@given(
    host=st.none() | hosts,
    protocols=st.lists(st.binary(min_size=1, max_size=20), max_size=12),
    others=st.lists(st.tuples(st.integers(17, 65535), st.binary(max_size=40)), max_size=4),
    size=st.integers(1, 16384),
    order=st.randoms(use_true_random=False),
)
def test_any_client_hello_is_read_however_it_is_cut(
    host: bytes | None,
    protocols: list[bytes],
    others: list[tuple[int, bytes]],
    size: int,
    order: Random,
) -> None:
    extensions = [extension(kind, data) for kind, data in others]
    extensions += [server_name(host)] if host else []
    extensions += [alpn(*protocols)] if protocols else []
    order.shuffle(extensions)
    data = records(handshake(*extensions, session=bytes(len(others))), size)
    assert detect(data) == Detected("tls", host or b"", tuple(protocols))
    assert detect(data[:-1]).protocol == "nothing"


@given(
    method=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ-", min_size=1, max_size=64).map(str.encode),
    target=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=300).map(str.encode),
    minor=st.sampled_from([b"0", b"1"]),
)
def test_any_request_line_is_http_when_it_is_whole(method: bytes, target: bytes, minor: bytes) -> None:
    line = method + b" " + target + b" HTTP/1." + minor + b"\r\n"
    assert detect(line) == Detected("http1")
    assert detect(line[:-2]) == Detected("nothing")
