"""Addresses: what people write, what the kernel gives, and back."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.addresses import Address, from_sockaddr, is_loopback, parse, to_sockaddr

ports = st.integers(0, 65535)
v4 = st.ip_addresses(v=4).map(str)
v6 = st.ip_addresses(v=6).filter(lambda ip: ip.ipv4_mapped is None).map(str)  # type: ignore[union-attr]
addresses = st.builds(Address, v4 | v6, ports, st.just(0))


@given(addresses)
def test_what_is_shown_can_be_read_again(address: Address) -> None:
    assert parse(str(address)) == address
    assert parse(f"  {address}  ") == address


@given(addresses)
def test_socket_tuples_round_trip(address: Address) -> None:
    assert from_sockaddr(to_sockaddr(address)) == address


@given(st.ip_addresses(v=4), ports)
def test_mapped_addresses_become_plain_ipv4(ip: IPv4Address, port: int) -> None:
    mapped = f"::ffff:{ip}"
    assert from_sockaddr((mapped, port, 0, 0)) == Address(str(ip), port)
    assert parse(f"[{mapped}]:{port}") == Address(str(ip), port)
    assert parse(f"[{IPv6Address(mapped)}]:{port}") == Address(str(ip), port)


def test_link_local_addresses_keep_their_interface() -> None:
    address = from_sockaddr(("fe80::1%eth0", 80, 0, 7))
    assert address == Address("fe80::1", 80, 7)
    assert to_sockaddr(address) == ("fe80::1", 80, 0, 7)


@pytest.mark.parametrize(
    "text",
    ["", "1.2.3.4", "localhost:80", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:٣", "::1:80", "[1.2.3.4]:80",
     "[fe80::1%eth0]:80", "1.2.3:80", "[::1]80", "01.2.3.4:80", "1.2.3.4:80:90"],
)  # fmt: skip
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        found = parse(text)
    except ValueError:
        return
    assert parse(str(found)) == found


@pytest.mark.parametrize(
    ("ip", "loopback"), [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("10.0.0.1", False)]
)
def test_loopback(ip: str, loopback: bool) -> None:
    assert is_loopback(ip) is loopback
