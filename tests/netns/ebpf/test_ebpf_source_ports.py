"""As many connections as without capture: a local port serves each destination once, however many others there are."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.netns.ebpf.ebpf_support import listening, made_in, original

pytestmark = pytest.mark.kernel

DESTINATIONS = [(f"10.0.0.{last}", port) for last in (1, 9) for port in (80, 81)]
RANGE = "/proc/sys/net/ipv4/ip_local_port_range"


@pytest.fixture(scope="module", autouse=True)
def captured(lab: Lab) -> Iterator[None]:
    lab.tidegate("init", "--mode", "ebpf").ok()
    try:
        yield
    finally:
        lab.tidegate("cleanup").ok()


@pytest.fixture
def few_ports(lab: Lab) -> Iterator[int]:
    before = lab.app.run(["cat", RANGE]).stdout.split()
    lab.app.run(["sh", "-c", f"echo 40000 40059 > {RANGE}"])
    try:
        yield 60
    finally:
        lab.app.run(["sh", "-c", f"echo {' '.join(before)} > {RANGE}"])


def test_each_destination_has_all_local_ports(lab: Lab, few_ports: int) -> None:
    with listening(lab.app, socket.AF_INET, 15001) as listener, contextlib.ExitStack() as held:
        for n in range(4 * (few_ports - 10)):
            client = held.enter_context(made_in(lab.app, socket.AF_INET))
            client.connect(DESTINATIONS[n % 4])
            accepted, _ = listener.accept()
            held.enter_context(accepted)
            assert original(accepted, socket.AF_INET) == DESTINATIONS[n % 4]
            assert client.getpeername() == DESTINATIONS[n % 4]


def test_one_bound_source_port_for_several_peers(lab: Lab) -> None:
    with listening(lab.app, socket.AF_INET, 15001) as listener, contextlib.ExitStack() as held:
        for destination in DESTINATIONS:
            client = held.enter_context(made_in(lab.app, socket.AF_INET))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.bind(("0.0.0.0", 40_400))
            client.connect(destination)
            accepted, peer = listener.accept()
            held.enter_context(accepted)
            assert original(accepted, socket.AF_INET) == destination
            assert peer[1] == 40_400


def test_a_listener_on_one_loopback_address_is_reached_there(lab: Lab) -> None:
    with listening(lab.app, socket.AF_INET, 15001, "127.0.0.1") as listener, made_in(lab.app, socket.AF_INET) as client:
        client.connect(DESTINATIONS[0])
        accepted, _ = listener.accept()
        with accepted:
            assert original(accepted, socket.AF_INET) == DESTINATIONS[0]


def test_a_dual_stack_listener(lab: Lab) -> None:
    with listening(lab.app, socket.AF_INET6, 15001, "dual") as listener, made_in(lab.app, socket.AF_INET) as client:
        client.connect(DESTINATIONS[0])
        accepted, peer = listener.accept()
        with accepted:
            assert original(accepted, socket.AF_INET) == DESTINATIONS[0]
            assert accepted.getsockname()[0] != "::ffff:127.0.0.1"
            assert peer[0] == "::ffff:10.0.0.2"
