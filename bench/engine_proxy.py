"""The engine's accepting lane as a bare proxy: `python -m bench.engine_proxy PORT THREADS UID`.

What the C engine does by itself once every verdict is known: everything passes to its original destination. No
telemetry, no configuration, so it is the floor below which `tidegate proxy` can't come, nothing that a user would run.
"""

import os
import select
import signal
import socket
import sys
import time

from cext.engine.acceptor import Acceptor
from cext.engine.engine import Engine
from cext.engine.values import ANYTHING, Action, Verdict

OUTBOUND = 1
BACKLOG = 4096
COLLECT_S = 0.02
"""Records wait so long for others to be collected with, as in the proxy: who is woken for each has a CPU of his own."""


def main() -> int:
    port, threads, uid = (int(word) for word in sys.argv[1:])
    listener = socket.create_server(("0.0.0.0", port), backlog=BACKLOG)
    os.setgid(uid)
    os.setuid(uid)
    stop_reader, stop_writer = os.pipe()
    os.set_blocking(stop_writer, False)
    signal.set_wakeup_fd(stop_writer)
    signal.signal(signal.SIGTERM, lambda *_: None)
    engine = Engine(threads=threads)
    lane = Acceptor(engine)
    lane.set_verdict(OUTBOUND, ANYTHING, Verdict(Action.PASS))
    lane.listen(listener.detach(), scope=OUTBOUND)
    try:
        watched = [engine.completion_fd, engine.record_fd, stop_reader]
        while stop_reader not in (told := select.select(watched, [], [])[0]):
            if engine.completion_fd not in told:
                time.sleep(COLLECT_S)
            while lane.records():
                pass
            for punt in lane.punts():
                # There is a verdict for everything.
                os.close(punt.fd)
                print(f"bench: punted: {punt}", file=sys.stderr)
                return 1
    finally:
        engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
