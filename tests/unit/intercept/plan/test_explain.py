"""What `explain` is asked by its flags, and the words of its answer."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from intercept.errors import BadInput
from intercept.host.facts import HostFacts
from intercept.intent.from_flags import intent_from_flags
from intercept.intent.intent import Mode
from intercept.plan.build import build
from intercept.plan.explain import Connection, as_on_the_wire, connection_from_flags, explain

DST = {"--dst": "10.0.0.1:80"}


def test_only_the_destination_has_to_be_given() -> None:
    assert connection_from_flags("outbound", DST) == Connection(
        "outbound", ip_address("10.0.0.1"), 80, "tcp", source=None, uid=0, gid=0, interface=None
    )
    with pytest.raises(BadInput, match="--dst"):
        connection_from_flags("outbound", {})


def test_each_flag_is_read() -> None:
    asked = {**DST, "--protocol": "udp", "--uid": "7", "--gid": "8", "--interface": "eth0", "--src": "::ffff:10.0.0.9"}
    out = connection_from_flags("outbound", asked)
    assert (out.protocol, out.uid, out.gid, out.interface) == ("udp", 7, 8, "eth0")
    assert out.source == ip_address("10.0.0.9")


def test_what_arrives_has_no_owner_here() -> None:
    arriving = connection_from_flags("inbound", {**DST, "--uid": "7", "--src": "fd00::9"})
    assert (arriving.uid, arriving.gid, arriving.source) == (None, None, ip_address("fd00::9"))


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fd00::1", "fd00::1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "::1"),
        ("::ffff:0.0.0.0", "127.0.0.1"),
    ],
)
def test_addresses_are_those_that_a_packet_carries(given: str, sent: str) -> None:
    assert as_on_the_wire(ip_address(given)) == ip_address(sent)


@pytest.mark.parametrize(("when_down", "more"), [("closed", ""), ("open", "; direct while the proxy is down")])
def test_a_capture_that_opens_says_so(when_down: str, more: str) -> None:
    made = build(intent_from_flags({"when-down": when_down}), HostFacts(), Mode.NFTABLES)
    connection = Connection("outbound", ip_address("10.0.0.1"), 80, uid=1000, gid=1000)
    plain = build(intent_from_flags({}), HostFacts(), Mode.NFTABLES)
    assert explain(made, connection).reason == explain(plain, connection).reason + more
    excluded = Connection("outbound", ip_address("10.0.0.1"), 80, uid=1337, gid=1000)
    assert explain(made, excluded).reason == explain(plain, excluded).reason


@pytest.mark.parametrize("direction", ["outbound", "inbound"])
def test_what_nothing_captures_is_said_with_its_direction(direction: str) -> None:
    flags = {"include-outbound-cidrs": "", "include-inbound-ports": "1"}
    made = build(intent_from_flags(flags), HostFacts(), Mode.NFTABLES)
    asked = Connection(direction, ip_address("10.0.0.2"), 80, uid=1000, gid=1000, local=direction == "inbound")
    decision = explain(made, asked)
    assert (decision.decision, decision.listener, decision.rule) == ("direct", None, "default")
    assert decision.reason.endswith(f"included {direction}")


def test_a_source_that_is_not_told_is_in_no_network() -> None:
    made = build(intent_from_flags({"exclude-inbound-cidrs": "10.0.0.0/8,fd00::/8"}), HostFacts(), Mode.NFTABLES)

    def decided(source: str | None) -> str:
        told = ip_address(source) if source else None
        return explain(made, Connection("inbound", ip_address("10.0.0.2"), 80, source=told, local=True)).decision

    assert [decided(source) for source in (None, "10.9.9.9", "192.0.2.1", "fd00::1", "fe80::1")] == [
        *("capture", "direct", "capture", "direct", "capture")
    ]
