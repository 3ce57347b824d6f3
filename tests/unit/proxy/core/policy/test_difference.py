"""What differs between two policies is what has changed, whether or not they share objects."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.policy.difference import difference
from proxy.core.policy.policy import NO_POLICY, Cluster, Destination, Key, Policy, Target, frozen
from tests.unit.proxy.core.build import cluster, destination

sizes = st.dictionaries(st.integers(1, 6), st.integers(1, 3), max_size=6)


def made(services: dict[int, int], shared: Policy | None = None) -> Policy:
    """Services by number and how many endpoints they have; what `shared` has already is taken from there."""
    claims: dict[Key, Destination] = {}
    clusters: list[Cluster] = []
    for number, count in services.items():
        own = cluster(count, 10 * number, name=f"c{number}")
        known = () if shared is None else [one for one in shared.clusters if one == own]
        clusters.append(known[0] if known else own)
        one = destination(Target(1, clusters[-1]))
        key = (f"10.0.0.{number}", 80)
        before = None if shared is None else shared.outbound.get(key)
        claims[key] = before if before == one and before is not None else one
    return Policy(frozen(claims.items()), clusters=tuple(clusters))


@given(sizes, sizes, st.booleans())
def test_it_names_what_changed(before: dict[int, int], after: dict[int, int], share: bool) -> None:
    old = made(before)
    new = made(after, old if share else None)
    found = difference(old, new)
    changed = {n for n in {*before, *after} if before.get(n) != after.get(n)}
    assert found.outbound == {(f"10.0.0.{n}", 80) for n in changed}
    assert found.inbound == frozenset()
    members = [{(f"c{n}", e) for n, c in one.items() for e in cluster(c, 10 * n).endpoints} for one in (before, after)]
    assert (found.members_gone, found.members_come) == (members[0] - members[1], members[1] - members[0])
    assert found.clusters_gone == {f"c{n}" for n in before.keys() - after.keys()}
    assert found.destinations_gone == (frozenset(["to-web"]) if before and not after else frozenset())


def test_nothing_differs_from_an_equal_one() -> None:
    one = made({1: 2, 2: 3})
    for other in (one, made({1: 2, 2: 3})):
        found = difference(one, other)
        assert not any(getattr(found, name) for name in found.__slots__)
    assert not difference(NO_POLICY, Policy()).outbound
