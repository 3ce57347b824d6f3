"""Whose connection makes room for a newcomer."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.admin.places import crowd, who_goes

ips = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)


@given(st.lists(ips, min_size=1, max_size=30))
def test_it_is_the_oldest_of_the_peer_that_has_most(held: list[str]) -> None:
    goes = who_goes(held)
    crowds = [crowd(ip) for ip in held]
    assert crowds.count(crowds[goes]) == max(map(crowds.count, crowds))
    assert crowds[goes] not in crowds[:goes]


def test_a_lone_prober_stays_and_a_crowd_gives_way() -> None:
    assert who_goes(["10.0.0.9", *["10.0.0.1"] * 5]) == 1
    network = [f"2001:db8::{number:x}" for number in range(5)]
    assert who_goes(["2001:db8:1::1", "2001:db8:2::1", *network]) == 2


def test_among_equals_the_oldest_goes() -> None:
    assert who_goes(["10.0.0.1", "10.0.0.2", "10.0.0.3"]) == 0
