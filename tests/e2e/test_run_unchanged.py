"""`run` changes nothing else: what a command finds of itself is what it finds without tidegate, in every mode."""

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from demo.network import inside
from tests.e2e.conftest import TIDEGATE, Runner

pytestmark = [pytest.mark.kernel, pytest.mark.e2e]

# Everything that a program inherits, from the kernel's own mouth. Not Python, which changes some of it.
LOOK = """
grep -E '^(SigBlk|SigIgn|SigCgt|Umask|Groups|Uid|Gid|NoNewPrivs|CapEff|CapBnd|Seccomp|Cpus_allowed)' /proc/self/status
tr '\\0' '\\n' < /proc/$$/environ | sort
cat /proc/$$/limits
for fd in /proc/$$/fd/*; do echo "${fd##*/} $(readlink "$fd")"; done | grep -v 'pipe:\\|/proc/\\| $'
cut -d ' ' -f 5-8 /proc/$$/stat
pwd; nice; cat /proc/$$/oom_score_adj
"""


def ignoring(*numbers: signal.Signals) -> Callable[[], None]:
    def prepare() -> None:
        for number in (signal.SIGPIPE, signal.SIGXFSZ, *numbers):
            signal.signal(number, signal.SIG_IGN if number in numbers else signal.SIG_DFL)

    return prepare


def both(runner: Runner, *command: str, flags: tuple[str, ...] = (), **how: object) -> tuple[bytes, bytes]:
    """What the command says without tidegate and with it."""
    said = []
    for argv in (inside(runner.network.app, *command), runner.argv(*command, flags=flags)):
        done = subprocess.run(argv, capture_output=True, check=True, timeout=60, **how)  # type: ignore[call-overload]
        said.append(done.stdout)
    return said[0], said[1]


@pytest.mark.parametrize(
    "ignored", [(), (signal.SIGPIPE,), (signal.SIGXFSZ, signal.SIGCHLD), (signal.SIGINT, signal.SIGTERM)]
)
def test_what_a_program_inherits(runner: Runner, ignored: tuple[signal.Signals, ...]) -> None:
    """The C locale on top: Python adds LC_CTYPE to its environment then."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/", "ODD": "a=b\nc", "LANG": "C"}
    plain, captured = both(runner, "dash", "-c", LOOK, env=environment, preexec_fn=ignoring(*ignored), umask=0o027)
    assert captured == plain


def test_sockets_that_a_service_manager_passes(runner: Runner) -> None:
    """LISTEN_PID is the reader's own id, and descriptor 3 is the socket."""
    reader, writer = os.pipe()
    script = 'test "$LISTEN_PID" = $$ && test "$WATCHDOG_PID" = $$ && readlink /proc/$$/fd/3'
    pass_on = f'exec 3<&{reader} {reader}<&-; export LISTEN_FDS=1 LISTEN_PID=$$ WATCHDOG_PID=$$; exec "$@"'
    argv = ["bash", "-c", pass_on, "manager", *runner.argv("dash", "-c", script)]
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, check=True, pass_fds=[reader], timeout=60)
        assert done.stdout.decode().strip() == os.readlink(f"/proc/self/fd/{reader}")
    finally:
        os.close(reader)
        os.close(writer)


def test_another_ones_listen_pid_stays(runner: Runner) -> None:
    plain, captured = both(runner, "dash", "-c", "echo $LISTEN_PID", env={**os.environ, "LISTEN_PID": "1"})
    assert captured == plain == b"1\n"


def test_it_runs_as_the_user_that_was_asked_for(runner: Runner) -> None:
    user = pwd.getpwnam("nobody")
    done = runner.run("id", flags=("--user", "nobody"))
    assert done.stdout.startswith(f"uid={user.pw_uid}(nobody) gid={user.pw_gid}".encode())
    assert runner.run("id", "-u", flags=("--user", "4711:4712")).stdout == b"4711\n"


def test_an_unknown_user_is_bad_usage(runner: Runner) -> None:
    done = runner.run("true", flags=("--user", "no-such-user"))
    assert done.code == 2
    assert b"--user" in done.stderr


def test_a_process_that_outlives_the_command_is_named(runner: Runner) -> None:
    done = runner.run("sh", "-c", "sleep 600 >/dev/null 2>&1 & exit 3")
    assert done.code == 3
    assert b"sleep (pid " in done.stderr
    assert b"--follow" in done.stderr


def test_follow_waits_for_it(runner: Runner, tmp_path: Path) -> None:
    marker = tmp_path / "done"
    script = f"(sleep 1; echo late > {marker}) >/dev/null 2>&1 & exit 3"
    done = runner.run("sh", "-c", script, flags=("--follow",))
    assert done.code == 3
    assert marker.read_text() == "late\n"
    assert b"sleep" not in done.stderr


def test_follow_passes_signals_on(runner: Runner) -> None:
    script = "sh -c 'trap \"exit 0\" TERM; sleep 0.5; echo up; while :; do sleep 0.05; done' 2>/dev/null & exit 4"
    argv = runner.argv("sh", "-c", script, flags=("--follow",))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.terminate()
        try:
            assert process.wait(timeout=20) == 4
        finally:
            process.kill()


def test_quiet(runner: Runner) -> None:
    assert runner.run("true", flags=("--quiet",)).stderr == b""


@pytest.mark.parametrize(("flag", "value"), [("--lane", "fast"), ("--log-level", "loud"), ("--drain-timeout", "x")])
def test_a_bad_value_is_bad_usage(flag: str, value: str) -> None:
    done = subprocess.run([TIDEGATE, "run", flag, value, "--", "true"], capture_output=True, check=False, timeout=30)
    assert done.returncode == 2
    assert flag.encode() in done.stderr
    assert value.encode() in done.stderr


def test_what_was_not_captured_is_said(runner: Runner) -> None:
    """UDP, loopback and an exempt user's connection: each by count and kind, and none of it is among the captured."""
    script = """
import os, socket
for _ in range(2): socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("10.77.0.1", 443))
def connect(ip, port):
    try: socket.create_connection((ip, port), 1)
    except OSError: pass
connect("127.0.0.1", 6379)
os.setuid(1337)
connect("10.77.0.1", 81)
"""
    done = runner.run("/usr/bin/python3", "-c", script)
    assert done.report is not None
    assert {(one["protocol"], one["destination"], one["count"]) for one in done.report["seen_not_captured"]} == {
        ("udp", "10.77.0.1:443", 2),
        ("tcp", "127.0.0.1:6379", 1),
        ("tcp", "10.77.0.1:81", 1),
    }
    assert done.report["connections"] == []
    text = " ".join(done.stderr.decode().split())
    assert "2 UDP packets to 10.77.0.1:443" in text
    assert "1 connection to 127.0.0.1:6379 by python3" in text


@pytest.mark.usefixtures("nginx")
def test_a_row_names_its_process(runner: Runner) -> None:
    done = runner.run("curl", "-s", "http://10.77.0.1/hello")
    assert done.report is not None
    assert [one["processes"] for one in done.report["connections"]] == [["curl"]]
    row = next(line for line in done.stderr.decode().splitlines() if line.startswith("->"))
    assert row.split()[:5] == ["->", "10.77.0.1:80", "curl", row.split()[3], "1"]


@pytest.mark.usefixtures("nginx")
def test_an_inbound_row_names_who_listens(runner: Runner) -> None:
    script = "import socket; d = socket.create_server(('', 8088)); print(flush=True); d.accept()[0].recv(1)"
    started = runner.start("/usr/bin/python3", "-c", script, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert started.stdout is not None
    started.stdout.readline()
    call = "import socket; s = socket.create_connection(('10.77.0.2', 8088)); s.send(b'x'); s.recv(1)"
    subprocess.run(inside(runner.network.peer, sys.executable, "-c", call), check=False, timeout=20)
    _, summary = started.communicate(timeout=20)
    if runner.mode == "iptables":  # its match of cgroups knows outbound packets only
        assert b"not captured: inbound" in summary
        return
    row = next(line for line in summary.decode().splitlines() if line.startswith("<-"))
    assert row.split()[1:3] == ["10.77.0.2:8088", "python3"]
