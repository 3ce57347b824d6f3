"""What rules do to headers and targets; the tables are Gateway API's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.route.filters import HeaderEdits, PathEdit, Redirect, edited, location, rewritten
from proxy.core.route.match import Kind, Path

NAMES = st.sampled_from(["A", "a", "B", "c", "X-Long"])
HEADERS = st.lists(st.tuples(NAMES, st.text(max_size=3)), max_size=8)


@pytest.mark.parametrize(
    ("path", "prefix", "value", "found"),
    [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
        ("/any", "/", "/v2", "/v2/any"),
    ],
)
def test_a_prefix_is_replaced(path: str, prefix: str, value: str, found: str) -> None:
    edit = PathEdit(value, whole=False)
    assert rewritten(path, path, Path(Kind.PREFIX, prefix), edit) == found
    assert rewritten(f"{path}?a=/foo", path, Path(Kind.PREFIX, prefix), edit) == f"{found}?a=/foo"


def test_a_whole_path_is_replaced_and_the_query_kept() -> None:
    assert rewritten("/a/b?c", "/a/b", Path(), PathEdit("/new", whole=True)) == "/new?c"


@pytest.mark.parametrize(
    ("redirect", "scheme", "port", "found"),
    [
        (Redirect(), "http", 80, "http://shop/a?b"),
        (Redirect(), "http", 8080, "http://shop:8080/a?b"),
        (Redirect(scheme="https"), "http", 8080, "https://shop/a?b"),
        (Redirect(scheme="https", port=8443), "http", 80, "https://shop:8443/a?b"),
        (Redirect(port=443), "https", 8443, "https://shop/a?b"),
        (Redirect(hostname="new.example", port=80), "http", 8080, "http://new.example/a?b"),
        (Redirect(path=PathEdit("/z", whole=True)), "http", 80, "http://shop/z?b"),
    ],
)
def test_where_a_redirect_leads(redirect: Redirect, scheme: str, port: int, found: str) -> None:
    for authority in ("shop", f"shop:{port}"):
        given_location = location(
            redirect, scheme=scheme, authority=authority, port=port, target="/a?b", path="/a", matched=Path()
        )
        assert given_location == found


@pytest.mark.parametrize(("authority", "host"), [("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("10.0.0.1:1", "10.0.0.1")])
def test_a_redirect_keeps_an_address_whole(authority: str, host: str) -> None:
    found = location(Redirect(), scheme="http", authority=authority, port=80, target="/", path="/", matched=Path())
    assert found == f"http://{host}/"


@given(HEADERS, st.lists(NAMES, max_size=3), HEADERS, HEADERS)
def test_headers_after_edits(
    headers: list[tuple[str, str]], remove: list[str], set_: list[tuple[str, str]], add: list[tuple[str, str]]
) -> None:
    found = edited(headers, HeaderEdits(tuple(set_), tuple(add), tuple(remove)))
    named = {name.lower() for name in remove} | {name.lower() for name, _ in set_}
    own = found[: len(found) - len(add)]
    assert found[len(own) :] == add
    untouched = [one for one in headers if one[0].lower() not in named]
    assert [one for one in own if one[0].lower() not in named] == untouched
    last = {name.lower(): (name, value) for name, value in set_}
    assert sorted(one for one in own if one[0].lower() in named) == sorted(last.values())


def test_a_header_that_is_set_stays_where_it_was() -> None:
    headers = [("Host", "a"), ("X-A", "1"), ("Accept", "b"), ("x-a", "2")]
    assert edited(headers, HeaderEdits(set=(("X-A", "3"),))) == [("Host", "a"), ("X-A", "3"), ("Accept", "b")]
