"""How the proxy drains and ends, and what its supervisor and tools hear and ask."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.lab import Lab
from tests.netns.proxy.proxy_rig import PEER_V4, ROOT, ProxyProcess, Server, dial, echo, read_all, until
from tests.netns.proxy.supervised import PORT, Supervisor, captured, talk

pytestmark = pytest.mark.kernel
__all__ = ["captured"]


@pytest.mark.usefixtures("captured")
def test_sigterm_lets_connections_finish_and_takes_no_new_ones(lab: Lab) -> None:
    with Server(lab.peer, PEER_V4, PORT, echo), ProxyProcess(lab, "--log-format", "json") as proxy:
        with dial(lab.app, PEER_V4, PORT) as client:
            client.sendall(b"a")
            assert client.recv(1) == b"a"
            assert proxy.request("/healthz/ready", port=15020)[0] == 200
            proxy.process.terminate()
            until(lambda: proxy.request("/healthz/ready", port=15020)[0] == 503, "unreadiness")
            assert proxy.request("/healthz/live", port=15020)[0] == 200
            assert proxy.metric("tidegate_draining") == 1
            with pytest.raises(ConnectionRefusedError):
                dial(lab.app, PEER_V4, PORT)
            client.sendall(b"b")
            assert client.recv(1) == b"b"
            assert proxy.process.poll() is None
        assert proxy.process.wait(5) == 0
        assert proxy.access_log()[0]["close_reason"] == "finished"


@pytest.mark.usefixtures("captured")
@pytest.mark.parametrize("how", ["deadline", "second signal", "quitquitquit"])
def test_what_does_not_finish_is_reset(lab: Lab, how: str) -> None:
    timeout = "0.5" if how == "deadline" else "30"
    with (
        Server(lab.peer, PEER_V4, PORT, echo),
        ProxyProcess(lab, "--drain-timeout", timeout, "--log-format", "json") as proxy,
        dial(lab.app, PEER_V4, PORT) as client,
    ):
        client.sendall(b"a")
        assert client.recv(1) == b"a"
        if how == "quitquitquit":
            assert proxy.request("/quitquitquit", "POST")[0] == 200
        else:
            proxy.process.terminate()
        if how == "second signal":
            until(lambda: proxy.request("/healthz/ready")[0] == 503, "the drain")
            proxy.process.terminate()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert proxy.process.wait(5) == 0
        assert proxy.access_log()[0]["close_reason"] == "drain-deadline"


@pytest.mark.usefixtures("captured")
def test_connections_in_the_backlog_are_served_before_the_listeners_close(lab: Lab) -> None:
    with Server(lab.peer, PEER_V4, PORT, echo), ProxyProcess(lab) as proxy:
        proxy.process.send_signal(signal.SIGSTOP)
        clients = [dial(lab.app, PEER_V4, PORT) for _ in range(200)]
        proxy.process.terminate()
        proxy.process.send_signal(signal.SIGCONT)
        for client in clients:
            with client:
                client.sendall(b"x")
                client.shutdown(socket.SHUT_WR)
                assert read_all(client) == b"x"
        assert proxy.process.wait(10) == 0


@pytest.mark.usefixtures("captured")
def test_drain_over_admin_stays_until_told_to_end(lab: Lab) -> None:
    with ProxyProcess(lab) as proxy:
        assert proxy.request("/drain", "POST")[0] == 200
        until(lambda: proxy.request("/healthz/ready") == (503, "drained\n"), "drained")
        assert json.loads(proxy.request("/listeners")[1])[0]["state"] == "closed"
        proxy.process.terminate()
        assert proxy.process.wait(5) == 0


@pytest.mark.usefixtures("captured")
def test_the_supervisor_hears_of_connections_and_drains(lab: Lab) -> None:
    with Server(lab.peer, PEER_V4, PORT, echo), Supervisor(lab) as supervisor:
        ready = supervisor.read()
        assert (ready["event"], ready["outbound_port"], ready["inbound_port"]) == ("ready", 15001, 15006)
        assert talk(lab) == b"hello"
        event = supervisor.read()
        assert (event.pop("event"), event["state"]) == ("connection", "closed")
        assert (event["original_destination"], event["bytes_sent"]) == (f"{PEER_V4}:{PORT}", 5)
        with dial(lab.app, PEER_V4, PORT) as client:
            client.sendall(b"a")
            assert client.recv(1) == b"a"
            supervisor.sock.sendall(b'{"op": "connections"}\n')
            line = supervisor.read()
            assert [(one["state"], one["bytes_sent"]) for one in line] == [("relaying", 1)]  # type: ignore[index]
            assert supervisor.ask(op="drain", timeout_s=0.2) == {"ok": True}
            last = supervisor.read()
            assert (last["event"], last["close_reason"]) == ("connection", "drain-deadline")
            assert supervisor.read() == {"event": "drained"}
        assert supervisor.proxy.process.poll() is None
        supervisor.sock.shutdown(socket.SHUT_WR)
        assert supervisor.proxy.process.wait(3) == 0


@pytest.mark.usefixtures("captured")
def test_nothing_outlives_the_supervisor(lab: Lab) -> None:
    """A supervisor that is killed can't end its proxy; the proxy ends itself, and resets what is open."""
    with Server(lab.peer, PEER_V4, PORT, echo):
        script = (
            "import subprocess,socket,sys,time\n"
            "ours,theirs=socket.socketpair()\n"
            "p=subprocess.Popen([sys.executable,'-P','-m','tidegate','proxy','--supervisor-fd',str(theirs.fileno())],"
            "pass_fds=[theirs.fileno()],stdout=subprocess.DEVNULL)\n"
            "theirs.close(); ours.recv(1); print(p.pid,flush=True); time.sleep(60)\n"
        )
        parent = lab.app.popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT)
        try:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            handle = os.pidfd_open(pid)
            with contextlib.ExitStack() as undo:
                undo.callback(os.close, handle)
                client = undo.enter_context(dial(lab.app, PEER_V4, PORT))
                client.sendall(b"a")
                assert client.recv(1) == b"a"
                parent.kill()
                began = time.monotonic()
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
                assert time.monotonic() - began < 3
                os.set_blocking(handle, False)
                import select

                assert select.select([handle], [], [], 3)[0], f"proxy {pid} has outlived its supervisor"
        finally:
            parent.kill()
            parent.wait()
            parent.stdout.close()  # type: ignore[union-attr]


@pytest.mark.usefixtures("captured")
def test_probes_are_answered_and_leave_no_trace(lab: Lab) -> None:
    with ProxyProcess(lab, "--log-format", "json") as proxy:
        target = f"{PEER_V4}:7"
        answers = proxy.control(
            {"op": "expect-probe", "destination": target, "token": "s3cret"},
            {"op": "expect-probe", "destination": "nowhere", "token": "x"},
            {"op": "expect-probe", "destination": target, "token": ""},
            {"op": "expect-probe", "destination": target},
            {"op": "drain", "timeout_s": "soon"},
            {"op": "dance"},
            {"operation": 1},
        )
        assert answers[0] == {"ok": True}
        assert all(answer["ok"] is False and answer["error"] for answer in answers[1:])
        for send in (b"", b"some bytes of the prober"):
            with dial(lab.app, PEER_V4, 7) as client:
                client.sendall(send)
                assert read_all(client) == b"s3cret\n"
        assert proxy.metric("tidegate_probes_total", direction="outbound") == 2
        assert proxy.metric("istio_tcp_connections_opened_total") == 0
        assert proxy.access_log() == []
        assert json.loads(proxy.request("/connections")[1]) == []


def test_a_strangers_control_connection_is_refused(lab: Lab) -> None:
    ask = (
        "import socket\ns=socket.socket(socket.AF_UNIX); s.connect('\\0tidegate/15001')\n"
        'try:\n s.sendall(b\'{"op": "connections"}\\n\'); print(s.recv(100))\n'
        "except OSError as error: print(error.errno)\n"
    )
    with ProxyProcess(lab) as proxy:
        for uid, answered in (("1000", False), ("1337", True), ("0", True)):
            argv = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", sys.executable, "-c", ask]
            assert (lab.app.run(argv).stdout == "b'[]\\n'\n") is answered, uid
        assert "uid 1000" in proxy.stderr()
