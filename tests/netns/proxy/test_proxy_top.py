"""`tidegate top` on real proxies: what it shows is what the clients did."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.lab import Lab
from tests.netns.proxy.proxy_rig import PEER_V4, ROOT, ProxyProcess, Server, dial, echo, read_all, rules, until

pytestmark = pytest.mark.kernel
PORT = 12410
CLOSED = 12411
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def top(lab: Lab, *flags: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-P", "-m", "tidegate", "top", *flags]
    return lab.app.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=ENVIRONMENT)


def talk(lab: Lab) -> None:
    with dial(lab.app, PEER_V4, PORT) as client:
        client.sendall(b"\x00opaque")
        assert client.recv(100) == b"\x00opaque"


def test_json_tells_what_happened_meanwhile(lab: Lab) -> None:
    with rules(lab.app), ProxyProcess(lab), Server(lab.peer, PEER_V4, PORT, echo):
        talk(lab)
        started = top(lab, "--json", "--for", "4s")
        time.sleep(2)
        for _ in range(8):
            talk(lab)
        out, err = started.communicate(timeout=20)
        assert started.returncode == 0, err
        told = json.loads(out)
        assert told["for_s"] == 4
        rows = [one for one in told["rows"] if one["lane"] == "splice" and one["direction"] == "outbound"]
        assert rows, told
        assert round(sum(one["per_s"] for one in rows) * 4) == 8, "the one before is not among them"
        assert sum(one["bytes_sent_per_s"] for one in rows) * 4 == pytest.approx(8 * 7, rel=0.1)
        assert {one["success"] for one in rows if one["per_s"]} == {1.0}


def test_what_cannot_be_reached_lowers_success(lab: Lab) -> None:
    with rules(lab.app), ProxyProcess(lab):
        started = top(lab, "--json", "--for", "3s")
        time.sleep(1.5)
        for _ in range(3):
            with contextlib.suppress(ConnectionError), dial(lab.app, PEER_V4, CLOSED) as client:
                read_all(client)
        out, err = started.communicate(timeout=20)
        assert started.returncode == 0, err
        assert 0.0 in {one["success"] for one in json.loads(out)["rows"]}


def test_plain_lines_without_a_terminal_until_asked_to_end(lab: Lab) -> None:
    with rules(lab.app), ProxyProcess(lab), Server(lab.peer, PEER_V4, PORT, echo):
        talk(lab)
        started = top(lab, "--interval", "0.2s")
        assert started.stdout is not None
        assert started.stdout.readline().split()[:3] == ["service", "route", "endpoint"]
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=10)
        assert started.returncode == 0, err
        assert "\x1b" not in out


def test_a_proxy_that_dies_is_told(lab: Lab) -> None:
    with rules(lab.app), ProxyProcess(lab) as proxy, Server(lab.peer, PEER_V4, PORT, echo):
        talk(lab)
        started = top(lab, "--interval", "0.2s")
        assert started.stdout is not None
        started.stdout.readline()
        proxy.process.kill()
        ended = threading.Event()
        threading.Thread(target=lambda: (started.wait(), ended.set()), daemon=True).start()
        until(ended.is_set, "top ends")
        assert started.returncode == 1
        assert started.stderr is not None
        assert "the proxy has ended" in started.stderr.read()
        started.stdout.close()
        started.stderr.close()


def test_without_a_proxy_or_with_nonsense(lab: Lab) -> None:
    for flags, code in (((), 1), (("--for", "x"), 2), (("--for", "0"), 2), (("--enrolment", "nobody"), 2)):
        started = top(lab, *flags)
        out, err = started.communicate(timeout=10)
        assert (started.returncode, out) == (code, ""), err
        assert "tidegate:" in err
