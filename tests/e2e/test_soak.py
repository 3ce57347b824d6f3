"""Ten gigabytes through one connection, each byte compared on arrival."""

import subprocess
import sys
from pathlib import Path

import pytest

from demo.network import PEER4, Network, inside
from tests.e2e.conftest import Runner

pytestmark = [pytest.mark.kernel, pytest.mark.e2e, pytest.mark.soak]

BLOCK = 1 << 20
BLOCKS = 10 * 1024
# A prime, so that a block that comes twice, not at all or out of order does not look like its neighbour.
PATTERN = f"bytes((i * i) % 251 for i in range({BLOCK} - 1)) + b'x'"

RECEIVER = f"""
import socket, sys
pattern, got, same = bytearray({PATTERN}), bytearray({BLOCK}), 0
with socket.create_server(("{PEER4}", 7777)) as server:
    print("up", flush=True)
    accepted, _ = server.accept()
with accepted:
    for number in range({BLOCKS}):
        pattern[:8] = number.to_bytes(8, "big")
        view = memoryview(got)
        while view:
            count = accepted.recv_into(view)
            if not count:
                sys.exit(f"the stream ended in block {{number}}")
            view = view[count:]
        if got != pattern:
            sys.exit(f"block {{number}} differs")
    if accepted.recv(1):
        sys.exit("more came than was sent")
    accepted.sendall(b"all {BLOCKS} blocks are right")
"""

SENDER = f"""
import socket
pattern = bytearray({PATTERN})
with socket.create_connection(("{PEER4}", 7777)) as connection:
    for number in range({BLOCKS}):
        pattern[:8] = number.to_bytes(8, "big")
        connection.sendall(pattern)
    connection.shutdown(socket.SHUT_WR)
    print(connection.recv(100).decode())
"""


@pytest.mark.timeout(300)
def test_ten_gigabytes_through_one_connection(network: Network, tmp_path: Path) -> None:
    runner = Runner(network, "nftables", tmp_path)
    receiver = subprocess.Popen(
        inside(network.peer, sys.executable, "-c", RECEIVER), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == b"up\n"
        ran = runner.run(sys.executable, "-c", SENDER, timeout=280)
        _, complaint = receiver.communicate(timeout=20)
    finally:
        receiver.kill()
        receiver.communicate()
    assert ran.stdout == f"all {BLOCKS} blocks are right\n".encode(), (ran.stderr, complaint)
    assert ran.report is not None
    assert ran.report["connections"][0]["bytes_sent"] == BLOCKS * BLOCK
