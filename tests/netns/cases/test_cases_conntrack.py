"""Behaviour that hangs on connection tracking: tuple collisions, INVALID packets, DNS from one source port."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.actor import ROOT as REPOSITORY
from tests.lab.actor import Actor, Identity
from tests.lab.lab import ROOT_USER
from tests.lab.namespaces import close_pipes
from tests.lab.patience import patient
from tests.lab.third_party_proxy import ProxyOptions, ThirdPartyProxy

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def proxy(backend: str, lab: Lab) -> Iterator[ThirdPartyProxy]:
    lab.serve_app()
    with lab.proxy(ProxyOptions(transparent=backend == "tproxy")) as made:
        yield made


@pytest.fixture
def capture(backend: str, lab: Lab, proxy: ThirdPartyProxy, request: pytest.FixtureRequest) -> Iterator[None]:
    """In force with the flags of the test's parameter."""
    lab.resolv_conf = "nameserver 10.0.0.53\nnameserver fd00::53\n"
    lab.tidegate("init", "--mode", backend, *getattr(request, "param", ())).ok()
    lab.adopt(backend, proxy)
    yield
    lab.tidegate("cleanup").ok()


@pytest.mark.usefixtures("capture")
@pytest.mark.parametrize("host", ["10.0.0.2", "fd00::2"])
def test_one_source_port_to_two_ports(lab: Lab, host: str) -> None:
    """Case many-ports-one-source-port: two connections that differ in the destination port only, 200 times."""
    client = lab.actor(ROOT_USER, lab.peer)
    slow = []
    for round_ in range(200):
        source_port = 33_000 + round_ % 50
        first, one = client.keep(host, 8080, source_port=source_port)
        second, other = client.keep(host, 9090, source_port=source_port)
        for reply, port in ((one, 8080), (other, 9090)):
            assert reply.line is not None
            shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            assert reply.who == "proxy"
            assert shown in (reply.line["original"], reply.line["sockname"])
            if reply.raw["connect_ms"] >= patient(900):
                slow.append((round_, reply))
        client.let_go(first)
        client.let_go(second)
    assert slow == [], "a stalled handshake"


@pytest.mark.parametrize("capture", [("--dns", "all"), ("--dns", "resolvers")], indirect=True, ids=["all", "resolvers"])
@pytest.mark.usefixtures("capture")
@pytest.mark.parametrize("host", ["10.0.0.53", "fd00::53"])
def test_dns_of_workload_and_proxy_from_one_source_port(lab: Lab, host: str) -> None:
    """Case dns-conntrack-zone: the tuple that was captured for the one must not capture, or leak, the other's."""
    workload, proxy_user = lab.actor(), lab.actor(Identity(1337, 1337))
    for _ in range(250):
        assert workload.udp(host, 53, source_port=33_533, timeout=2.0).who == "proxy"
        assert proxy_user.udp(host, 53, source_port=33_533, timeout=2.0).who == "peer"


@pytest.mark.parametrize("capture", [("--drop-invalid",), ()], indirect=True, ids=["dropped", "not-dropped"])
@pytest.mark.usefixtures("capture")
@pytest.mark.parametrize("host", ["10.0.0.2", "fd00::2"])
def test_an_out_of_window_segment(lab: Lab, backend: str, host: str, request: pytest.FixtureRequest) -> None:
    """Case drop-invalid. Without the flag, REDIRECT lets the segment through untranslated, and the stack resets it.

    Where inbound isn't translated (tproxy, ebpf) there is nothing to protect, and the transfer survives either way.
    """
    client = lab.actor(ROOT_USER, lab.peer)
    kept, reply = client.keep(host, 8080)
    assert reply.who == "proxy"
    source_port = str(reply.raw["local"].rpartition(":")[2])
    argv = [sys.executable, "-m", "tests.lab.inject", "eth0", source_port, "8080"]
    injector = lab.peer.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY)
    try:
        said(injector, "ready")
        assert client.echo(kept, 1000)["status"] == "ok"  # few packets: the injector looks at each of them
        time.sleep(0.3)  # the last acknowledgement may be a delayed one
        assert injector.stdin is not None
        injector.stdin.write("go\n")
        injector.stdin.flush()
        said(injector, "sent")
        time.sleep(0.1)
        after = client.echo(kept, 1_000_000)
    finally:
        injector.kill()
        injector.wait()
        close_pipes(injector.stdin, injector.stdout)
        client.let_go(kept)
    dropped = "dropped" in request.node.callspec.id and "not-dropped" not in request.node.callspec.id
    survives = dropped or backend in ("tproxy", "ebpf")
    assert after["status"] == ("ok" if survives else "reset"), after


def said(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().strip() == word, process.poll()


@pytest.mark.parametrize("capture", [("--when-down", "closed")], indirect=True)
@pytest.mark.usefixtures("capture")
def test_ebpf_creates_no_conntrack_entry(lab: Lab, backend: str) -> None:
    """The other backends do create one, which shows that this test can see them."""
    workload: Actor = lab.actor()
    lab.app.run(["conntrack", "-F"])
    kept, _ = workload.keep("192.0.2.1", 80)
    inbound, _ = lab.actor(ROOT_USER, lab.peer).keep("10.0.0.2", 8080)
    listed = lab.app.run(["conntrack", "-L", "-p", "tcp"]).stdout
    workload.let_go(kept)
    lab.actor(ROOT_USER, lab.peer).let_go(inbound)
    translated = [
        line for line in listed.splitlines() if "dport=15001" in line or "sport=15001" in line or "=15006" in line
    ]
    assert bool(translated) is (backend != "ebpf"), listed


@pytest.mark.parametrize("mark", [("0x539", "1337", "133"), ("0x7", "7", "77")], ids=["default", "chosen"])
def test_tproxy_routing(lab: Lab, mark: tuple[str, str, str]) -> None:
    """Case tproxy-source-kept: the rule and the local default route of both families, and gone after cleanup."""
    shown, number, table = mark
    before = lab.snapshot()
    lab.tidegate("init", "--mode", "tproxy", "--tproxy-mark", number, "--tproxy-table", table).ok()
    try:
        for family in ("-4", "-6"):
            rules = lab.app.run(["ip", family, "rule"]).stdout
            assert f"fwmark {shown} lookup {table}" in rules, rules
            routes = lab.app.run(["ip", family, "route", "show", "table", table]).stdout
            assert "local default dev lo" in routes, routes
    finally:
        lab.tidegate("cleanup").ok()
    assert lab.changes_since(before) == ""
