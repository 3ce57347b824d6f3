"""What is handed over besides the lanes' listeners, and what stays with the proxy that was replaced."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.patience import patient
from tests.netns.proxy.config_rig import ONE, TWO, ask, file, says, web, write
from tests.netns.proxy.proxy_rig import PEER_V4, Server, dial, echo, rules, until
from tests.netns.proxy.test_proxy_dns import RESOLVER, UdpServer, answer, question
from tests.netns.proxy.test_proxy_dns import ask as ask_dns
from tests.netns.take_over import upgrading
from tests.netns.take_over.upgrading import WEB, starting

pytestmark = [pytest.mark.kernel, pytest.mark.takes(6)]
__all__ = ["file"]
PORT = 12351
UNPRIVILEGED = ("setpriv", "--reuid=1337", "--regid=1337", "--clear-groups", "--no-new-privs", "--bounding-set=-all")


def test_without_any_privilege_ports_that_are_asked_for_and_the_order_of_ends(lab: Lab) -> None:
    """As a sidecar has it; the new one wants another telemetry port, and no DNS."""
    with (
        Server(lab.peer, PEER_V4, PORT, echo),
        rules(lab.app),
        starting(lab, prefix=UNPRIVILEGED) as old,
        dial(lab.app, PEER_V4, PORT) as client,
    ):
        client.sendall(b"a")
        assert client.recv(1) == b"a"
        with starting(lab, "--telemetry", "0.0.0.0:15021", "--dns-port", "off", prefix=UNPRIVILEGED) as new:
            assert "took over; the proxy before holds 1 connections" in new.stderr()
            assert new.request("/healthz/ready", port=15021) == (200, "serving\n")
            assert new.request("/connections")[1] == "[]\n"
            with dial(lab.app, PEER_V4, PORT) as another:
                another.sendall(b"b")
                assert another.recv(1) == b"b"
            until(lambda: "waiting for the end of 1 connections" in old.stderr(), "the end of its standing by", 20)
            client.sendall(b"c")
            assert client.recv(1) == b"c"
            assert old.process.poll() is None
            with pytest.raises(ConnectionRefusedError):
                old.request("/healthz/ready", port=15020)
            client.close()
            assert old.process.wait(patient(5)) == 0
            assert [line["close_reason"] for line in old.access_log()] == ["finished"]
            until(lambda: "the proxy before has ended" in new.stderr(), "word of it")


def test_sigterm_ends_the_old_one_at_its_own_deadline_and_the_new_one_goes_on(lab: Lab) -> None:
    with (
        Server(lab.peer, PEER_V4, PORT, echo),
        rules(lab.app),
        starting(lab) as old,
        dial(lab.app, PEER_V4, PORT) as client,
    ):
        client.sendall(b"a")
        assert client.recv(1) == b"a"
        with starting(lab) as new:
            old.process.terminate()
            with pytest.raises(ConnectionResetError):
                client.recv(1)
            assert old.process.wait(patient(10)) == 0
            with dial(lab.app, PEER_V4, PORT) as another:
                another.sendall(b"b")
                assert another.recv(1) == b"b"
            assert new.request("/healthz/ready", port=15020) == (200, "serving\n")


def test_the_new_one_that_is_ended_in_order_does_not_bring_the_old_one_back(lab: Lab) -> None:
    with starting(lab) as old:
        with starting(lab) as new:
            new.process.terminate()
            assert new.process.wait(patient(10)) == 0
        assert old.process.wait(patient(10)) == 0
        assert "serves again" not in old.stderr()


def test_an_old_one_that_hangs_does_not_keep_the_new_one_from_serving(lab: Lab) -> None:
    with Server(lab.peer, PEER_V4, PORT, echo), rules(lab.app), starting(lab) as old:
        new = starting(lab)
        until(lambda: "has been shown" in old.stderr(), "the question")
        old.process.send_signal(signal.SIGSTOP)
        try:
            with new:
                if "took over" not in new.stderr():  # it was stopped before the hand-over
                    assert "serving beside it" in new.stderr()
                for _ in range(20):
                    with dial(lab.app, PEER_V4, PORT) as client:
                        client.sendall(b"a")
                        assert client.recv(1) == b"a"
                os.kill(old.pid, signal.SIGCONT)
                assert old.process.wait(patient(15)) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                old.process.send_signal(signal.SIGCONT)


def test_scrapers_and_questions_move_over(lab: Lab, tmp_path: Path) -> None:
    resolv = tmp_path / "resolv.conf"
    resolv.write_text(f"nameserver {RESOLVER}\n")
    script = f'mount --bind {resolv} "$(readlink -f /etc/resolv.conf)" && exec "$@"'
    prefix = ("unshare", "-m", "sh", "-c", script, "sh")
    with (
        UdpServer(lab.guest, RESOLVER, 53, lambda asked, reply: reply(answer(asked))),
        starting(lab, prefix=prefix),
        contextlib.closing(http.client.HTTPConnection("127.0.0.1", 15020, timeout=patient(5))) as scraper,
    ):
        with lab.app.entered():
            scraper.connect()
        scraper.request("GET", "/metrics")
        assert scraper.getresponse().read().startswith(b"#")
        with starting(lab, prefix=prefix) as new:
            for number in range(20):
                assert ask_dns(lab.app, "127.0.0.1", 15053, question(number)) == answer(question(number))
            assert new.metric("tidegate_dns_questions_total", outcome="answered") == 20
            scraper.request("GET", "/healthz/ready")
            last = scraper.getresponse()
            assert (last.status, last.getheader("connection"), last.read()) == (200, "close", b"serving\n")


def test_in_the_direct_lane_the_new_ones_companion_is_the_hand_in_the_kernel(lab: Lab, file: Path) -> None:
    lab.tidegate("init", "--mode", "ebpf").ok()
    write(file, web(ONE))
    try:
        with (
            Server(lab.peer, PEER_V4, ONE, says(b"1")),
            Server(lab.peer, PEER_V4, TWO, says(b"2")),
            starting(lab, "--config", str(file)) as old,
        ):
            until(lambda: old.request("/healthz/ready")[0] == 200, "readiness")
            with dial(lab.app, "10.0.0.80", 80) as kept:
                assert kept.recv(1) == b"1"
                with starting(lab, "--config", str(file)) as new:
                    until(lambda: new.request("/healthz/ready")[0] == 200, "readiness")
                    assert ask(lab) == b"1"
                    write(file, web(TWO))
                    try:
                        until(lambda: ask(lab) == b"2", "the change in the kernel")
                    except AssertionError as late:
                        late.add_note(f"{ask(lab)!r}; {new.stderr()}; before: {old.stderr()}")
                        raise
                    assert old.process.wait(patient(20)) == 0, old.stderr()
                    assert [ask(lab) for _ in range(5)] == [b"2"] * 5
                    kept.sendall(b"x")
                    assert kept.recv(1) == b"x"
                    lines = [line for line in new.access_log() if line["lane"] == "direct"]
                    assert lines
    finally:
        lab.tidegate("cleanup").ok()


def test_the_explicit_proxys_listener_moves_over_too(lab: Lab) -> None:
    flags = ("--explicit-port", "3128")
    ask_it = ["curl", "-s", "-x", "http://127.0.0.1:3128", f"http://{PEER_V4}:{WEB}/"]
    with upgrading.web(lab.peer), starting(lab, *flags) as old:
        assert lab.app.run(ask_it).stdout == "x" * 512
        with starting(lab, *flags) as new:
            assert "took over" in new.stderr()
            assert [lab.app.run(ask_it).stdout for _ in range(5)] == ["x" * 512] * 5
            assert old.process.wait(patient(15)) == 0
            assert lab.app.run(ask_it).stdout == "x" * 512
