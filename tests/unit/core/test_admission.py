"""Who is let in: the ladder of admission, the loop guard and the probes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.addresses import (
    Address,
    ClientAddress,
    ListenAddress,
    OriginalDestination,
    UpstreamAddress,
    UpstreamSource,
)
from proxy.core.admission import Admission, Admit, AnswerProbe, Arrival, Refusal, Refuse, judge
from proxy.core.lanes import Direction
from proxy.core.loops import OwnUpstreams
from proxy.core.probes import MAX_PROBES, ProbeError, ProbeRegistry

OUT, IN = Direction.OUTBOUND, Direction.INBOUND
CLIENT = ClientAddress(Address("10.0.0.2", 40000))
LISTENER = ListenAddress(Address("127.0.0.1", 15001))
SERVER = OriginalDestination(Address("10.0.0.1", 80))

small_addresses = st.builds(Address, st.sampled_from(["10.0.0.1", "10.0.0.2", "::1"]), st.integers(1, 4), st.just(0))
directions = st.sampled_from(Direction)


def arrival(
    destination: OriginalDestination | None = SERVER,
    *,
    local: ListenAddress = LISTENER,
    peer: ClientAddress = CLIENT,
    direction: Direction = OUT,
    listener_port: int = 15001,
) -> Arrival:
    return Arrival(direction, listener_port, peer, local, destination)


def judged(one: Arrival, own: OwnUpstreams | None = None, probes: ProbeRegistry | None = None) -> Admission:
    return judge(one, probes or ProbeRegistry(), own or OwnUpstreams(), 0.0)


def test_a_captured_connection_is_admitted_to_where_it_was_meant_to_go() -> None:
    assert judged(arrival()) == Admit(SERVER)


@given(directions, small_addresses, small_addresses)
def test_without_an_original_destination_nothing_is_guessed(
    direction: Direction, peer: Address, local: Address
) -> None:
    one = arrival(None, local=ListenAddress(local), peer=ClientAddress(peer), direction=direction, listener_port=1)
    assert judged(one) == Refuse(Refusal.MISSING_ORIGINAL_DESTINATION)


def test_dialling_the_listener_itself_is_refused() -> None:
    itself = OriginalDestination(Address("10.0.0.2", 15001))
    assert judged(arrival(itself, local=ListenAddress(itself))) == Refuse(Refusal.DIRECT_DIAL)


def test_the_listeners_port_on_another_host_is_a_port_like_any_other() -> None:
    elsewhere = OriginalDestination(Address("10.0.0.1", 15001))
    assert judged(arrival(elsewhere)) == Admit(elsewhere)


def test_a_transparent_connection_whose_own_address_is_the_destination_is_admitted() -> None:
    app = OriginalDestination(Address("10.0.0.2", 8080))
    assert judged(arrival(app, local=ListenAddress(app), direction=IN, listener_port=15006)) == Admit(app)


@pytest.mark.parametrize(
    ("made_for", "arrived_at", "is_loop"),
    [(OUT, OUT, True), (IN, IN, True), (IN, OUT, True), (OUT, IN, False)],
)
def test_our_own_connection_coming_back_is_a_loop_unless_it_is_the_hairpin(
    made_for: Direction, arrived_at: Direction, is_loop: bool
) -> None:
    own = OwnUpstreams()
    own.add(UpstreamSource(CLIENT), UpstreamAddress(SERVER), made_for, 7)
    verdict = judged(arrival(direction=arrived_at), own)
    assert verdict == (Refuse(Refusal.LOOP) if is_loop else Admit(SERVER))
    own.remove(UpstreamSource(CLIENT), UpstreamAddress(SERVER))
    assert judged(arrival(direction=arrived_at), own) == Admit(SERVER)


def test_a_client_may_share_its_port_with_an_upstream_socket_to_somewhere_else() -> None:
    own = OwnUpstreams()
    own.add(UpstreamSource(CLIENT), UpstreamAddress(Address("10.0.0.1", 90)), OUT, 7)
    assert judged(arrival(), own) == Admit(SERVER)


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
        loops = own.is_loop(ClientAddress(source), OriginalDestination(destination), direction)
        assert loops is (index not in closed)
        owner = own.owner(ClientAddress(source), OriginalDestination(destination))
        assert owner == (index if index not in closed else None)


def test_a_registered_probe_is_answered_until_it_expires() -> None:
    probes = ProbeRegistry()
    probes.expect(SERVER, "secret", now=100.0, lifetime_s=5.0)
    other = OriginalDestination(Address("10.0.0.1", 81))
    assert judge(arrival(), probes, OwnUpstreams(), 104.9) == AnswerProbe("secret")
    assert judge(arrival(other), probes, OwnUpstreams(), 104.9) == Admit(other)
    assert judge(arrival(), probes, OwnUpstreams(), 105.0) == Admit(SERVER)
    assert len(probes) == 0


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
