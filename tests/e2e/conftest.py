"""Real servers in a namespace of their own, and `tidegate run` beside the plain program."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo import servers
from demo.network import Network, inside

TIDEGATE = str(Path(sys.executable).with_name("tidegate"))
PAGES = {"hello": b"hello from nginx", "big": bytes(range(256)) * 4096 * 16, "empty": b""}
MODES = ("nftables", "iptables", "ebpf")


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    with Network() as made:
        yield made


@pytest.fixture(scope="session")
def nginx(network: Network) -> Iterator[None]:
    with servers.nginx(network.peer, PAGES):
        yield


@pytest.fixture(scope="session")
def redis(network: Network) -> Iterator[None]:
    with servers.redis(network.peer):
        yield


@pytest.fixture(scope="session")
def mariadb(network: Network) -> Iterator[None]:
    with servers.mariadb(network.peer):
        yield


@dataclass(frozen=True)
class Ran:
    """What one `tidegate run` gave."""

    stdout: bytes
    stderr: bytes
    code: int
    report: dict[str, Any] | None


# Stands in the environment of everything that this session starts: how to tell our guardians from other people's.
MARK = f"TIDEGATE_TEST={uuid.uuid4().hex}"
ENVIRONMENT = {**os.environ, MARK.partition("=")[0]: MARK.partition("=")[2]}
STARTED: set[int] = set()
"""The runs of this process, by pid: other workers' come and go on the same machine."""


def launch(argv: list[str], **how: Any) -> subprocess.Popen[bytes]:
    """Start a `tidegate run` that is known to be ours."""
    process = subprocess.Popen(argv, env=ENVIRONMENT, **how)
    STARTED.add(process.pid)
    return process


@dataclass(frozen=True)
class Runner:
    network: Network
    mode: str
    folder: Path

    def start(self, *command: str, **how: Any) -> subprocess.Popen[bytes]:
        return launch(self.argv(*command), **how)

    def argv(self, *command: str, flags: tuple[str, ...] = ()) -> list[str]:
        return [TIDEGATE, "run", "--mode", self.mode, "--netns", self.network.app, *flags, "--", *command]

    def plain(self, *command: str, stdin: bytes = b"") -> bytes:
        """The command without tidegate: what its output has to be."""
        return subprocess.run(
            inside(self.network.app, *command), input=stdin, stdout=subprocess.PIPE, check=True, timeout=60
        ).stdout

    def run(self, *command: str, stdin: bytes = b"", flags: tuple[str, ...] = (), timeout: float = 100) -> Ran:
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        argv = self.argv(*command, flags=("--report", str(report), *flags))
        with launch(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                out, err = process.communicate(stdin, timeout)
            finally:
                process.kill()
        document = json.loads(report.read_text()) if report.exists() else None
        return Ran(out, err, process.returncode, document)


@pytest.fixture(params=MODES)
def runner(request: pytest.FixtureRequest, network: Network, tmp_path: Path) -> Runner:
    return Runner(network, request.param, tmp_path)


@pytest.fixture(scope="session")
def smtp(network: Network) -> Iterator[None]:
    with servers.smtp(network.peer):
        yield
