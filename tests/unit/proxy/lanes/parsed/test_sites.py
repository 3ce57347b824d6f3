"""Sites in a real engine: only what differs is set, numbers stay, and tables that do not hold together are refused."""

from collections.abc import Iterator
from typing import Any

import pytest

from cext.engine import sites as engine_sites
from cext.engine.engine import Engine, EngineError
from proxy.core.lanes import Direction
from proxy.core.lower.to_engine import Site
from proxy.core.policy.cluster import Cluster, ServiceName
from proxy.core.policy.http import HttpRule, HttpTarget
from proxy.core.policy.policy import Destination, Protocol, Rule, Target
from proxy.core.route.match import Kind, Match, Path
from proxy.lanes.parsed.decider import Decider
from proxy.lanes.parsed.sites import GRACE_S, PreparedSite, Sites, prepare

SHOP = Cluster("outbound|80||shop", ServiceName("default", "shop"), 80, ())
HERE = Site(Direction.OUTBOUND, "10.0.0.1", 80)
THERE = Site(Direction.OUTBOUND, "10.0.0.2", 80)


def rule(path: str, kind: Kind = Kind.PREFIX) -> HttpRule:
    return HttpRule(Match(Path(kind, path)), (HttpTarget(1, SHOP),), "default/r", "0")


def prepared(*rules: HttpRule, ask_always: bool = False) -> PreparedSite | None:
    destination = Destination(
        "shop", SHOP.service, 80, Protocol.HTTP, "", (Rule((Target(1, SHOP),)),), http_rules=tuple(rules)
    )
    return prepare(destination, lambda _: 1, ask_always=ask_always)


class Kept:
    def __init__(self, engine: Engine) -> None:
        self.time = 0.0
        self.decider = Decider()
        self.sites = Sites(engine, self.decider, lambda: self.time)

    def put(self, new: dict[Site, PreparedSite | None], *gone: Site) -> None:
        for _ in self.sites.exchange(new, gone):
            pass


@pytest.fixture
def kept() -> Iterator[Kept]:
    engine = Engine(threads=1, capacity=16)
    yield Kept(engine)
    engine.close()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers that are set."""
    found: list[int] = []
    real = engine_sites.set_site

    def spy(engine: Engine, number: int, **rest: Any) -> None:
        found.append(number)
        real(engine, number, **rest)

    monkeypatch.setattr(engine_sites, "set_site", spy)
    return found


def test_only_what_differs_is_set(kept: Kept, calls: list[int]) -> None:
    kept.put({HERE: prepared(rule("/a")), THERE: prepared(rule("/b"))})
    kept.put({HERE: prepared(rule("/a")), THERE: prepared(rule("/c"))})
    assert calls == [1, 2, 2]
    assert (kept.sites.number(HERE), kept.sites.number(THERE)) == (1, 2)


def test_a_site_that_is_gone_has_no_number_and_gets_its_own_again(kept: Kept, calls: list[int]) -> None:
    kept.put({HERE: prepared(rule("/a"))})
    kept.put({}, HERE)
    assert kept.sites.number(HERE) == 0
    kept.put({THERE: prepared(rule("/b")), HERE: prepared(rule("/a"))})
    assert (kept.sites.number(HERE), calls) == (1, [1, 2, 1])


def test_the_decider_knows_former_rules_until_nobody_can_ask(kept: Kept) -> None:
    kept.put({HERE: prepared(rule("/a.*", Kind.REGEX))})
    kept.put({HERE: prepared(rule("/b.*", Kind.REGEX))})
    kept.sites.forget_retired()
    assert [kept.decider.known(tag).rules[0].match.path.value for tag in (1, 2)] == ["/a.*", "/b.*"]
    kept.time = GRACE_S
    kept.sites.forget_retired()
    with pytest.raises(KeyError):
        kept.decider.known(1)


def test_without_rules_there_is_no_site_but_where_all_is_asked(kept: Kept) -> None:
    assert prepared() is None
    asked = prepared(ask_always=True)
    assert asked is not None
    assert asked.known is not None
    kept.put({HERE: asked})
    assert kept.sites.number(HERE) == 1


def test_what_a_records_numbers_mean(kept: Kept) -> None:
    kept.put({HERE: prepared(rule("/a"), rule("/"))})
    found = kept.sites.rule(1, 1)
    assert found is not None
    assert found.match.path.value == "/"
    assert kept.sites.rule(1, 2) is None
    assert kept.sites.rule(2, 0) is None


def test_a_table_that_does_not_hold_together_is_refused_and_the_former_stays(kept: Kept) -> None:
    kept.put({HERE: prepared(rule("/a"))})
    good = prepared(rule("/b"))
    assert good is not None
    bad = PreparedSite(good.rules, good.table._replace(text=b""), None)
    with pytest.raises(EngineError, match="site 1"):
        kept.put({HERE: bad})
    assert kept.sites.number(HERE) == 1
    cut = PreparedSite(good.rules, good.table._replace(rules=good.table.rules[:-1]), None)
    with pytest.raises(ValueError, match="no whole number"):
        kept.put({HERE: cut})
