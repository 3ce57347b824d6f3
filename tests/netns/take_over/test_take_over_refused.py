"""When `--take-over` finds no proxy, or one that does not hand over: what runs is never harmed by the question."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab
from tests.lab.patience import patient
from tests.netns.proxy.proxy_rig import PEER_V4, ProxyProcess, Server, dial, echo, until
from tests.netns.proxy.supervised import Supervisor
from tests.netns.proxy.test_proxy_guarded import squatter
from tests.netns.take_over.upgrading import starting

pytestmark = pytest.mark.kernel
PORT = 12352


def refused(lab: Lab, *flags: str) -> tuple[int, str]:
    new = starting(lab, *flags)
    try:
        code = new.process.wait(patient(20))
    finally:
        new.__exit__()
    return code, new.stderr()


@contextlib.contextmanager
def another_tidegate(lab: Lab, answer: dict[str, Any] | None) -> Iterator[list[dict[str, Any]]]:
    """A program of root's at the name, which gives that answer, or none; what it was asked."""
    asked: list[dict[str, Any]] = []
    with lab.app.entered():
        door = socket.socket(socket.AF_UNIX)
        door.bind("\0tidegate/15001")
        door.listen()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = door.accept()
                with sock, sock.makefile("rw") as lines:
                    line = lines.readline()
                    if not line:  # a look at whose the name is
                        continue
                    asked.append(json.loads(line))
                    if answer is not None:
                        lines.write(json.dumps(answer) + "\n")
                        lines.flush()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        door.shutdown(socket.SHUT_RDWR)
        door.close()
        thread.join()


def test_where_none_runs_it_says_so_and_starts(lab: Lab) -> None:
    with starting(lab) as proxy:
        assert "--take-over: no proxy of root's or of this user answers at @tidegate/15001" in proxy.stderr()
        assert proxy.request("/healthz/ready", port=15020) == (200, "serving\n")


def test_a_workload_that_has_the_name_is_asked_nothing(lab: Lab) -> None:
    with squatter(lab, listens=True) as said, starting(lab) as proxy:
        assert "no proxy of root's or of this user answers" in proxy.stderr()
    assert [line for line in said if line != "nothing"] == []


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"ok": False, "error": "unknown op 'take-over'; known: drain"}, "unknown op 'take-over'"),
        ({"ok": False, "error": "it hands over by version 2 of the protocol, not by 1"}, "by version 2"),
        ({"ok": True, "protocol": 1}, "None"),
    ],
    ids=["older", "newer", "no sockets"],
)
def test_another_version_that_does_not_hand_over_is_named(lab: Lab, answer: dict[str, Any], why: str) -> None:
    with another_tidegate(lab, answer) as asked:
        code, said = refused(lab)
    assert code == 1
    assert "the proxy that runs does not hand over" in said
    assert why in said
    assert asked == [{"op": "take-over", "protocol": 1}]


def test_one_that_ends_instead_of_answering_is_none(lab: Lab) -> None:
    """Its name is free by then, or the start fails and says so."""
    with another_tidegate(lab, None):
        code, said = refused(lab)
    assert code == 1
    assert "@tidegate/15001 is in use" in said


def test_one_protocol_version_too_new_is_refused_by_ours(lab: Lab) -> None:
    with ProxyProcess(lab) as old:
        answers = old.control({"op": "take-over", "protocol": 2}, {"op": "taken"}, {"op": "release"})
        assert [one["ok"] for one in answers] == [False] * 3
        assert "version 1 of the protocol, not by 2" in answers[0]["error"]
        assert "ask to take over first" in answers[1]["error"]


def test_a_proxy_of_a_run_is_not_taken_away_from_it(lab: Lab) -> None:
    with Supervisor(lab) as supervisor:
        assert supervisor.read()["event"] == "ready"
        code, said = refused(lab)
        assert code == 1
        assert "it belongs to `tidegate run` or an enrolment" in said
        assert supervisor.ask(op="connections") == []


def test_a_draining_one_is_waited_for_by_hand(lab: Lab) -> None:
    with Server(lab.peer, PEER_V4, PORT, echo), ProxyProcess(lab) as old, dial(lab.app, "127.0.0.1", 15020) as held:
        assert old.request("/drain", "POST")[0] == 200
        until(lambda: old.request("/healthz/ready")[0] == 503, "the drain")
        code, said = refused(lab)
        assert code == 1
        assert "it is draining" in said
        assert held.fileno() >= 0


def test_two_at_once(lab: Lab) -> None:
    """One waits with its question open; the other one is told."""
    with ProxyProcess(lab) as old:
        with lab.app.entered():
            first = socket.socket(socket.AF_UNIX)
            first.connect("\0tidegate/15001")
        with first:
            first.sendall(json.dumps({"op": "take-over", "protocol": 1}).encode() + b"\n")
            line, sockets, _, _ = socket.recv_fds(first, 4096, 32)
            assert json.loads(line)["ok"] is True
            for fd in sockets:
                socket.socket(fileno=fd).close()
            code, said = refused(lab)
            assert code == 1
            assert "another proxy is taking over from it at this moment" in said
        until(lambda: "this one goes on" in old.stderr(), "the end of the first one")
        with starting(lab) as new:
            assert "took over" in new.stderr()


@pytest.mark.parametrize(
    ("flags", "token"),
    [(("--outbound-port", "0"), "with --take-over"), (("--config", "{bad}"), "bad.yaml:")],
    ids=["port", "configuration"],
)
def test_bad_input_is_found_before_anything_is_asked(
    lab: Lab, tmp_path: Path, flags: tuple[str, ...], token: str
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("kind: Service\napiVersion: v1\nspec: {nonsense: 1}\n")
    with ProxyProcess(lab) as old:
        code, said = refused(lab, *(flag.format(bad=bad) for flag in flags))
        assert code == 2
        assert token in said
        assert "has been shown" not in old.stderr()
        assert old.request("/healthz/ready", port=15020) == (200, "serving\n")


def test_a_port_that_is_taken_by_another_program_leaves_the_old_one_serving(lab: Lab) -> None:
    with lab.app.entered():
        taken = socket.create_server(("0.0.0.0", 15099))
    with taken, ProxyProcess(lab) as old:
        code, said = refused(lab, "--telemetry", "0.0.0.0:15099")
        assert code == 1
        assert "--telemetry: 0.0.0.0:15099 is in use" in said
        until(lambda: "this one goes on" in old.stderr(), "the end of the question")
        with starting(lab) as new:
            assert "took over" in new.stderr()
