"""Who is let in: the ladder of admission, the loop guard and the probes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cext.engine._engine import lib
from proxy.core.addresses import Address, ClientAddress, OriginalDestination, UpstreamAddress, UpstreamSource
from proxy.core.decide.admission import Admission, Admit, AnswerProbe, Arrival, Refusal, Refuse, judge
from proxy.core.decide.loops import MAX_HOPS, OwnUpstreams
from proxy.core.decide.probes import MAX_PROBES, ProbeError, ProbeRegistry
from proxy.core.lanes import Direction

OUT, IN = Direction.OUTBOUND, Direction.INBOUND
CLIENT = ClientAddress(Address("10.0.0.2", 40000))
SERVER = OriginalDestination(Address("10.0.0.1", 80))

small_addresses = st.builds(Address, st.sampled_from(["10.0.0.1", "10.0.0.2", "::1"]), st.integers(1, 4), st.just(0))
directions = st.sampled_from(Direction)


def arrival(
    destination: OriginalDestination = SERVER,
    *,
    peer: ClientAddress = CLIENT,
    direction: Direction = OUT,
    hops: int = 0,
) -> Arrival:
    return Arrival(direction, peer, destination, hops)


def judged(one: Arrival, own: OwnUpstreams | None = None, probes: ProbeRegistry | None = None) -> Admission:
    return judge(one, probes or ProbeRegistry(), own or OwnUpstreams(), 0.0)


def test_a_captured_connection_is_admitted() -> None:
    assert judged(arrival()) == Admit()


@pytest.mark.parametrize(
    ("made_for", "arrived_at", "hops"),
    [(OUT, OUT, 1), (IN, IN, 1), (IN, OUT, 1), (OUT, IN, 0)],
)
def test_our_own_connection_coming_back_is_a_hop_unless_it_is_the_hairpin(
    made_for: Direction, arrived_at: Direction, hops: int
) -> None:
    own = OwnUpstreams()
    own.add(UpstreamSource(CLIENT), UpstreamAddress(SERVER), made_for, 0)
    assert judged(arrival(direction=arrived_at), own) == Admit(hops)
    own.remove(UpstreamSource(CLIENT), UpstreamAddress(SERVER))
    assert judged(arrival(direction=arrived_at), own) == Admit()


@given(st.integers(0, 2 * MAX_HOPS), st.integers(0, 2 * MAX_HOPS))
def test_a_loop_ends_whoever_made_its_connections(engines: int, ours: int) -> None:
    own = OwnUpstreams()
    own.add(UpstreamSource(CLIENT), UpstreamAddress(SERVER), OUT, ours)
    hops = max(engines, ours + 1)
    assert judged(arrival(hops=engines), own) == (Refuse(Refusal.LOOP) if hops > MAX_HOPS else Admit(hops))


def test_the_engine_counts_to_the_same_number() -> None:
    assert lib.TG_MAX_HOPS == MAX_HOPS


def test_a_client_may_share_its_port_with_an_upstream_socket_to_somewhere_else() -> None:
    own = OwnUpstreams()
    own.add(UpstreamSource(CLIENT), UpstreamAddress(Address("10.0.0.1", 90)), OUT, 7)
    assert judged(arrival(), own) == Admit()


@given(
    st.lists(st.tuples(small_addresses, small_addresses, directions), unique_by=lambda t: t[:2], max_size=20), st.data()
)
def test_the_guard_knows_exactly_what_is_open(
    pairs: list[tuple[Address, Address, Direction]], data: st.DataObject
) -> None:
    own = OwnUpstreams()
    for number, (source, destination, direction) in enumerate(pairs):
        own.add(UpstreamSource(source), UpstreamAddress(destination), direction, number)
    closed = data.draw(st.sets(st.sampled_from(range(len(pairs))) if pairs else st.nothing()))
    for index in closed:
        own.remove(UpstreamSource(pairs[index][0]), UpstreamAddress(pairs[index][1]))
    assert len(own) == len(pairs) - len(closed)
    for index, (source, destination, direction) in enumerate(pairs):
        hops = own.hops(ClientAddress(source), OriginalDestination(destination), direction)
        assert hops == (index + 1 if index not in closed else 0)


def test_a_registered_probe_is_answered_until_it_expires() -> None:
    probes = ProbeRegistry()
    probes.expect(SERVER, "secret", now=100.0, lifetime_s=5.0)
    other = OriginalDestination(Address("10.0.0.1", 81))
    assert judge(arrival(), probes, OwnUpstreams(), 104.9) == AnswerProbe("secret")
    assert judge(arrival(other), probes, OwnUpstreams(), 104.9) == Admit()
    assert judge(arrival(), probes, OwnUpstreams(), 105.0) == Admit()
    assert len(probes) == 0
    assert probes.expected(105.0) == set()


@pytest.mark.parametrize("token", ["", "a\nb", "x" * 257, "ü", "\x00"])
def test_a_token_that_would_not_arrive_as_one_line_is_refused(token: str) -> None:
    with pytest.raises(ProbeError):
        ProbeRegistry().expect(SERVER, token, 0.0, 1.0)


@pytest.mark.parametrize("lifetime", [0.0, -1.0, 3601.0, float("nan")])
def test_a_probe_that_never_or_always_lives_is_refused(lifetime: float) -> None:
    with pytest.raises(ProbeError):
        ProbeRegistry().expect(SERVER, "t", 0.0, lifetime)


def test_probes_are_bounded_and_expired_ones_make_room() -> None:
    probes = ProbeRegistry()
    for port in range(1, MAX_PROBES + 1):
        probes.expect(OriginalDestination(Address("10.0.0.1", port)), "t", 0.0, 10.0)
    with pytest.raises(ProbeError):
        probes.expect(OriginalDestination(Address("10.0.0.2", 1)), "t", 9.0, 10.0)
    probes.expect(OriginalDestination(Address("10.0.0.1", 1)), "again", 9.0, 10.0)
    probes.expect(OriginalDestination(Address("10.0.0.2", 1)), "t", 10.0, 10.0)
    assert len(probes) == 2
