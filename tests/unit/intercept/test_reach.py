"""What a new connection gets, from the plan and from who listens."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest

from intercept.backends.contract import InForce
from intercept.host.facts import HostFacts
from intercept.host.listeners import Listening
from intercept.host.owners import Owner
from intercept.intent.from_flags import intent_from_flags
from intercept.intent.intent import Mode
from intercept.intent.listeners import Sign
from intercept.plan.build import build
from intercept.plan.rules import Plan
from intercept.plan.steering import steered
from intercept.reach import judged, listeners_as_dict, now_as_dict

NOTHING_BESIDES = InForce(None)
NOBODY: dict[str, list[Listening]] = {"outbound": [], "inbound": [], "dns": []}


def plan(mode: Mode = Mode.NFTABLES, **flags: str) -> Plan:
    host = HostFacts(resolvers=("10.0.0.53",))
    return build(intent_from_flags({name.replace("_", "-"): value for name, value in flags.items()}), host, mode)


def socket(*versions: int, address: str | None = None, transparent: bool | None = False) -> Listening:
    return Listening(15001, versions, None if address is None else ip_address(address), 7, transparent)


@pytest.mark.parametrize(
    ("flags", "outbound", "inbound", "dns"),
    [
        ({}, {4, 6}, {4, 6}, set()),
        ({"include_outbound_cidrs": ""}, set(), {4, 6}, set()),
        ({"include_outbound_cidrs": "10.0.0.0/8"}, {4}, {4, 6}, set()),
        ({"include_outbound_cidrs": "fd00::/8", "include_inbound_ports": ""}, {6}, set(), set()),
        ({"include_outbound_cidrs": "", "include_outbound_ports": "80"}, {4, 6}, {4, 6}, set()),
        ({"ipv6": "off", "dns": "all"}, {4}, {4}, {4}),
        ({"dns": "resolvers"}, {4, 6}, {4, 6}, {4}),
        ({"include_inbound_ports": "", "self_calls": "hairpin"}, {4, 6}, {4, 6}, set()),
    ],
)
def test_what_a_plan_steers_to(flags: dict[str, str], outbound: set[int], inbound: set[int], dns: set[int]) -> None:
    assert steered(plan(**flags)) == {"outbound": outbound, "inbound": inbound, "dns": dns}


@pytest.mark.parametrize(
    ("when_down", "alive", "now"),
    [
        ("closed", None, "refused"),
        ("open", None, "direct"),
        ("open", frozenset[Sign](), "direct"),
        # For as long as its sign of life stands the rules steer to a listener that has gone.
        ("open", frozenset({Sign("outbound", 4)}), "refused"),
    ],
)
def test_nobody_listens(when_down: str, alive: frozenset[Sign] | None, now: str) -> None:
    reach = judged(plan(when_down=when_down), NOBODY, {}, InForce(None, alive=alive), ipv6=True)
    assert now_as_dict(reach)["outbound"] == now
    assert "nobody listens on port 15001" in reach["outbound"].why
    assert listeners_as_dict(reach)["outbound"] == {"port": 15001, "pid": None, "name": ""}
    assert listeners_as_dict(reach)["dns"] is None


def outbound(mode: Mode, sockets: list[Listening], found: InForce = NOTHING_BESIDES, *, ipv6: bool = True) -> str:
    reach = judged(plan(mode), {**NOBODY, "outbound": sockets}, {7: Owner(42, "envoy")}, found, ipv6=ipv6)
    assert listeners_as_dict(reach)["outbound"] == {"port": 15001, "pid": 42, "name": "envoy"}
    return reach["outbound"].now


def test_versions_are_judged_apart_and_the_worse_one_counts() -> None:
    assert outbound(Mode.NFTABLES, [socket(4), socket(6)]) == "proxied"
    assert outbound(Mode.NFTABLES, [socket(4, 6)]) == "proxied"
    assert outbound(Mode.NFTABLES, [socket(4)]) == "refused"
    assert outbound(Mode.NFTABLES, [socket(4)], ipv6=False) == "proxied", "a namespace without IPv6 needs no listener"


def test_an_address_that_steered_connections_do_not_reach() -> None:
    assert outbound(Mode.NFTABLES, [socket(4, address="127.0.0.1"), socket(6, address="::1")]) == "proxied"
    assert outbound(Mode.NFTABLES, [socket(4, address="10.0.0.2"), socket(6)]) == "refused"
    assert outbound(Mode.NFTABLES, [socket(4, address="127.0.0.2"), socket(6)]) == "refused"


def test_what_the_backend_cannot_steer_to_and_what_it_was_not_told() -> None:
    both = [socket(4), socket(6)]
    assert outbound(Mode.EBPF, both, InForce(None, out_of_reach=(Sign("outbound", 6),))) == "refused"
    told = frozenset({Sign("outbound", 4), Sign("outbound", 6)})
    assert outbound(Mode.NFTABLES, both, InForce(None, alive=told)) == "proxied"


@pytest.mark.parametrize(
    ("mode", "address", "transparent", "now"),
    [
        (Mode.NFTABLES, None, False, "proxied"),
        (Mode.NFTABLES, "127.0.0.1", False, "refused"),
        (Mode.EBPF, "127.0.0.1", False, "proxied"),
        (Mode.TPROXY, None, False, "refused"),
        (Mode.TPROXY, None, True, "proxied"),
        (Mode.TPROXY, None, None, "proxied"),
    ],
)
def test_inbound_listeners(mode: Mode, address: str | None, transparent: bool | None, now: str) -> None:
    listener = Listening(15006, (4,), None if address is None else IPv4Address(address), 7, transparent)
    reach = judged(plan(mode), {**NOBODY, "inbound": [listener]}, {}, InForce(None), ipv6=False)
    assert reach["inbound"].now == now
    assert "cannot be looked into" in reach["inbound"].why
