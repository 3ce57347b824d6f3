"""What holds for each endpoint of the tables, those that are added later among them."""

from __future__ import annotations

import pytest

from proxy.admin.answer import local_only, open_to_all, text
from proxy.admin.endpoints import ADMIN, TELEMETRY, routes
from proxy.admin.messages import Request, Response

CHANGING = sorted(path for path, entry in ADMIN.items() if entry.change is not None)
METHODS = ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "post", "get", "M-SEARCH")


class Untouchable:
    """In place of the running proxy: an endpoint that is reached fails the test."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"the endpoint was reached and looked at {name!r}")


def ask(path: str, method: str, *, may: bool, **headers: str) -> Response:
    asked: list[Request] = []

    def may_change(request: Request) -> bool:
        asked.append(request)
        return may

    sent = {"host": "localhost"} | {name.replace("_", "-"): value for name, value in headers.items()}
    answer = local_only(routes(ADMIN, Untouchable()), may_change)(Request(method, path, "level=debug", sent))  # type: ignore[arg-type]
    assert isinstance(answer, Response)
    if method == "POST" and answer.status == 403 and not headers:
        assert asked, f"{path} did not ask who calls"
    return answer


def test_there_are_some() -> None:
    assert {"/drain", "/quitquitquit", "/logging"} <= set(CHANGING)


@pytest.mark.parametrize("path", CHANGING)
def test_a_change_asks_who_calls(path: str) -> None:
    assert ask(path, "POST", may=False).status == 403


@pytest.mark.parametrize("path", sorted(ADMIN))
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_no_page_of_another_origin_and_no_rebound_name_reaches_one(path: str, method: str) -> None:
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"host": "evil.example"},
        {"host": "10.0.0.1:15000"},
        {"host": ""},
    ):
        assert ask(path, method, may=True, **headers).status == 403, headers


@pytest.mark.parametrize("path", sorted(ADMIN))
def test_no_other_method_reaches_one(path: str) -> None:
    for method in METHODS:
        assert ask(path, method, may=True).status == 405, method
    if ADMIN[path].change is None:
        assert ask(path, "POST", may=True).status == 405
    if ADMIN[path].read is None:
        assert ask(path, "GET", may=True).status == ask(path, "HEAD", may=True).status == 405


@pytest.mark.parametrize("path", sorted(TELEMETRY))
def test_the_network_can_change_nothing(path: str) -> None:
    answer = open_to_all(routes(TELEMETRY, Untouchable()))  # type: ignore[arg-type]
    for method in ("POST", *METHODS):
        found = answer(Request(method, path, "", {"host": "any.name"}))
        assert isinstance(found, Response)
        assert found.status == 405


@pytest.mark.parametrize("path", sorted(ADMIN))
def test_a_path_is_what_it_is(path: str) -> None:
    """No spelling leads to it that a check elsewhere would not know."""
    for other in (
        f"{path}/",
        f"/{path}",
        path.upper(),
        f"{path}%20",
        f"{path};",
        f"/x/..{path}",
        path.replace("/", "%2f"),
    ):
        if other not in ADMIN:
            assert ask(other, "POST", may=True).status == 404, other


def test_text_is_text() -> None:
    assert text(200, "<script>").content_type.startswith("text/plain")  # type: ignore[arg-type]
