"""connect() to 0.0.0.0 or :: goes to loopback in Linux, so rules about loopback decide about it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.netns.ebpf.ebpf_support import LOOPBACK, listening, made_in, original

pytestmark = pytest.mark.kernel

ANY = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


@pytest.fixture(autouse=True)
def clean(lab: Lab) -> Iterator[None]:
    yield
    lab.tidegate("cleanup").ok()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
def test_the_unspecified_address_is_loopback(lab: Lab, family: int) -> None:
    lab.tidegate("init", "--mode", "ebpf", "--include-outbound-cidrs", "127.0.0.1,::1").ok()
    with listening(lab.app, family, 15001) as listener, made_in(lab.app, family) as client:
        client.connect((ANY[family], 7777))
        accepted, _ = listener.accept()
        with accepted:
            assert original(accepted, family) == (LOOPBACK[family], 7777)
            assert client.getpeername()[:2] == (LOOPBACK[family], 7777)
