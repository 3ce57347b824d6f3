"""`python -m bench.sockmap`: what sk_msg redirection gains and breaks on this kernel. As root; takes some 30 s.

`--damage-only`: in a second, and also where nothing can be timed.
"""

import os
import platform
import socket
import statistics
import sys
import time

from bench.sockmap.accelerator import BOTH_WAYS, Settings, accelerator
from bench.sockmap.hazards import QUESTIONS, answer, ends

SIZES = (1024, 16_384, 262_144)
ROUNDS = 9
TURN_S = 0.15
WAYS = {"both ways": BOTH_WAYS, "workload to proxy only": Settings(listener_sends=False)}


def exchanges(size: int) -> float:
    """Requests of 1 KiB and responses of `size`, one after the other; how many a second."""
    client, accepted = ends()
    child = os.fork()
    if child == 0:
        client.close()
        response = bytes(size)
        while _whole(accepted, 1024):
            accepted.sendall(response)
        os._exit(0)
    accepted.close()
    request, count, began = bytes(1024), 0, time.perf_counter()
    with client:
        while (spent := time.perf_counter() - began) < TURN_S:
            client.sendall(request)
            _whole(client, size)
            count += 1
    os.waitpid(child, 0)
    return count / spent


def _whole(sock: socket.socket, size: int) -> bool:
    buffer = memoryview(bytearray(size))
    while size:
        got = sock.recv_into(buffer[:size])
        if got == 0:
            return False
        size -= got
    return True


def speed() -> None:
    for size in SIZES:
        ratios: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS):
            plain = exchanges(size)
            for way, settings in WAYS.items():
                with accelerator(settings):
                    ratios[way].append(exchanges(size) / plain)
        for way, found in ratios.items():
            low, *_, high = sorted(found)
            say(f"  1 KiB for {size >> 10:3} KiB, {way:22}: {statistics.median(found):.2f}  ({low:.2f}-{high:.2f})")


def damage() -> int:
    """How many answers differ."""
    plain = [answer(question) for question in QUESTIONS]
    with accelerator():
        redirected = [answer(question) for question in QUESTIONS]
    found = 0
    for question, before, after in zip(QUESTIONS, plain, redirected, strict=True):
        if after != before:
            found += 1
            say(f"  {question.whose}: {question.hurts}\n    TCP         {before}\n    redirected  {after}")
    return found


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    say(f"Linux {platform.release()}")
    if "--damage-only" not in sys.argv[1:]:
        say("exchanges a second over loopback, as ratios to TCP: median (lowest-highest)")
        speed()
    say("what differs from TCP:")
    say(f"{damage()} of {len(QUESTIONS)} answers differ")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
