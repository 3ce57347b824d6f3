from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.addresses import Address
from proxy.core.decide.explicit import Authority, BadAuthority, Limits, Refused, ServicePlaces, parse_authority
from proxy.core.policy.cluster import ServiceName
from proxy.core.policy.policy import Policy, frozen
from tests.unit.proxy.core.build import destination

OWN = "10.0.0.2"
LIMITS = Limits(frozenset({15000, 15001}), lambda ip: ip in (OWN, "127.0.0.1", "fd00::2"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a.example", Authority("a.example", 80)),
        ("A.Example.:8080", Authority("a.example", 8080)),
        ("under_score:1", Authority("under_score", 1)),
        ("10.0.0.1:65535", Authority("10.0.0.1", 65535, is_address=True)),
        ("[FD00::01]", Authority("fd00::1", 80, is_address=True)),
        ("[::ffff:127.0.0.1]:81", Authority("127.0.0.1", 81, is_address=True)),
        ("[fe80::1%25eth0]:82", Authority("fe80::1", 82, is_address=True, zone="eth0")),
        ("a:", Authority("a", 80)),
    ],
)
def test_what_authorities_name(text: str, wanted: Authority) -> None:
    assert parse_authority(text, 80) == wanted


@pytest.mark.parametrize(
    "text",
    ["", ":80", "a:0", "a:65536", "a:٣", "a:+1", "a:1:2", "::1", "[::1", "[::1]80", "[a]", "[1.2.3.4]", "1.2.3",
     "127.1", "2130706433", "1.2.3.256", "a b", "a%20b", "-a", "a..-", "ä.example", "a" * 254, "."],
)  # fmt: skip
def test_what_can_be_none(text: str) -> None:
    with pytest.raises(BadAuthority):
        parse_authority(text, 80)


@pytest.mark.parametrize("text", ["a", "a:", "[::1]", "10.0.0.1"])
def test_a_tunnel_has_to_name_its_port(text: str) -> None:
    with pytest.raises(BadAuthority):
        parse_authority(text, 0)


@given(st.text(max_size=40), st.sampled_from([0, 80]))
def test_any_text_is_an_authority_or_a_bad_one(text: str, port: int) -> None:
    try:
        found = parse_authority(text, port)
    except BadAuthority:
        return
    assert 1 <= found.port <= 65535
    assert found.host == found.host.lower()


@pytest.mark.parametrize(
    ("ip", "port", "client", "allowed"),
    [
        ("10.0.0.9", 15000, "10.0.0.7", True),
        (OWN, 15000, "127.0.0.1", False),
        (OWN, 80, "10.0.0.7", True),
        ("127.9.9.9", 15001, "127.0.0.1", False),
        ("127.0.0.1", 80, "127.0.0.1", True),
        ("127.0.0.1", 80, OWN, True),
        ("127.0.0.1", 80, "10.0.0.7", False),
        ("::1", 80, None, False),
        ("0.0.0.0", 80, "127.0.0.1", False),
        ("::", 80, "127.0.0.1", False),
        ("169.254.169.254", 80, "127.0.0.1", False),
        ("fe80::1", 80, "127.0.0.1", False),
    ],
)
def test_where_a_client_may_go(ip: str, port: int, client: str | None, allowed: bool) -> None:
    assert (LIMITS.judge(Address(ip, port), client) is None) is allowed


def test_link_local_destinations_when_they_are_allowed() -> None:
    assert replace(LIMITS, link_local=True).judge(Address("169.254.169.254", 80), None) is None


def test_of_several_addresses_those_that_are_allowed() -> None:
    fine, own = Address("10.0.0.9", 15000), Address("127.0.0.1", 15000)
    assert LIMITS.allowed([own, fine], "127.0.0.1") == [fine]
    refused = LIMITS.allowed([own], "127.0.0.1")
    assert isinstance(refused, Refused)
    assert refused.status == 403


def places(*names: str, home: str = "") -> ServicePlaces:
    one = destination()
    claims = [
        ((f"10.9.0.{number}", 80), replace(one, service=ServiceName(*name.split("/")), port=80))
        for number, name in enumerate(names)
    ]
    return ServicePlaces(Policy(frozen(claims)), home)


@pytest.mark.parametrize("host", ["web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local"])
def test_names_of_a_service(host: str) -> None:
    assert places("shop/web").find(host, 80) == [Address("10.9.0.0", 80)]


@pytest.mark.parametrize(
    "host", ["other", "web.other", "web.svc", "web.shop.example", "web.shop.cluster.local", "shop"]
)
def test_other_names(host: str) -> None:
    assert places("shop/web").find(host, 80) is None


def test_a_port_that_the_service_has_not() -> None:
    assert places("shop/web").find("web", 81) is None


def test_a_name_in_several_namespaces() -> None:
    both = ("shop/web", "crew/web")
    refused = places(*both).find("web", 80)
    assert isinstance(refused, Refused)
    assert "crew, shop" in refused.text
    assert places(*both, home="crew").find("web", 80) == [Address("10.9.0.1", 80)]
    assert places(*both, home="elsewhere").find("web.shop", 80) == [Address("10.9.0.0", 80)]


def test_both_families_of_a_service() -> None:
    one = replace(destination(), port=80)
    found = ServicePlaces(Policy(frozen([(("10.9.0.1", 80), one), (("fd00::9", 80), one)])), "").find("web.shop", 80)
    assert found == [Address("10.9.0.1", 80), Address("fd00::9", 80)]
