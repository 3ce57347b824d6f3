"""Which requests a match takes, and in which order matches are asked."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.route.match import EVERYTHING, Kind, Match, Path, Request, Text, first, takes
from proxy.core.route.precedence import Origin, order
from proxy.core.route.regex import BadPattern, compiled
from proxy.core.route.target import normal_path, parameters, parse

PATHS = st.lists(st.sampled_from(["", "a", "ab", ".", "..", "%7e", "%2f", "b%41"]), max_size=5).map(
    lambda segments: "/" + "/".join(segments)
)


def request(target: str, *headers: tuple[str, str], method: str = "GET") -> Request:
    return Request(method, target, headers)


@pytest.mark.parametrize(
    ("kind", "value", "target", "taken"),
    [
        (Kind.EXACT, "/a", "/a", True),
        (Kind.EXACT, "/a", "/a/", False),
        (Kind.EXACT, "/a", "/a?b=c", True),
        (Kind.EXACT, "/a", "/x/../a", True),
        (Kind.EXACT, "/a~", "/a%7E", True),
        (Kind.EXACT, "/a/b", "/a%2Fb", False),
        (Kind.EXACT, "/a", "http://shop.example:80/a", True),
        (Kind.EXACT, "/", "http://shop.example", True),
        (Kind.PREFIX, "/", "/anything", True),
        (Kind.PREFIX, "/", "*", False),
        (Kind.PREFIX, "/a", "/a", True),
        (Kind.PREFIX, "/a", "/a/b", True),
        (Kind.PREFIX, "/a/", "/a", True),
        (Kind.PREFIX, "/a", "/ab", False),
        (Kind.PREFIX, "/a", "/b/a", False),
        (Kind.REGEX, "/a+", "/aaa", True),
        (Kind.REGEX, "/a+", "/aaab", False),
        (Kind.REGEX, "a+", "/aaa", False),
    ],
)
def test_paths(kind: Kind, value: str, target: str, taken: bool) -> None:
    assert takes(Match(Path(kind, value)), request(target)) is taken


@pytest.mark.parametrize(
    ("match", "taken"),
    [
        (Match(headers=(Text("x-version", "2"),)), True),
        (Match(headers=(Text("x-version", "1"),)), False),
        (Match(headers=(Text("x-missing", ""),)), False),
        (Match(headers=(Text("x-version", "[0-9]", Kind.REGEX),)), True),
        (Match(headers=(Text("accept", "a, b"),)), True),
        (Match(headers=(Text("x-version", "2"), Text("accept", "a"))), False),
        (Match(parameters=(Text("q", "a b"),)), True),
        (Match(parameters=(Text("q", "later"),)), False),
        (Match(parameters=(Text("empty", ""),)), True),
        (Match(method="GET"), True),
        (Match(method="POST"), False),
        (EVERYTHING, True),
    ],
)
def test_headers_parameters_and_method(match: Match, taken: bool) -> None:
    one = request("/x?q=a+b&q=later&empty", ("X-Version", "2"), ("Accept", "a"), ("accept", "b"))
    assert takes(match, one) is taken


@given(PATHS)
def test_a_normal_path_is_normal_and_has_no_dots(path: str) -> None:
    once = normal_path(path)
    assert normal_path(once) == once
    assert once.startswith("/")
    assert not {".", ".."} & set(once.split("/"))


@given(st.text(alphabet="%2eE./\\?#ax:", max_size=12))
def test_any_target_is_taken_apart_without_a_word(text: str) -> None:
    found = parse(text)
    assert ("?" in text) == (found.query is not None)
    parameters(found.query)


@given(PATHS, PATHS)
def test_a_prefix_takes_what_the_exact_path_takes(prefix: str, path: str) -> None:
    prefix = normal_path(prefix)
    exact, by_prefix = Match(Path(Kind.EXACT, prefix)), Match(Path(Kind.PREFIX, prefix))
    assert takes(by_prefix, request(path)) >= takes(exact, request(path))
    assert takes(by_prefix, request(f"{path.rstrip('/')}/more")) >= takes(exact, request(path))


@pytest.mark.parametrize("pattern", ["(?=a)", "(a)\\1", "[", "a{1,2000}{1,2000}"])
def test_what_only_backtracking_can_match_is_no_pattern(pattern: str) -> None:
    with pytest.raises(BadPattern):
        compiled(pattern)


def test_a_pattern_that_would_explode_elsewhere_takes_no_time() -> None:
    assert not takes(Match(Path(Kind.REGEX, "/(a*)*b")), request("/" + "a" * 5000))


LADDER = [
    Match(Path(Kind.EXACT, "/longer")),
    Match(Path(Kind.EXACT, "/l"), method="GET"),
    Match(Path(Kind.EXACT, "/l")),
    Match(Path(Kind.PREFIX, "/longer")),
    Match(Path(Kind.PREFIX, "/l"), method="GET"),
    Match(Path(Kind.PREFIX, "/l"), headers=(Text("a", "1"), Text("b", "1"))),
    Match(Path(Kind.PREFIX, "/l"), headers=(Text("a", "1"),), parameters=(Text("q", "1"),)),
    Match(Path(Kind.PREFIX, "/l"), headers=(Text("a", "1"),)),
    Match(Path(Kind.PREFIX, "/l"), parameters=(Text("q", "1"),)),
    Match(Path(Kind.PREFIX, "/l")),
    Match(Path(Kind.REGEX, "/l.*")),
]
"""Most specific first."""
OLD, YOUNG = "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"
TIES = [
    Origin(OLD, "z", "z", 9, 9),
    Origin(YOUNG, "a", "b", 9, 9),
    Origin(YOUNG, "b", "a", 0, 0),
    Origin(YOUNG, "b", "b", 0, 9),
    Origin(YOUNG, "b", "b", 1, 0),
    Origin(YOUNG, "b", "b", 1, 1),
    Origin("", "a", "a", 0, 0),
]


@given(st.randoms())
def test_the_most_specific_match_is_asked_first(chance: random.Random) -> None:
    shuffled = [(match, tie) for match in LADDER for tie in TIES]
    chance.shuffle(shuffled)
    assert sorted(shuffled, key=lambda one: order(*one)) == [(match, tie) for match in LADDER for tie in TIES]


def test_no_two_steps_of_the_ladder_are_equal() -> None:
    keys = [order(match, TIES[0]) for match in LADDER]
    assert all(upper < lower for upper, lower in pairwise(keys))


def test_the_first_that_takes_a_request_decides() -> None:
    asked = [Match(Path(Kind.EXACT, "/b")), Match(Path(Kind.PREFIX, "/a")), EVERYTHING]
    assert [first(asked, request(path)) for path in ("/b", "/a/b", "/c")] == [0, 1, 2]
    assert first(asked[:2], request("/c")) is None
