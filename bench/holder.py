"""Idle connections, in the pod: reads a number a line, opens connections until it holds that many, prints the number.

Each has had one answer before it idles, as a connection of a pool has. Ends when its input does.
"""

import socket
import sys

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
TIMEOUT_S = 10.0


def opened(address: str, port: int, expected: int) -> socket.socket:
    sock = socket.create_connection((address, port), timeout=TIMEOUT_S)
    sock.sendall(REQUEST)
    answer = b""
    while b"\r\n\r\n" not in answer or len(answer) - answer.index(b"\r\n\r\n") - 4 < expected:
        part = sock.recv(1 << 16)
        if not part:
            raise ConnectionError(f"{address}:{port} closed after {answer[:100]!r}")
        answer += part
    return sock


def main() -> int:
    port, expected, *addresses = sys.argv[1:]
    held: list[socket.socket] = []
    for line in sys.stdin:
        while len(held) < int(line):
            held.append(opened(addresses[len(held) % len(addresses)], int(port), int(expected)))
        print(len(held), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
