"""One pod, in the order of the kubelet's events: init, sidecar until it is ready, application; and back."""

import contextlib
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from intercept.intent.from_flags import intent_from_flags
from onboard.arguments import capabilities
from tests.lab.lab import Lab
from tests.netns.proxy.proxy_rig import APP_V4, PEER_V4, ProxyProcess
from tidegate.beside.privileges import COMPANION

TIDEGATE = [sys.executable, "-P", "-m", "tidegate"]
PEER_PORT, OWN_PORT = 7001, 7002
ECHO = """
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while part := self.request.recv(65536):
            self.request.sendall(part)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 128
with Server(("0.0.0.0", 7001), Echo) as server:
    print("ready", flush=True)
    server.serve_forever()
"""
READ_ONLY = ("unshare", "-m", "sh", "-c", 'mount -o remount,bind,ro / && exec "$@"', "sh")
"""A root folder that can't be written, as `readOnlyRootFilesystem` gives it to both containers."""
UNPRIVILEGED = ("setpriv", "--reuid=1337", "--regid=1337", "--clear-groups", "--no-new-privs", "--bounding-set=-all")


@dataclass
class Told:
    """What became of one pod's traffic."""

    calls: int = 0
    served: int = 0
    failures: list[str] = field(default_factory=list)
    delay_s: float = 0.0
    """By which init and sidecar delayed the application."""


@contextlib.contextmanager
def peer(lab: Lab) -> Iterator[None]:
    with lab.peer.popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield
        finally:
            server.kill()


def held(names: Iterable[str]) -> tuple[str, ...]:
    """A read-only root, and exactly these capabilities, as a container's securityContext gives them."""
    only = "".join(f",+{name.lower()}" for name in names)
    return (*READ_ONLY, "setpriv", "--no-new-privs", f"--bounding-set=-all{only}", f"--inh-caps=-all{only}")


def sidecar(mode: str) -> tuple[str, ...]:
    """Before the proxy's command. tproxy needs a listener that only a companion can suit, so the proxy starts as root
    there, with the capabilities that the companion keeps and those for its own change of user."""
    if mode == "tproxy":
        return held([*(name.removeprefix("CAP_") for name in sorted(COMPANION)), "SETPCAP"])
    return (*READ_ONLY, *UNPRIVILEGED)


def live(lab: Lab, mode: str, *, job: bool) -> Told:
    """One pod from its start to its end. job: the application ends by itself."""
    told = Told()
    began = time.monotonic()
    rights = held(capabilities(intent_from_flags({"mode": mode})))
    assert lab.app.run([*rights, "sh", "-c", "touch /tidegate-probe 2>&1 || true"]).stdout != "", "the root is writable"
    lab.app.run([*rights, *TIDEGATE, "init", "--mode", mode])
    try:
        with ProxyProcess(lab, "--dns-port=off", prefix=sidecar(mode)) as proxy:
            _until_ready(lab, proxy.process)
            told.delay_s = time.monotonic() - began
            _application(lab, told, job=job)
            proxy.process.terminate()  # the sidecar last
            assert proxy.process.wait(30) == 0
    finally:
        lab.app.run([*TIDEGATE, "cleanup"])
    return told


def _until_ready(lab: Lab, proxy: "subprocess.Popen[str]") -> None:
    """The startup probe. It asks more often than the kubelet does."""
    deadline = time.monotonic() + 20
    while True:
        assert proxy.poll() is None
        with (
            contextlib.suppress(OSError),
            lab.app.entered(),
            urllib.request.urlopen("http://127.0.0.1:15020/healthz/ready", timeout=5) as answer,
        ):
            if answer.status == 200:
                return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _application(lab: Lab, told: Told, *, job: bool) -> None:
    script = str(Path(__file__).with_name("workload.py"))
    who = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "/usr/bin/python3", script]
    argv = [*who, PEER_V4, str(PEER_PORT), str(OWN_PORT), "0.2"]
    with lab.app.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as application:
        assert application.stdin is not None
        assert application.stdout is not None
        assert application.stdout.readline() == "ready\n"
        # The pod is an endpoint from its readiness until its end has been decided.
        endpoint = threading.Event()
        endpoint.set()
        callers = threading.Thread(target=_call_it, args=(lab, endpoint, told))
        callers.start()
        time.sleep(0.15)
        endpoint.clear()
        callers.join()
        if job:
            application.stdin.close()
        else:
            application.terminate()  # the application first
        last = json.loads(application.stdout.readline())
        assert application.wait(10) == 0
    told.calls += last["calls"]
    told.failures += last["failures"]


def _call_it(lab: Lab, endpoint: threading.Event, told: Told) -> None:
    import socket

    while endpoint.is_set():
        try:
            with lab.peer.entered():
                sock = socket.create_connection((APP_V4, OWN_PORT), timeout=5)
            with sock:
                sock.sendall(b"y" * 3000)
                sock.shutdown(socket.SHUT_WR)
                found = b""
                while part := sock.recv(65536):
                    found += part
            if found != b"y" * 3000:
                told.failures.append(f"inbound: {len(found)} bytes of 3000 came back")
        except OSError as error:
            told.failures.append(f"inbound: {error}")
        told.served += 1
