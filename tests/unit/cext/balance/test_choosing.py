"""Connections: affinity of clients, denied networks, least loaded, by source; each against its definition."""

from collections import Counter
from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.cext.balance.choosing import Bench

LEAST, BY_SOURCE = 2, 3
CLIENTS = st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:db8::1"])
STEP = st.tuples(st.integers(1, 2), CLIENTS, st.integers(1, 5), st.integers(0, 40), st.integers(1, 60))
SEEDS = st.integers(0, 2**64 - 1)


@settings(max_examples=200, deadline=None)
@given(st.lists(STEP, max_size=30))
def test_a_client_is_remembered_until_its_time_is_over(steps: list[tuple[int, str, int, int, int]]) -> None:
    bench, known, now = Bench(), dict[tuple[int, str], tuple[str, int]](), 1
    for of, client, endpoint, later, ms in steps:
        now += later
        wanted = known.get((of, client))
        assert bench.find(of, client, now) == (wanted[0] if wanted is not None and now < wanted[1] else None)
        bench.keep(of, client, f"10.9.0.{endpoint}", now, ms)
        known[of, client] = (f"10.9.0.{endpoint}", now + ms)


def test_a_million_clients_are_too_many_to_be_remembered() -> None:
    bench = Bench()
    for number in range(200_000):
        bench.keep(1, str(ip_address(0x0A000000 + number)), "10.9.0.1", 1 + number, 10**9)
    remembered = sum(
        bench.find(1, str(ip_address(0x0A000000 + number)), 200_002) is not None for number in range(200_000)
    )
    assert 100_000 < remembered <= 131_072
    assert bench.find(1, str(ip_address(0x0A000000 + 199_999)), 200_002) == "10.9.0.1"


def test_an_affine_client_keeps_its_target() -> None:
    bench = Bench()
    bench.set([1, 1, 1, 1], affinity_ms=1000)
    first = bench.choose("10.0.0.1", 12345, remember=True)
    assert {bench.choose("10.0.0.1", seed, 900) for seed in range(50)} == {first}
    assert len({bench.choose("10.0.0.1", seed, 1001) for seed in range(50)}) > 1
    # The target has gone: another one.
    bench.set([0 if number == first else 1 for number in range(4)], affinity_ms=1000)
    assert bench.choose("10.0.0.1", 1, 10) in range(3)


NETWORKS = st.lists(
    st.one_of(
        st.builds(lambda a, b: str(ip_network((a, b), strict=False)), st.integers(0, 2**32 - 1), st.integers(0, 32)),
        st.builds(
            lambda a, b: str(ip_network((a, b), strict=False)), st.integers(2**32, 2**128 - 1), st.integers(0, 128)
        ),
    ),
    max_size=4,
).map(tuple)


@settings(max_examples=300, deadline=None)
@given(NETWORKS, st.data())
def test_denied_are_the_networks_addresses(networks: tuple[str, ...], data: st.DataObject) -> None:
    bench = Bench()
    bench.set([1], denied=networks)
    near = [ip_network(one) for one in networks]
    some = [one.network_address for one in near] + [one.broadcast_address for one in near]
    some += [ip_address(data.draw(st.integers(0, 2**32 - 1))), ip_address("2001:db8::5")]
    some += [one + 1 for one in some if int(one) < 2**32 - 1]
    for client in some:
        assert bench.denies(str(client)) == any(client in one for one in near if one.version == client.version)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.lists(st.integers(1, 3), min_size=6, max_size=6), SEEDS)
def test_least_has_the_fewest_connections_for_its_weight(open_: list[int], weights: list[int], seed: int) -> None:
    weights = [2 + one for one in weights[: len(open_)]]  # none is so light that it gets its share by chance
    bench = Bench()
    bench.set(weights, LEAST)
    for target, count in enumerate(open_):
        for _ in range(count):
            bench.open(target)
    burdens = [(1 + count) / weight for count, weight in zip(open_, weights, strict=True)]
    assert burdens[bench.choose("10.0.0.1", seed)] == min(burdens)


def test_one_on_trial_gets_its_share_of_an_idle_service() -> None:
    bench = Bench()
    bench.set([100, 100, 10], LEAST)
    found = Counter(bench.choose("10.0.0.1", seed * 0x9E3779B97F4A7C15 % 2**64) for seed in range(4000))
    assert 100 < found[2] < 300, found


def test_by_source_is_by_weight_and_moves_few() -> None:
    bench = Bench()
    clients = [str(ip_address(0x0A000000 + number)) for number in range(4000)]
    bench.set([1, 1, 2], BY_SOURCE)
    before = [bench.choose(client, seed) for seed, client in enumerate(clients)]
    assert before == [bench.choose(client, seed + 7) for seed, client in enumerate(clients)]
    assert 1800 < Counter(before)[2] < 2200
    bench.set([1, 1, 2, 1], BY_SOURCE)
    after = [bench.choose(client, 1) for client in clients]
    assert all(new in (old, 3) for old, new in zip(before, after, strict=True))
