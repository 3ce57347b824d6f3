"""Who gets what answer: paths, methods, hosts, origins, and who may change something."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.admin.answer import Route, local_only, open_to_all, text
from proxy.admin.endpoints import ADMIN, TELEMETRY, Entry, routes
from proxy.admin.hosts import is_loopback_host
from proxy.admin.messages import Request, Response

CHANGED: list[str] = []


def change(request: Request) -> Response:
    CHANGED.append(request.path)
    return text(200, "changed")  # type: ignore[arg-type]


ROUTES = {
    "/look": Route(read=lambda _: text(200, "seen")),  # type: ignore[arg-type]
    "/change": Route(change=change),
    "/both": Route(read=lambda _: text(200, "read"), change=change),  # type: ignore[arg-type]
}


def ask(path: str, method: str = "GET", *, may: bool = True, **headers: str) -> Response:
    sent = {"host": "localhost:15000"} | {name.replace("_", "-"): value for name, value in headers.items()}
    CHANGED.clear()
    answer = local_only(ROUTES, lambda _: may)(Request(method, path, "", sent))
    assert isinstance(answer, Response)
    return answer


def test_paths_and_methods() -> None:
    assert ask("/look").body == b"seen\n"
    assert ask("/look", "HEAD").status == 200
    assert ask("/nothing").status == 404
    assert b"/change" in ask("/nothing").body
    for path, allowed in (("/look", "GET, HEAD"), ("/change", "POST"), ("/both", "GET, HEAD, POST")):
        assert ask(path, "DELETE").headers == (("allow", allowed),)
    assert ask("/look", "POST").status == ask("/change").status == 405


def test_reading_changes_nothing() -> None:
    for path in ROUTES:
        for method in ("GET", "HEAD"):
            ask(path, method)
            assert CHANGED == []
    assert ask("/both", "POST").status == 200
    assert CHANGED == ["/both"]


def test_who_may_not_change_something_may_still_look() -> None:
    assert ask("/change", "POST", may=False).status == 403
    assert CHANGED == []
    assert ask("/both", may=False).status == 200


def test_a_page_of_another_origin_gets_nothing() -> None:
    for origin in ("http://evil.example", "https://localhost:15000", "http://localhost", "null", ""):
        assert ask("/change", "POST", origin=origin).status == ask("/look", origin=origin).status == 403
        assert CHANGED == []
    for site in ("cross-site", "same-site"):
        assert ask("/change", "POST", sec_fetch_site=site).status == 403
    assert ask("/change", "POST", origin="http://LOCALHOST:15000", sec_fetch_site="same-origin").status == 200


def test_a_rebound_name_gets_nothing() -> None:
    for host in ("evil.example", "evil.example:15000", "10.0.0.1", "localhost.evil.example", "127.0.0.1.nip.io", ""):
        assert ask("/change", "POST", host=host).status == 403
        assert CHANGED == []
    for host in ("localhost", "LOCALHOST:15000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:15000", "127.1.2.3"):
        assert ask("/look", host=host).status == 200


def test_nothing_that_changes_something_can_be_opened_to_the_network() -> None:
    with pytest.raises(ValueError, match="/change, /both"):
        open_to_all(ROUTES)
    answer = open_to_all({"/look": ROUTES["/look"]})
    assert answer(Request("GET", "/look", "", {"host": "any.name"})).body == b"seen\n"  # type: ignore[union-attr]


def test_a_new_endpoint_is_one_function_and_one_line() -> None:
    def uptime(proxy: Any, request: Request) -> Response:
        return text(200, f"{proxy} {request.query}")  # type: ignore[arg-type]

    table = {**ADMIN, "/uptime": Entry(read=uptime)}

    answer = local_only(routes(table, "since noon"), lambda _: False)  # type: ignore[arg-type]
    found = answer(Request("GET", "/uptime", "s=1", {"host": "localhost"}))
    assert (found.status, found.body) == (200, b"since noon s=1\n")  # type: ignore[union-attr]
    assert answer(Request("POST", "/uptime", "", {"host": "localhost"})).status == 405  # type: ignore[union-attr]


def test_the_tables_are_what_the_contract_promises() -> None:
    assert set(TELEMETRY) == {"/metrics", "/healthz/ready", "/healthz/live"}
    assert all(entry.change is None for entry in TELEMETRY.values())
    changing = {path for path, entry in ADMIN.items() if entry.change is not None}
    assert changing == {"/logging", "/drain", "/quitquitquit", "/route/weights", "/policy", "/policy/revert"}


@given(st.text(max_size=30))
def test_any_host_header_is_judged(text: str) -> None:
    assert is_loopback_host(text) in (True, False)


@given(st.ip_addresses())
def test_only_loopback_addresses_are_this_machine(ip: object) -> None:
    text = f"[{ip}]" if ":" in str(ip) else str(ip)
    assert is_loopback_host(f"{text}:15000") is bool(getattr(ip, "is_loopback"))  # noqa: B009
