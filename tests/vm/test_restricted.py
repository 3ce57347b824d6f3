"""Kernels restricted at boot; in guests only: `make kernels KERNELS=6.1-no-ipv6,6.1-lockdown`."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import leftovers, namespaces
from tests.lab.command_line import Ran
from tests.lab.lab import zygote
from tests.lab.namespaces import Namespace
from tests.lab.patience import patient

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(400)]

MODES = ("nftables", "iptables", "tproxy", "ebpf")
ARGUMENTS = Path("/proc/cmdline").read_text().split()
SERVICE = "192.0.2.1"

without_ipv6 = pytest.mark.skipif("ipv6.disable=1" not in ARGUMENTS, reason="booted with IPv6")
locked_down = pytest.mark.skipif("lockdown=confidentiality" not in ARGUMENTS, reason="not locked down")


@pytest.fixture(scope="module")
def pod() -> Iterator[Namespace]:
    made = namespaces.create(leftovers.fresh_name())
    try:
        # An address that nobody answers at: whoever answers a call to it was steered to.
        up = ["link set lo up", "link add d0 type dummy", "link set d0 up"]
        namespaces.batch(made, [*up, "addr add 10.9.0.1/24 dev d0", "route add default dev d0"])
        yield made
    finally:
        made.delete()


def tidegate(pod: Namespace, *argv: str) -> Ran:
    return zygote().run(pod, argv, timeout=120)


def captured(pod: Namespace) -> bool:
    """Whether a call to the service arrives at a listener on the outbound port."""
    with pod.entered():
        listener, client = socket.socket(), socket.socket()
    with listener, client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 15001))
        listener.listen(1)
        for each in (listener, client):
            each.settimeout(patient(0.5))
        try:
            client.connect((SERVICE, 80))
            listener.accept()[0].close()
        except OSError:
            return False
        return True


@without_ipv6
@pytest.mark.parametrize("mode", MODES)
def test_ipv6_disabled_at_boot(pod: Namespace, mode: str) -> None:
    refused = tidegate(pod, "init", "--mode", mode, "--ipv6", "required").ended(3)
    assert "IPv6" in refused.err
    applied = tidegate(pod, "init", "--mode", mode, "--json").ok().json
    try:
        assert any(left.startswith("IPv6: ") for left in applied["not_captured"])
        assert tidegate(pod, "status", "--json").ok().json["drift"] == []
        assert captured(pod)
    finally:
        tidegate(pod, "cleanup").ok()
    assert not captured(pod)


@locked_down
@pytest.mark.parametrize("mode", MODES)
def test_kernel_lockdown(pod: Namespace, mode: str) -> None:
    """Lockdown closes the kernel's memory to everybody; nothing that capture needs is behind that door."""
    assert "[confidentiality]" in Path("/sys/kernel/security/lockdown").read_text()
    tidegate(pod, "init", "--mode", mode).ok()
    try:
        assert tidegate(pod, "status", "--json").ok().json["drift"] == []
        assert captured(pod)
    finally:
        tidegate(pod, "cleanup").ok()
    assert not captured(pod)
