"""cext/engine/http/detect.c for tests, and real first bytes to give to it."""

import ssl
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.unit.cext.http.framer import ENGINE, compiled

DECLARED = """
struct hello { uint8_t server_name_length; uint8_t alpn_length; char server_name[255]; char alpn[255]; };
enum detected { DETECTED_NOTHING, DETECTED_HTTP1, DETECTED_HTTP2, DETECTED_TLS, DETECTED_OPAQUE };
enum detected detect_client(const char *bytes, size_t length, struct hello *hello);
enum { DETECT_MAX = 65536 };
"""
_NAMES = ("nothing", "http1", "http2", "tls", "opaque")


@dataclass(frozen=True, slots=True)
class Detected:
    protocol: str
    server_name: bytes = b""
    alpn: tuple[bytes, ...] = ()


@cache
def library() -> tuple[Any, Any]:
    sources = [ENGINE / "http" / f"{name}.c" for name in ("detect", "hello", "method")]
    return compiled("_detector", DECLARED, "detect.h", sources)


def detect(data: bytes) -> Detected:
    ffi, lib = library()
    hello = ffi.new("struct hello *")
    name = _NAMES[lib.detect_client(data, len(data), hello)]
    if name != "tls":
        return Detected(name)
    return Detected(
        name,
        bytes(ffi.buffer(hello.server_name, hello.server_name_length)),
        tuple(_listed(bytes(ffi.buffer(hello.alpn, hello.alpn_length)))),
    )


def _listed(names: bytes) -> list[bytes]:
    listed = []
    while names:
        listed.append(names[1 : 1 + names[0]])
        names = names[1 + names[0] :]
    return listed


def openssl_hello(server_name: str | None, *alpn: str) -> bytes:
    """What OpenSSL sends first."""
    context = ssl.create_default_context()
    if server_name is None:
        context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=server_name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without a peer")


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def vector(size: int, data: bytes) -> bytes:
    """Bytes behind their length, as TLS writes them."""
    return number(len(data), size) + data


def extension(kind: int, data: bytes) -> bytes:
    return number(kind, 2) + vector(2, data)


def server_name(name: bytes, kind: int = 0) -> bytes:
    return extension(0, vector(2, number(kind, 1) + vector(2, name)))


def alpn(*names: bytes) -> bytes:
    return extension(16, vector(2, b"".join(vector(1, name) for name in names)))


def handshake(
    *extensions: bytes, session: bytes = b"", suites: bytes = b"\x13\x01", compressions: bytes = b"\0"
) -> bytes:
    body = b"\x03\x03" + bytes(32) + vector(1, session) + vector(2, suites) + vector(1, compressions)
    if extensions:
        body += vector(2, b"".join(extensions))
    return b"\x01" + vector(3, body)


def records(message: bytes, size: int = 16384) -> bytes:
    """A handshake message in records of at most `size` bytes."""
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + vector(2, piece) for piece in pieces)
