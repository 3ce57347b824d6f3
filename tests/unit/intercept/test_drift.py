"""Which changes of the host are drift, decided purely."""

from __future__ import annotations

import pytest

from intercept.drift import cgroup_drift, resolver_drift
from intercept.host.facts import HostFacts
from intercept.intent.from_flags import intent_from_flags
from intercept.intent.intent import Intent, Mode
from intercept.plan.build import build
from intercept.plan.stored import Document, document_of, read_document


@pytest.mark.parametrize(
    ("planned", "now", "word"),
    [(7, 7, None), (7, 8, "made again"), (7, None, "gone"), (None, 8, None), (None, None, "gone")],
)
def test_a_cgroup_is_known_by_its_id(planned: int | None, now: int | None, word: str | None) -> None:
    found = list(cgroup_drift("a/b", planned, now))
    assert len(found) == (word is not None)
    assert all("a/b" in one and word in one for one in found if word)


@pytest.mark.parametrize(
    ("dns", "now", "drifts"),
    [
        ("resolvers", ("10.0.0.1", "10.0.0.2"), False),
        ("resolvers", ("10.0.0.2", "10.0.0.1"), False),
        ("resolvers", ("10.0.0.1",), True),
        ("resolvers", (), True),
        ("all", ("10.0.0.3",), False),
        ("off", ("10.0.0.3",), False),
    ],
)
def test_resolvers_drift_only_where_they_are_captured(dns: str, now: tuple[str, ...], drifts: bool) -> None:
    read = Document(Mode.NFTABLES, intent_from_flags({"dns": dns}), ("10.0.0.1", "10.0.0.2"), (4, 6))
    assert bool(list(resolver_drift(read, HostFacts(resolvers=now, resolv_conf_read=True)))) is drifts
    assert not list(resolver_drift(read, HostFacts(resolvers=now, resolv_conf_read=False)))


def test_the_id_is_kept_with_the_rules_where_a_cgroup_is_named() -> None:
    host = HostFacts(cgroup_id=4711)
    scoped = intent_from_flags({"cgroup": "a/b"})
    assert read_document(document_of(build(scoped, host, Mode.NFTABLES))).cgroup_id == 4711
    assert read_document(document_of(build(Intent(), host, Mode.NFTABLES))).cgroup_id is None
    other = host._replace(cgroup_id=4712)
    assert document_of(build(scoped, host, Mode.EBPF)) != document_of(build(scoped, other, Mode.EBPF))
