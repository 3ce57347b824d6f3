"""The lab itself, held to the kernel with hand-written rules: what the case table leans on must be right first."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.actor import Identity
from tests.lab.patience import patient

pytestmark = pytest.mark.kernel

REDIRECT = """
table inet by_hand {
  chain out {
    type nat hook output priority -100
    meta skuid 1337 return
    oifname lo return
    meta l4proto tcp redirect to :15001
    udp dport 53 redirect to :15053
  }
  chain in {
    type nat hook prerouting priority -100
    meta l4proto tcp redirect to :15006
  }
}
"""


@pytest.fixture
def redirected(lab: Lab) -> Iterator[None]:
    lab.app.run(["nft", "-f", "-"], stdin=REDIRECT)
    try:
        yield
    finally:
        lab.app.run(["nft", "delete", "table", "inet", "by_hand"])


@pytest.mark.parametrize("host", ["10.0.0.1", "fd00::1", "192.0.2.1", "2001:db8::1", "8.8.8.8"])
def test_every_far_address_ends_in_peer(lab: Lab, host: str) -> None:
    reply = lab.actor().tcp(host, 80)
    assert (reply.status, reply.who) == ("ok", "peer")
    assert reply.line is not None
    assert reply.line["at"].strip("[]").startswith(host)
    answer = lab.actor().udp(host, 53)
    assert (answer.status, answer.who) == ("ok", "peer")


def test_nothing_else_is_reachable(lab: Lab) -> None:
    for host in ("9.9.9.9", "2606:4700::1"):
        assert lab.actor().tcp(host, 80, timeout=1).status == "unreachable"


def test_guest_reaches_peer_through_app_and_back(lab: Lab) -> None:
    for host, source in (("10.0.0.1", "10.0.2.2"), ("fd00::1", "[fd02::2]")):
        reply = lab.actor(namespace=lab.guest).tcp(host, 80)
        assert reply.line is not None
        assert reply.line["source"].rpartition(":")[0] == source


def test_an_actor_is_who_it_was_asked_to_be(lab: Lab) -> None:
    folder = lab.cgroup.child("actor")
    actor = lab.actor(Identity(4, 2, (888,), folder.folder))
    said = actor.ask({"op": "ping"})
    assert (said["uid"], said["gid"]) == (4, 2)
    assert f"0::{folder.path}\n" in said["cgroup"]
    lab.dismiss(actor)
    assert folder.pids() == []


@pytest.mark.usefixtures("redirected")
@pytest.mark.parametrize("host", ["10.0.0.1", "fd00::1"])
def test_the_recorder_tells_the_original_destination(lab: Lab, host: str) -> None:
    shown = f"[{host}]:80" if ":" in host else f"{host}:80"
    with lab.proxy() as proxy:
        reply = lab.actor().tcp(host, 80)
        assert reply.line is not None
        assert (reply.who, reply.line["listener"], reply.line["original"]) == ("proxy", 15001, shown)
        assert lab.actor(Identity(1337, 1337)).tcp(host, 80).who == "peer"
        answer = lab.actor().udp(host, 53)
        assert answer.who == "proxy"
        proxy.switch("relay")
        assert lab.actor().tcp(host, 80).who == "peer"
        assert proxy.wait_for_record(listener=15001, original=shown)
    assert lab.actor().tcp(host, 80).status == "refused"


@pytest.mark.usefixtures("redirected")
def test_inbound_reaches_the_recorder_and_a_mapped_socket_is_plain_ipv4(lab: Lab) -> None:
    with lab.proxy():
        reply = lab.actor(namespace=lab.peer).tcp("10.0.0.2", 8080)
        assert reply.line is not None
        assert (reply.line["listener"], reply.line["original"]) == (15006, "10.0.0.2:8080")
        mapped = lab.actor().tcp("10.0.0.1", 80, mapped=True)
        assert mapped.line is not None
        assert mapped.line["original"] == "10.0.0.1:80"


def test_snapshot_sees_rules_routes_sets_and_forgets_counters(lab: Lab) -> None:
    before = lab.snapshot()
    rule = "table ip x { chain c { type filter hook output priority 0; counter accept; }; }"
    lab.app.run(["nft", "-f", "-"], stdin=rule)
    with_rule = lab.snapshot()
    assert "counter" in before.diff(with_rule)
    lab.actor().tcp("10.0.0.1", 80)
    assert with_rule.diff(lab.snapshot()) == ""
    lab.app.run(["nft", "delete", "table", "ip", "x"])
    for command, undo in (
        ("ip rule add fwmark 7 lookup 133", "ip rule del fwmark 7"),
        ("ip -6 route add local default dev lo table 133", "ip -6 route del local default dev lo table 133"),
        ("ipset create TG hash:net", "ipset destroy TG"),
        ("ip6tables-legacy -t raw -A OUTPUT -j RETURN", "ip6tables-legacy -t raw -D OUTPUT -j RETURN"),
        ("ip addr add ::6/128 dev lo", "ip addr del ::6/128 dev lo"),
    ):
        lab.app.run(command.split())
        assert before.diff(lab.snapshot()), command
        lab.app.run(undo.split())
        assert before.diff(lab.snapshot()) == "", undo


def test_snapshot_sees_what_ebpf_mode_pins(lab: Lab) -> None:
    before = lab.snapshot()
    lab.tidegate("init", "--mode", "ebpf").ok()
    told = before.diff(lab.snapshot())
    lab.tidegate("cleanup").ok()
    assert "+link" in told
    assert "+pinned" in told
    assert lab.changes_since(before) == ""


def test_building_one_takes_less_than_a_second() -> None:
    started = time.monotonic()
    made = Lab()
    took = time.monotonic() - started
    made.close()
    assert took < patient(2), f"{took:.2f} s: the target is 1 s; twice that leaves room for a loaded machine"
