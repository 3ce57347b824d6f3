"""Tokens of sessions: the engine reads and writes what proxy/core/decide/session.py does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.decide.request import decide, linear
from proxy.core.decide.session import Token, cookie_path, identity, line, place_of, token_of
from proxy.core.policy.http import HttpRule, HttpTarget, Persistence
from proxy.core.route.match import EVERYTHING, Kind, Match, Path, Request
from tests.unit.cext.route.both import cluster
from tests.unit.cext.route.evaluator import Site

NOW = 1_800_000_000
SESSIONS = st.builds(
    Persistence,
    st.sampled_from(["s", "X-S"]),
    header=st.booleans(),
    permanent=st.just(False),
    path=st.sampled_from(["", "/p"]),
    absolute_s=st.sampled_from([None, 0.0, 0.3, 60.0]),
    idle_s=st.sampled_from([None, 1.0, 10.0]),
)
TIMES = st.integers(NOW - 100, NOW + 5)
TOKENS = st.one_of(
    st.builds(lambda e, i, u: str(Token(e, i, u)), st.integers(0, 2**64 - 1), TIMES, TIMES),
    st.sampled_from(["", "1.2.3", "g" * 16 + ".1.1", "0" * 16 + ".1", "0" * 16 + "..1", "0" * 16 + ".1.1.1",
                     "0" * 17 + ".1.1", "0" * 16 + ".1." + "1" * 13, "A" * 16 + ".1.1", "0" * 16 + ".1.1 "]),
)  # fmt: skip
NAMES = st.sampled_from(["s", "X-S", "x-s", "S", "t"])
LINES = st.lists(
    st.one_of(
        st.tuples(NAMES, TOKENS),
        st.tuples(st.just("Cookie"), st.lists(st.builds("{}={}".format, NAMES, TOKENS), max_size=3).map("; ".join)),
    ),
    max_size=4,
)


def rule(session: Persistence, *targets: HttpTarget, match: Match = EVERYTHING) -> HttpRule:
    return HttpRule(match, targets or (HttpTarget(1, cluster("v1")),), "shop/r", "0", persistence=session)


@settings(max_examples=600, deadline=None)
@given(SESSIONS, LINES)
def test_c_and_python_read_the_same_token(session: Persistence, lines: list[tuple[str, str]]) -> None:
    head = "\r\n".join(["GET / HTTP/1.1", "host: shop", *(f"{n}: {v}" for n, v in lines), "", ""]).encode()
    request = Request("GET", "/", [("host", "shop"), *((name, value.strip(" \t")) for name, value in lines)])
    site = Site([rule(session)])
    try:
        assert site.session(head, NOW) == token_of(session, request, NOW)
    finally:
        site.close()


@pytest.mark.parametrize(
    ("session", "match"),
    [
        (Persistence("s"), EVERYTHING),
        (Persistence("s", path="/p"), EVERYTHING),
        (Persistence("s", permanent=True, absolute_s=60.0), Match(Path(Kind.EXACT, "/cart"))),
        (Persistence("s"), Match(Path(Kind.REGEX, "/c.*"))),
        (Persistence("s"), Match(Path(Kind.PREFIX, "/a;b"))),
        (Persistence("X-S", header=True), EVERYTHING),
    ],
)
def test_c_and_python_write_the_same_line(session: Persistence, match: Match) -> None:
    token = Token(0x0123456789ABCDEF, NOW - 7, NOW)
    site = Site([rule(session, match=match)])
    try:
        name, value = line(session, cookie_path(session, match), token, NOW)
        assert site.session_line(token, NOW).decode() == f"{name}: {value}\r\n"
    finally:
        site.close()


def test_a_session_belongs_to_its_endpoint_whatever_the_weights() -> None:
    v1, v2 = cluster("v1"), cluster("v2")
    session = Persistence("s")
    split = rule(session, HttpTarget(1, v1), HttpTarget(0, v2))
    token = Token(identity("v2", v2.endpoints[0]), NOW, NOW)
    asked = Request("GET", "/", [("cookie", f"s={token}")])
    assert place_of(split, asked, NOW) == (1, 0)
    assert decide([split], linear([split]), asked, 1, NOW).target == 1
    gone = Request("GET", "/", [("cookie", f"s={token._replace(endpoint=1)}")])
    assert decide([split], linear([split]), gone, 1, NOW).target == 0


def test_a_session_ends_with_its_times() -> None:
    session = Persistence("s", absolute_s=60.0, idle_s=10.0)
    token = Token(7, NOW, NOW + 45)
    request = Request("GET", "/", [("cookie", f"s={token}")])
    assert token_of(session, request, NOW + 54) == token
    assert token_of(session, request, NOW + 55) is None
    assert token_of(Persistence("s", absolute_s=50.0), request, NOW + 50) is None
