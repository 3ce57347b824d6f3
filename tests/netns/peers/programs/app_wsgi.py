"""gunicorn's application: small, big, chunked and empty answers, and an echo."""

import hashlib


def app(environ, start):
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    text = [("Content-Type", "text/plain")]
    if path == "/small":
        if environ.get("HTTP_IF_NONE_MATCH") == '"small"':
            start("304 Not Modified", [("ETag", '"small"')])
            return []
        start(
            "200 OK",
            [*text, ("ETag", '"small"'), ("Content-Length", "6"), ("Set-Cookie", "a=1"), ("set-cookie", "b=2")],
        )
        return [b"hello\n"]
    if path == "/big":
        start("200 OK", [*text, ("Content-Length", str(1 << 20))])
        return [b"b" * (1 << 16)] * 16
    if path in ("/chunked", "/events"):
        start("200 OK", [("Content-Type", "text/event-stream")])
        return (b"data: %d\n\n" % number for number in range(20))
    if path == "/empty":
        start("204 No Content", [])
        return []
    if path == "/echo":
        body = environ["wsgi.input"].read()
        told = f"{method} {len(body)} {hashlib.sha256(body).hexdigest()} {environ.get('HTTP_X_ODD')}\n".encode()
        start("200 Fine By Me", [*text, ("Content-Length", str(len(told))), ("X-Empty", "")])
        return [told]
    start("404 Not Found", [*text, ("Content-Length", "5")])
    return [b"none\n"]
