"""Redis, PostgreSQL and MariaDB in a lab's PEER namespace, with their data in a folder of the test's."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.lab import Lab
from tests.netns.proxy.proxy_rig import PEER_V4, until

POSTGRES = Path("/usr/lib/postgresql/15/bin")
POSTGRES_PORT, MARIADB_PORT = 15432, 13306  # the lab itself listens at the usual ones


@contextlib.contextmanager
def _running(lab: Lab, argv: list[str], ask: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as out:
        process = lab.peer.popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        until(lambda: lab.peer.run(ask, check=False).returncode == 0 or process.poll() is not None, argv[0], 60)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def redis(lab: Lab, folder: Path) -> Iterator[None]:
    argv = ["redis-server", "--save", "", "--protected-mode", "no", "--dir", str(folder), "--bind", PEER_V4]
    with _running(lab, argv, ["redis-cli", "-h", PEER_V4, "ping"], folder / "redis.log"):
        yield


def _owned(folder: Path, user: str) -> Path:
    made = folder / user
    made.mkdir()
    account = pwd.getpwnam(user)
    os.chown(made, account.pw_uid, account.pw_gid)
    return made


@contextlib.contextmanager
def postgres(lab: Lab, folder: Path) -> Iterator[None]:
    """User and database `postgres`; the password is asked for and is `s3cret`."""
    home = _owned(folder, "postgres")
    become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    password = home / "password"
    password.write_text("s3cret\n")
    password.chmod(0o644)
    initdb = [str(POSTGRES / "initdb"), "-D", f"{home}/data", "-U", "postgres", "--no-sync", "-A", "scram-sha-256"]
    subprocess.run([*become, *initdb, f"--pwfile={password}"], check=True, capture_output=True)
    (home / "data" / "pg_hba.conf").write_text("host all all 0.0.0.0/0 scram-sha-256\n")
    argv = [*become, str(POSTGRES / "postgres"), "-D", f"{home}/data", "-k", str(home), "-h", PEER_V4, "-F"]
    port = ["-p", str(POSTGRES_PORT)]
    with _running(lab, [*argv, *port], ["pg_isready", "-h", PEER_V4, *port], folder / "postgres.log"):
        yield


@contextlib.contextmanager
def mariadb(lab: Lab, folder: Path) -> Iterator[None]:
    """User and password `shop`, database `shop`."""
    home = _owned(folder, "mysql")
    data = ["--no-defaults", f"--datadir={home}/data", f"--tmpdir={home}"]
    install = [
        "mariadb-install-db",
        *data,
        "--user=mysql",
        "--skip-test-db",
        "--auth-root-authentication-method=normal",
    ]
    subprocess.run(install, check=True, capture_output=True)
    setup = home / "setup.sql"
    setup.write_text(
        "CREATE DATABASE shop;\nCREATE USER 'shop'@'%' IDENTIFIED BY 'shop';\nGRANT ALL ON shop.* TO 'shop'@'%';\n"
    )
    setup.chmod(0o644)
    argv = [
        *("mariadbd", *data, f"--socket={home}/socket", f"--pid-file={home}/pid", "--user=mysql"),
        *("--skip-name-resolve", f"--bind-address={PEER_V4}", f"--port={MARIADB_PORT}"),
        *("--innodb-buffer-pool-size=16M", f"--init-file={setup}"),
    ]
    with _running(lab, argv, [*MARIADB, "-e", "SELECT 1"], folder / "mariadb.log"):
        yield


MARIADB = (
    *("mariadb", "--no-defaults", "--skip-ssl", "-h", PEER_V4, "-P", str(MARIADB_PORT)),
    *("-ushop", "-pshop", "shop"),
)
