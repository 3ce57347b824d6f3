"""`adopt`: what there is to register is registered, and where there is nothing it says so and does not fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.third_party_proxy import ProxyOptions, ThirdPartyProxy

pytestmark = pytest.mark.kernel


@pytest.fixture
def proxy(lab: Lab) -> Iterator[ThirdPartyProxy]:
    try:
        with lab.proxy(ProxyOptions()) as proxy:
            yield proxy
    finally:
        lab.tidegate("cleanup").ok()


def adopt(lab: Lab, pid: int) -> str:
    return lab.tidegate("adopt", "--pid", str(pid)).ok().out


def test_a_listener_is_registered_where_sockets_are_steered_to(lab: Lab, backend: str, proxy: ThirdPartyProxy) -> None:
    lab.tidegate("init", "--mode", backend).ok()
    said = adopt(lab, proxy.pid)
    assert ("15006" in said) is (backend == "ebpf"), said
    assert ("nothing to do" in said) is (backend != "ebpf"), said


def test_inbound_that_is_not_captured_is_no_failure(lab: Lab, backend: str, proxy: ThirdPartyProxy) -> None:
    lab.tidegate("init", "--mode", backend, "--include-inbound-ports", "").ok()
    said = adopt(lab, proxy.pid)
    assert "nothing to do" in said
    assert backend != "ebpf" or "inbound" in said


def test_a_process_without_a_listener_is_no_failure(lab: Lab, backend: str, proxy: ThirdPartyProxy) -> None:
    lab.tidegate("init", "--mode", backend, "--inbound-port", "15106").ok()
    said = adopt(lab, proxy.pid)
    assert "nothing to do" in said
    assert backend != "ebpf" or "15106" in said


def test_what_is_wrong_still_fails(lab: Lab, proxy: ThirdPartyProxy) -> None:
    assert "run init first" in lab.tidegate("adopt", "--pid", str(proxy.pid)).ended(1).err
    lab.tidegate("init", "--mode", "ebpf").ok()
    assert "--pid" in lab.tidegate("adopt", "--pid", "2147483647").ended(2).err
