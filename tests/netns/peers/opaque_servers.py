"""Real servers of other protocols than HTTP, at PEER's address: PostgreSQL, memcached, FTP, SSH."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab.namespaces import Namespace
from tests.netns.proxy.proxy_rig import PEER_V4, dial, until

POSTGRES, MEMCACHED, ODD_HTTP, FTP, SSH = 5433, 11211, 8088, 2121, 2222
VSFTPD = """
listen=YES
listen_address={host}
listen_port={port}
anonymous_enable=YES
anon_root={folder}/files
no_anon_password=YES
background=NO
seccomp_sandbox=NO
connect_from_port_20=NO
secure_chroot_dir={folder}/empty
ftp_username=ftp
"""
SSHD = """
ListenAddress {host}:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/client.pub
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile {folder}/sshd.pid
"""


@contextlib.contextmanager
def _running(namespace: Namespace, argv: Sequence[str], port: int, folder: Path, user: str = "root") -> Iterator[None]:
    before = () if user == "root" else ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
    with (folder / "log").open("ab") as log:
        process = namespace.popen(
            [*before, *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )

    def listens() -> bool:
        with contextlib.suppress(OSError), dial(namespace, PEER_V4, port, timeout=1):
            return True
        return process.poll() is not None

    try:
        until(listens, f"{argv[0]} to listen", 30)
        assert process.poll() is None, (folder / "log").read_text()
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def postgres(namespace: Namespace, folder: Path) -> Iterator[None]:
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"))
    user = pwd.getpwnam("postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    as_user = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
    data = folder / "data"
    argv = [str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres", "--no-sync"]
    subprocess.run([*as_user, *argv], check=True, capture_output=True, cwd="/")
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 0.0.0.0/0 trust\n")
    argv = [str(binaries / "postgres"), "-D", str(data), "-h", PEER_V4, "-p", str(POSTGRES), "-k", str(folder), "-F"]
    with _running(namespace, argv, POSTGRES, folder, user="postgres"):
        yield


@contextlib.contextmanager
def memcached(namespace: Namespace, folder: Path) -> Iterator[None]:
    """At its own port, and at one that usually speaks HTTP."""
    with contextlib.ExitStack() as stack:
        for port in (MEMCACHED, ODD_HTTP):
            argv = ["memcached", "-u", "nobody", "-l", PEER_V4, "-p", str(port), "-U", "0", "-m", "16"]
            stack.enter_context(_running(namespace, argv, port, folder))
        yield


@contextlib.contextmanager
def ftp(namespace: Namespace, folder: Path) -> Iterator[None]:
    for name in ("files", "empty"):
        (folder / name).mkdir(mode=0o755)
    (folder / "files" / "large").write_bytes(bytes(range(256)) * 8192)
    (folder / "files" / "small").write_text("hello\n")
    config = folder / "vsftpd.conf"
    config.write_text(VSFTPD.format(host=PEER_V4, port=FTP, folder=folder))
    with _running(namespace, ["vsftpd", str(config)], FTP, folder):
        yield


@contextlib.contextmanager
def ssh(namespace: Namespace, folder: Path) -> Iterator[None]:
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd wants to confine itself, whatever its configuration
    for name in ("host", "client"):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(argv, check=True, capture_output=True)
    config = folder / "sshd_config"
    config.write_text(SSHD.format(host=PEER_V4, port=SSH, folder=folder))
    with _running(namespace, ["/usr/sbin/sshd", "-D", "-e", "-f", str(config)], SSH, folder):
        yield
