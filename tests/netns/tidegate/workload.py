"""A pod's application: it calls a peer from its first moment to its last, and serves until some time after SIGTERM.

`python workload.py PEER PORT OWN_PORT LINGER_S`. Each call is a connection of its own. When its standard input ends,
its work is done, and it ends by itself, as a Job's does. It says `ready`, and at its end a line of JSON: calls made,
and what went wrong.
"""

import json
import signal
import socket
import sys
import threading
import time

PEER, PORT, OWN_PORT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
LINGER_S = float(sys.argv[4])


def call() -> None:
    with socket.create_connection((PEER, PORT), timeout=5) as sock:
        sock.sendall(b"x" * 4000)
        sock.shutdown(socket.SHUT_WR)
        found = b""
        while part := sock.recv(65536):
            found += part
        if found != b"x" * 4000:
            raise ConnectionError(f"{len(found)} bytes of 4000 came back")


def serve(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            while part := connection.recv(65536):
                connection.sendall(part)


def main() -> None:
    asked: list[float] = []
    done = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), done.set()), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: asked.append(time.monotonic()))
    failures, calls = [], 0
    began = time.monotonic()
    listener = None
    while True:
        try:
            call()
        except OSError as error:
            failures.append(f"call {calls}, {time.monotonic() - began:.3f} s after the start: {error}")
        calls += 1
        if listener is None:
            listener = socket.create_server(("0.0.0.0", OWN_PORT), backlog=128)
            threading.Thread(target=serve, args=(listener,), daemon=True).start()
            print("ready", flush=True)
        now = time.monotonic()
        if (asked and now - asked[0] >= LINGER_S) or done.is_set():
            break
    print(json.dumps({"calls": calls, "failures": failures}), flush=True)


if __name__ == "__main__":
    main()
