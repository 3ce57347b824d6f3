"""Clients that call through the capture until they are told to end, and count what goes wrong.

`python calling.py HOST PORT STREAM_PORT`: kept-alive HTTP/1.1 clients that go where `Connection: close` sends them,
clients with a connection for each request, and streams that echo as long as everything lasts. When standard input
ends, all end, and a line of JSON tells what was seen.
"""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable

HOST, PORT, STREAM_PORT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
KEEPING, COMING_ANEW, STREAMS = 3, 2, 4
REQUEST = b"GET /things HTTP/1.1\r\nHost: shop\r\n\r\n"
BODY = b"x" * 512
ended = threading.Event()
counted = threading.Lock()
seen = {"requests": 0, "kept": 0, "streamed": 0}
failures: list[str] = []


def count(what: str, number: int = 1) -> None:
    with counted:
        seen[what] += number


def answer(sock: socket.socket) -> bytes:
    """The head of one answer, whose body is checked."""
    found = b""
    while b"\r\n\r\n" not in found:
        part = sock.recv(4096)
        if not part:
            raise ConnectionError(f"the connection ended after {len(found)} bytes of a head")
        found += part
    head, _, body = found.partition(b"\r\n\r\n")
    while len(body) < len(BODY):
        part = sock.recv(4096)
        if not part:
            raise ConnectionError(f"the connection ended after {len(body)} bytes of a body")
        body += part
    if not head.startswith(b"HTTP/1.1 200") or body != BODY:
        raise ConnectionError(f"another answer: {head[:60]!r}")
    return head


def keep_one() -> None:
    """As many requests on a connection as the server lets be."""
    with socket.create_connection((HOST, PORT), timeout=20) as sock:
        while not ended.is_set():
            sock.sendall(REQUEST)
            head = answer(sock)
            count("requests")
            if b"connection: close" in head.lower():
                return
            count("kept")


def call_once() -> None:
    with socket.create_connection((HOST, PORT), timeout=20) as sock:
        sock.sendall(REQUEST)
        answer(sock)
        count("requests")


def stream_on() -> None:
    """One connection from the beginning to the end."""
    number = 0
    with socket.create_connection((HOST, STREAM_PORT), timeout=20) as sock:
        while not ended.is_set():
            said = b"%015d\n" % number
            sock.sendall(said)
            heard = b""
            while len(heard) < len(said):
                part = sock.recv(len(said) - len(heard))
                if not part:
                    raise ConnectionError(f"a stream was cut after {number} messages")
                heard += part
            if heard != said:
                raise ConnectionError(f"a stream was mixed up: {heard!r} for {said!r}")
            number += 1
            count("streamed")
            time.sleep(0.005)


def again_and_again(once: Callable[[], None]) -> None:
    while not ended.is_set():
        try:
            once()
        except OSError as error:
            failures.append(f"{once.__name__}: {error!r}")


def main() -> None:
    plan = [*([keep_one] * KEEPING), *([call_once] * COMING_ANEW), *([stream_on] * STREAMS)]
    threads = [threading.Thread(target=again_and_again, args=(one,)) for one in plan]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "count":
            print(json.dumps({**seen, "failures": failures}), flush=True)
    ended.set()
    for thread in threads:
        thread.join()
    print(json.dumps({**seen, "failures": failures}), flush=True)


if __name__ == "__main__":
    main()
