"""Membership in a set of networks."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.networks import NetworkSet

networks = st.builds(
    lambda value, length: (value >> (32 - length) << (32 - length), length),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)


@given(st.lists(networks, max_size=10), st.lists(networks, max_size=3), st.integers(0, 2**32 - 1))
def test_membership_is_what_ipaddress_says(
    some: list[tuple[int, int]], more: list[tuple[int, int]], value: int
) -> None:
    given_networks = [IPv4Network(one) for one in some + more]
    found = NetworkSet.of(IPv4Network(one) for one in some) | NetworkSet.of(IPv4Network(one) for one in more)
    address = IPv4Address(value)
    assert (str(address) in found) is any(address in network for network in given_networks)
    assert "fd00::1" not in found
