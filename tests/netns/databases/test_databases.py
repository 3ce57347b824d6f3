"""Requests to real databases through a real proxy: what is counted is what the clients asked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.databases import servers
from tests.netns.proxy.proxy_rig import PEER_V4, ProxyProcess, Server, dial, echo, rules, until
from tests.netns.shared_folder import shared_folder

pytestmark = pytest.mark.kernel
PORT = str(servers.POSTGRES_PORT)
Counts = dict[tuple[str, str, str], int]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with shared_folder("databases") as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def captured(lab: Lab) -> Iterator[None]:
    with rules(lab.app):
        yield


@pytest.fixture(scope="module")
def redis(lab: Lab, folder: Path) -> Iterator[None]:
    with servers.redis(lab, folder):
        yield


@pytest.fixture(scope="module")
def postgres(lab: Lab, folder: Path) -> Iterator[None]:
    with servers.postgres(lab, folder):
        yield


@pytest.fixture(scope="module")
def mariadb(lab: Lab, folder: Path) -> Iterator[None]:
    with servers.mariadb(lab, folder):
        yield


LINE = re.compile(r'tidegate_database_requests_total\{.*database="(\w+)",kind="([^"]+)",status="(\w+)"\} (\d+)')


def counts(proxy: ProxyProcess) -> Counts:
    page = proxy.request("/metrics")[1]
    return {(one[0], one[1], one[2]): int(one[3]) for one in LINE.findall(page)}


def run(lab: Lab, *argv: str, stdin: str = "") -> str:
    done = lab.app.run(list(argv), check=False, stdin=stdin, env={**os.environ, "PGPASSWORD": "s3cret"})
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@pytest.mark.usefixtures("redis")
def test_redis(lab: Lab) -> None:
    with ProxyProcess(lab) as proxy:
        asked = ("SET secret-key secret-value", "GET secret-key", "INCR secret-key", "hello 3", "foo")
        said = run(lab, "redis-cli", "-h", PEER_V4, stdin="\n".join(asked) + "\n")
        assert "secret-value" in said
        until(lambda: ("redis", "INCR", "error") in counts(proxy), "the error")
        found = counts(proxy)
        assert found["redis", "SET", "ok"] == found["redis", "GET", "ok"] == found["redis", "HELLO", "ok"] == 1
        assert found["redis", "INCR", "error"] == found["redis", "OTHER", "error"] == 1
        assert "secret" not in proxy.request("/metrics")[1]


@pytest.mark.usefixtures("redis")
def test_redis_pipelines_and_large_values(lab: Lab) -> None:
    with ProxyProcess(lab) as proxy:
        run(lab, "redis-benchmark", "-h", PEER_V4, "-t", "get,set", "-n", "20000", "-P", "16", "-c", "8", "-q")
        run(lab, "redis-benchmark", "-h", PEER_V4, "-t", "set", "-n", "200", "-d", "300000", "-c", "4", "-q")
        until(lambda: counts(proxy).get(("redis", "SET", "ok"), 0) >= 20200, "all of them")
        found = counts(proxy)
        assert (found["redis", "SET", "ok"], found["redis", "GET", "ok"]) == (20200, 20000)
        lines = "".join(f"SET k{number} {number}\n" for number in range(5000))
        assert "errors: 0, replies: 5000" in run(lab, "redis-cli", "-h", PEER_V4, "--pipe", stdin=lines)
        assert run(lab, "redis-cli", "-h", PEER_V4, "GET", "k4999").strip() == "4999"
        until(lambda: counts(proxy)["redis", "GET", "ok"] == 20001, "the connection after it")


@pytest.mark.usefixtures("postgres")
def test_postgres(lab: Lab) -> None:
    psql = ("psql", "-h", PEER_V4, "-p", PORT, "-U", "postgres", "-v", "ON_ERROR_STOP=0", "-q", "-t", "-A")
    script = (
        "CREATE TABLE item (name text);\nINSERT INTO item VALUES ('secret'), ('b');\nSELECT count(*) FROM item;\n"
        "/* why */ SELECT 1;\nSELECT nonsense;\nBEGIN;\nUPDATE item SET name = 'c';\nROLLBACK;\n"
        "COPY item TO STDOUT;\n"
    )
    with ProxyProcess(lab) as proxy:
        assert "secret" in run(lab, *psql, stdin=script)
        found = counts(proxy)
        ok = {kind: count for (_, kind, status), count in found.items() if status == "ok" and count}
        assert ok == {"CREATE": 1, "INSERT": 1, "SELECT": 2, "BEGIN": 1, "UPDATE": 1, "ROLLBACK": 1, "COPY": 1}
        assert found["postgresql", "SELECT", "error"] == 1
        page = proxy.request("/metrics")[1]
        assert "s3cret" not in page
        assert "secret" not in page
        assert "nonsense" not in page


@pytest.mark.usefixtures("postgres")
def test_postgres_prepared_statements(lab: Lab) -> None:
    bench = ("pgbench", "-h", PEER_V4, "-p", PORT, "-U", "postgres", "postgres")
    with ProxyProcess(lab) as proxy:
        run(lab, *bench, "-i", "-s", "1", "-q")
        before = counts(proxy)
        for how in ("prepared", "extended", "simple"):
            run(lab, *bench, "-n", "-M", how, "-S", "-t", "50", "-c", "2")
        selects = ("postgresql", "SELECT", "ok")
        made = counts(proxy)[selects] - before.get(selects, 0)
        assert 300 <= made <= 310, "pgbench itself asks for a few things at each start"


@pytest.mark.usefixtures("mariadb")
def test_mariadb(lab: Lab) -> None:
    script = (
        "CREATE TABLE item (name text);\nINSERT INTO item VALUES ('secret');\nSELECT name FROM item;\n"
        "SELECT nonsense;\nPREPARE p FROM 'SELECT 1';\n"
    )
    with ProxyProcess(lab) as proxy:
        done = lab.app.run([*servers.MARIADB, "--force", "-N"], check=False, stdin=script)
        assert "secret" in done.stdout, done.stderr
        found = counts(proxy)
        assert found["mysql", "CREATE", "ok"] == found["mysql", "INSERT", "ok"] == found["mysql", "PREPARE", "ok"] == 1
        assert found["mysql", "SELECT", "ok"] >= 1
        assert found["mysql", "SELECT", "error"] == 1
        assert "secret" not in proxy.request("/metrics")[1]


@pytest.mark.usefixtures("redis")
def test_totals_have_rows_and_other_protocols_none(lab: Lab) -> None:
    with ProxyProcess(lab) as proxy, Server(lab.peer, PEER_V4, 12810, echo):
        with dial(lab.app, PEER_V4, 12810) as client:
            client.sendall(b"*2\r\nnot redis")
            assert client.recv(100) == b"*2\r\nnot redis"
        run(lab, "redis-cli", "-h", PEER_V4, "PING")
        until(lambda: ("redis", "PING", "ok") in counts(proxy), "the ping")
        rows = json.loads(proxy.request("/totals")[1])
        (row,) = [one for one in rows if one["route"] != "-"]
        assert (row["route"], row["lane"], row["requests"], row["failed"]) == ("redis PING", "splice", 1, 0)
        assert sum(row["durations"]) == 1


@pytest.mark.usefixtures("redis")
def test_off_counts_nothing(lab: Lab) -> None:
    with ProxyProcess(lab, "--databases", "off") as proxy:
        assert run(lab, "redis-cli", "-h", PEER_V4, "PING") == "PONG\n"
        assert counts(proxy) == {}


def test_nonsense_is_refused(lab: Lab) -> None:
    argv = [sys.executable, "-P", "-m", "tidegate", "proxy", "--databases", "maybe"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert (done.returncode, "maybe" in done.stderr) == (2, True)
