"""Names are resolved through the capture as they are without it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo import servers
from demo.network import PEER4, Network
from tests.e2e.conftest import Runner

pytestmark = [pytest.mark.kernel, pytest.mark.e2e]


@pytest.fixture(scope="module")
def dnsmasq(network: Network) -> Iterator[None]:
    with servers.dnsmasq(network.peer, {"shop.test": PEER4}):
        yield


def with_resolver(folder: Path, argv: list[str]) -> list[str]:
    """The command line that runs `argv` where resolv.conf names the peer."""
    resolv_conf = folder / "resolv.conf"
    resolv_conf.write_text(f"nameserver {PEER4}\n")
    script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, str(resolv_conf), *argv]


@pytest.mark.usefixtures("nginx", "dnsmasq")
@pytest.mark.parametrize("which", ["all", "resolvers"])
def test_curl_by_name(runner: Runner, which: str, tmp_path: Path) -> None:
    report = tmp_path / "report"
    command = runner.argv("curl", "-s", "http://shop.test/hello", flags=("--dns", which, "--report", str(report)))
    done = subprocess.run(with_resolver(tmp_path, command), capture_output=True, timeout=60, check=False)
    assert done.stdout == b"hello from nginx", done.stderr.decode()
    assert f'"original_destination": "{PEER4}:80"' in report.read_text()


@pytest.mark.usefixtures("dnsmasq")
def test_over_tcp_the_original_destination_is_asked(runner: Runner, tmp_path: Path) -> None:
    question = "746701000001000000000000 0473686f70 0474657374 00 0001 0001"
    script = (
        f"import socket; q = bytes.fromhex('{question}'); s = socket.create_connection(('{PEER4}', 53), 5);"
        "s.sendall(len(q).to_bytes(2, 'big') + q); print(socket.inet_ntoa(s.recv(600)[-4:]))"
    )
    report = tmp_path / "report"
    command = runner.argv("/usr/bin/python3", "-c", script, flags=("--dns", "all", "--report", str(report)))
    done = subprocess.run(with_resolver(tmp_path, command), capture_output=True, timeout=60, check=False)
    assert done.stdout.decode() == f"{PEER4}\n", done.stderr.decode()
    assert f'"original_destination": "{PEER4}:53"' in report.read_text()


@pytest.mark.usefixtures("nginx")
def test_no_server_that_answers_is_an_error_at_once_and_not_a_hang(runner: Runner, tmp_path: Path) -> None:
    """Nobody serves DNS at 127.0.0.1 here: the proxy is told so by ICMP, and tells the client."""
    command = runner.argv("curl", "-s", "-m", "20", "http://shop.test/", flags=("--dns", "all"))
    wrapped = with_resolver(tmp_path, command)
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    done = subprocess.run(wrapped, capture_output=True, timeout=60, check=False)
    assert done.returncode == 6  # curl: could not resolve host; 28 would be its time-out
