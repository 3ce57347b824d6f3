"""A client of bare sockets: what libraries don't do, but programs in the field."""

import socket
import sys

host, port = sys.argv[1].removeprefix("http://").split(":")
HOST = f"Host: {host}:{port}\r\n".encode()
CLOSE = b"Connection: close\r\n\r\n"


def ask(name, *pieces, half_close=False):
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        for piece in pieces:
            sock.sendall(piece)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        got = b""
        try:
            while part := sock.recv(65536):
                got += part
        except ConnectionResetError:
            got += b"RESET"
    lines = got.split(b"\r\n")
    print(name, len(got), [line for line in lines if not line.lower().startswith(b"date:")][:12])


GET = b"GET /small HTTP/1.1\r\n" + HOST
ask("pipelined", (GET + b"\r\n") * 4 + GET + CLOSE)
ask("in pieces", *(bytes([one]) for one in GET + CLOSE))
ask("half closed", GET + CLOSE, half_close=True)
ask("1.0", b"GET /small HTTP/1.0\r\n\r\n")
ask("1.0 chunked", b"GET /chunked HTTP/1.0\r\n\r\n")
ask("a line break first", b"\r\n" + GET + CLOSE)
ask("blanks", b"GET /small HTTP/1.1\r\nhOsT:    " + HOST[6:-2] + b"  \r\nX-Odd:\r\nx-odd: \t v\r\n" + CLOSE)
ask("a chunked body", b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n" + CLOSE,
    b'5;name="a;b"\r\nhello\r\n', b"00000A\r\n0123456789\r\n", b"0;last\r\nX-Trailer: t\r\n\r\n")  # fmt: skip
ask("pipelined bodies", b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello" + GET + CLOSE)
ask("HEAD", b"HEAD /big HTTP/1.1\r\n" + HOST + b"\r\n" + GET + CLOSE)
