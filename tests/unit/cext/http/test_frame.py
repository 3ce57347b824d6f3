"""Where heads, bodies and messages end; and that nothing is taken that two readers could read in two ways."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.cext.http.framer import ENGINE, Framed, answers, requests

TOKEN = st.text(alphabet="ABCXYZabcxyz019!#$%&'*+-.^_`|~", min_size=1, max_size=12).map(str.encode)
NAME = TOKEN.filter(
    lambda name: name.lower() not in (b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"host")
)
VALUE = st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=10).map(str.encode)
TARGET = st.text(
    alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#?"), max_size=9
).map(lambda text: b"/" + text.encode())
HEADERS = st.lists(st.tuples(NAME, VALUE), max_size=5)
BODY = st.binary(max_size=40)
STATUSES = st.integers(200, 599).filter(lambda status: status not in (204, 304))


def head(first: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    return first + b"\r\n" + b"".join(name + b": " + value + b"\r\n" for name, value in headers) + b"\r\n"


@st.composite
def sized(draw: st.DrawFn, headers: list[tuple[bytes, bytes]]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers with what frames the body among them, and the body as it is sent."""
    body = draw(BODY)
    at = draw(st.integers(0, len(headers)))
    if draw(st.booleans()):
        length = (draw(st.sampled_from([b"Content-Length", b"content-length"])), b"%d" % len(body))
        return [*headers[:at], length, *headers[at:]], body
    chunks = b""
    while body:
        size = draw(st.integers(1, len(body)))
        extension = draw(st.sampled_from([b"", b";a", b";a=b", b';a="b;c"']))
        chunks += b"%x%s\r\n%s\r\n" % (size, extension, body[:size])
        body = body[size:]
    trailer = draw(st.sampled_from([b"", b"X-Sum: 1\r\n"]))
    coding = (b"Transfer-Encoding", draw(st.sampled_from([b"chunked", b"Chunked", b" chunked "])))
    return [*headers[:at], coding, *headers[at:]], chunks + b"0\r\n" + trailer + b"\r\n"


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({cut % (len(stream) + 1) for cut in cuts} | {len(stream)})
    return [stream[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(st.data(), st.lists(st.integers(0, 10**6), max_size=6))
def test_requests_are_found_as_they_were_sent_however_they_are_cut(data: st.DataObject, cuts: list[int]) -> None:
    sent = []
    for _ in range(data.draw(st.integers(1, 3))):
        method = data.draw(TOKEN.filter(lambda name: name != b"CONNECT"))
        target = data.draw(TARGET)
        headers = data.draw(HEADERS)
        body = b""
        if data.draw(st.booleans()):
            headers, body = data.draw(sized(headers))
        sent.append((method, target, headers, head(method + b" " + target + b" HTTP/1.1", headers), body))
    stream = b"".join(one[3] + one[4] for one in sent)
    found = requests(*pieces(stream, cuts))
    assert found.refusal == ""
    assert [(one.raw_head, one.raw_body, one.end) for one in found.messages] == [(*one[3:], "end") for one in sent]
    for message, (method, target, headers, _, _) in zip(found.messages, sent, strict=True):
        assert (message.head.method, message.head.target) == (method, target)
        assert message.head.headers == [(name, value.strip()) for name, value in headers]


@given(st.data(), st.lists(st.integers(0, 10**6), max_size=6))
def test_answers_are_found_as_they_were_sent_however_they_are_cut(data: st.DataObject, cuts: list[int]) -> None:
    stream, wanted, asked = b"", [], []
    for _ in range(data.draw(st.integers(1, 3))):
        method = data.draw(st.sampled_from([b"GET", b"HEAD"]))
        for _ in range(data.draw(st.integers(0, 2))):
            inform = head(b"HTTP/1.1 103 Early", data.draw(HEADERS))
            wanted.append((inform, b""))
            stream += inform
        status = data.draw(st.one_of(STATUSES, st.sampled_from([204, 304])))
        headers, body = data.draw(HEADERS), b""
        if status not in (204, 304):
            headers, body = data.draw(sized(headers))
        if method == b"HEAD":
            body = b""
        whole = head(b"HTTP/1.1 %d %s" % (status, data.draw(st.sampled_from([b"OK", b"", b"Not a word"]))), headers)
        wanted.append((whole, body))
        asked.append(method)
        stream += whole + body
    found = answers(*pieces(stream, cuts), to=tuple(asked))
    assert found.refusal == ""
    assert [(one.raw_head, one.raw_body) for one in found.messages] == wanted


@given(st.binary(max_size=60), st.lists(st.integers(0, 10**6), max_size=6))
def test_any_bytes_are_framed_alike_however_they_are_cut(garbage: bytes, cuts: list[int]) -> None:
    for frame, start in ((requests, b"GET / HTTP/1.1\r\nA: "), (answers, b"HTTP/1.1 200 OK\r\nA: ")):
        for stream in (garbage, start + garbage, start + b"b\r\nTransfer-Encoding: chunked\r\n\r\n" + garbage):
            assert comparable(frame(stream)) == comparable(frame(*pieces(stream, cuts)))


def comparable(found: Framed) -> object:
    return found.refusal, [(one.raw_head, one.head, one.end) for one in found.messages]


GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
REFUSED = {
    "both lengths": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "framing"),
    "both, the other way": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "framing"),
    "two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "framing"),
    "one length twice": (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "framing"),
    "a list of lengths": (POST + b"Content-Length: 5, 5\r\n\r\nhello", "framing"),
    "a signed length": (POST + b"Content-Length: +5\r\n\r\nhello", "framing"),
    "a negative length": (POST + b"Content-Length: -5\r\n\r\nhello", "framing"),
    "a hexadecimal length": (POST + b"Content-Length: 0x5\r\n\r\nhello", "framing"),
    "an empty length": (POST + b"Content-Length: \r\n\r\nhello", "framing"),
    "an endless length": (POST + b"Content-Length: 99999999999999999999\r\n\r\n", "framing"),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "framing"),
    "chunked in two headers": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "framing"),
    "chunked not last": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n", "framing"),
    "chunked in quotes": (POST + b'Transfer-Encoding: "chunked"\r\n\r\n', "framing"),
    "chunked behind a control": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n", None),
    "an empty coding": (POST + b"Transfer-Encoding: \r\n\r\n", "framing"),
    "another coding": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "coding"),
    "identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", "coding"),
    "nearly chunked": (POST + b"Transfer-Encoding: xchunked\r\n\r\n", "coding"),
    "chunked in HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "framing"),
    "two hosts": (GET + b"Host: b\r\n\r\n", "framing"),
    "CONNECT with a body": (b"CONNECT a:1 HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", "framing"),
    "space before a colon": (GET + b"Content-Length : 5\r\n\r\nhello", "syntax"),
    "a folded header": (GET + b"A: b\r\n c\r\n\r\n", "syntax"),
    "a folded coding": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n", None),
    "space before the first header": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "syntax"),
    "a bare line feed": (b"GET / HTTP/1.1\nHost: a\n\n", "syntax"),
    "a bare line feed at the end": (GET + b"\n", "syntax"),
    "a bare carriage return": (GET + b"A: b\rc\r\n\r\n", "syntax"),
    "NUL in a value": (GET + b"A: b\0c\r\n\r\n", "syntax"),
    "NUL in a name": (GET + b"A\0: b\r\n\r\n", "syntax"),
    "no name": (GET + b": b\r\n\r\n", "syntax"),
    "no colon": (GET + b"Content-Length\r\n\r\n", "syntax"),
    "a name with a space": (GET + b"A B: c\r\n\r\n", "syntax"),
    "two spaces before the target": (b"GET  / HTTP/1.1\r\n\r\n", "syntax"),
    "two spaces before the version": (b"GET /  HTTP/1.1\r\n\r\n", "syntax"),
    "two spaces behind CONNECT": (b"CONNECT  a:1 HTTP/1.1\r\n\r\n", "syntax"),
    "a target with a space": (b"GET /a b HTTP/1.1\r\n\r\n", None),
    "a target with a control": (b"GET /a\x01 HTTP/1.1\r\n\r\n", "syntax"),
    "no target": (b"GET  HTTP/1.1\r\n\r\n", "syntax"),
    "a method of spaces": (b" / HTTP/1.1\r\n\r\n", "syntax"),
    "a method that is no token": (b"G(T / HTTP/1.1\r\n\r\n", "syntax"),
    "a long method": (b"M" * 65 + b" / HTTP/1.1\r\n\r\n", "syntax"),
    "HTTP/0.9": (b"GET /\r\n", "syntax"),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n\r\n", "version"),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\n\r\n", "version"),
    "HTTP/11": (b"GET / HTTP/11\r\n\r\n", None),
    "another protocol": (b"GET / ICE/1.0\r\n\r\n", None),
    "many line breaks": (b"\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", "syntax"),
    "513 headers": (GET + b"A: b\r\n" * 512 + b"\r\n", "head-size"),
    "a chunk size with a sign": (POST + b"Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n", "framing"),
    "a chunk size with a prefix": (POST + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n", None),
    "an endless chunk size": (POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", "framing"),
    "space behind a chunk size": (POST + b"Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n", None),
    "a chunk that is too long": (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n", None),
    "a chunk ended by a line feed": (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", None),
    "a line feed in an extension": (POST + b"Transfer-Encoding: chunked\r\n\r\n5;a\nX\r\nhello\r\n0\r\n\r\n", None),
    "endless extensions": (POST + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"a" * 70000, "head-size"),
    "endless trailers": (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 12000, "head-size"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_ambiguous_or_broken_request_is_refused(name: str) -> None:
    stream, reason = REFUSED[name]
    found = requests(stream)
    assert found.refusal in ((reason,) if reason else ("syntax", "framing", "version"))
    assert not any(message.end for message in found.messages), "the message counts as whole"


ANSWERS_REFUSED = {
    "both lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "framing"),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "framing"),
    "another coding": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "coding"),
    "chunked in HTTP/1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "framing"),
    "204 with a body": (b"HTTP/1.1 204 No\r\nContent-Length: 1\r\n\r\nx", "framing"),
    "204 with chunks": (b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", "framing"),
    "100 with a body": (b"HTTP/1.1 100 Go\r\nContent-Length: 1\r\n\r\nx", "framing"),
    "status of two digits": (b"HTTP/1.1 99 OK\r\n\r\n", "syntax"),
    "status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", "syntax"),
    "status below 100": (b"HTTP/1.1 099 OK\r\n\r\n", None),
    "no HTTP": (b"220 mail.example ESMTP\r\n", "syntax"),
    "NUL": (b"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", "syntax"),
}


@pytest.mark.parametrize("name", ANSWERS_REFUSED)
def test_an_ambiguous_or_broken_answer_is_refused(name: str) -> None:
    stream, reason = ANSWERS_REFUSED[name]
    assert answers(stream).refusal in ((reason,) if reason else ("syntax", "framing"))


def test_what_is_cut_short_is_told_from_what_ends() -> None:
    until_close = b"HTTP/1.1 200 OK\r\n\r\nabc"
    assert answers(until_close, close=True).messages[0].end == "close"
    assert answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", close=True).refusal == "end"
    assert answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", close=True).refusal == "end"
    assert answers(b"HTTP/1.1 200", close=True).refusal == "end"
    assert requests(GET, close=True).refusal == "end"
    assert requests(GET + b"\r\n", close=True).refusal == ""
    assert requests(close=True).refusal == ""


@pytest.mark.parametrize(
    ("stream", "keeps"),
    [
        (GET + b"\r\n", True),
        (GET + b"Connection: close\r\n\r\n", False),
        (GET + b"Connection: x, Close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
def test_what_a_request_says_about_its_connection(stream: bytes, keeps: bool) -> None:
    assert requests(stream).messages[0].head.keep_alive is keeps


def test_an_upgrade_is_a_request_like_any_other_until_it_is_answered() -> None:
    asked = GET + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    found = requests(asked + GET + b"\r\n")
    assert [message.end for message in found.messages] == ["end", "end"]
    assert [message.head.upgrade for message in found.messages] == [True, False]
    switched = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    taken = answers(switched + b"\x81\x00", to=(b"GET",))
    assert (taken.messages[0].end, taken.rest) == ("tunnel", b"\x81\x00")
    refused = answers(
        b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 1\r\n\r\nx", to=(b"GET",)
    )
    assert (refused.messages[0].end, refused.messages[0].raw_body) == ("end", b"x")


def test_a_tunnel_begins_behind_the_answer_that_grants_it() -> None:
    granted = answers(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", to=(b"CONNECT",))
    assert (granted.messages[0].end, granted.rest) == ("tunnel", b"abc")
    denied = answers(b"HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nabc", to=(b"CONNECT",))
    assert (denied.messages[0].end, denied.messages[0].raw_body) == ("end", b"abc")
    assert requests(b"CONNECT a:1 HTTP/1.1\r\n\r\n").messages[0].end == "end"


def test_a_large_head_passes() -> None:
    stream = GET + b"A: " + b"b" * 65000 + b"\r\n\r\n"
    (message,) = requests(stream[:30000], stream[30000:]).messages
    assert message.raw_head == stream


def test_the_parser_is_the_packaged_one() -> None:
    room = ENGINE / "http" / "llhttp"
    for line in (room / "SHA256SUMS").read_text().splitlines():
        wanted, name = line.split()
        assert hashlib.sha256((room / name).read_bytes()).hexdigest() == wanted, name
