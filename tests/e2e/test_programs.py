"""Real programs say through tidegate exactly what they say without it, and the report names who they talked to."""

import hashlib
from pathlib import Path

import pytest

from demo.network import PEER4, PEER6
from tests.e2e.conftest import PAGES, Ran, Runner

pytestmark = [pytest.mark.kernel, pytest.mark.e2e]

PIPELINE = 100_000


def only_connection(ran: Ran) -> dict[str, object]:
    assert ran.report is not None, ran.stderr.decode()
    assert len(ran.report["connections"]) == 1, ran.report
    connection: dict[str, object] = ran.report["connections"][0]
    return connection


@pytest.mark.usefixtures("nginx")
@pytest.mark.parametrize("host", [PEER4, f"[{PEER6}]"])
def test_curl(runner: Runner, host: str) -> None:
    command = ("curl", "-s", "-g", f"http://{host}/hello")
    ran = runner.run(*command)
    assert (ran.code, ran.stdout) == (0, runner.plain(*command))
    assert ran.stdout == PAGES["hello"]
    connection = only_connection(ran)
    assert connection["direction"] == "outbound"
    assert connection["original_destination"] == connection["upstream"] == f"{host}:80"
    assert (connection["lane"], connection["protocol"]) == ("parsed", "http/1.1")
    assert ran.report is not None
    assert ran.report["command"] == list(command)
    assert ran.report["exit_code"] == 0
    assert ran.report["mode"] == runner.mode


@pytest.mark.usefixtures("nginx")
def test_curl_of_a_body_that_fills_every_buffer(runner: Runner) -> None:
    ran = runner.run("curl", "-s", f"http://{PEER4}/big")
    assert hashlib.sha256(ran.stdout).digest() == hashlib.sha256(PAGES["big"]).digest()
    assert int(str(only_connection(ran)["bytes_received"])) > len(PAGES["big"])


@pytest.mark.usefixtures("nginx")
def test_a_v4_mapped_destination_is_reported_as_ipv4(runner: Runner) -> None:
    script = (
        f"import socket; s = socket.create_connection(('::ffff:{PEER4}', 80)); "
        "s.sendall(b'GET /hello HTTP/1.0\\r\\n\\r\\n'); print(s.recv(9000)[:8], s.getpeername()[:2])"
    )
    ran = runner.run("/usr/bin/python3", "-c", script)
    assert ran.stdout.startswith(b"b'HTTP/1.1"), ran.stderr.decode()
    assert only_connection(ran)["original_destination"] == f"{PEER4}:80"


@pytest.mark.usefixtures("redis")
def test_redis_pipeline(runner: Runner) -> None:
    commands = b"".join(b"SET key:%d %d\n" % (n, n) for n in range(PIPELINE))
    ran = runner.run("redis-cli", "-h", PEER4, "--pipe", stdin=commands)
    assert ran.code == 0
    assert b"errors: 0, replies: %d" % PIPELINE in ran.stdout
    # The pipe mode converts each line to RESP and adds one ECHO: what was sent is longer than the lines.
    assert int(str(only_connection(ran)["bytes_sent"])) > len(commands)
    assert runner.plain("redis-cli", "-h", PEER4, "get", "key:99999") == b"99999\n"


@pytest.mark.usefixtures("mariadb")
def test_mariadb_which_speaks_first(runner: Runner) -> None:
    query = "SELECT * FROM item ORDER BY id"
    command = ("mariadb", "-h", PEER4, "-ulegacy", "-plegacy", "shop", "-e", query)
    ran = runner.run(*command)
    assert (ran.code, ran.stdout) == (0, runner.plain(*command))
    assert b"capstan" in ran.stdout
    assert only_connection(ran)["original_destination"] == f"{PEER4}:3306"


@pytest.mark.usefixtures("smtp")
def test_smtp_dialogue(runner: Runner, tmp_path: Path) -> None:
    letter = tmp_path / "letter"
    letter.write_bytes(b"Subject: tide\r\n\r\nhigh at noon\r\n")
    command = ("curl", "-s", f"smtp://{PEER4}:2525", "--mail-from", "a@example.org", "--mail-rcpt", "b@example.org",
               "--upload-file", str(letter))  # fmt: skip
    ran = runner.run(*command)
    assert ran.code == 0, ran.stderr.decode()
    assert only_connection(ran)["original_destination"] == f"{PEER4}:2525"


def test_refused_upstream_is_a_reset_and_not_a_clean_close(runner: Runner) -> None:
    """Without tidegate connect() says refused; through it the connection that was accepted is reset."""
    script = (
        "import socket, sys\n"
        "try:\n"
        f"    s = socket.create_connection(('{PEER4}', 9)); s.settimeout(5); data = s.recv(1)\n"
        "except (ConnectionRefusedError, ConnectionResetError) as error:\n"
        "    sys.exit(type(error).__name__)\n"
        "sys.exit(f'clean close: {data}')\n"
    )
    ran = runner.run("/usr/bin/python3", "-c", script)
    assert ran.stderr.splitlines()[0] in (b"ConnectionResetError", b"ConnectionRefusedError")
    assert only_connection(ran)["close_reason"] == "upstream-refused"


def test_nothing_talked_to(runner: Runner) -> None:
    ran = runner.run("true")
    assert ran.code == 0
    assert ran.report is not None
    assert ran.report["connections"] == []
    assert ran.report["summary"]["connections"] == 0
