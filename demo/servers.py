"""Real servers, started in a namespace with their data in a temporary folder, stopped by the process we started."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from demo.network import PEER4, inside

READY_S = 30.0


class ServerFailed(Exception):
    """A server did not come up; the message ends with what it said."""


@contextlib.contextmanager
def folder(owner: str | None = None) -> Iterator[Path]:
    """A temporary folder that also other users may enter; it is gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix="tidegate-demo-"))
    try:
        path.chmod(0o755)
        if owner is not None:
            user = pwd.getpwnam(owner)
            os.chown(path, user.pw_uid, user.pw_gid)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def server(netns: str, argv: list[str], answers: list[str], log: Path) -> Iterator[None]:
    """Run `argv` in `netns` until the block ends; it is up when the command `answers` succeeds there."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            inside(netns, *argv), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait(process, inside(netns, *answers), log)
        yield
    finally:
        # The whole session: nginx and mariadbd have children, and all of them are ours.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes], question: list[str], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if subprocess.run(question, check=False, capture_output=True).returncode == 0:
            return
        time.sleep(0.05)
    raise ServerFailed(f"{process.args!r} did not come up: {log.read_text(errors='replace')[-2000:]}")


@contextlib.contextmanager
def nginx(netns: str, pages: dict[str, bytes]) -> Iterator[None]:
    """nginx on port 80, IPv4 and IPv6, serving `pages` (path -> content)."""
    with folder() as home:
        root = home / "pages"
        root.mkdir()
        for path, content in pages.items():
            (root / path).write_bytes(content)
        config = home / "nginx.conf"
        config.write_text(
            f"daemon off; pid {home}/pid; error_log stderr; worker_processes 1; user root;\n"
            "events { worker_connections 2048; }\n"
            "http { access_log off; default_type text/plain; sendfile on;\n"
            f"  client_body_temp_path {home}/1; proxy_temp_path {home}/2; fastcgi_temp_path {home}/3;\n"
            f"  uwsgi_temp_path {home}/4; scgi_temp_path {home}/5;\n"
            f"  server {{ listen 80; listen [::]:80; root {root}; }} }}\n"
        )
        question = ["curl", "-s", "-o", "/dev/null", f"http://{PEER4}/"]
        with server(netns, ["nginx", "-c", str(config)], question, home / "log"):
            yield


@contextlib.contextmanager
def redis(netns: str) -> Iterator[None]:
    """redis-server on port 6379 without persistence."""
    with folder() as home:
        argv = ["redis-server", "--save", "", "--protected-mode", "no", "--dir", str(home), "--bind", "0.0.0.0", "::"]
        with server(netns, argv, ["redis-cli", "-h", PEER4, "ping"], home / "log"):
            yield


@contextlib.contextmanager
def mariadb(netns: str) -> Iterator[None]:
    """MariaDB on port 3306, a server that speaks first; user `legacy`, password `legacy`, database `shop`."""
    with folder("mysql") as home:
        data = home / "data"
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=mysql", "--skip-test-db",
             "--auth-root-authentication-method=normal"],
            check=True, capture_output=True,
        )  # fmt: skip
        setup = home / "setup.sql"
        # One statement a line is how mariadbd reads an init file.
        setup.write_text(
            "CREATE DATABASE shop;\n"
            "CREATE TABLE shop.item (id INT PRIMARY KEY, name VARCHAR(40));\n"
            "INSERT INTO shop.item VALUES (1, 'anchor'), (2, 'buoy'), (3, 'capstan');\n"
            "CREATE USER 'legacy'@'%' IDENTIFIED BY 'legacy';\n"
            "GRANT ALL ON shop.* TO 'legacy'@'%';\n"
        )
        setup.chmod(0o644)
        argv = [
            "mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={home}/socket", f"--pid-file={home}/pid",
            "--user=mysql", "--bind-address=0.0.0.0", "--port=3306", "--skip-name-resolve",
            "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0", f"--init-file={setup}",
        ]  # fmt: skip
        question = ["mariadb", "-h", PEER4, "-ulegacy", "-plegacy", "shop", "-e", "SELECT 1"]
        with server(netns, argv, question, home / "log"):
            yield


@contextlib.contextmanager
def smtp(netns: str) -> Iterator[None]:
    """An SMTP server (aiosmtpd) on port 2525; it speaks first and throws the letters away."""
    with folder() as home:
        argv = [sys.executable, "-P", "-m", "aiosmtpd", "-n", "-c", "aiosmtpd.handlers.Sink", "-l", "0.0.0.0:2525"]
        with server(netns, argv, ["curl", "-s", "-o", "/dev/null", f"smtp://{PEER4}:2525"], home / "log"):
            yield


@contextlib.contextmanager
def dnsmasq(netns: str, names: dict[str, str]) -> Iterator[None]:
    """dnsmasq on port 53, UDP and TCP, which knows `names` and nothing else."""
    with folder() as home:
        known = [f"--address=/{name}/{address}" for name, address in names.items()]
        argv = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--user=root", "--conf-file=/dev/null",
                f"--pid-file={home}/pid", f"--listen-address={PEER4}", "--bind-interfaces", *known]  # fmt: skip
        up = f"import socket; socket.create_connection(('{PEER4}', 53), 1)"
        with server(netns, argv, ["/usr/bin/python3", "-c", up], home / "log"):
            yield
