"""One backend takes over from another under traffic: never two rules of two minds, never a refused connection."""

from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.third_party_proxy import ProxyOptions, ThirdPartyProxy
from tests.netns.intercept.test_atomic import calm, storms

pytestmark = pytest.mark.kernel

MODES = ("nftables", "ebpf", "iptables", "ebpf", "nftables", "iptables", "nftables")


@pytest.fixture(scope="module")
def proxy(lab: Lab) -> Iterator[ThirdPartyProxy]:
    lab.serve_app()
    with lab.proxy(ProxyOptions()) as made:
        yield made


@pytest.mark.soak
@pytest.mark.usefixtures("proxy")
def test_changing_backends_neither_leaks_nor_refuses(lab: Lab) -> None:
    """When the last NAT rule of a namespace goes, the kernel forgets the translation of connections that are open: one
    that was captured in that very moment may be cut. It is never refused and never gets past the proxy."""
    pristine = lab.snapshot()
    lab.tidegate("init", "--mode", MODES[-1]).ok()
    running = storms(lab)
    try:
        for mode in MODES * 3:
            lab.tidegate("init", "--mode", mode).ok()
            in_force = lab.tidegate("status", "--json").json
            assert (in_force["mode"], in_force["drift"]) == (mode, [])
    finally:
        ends = calm(running)
        lab.tidegate("cleanup").ok()
    for end in ends:
        counts = end["counts"]
        cut = sum(counts.pop(f"{how}@banner", 0) for how in ("timeout", "reset", "closed"))
        assert set(counts) == {"ok:proxy"}, end
        assert cut <= len(MODES) * 3, end
    assert lab.snapshot() == pristine
