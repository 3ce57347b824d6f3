"""Who may ask the page's process for what."""

from __future__ import annotations

import pytest

from dashboard.guard import objection, place

HOST = "127.0.0.1:15080"
CHANGE = {"host": HOST, "origin": f"http://{HOST}", "content-type": "application/json", "x-tidegate-token": "secret"}


@pytest.mark.parametrize("host", [HOST, "localhost:15080", "[::1]:15080", "127.0.0.1"])
def test_reading_needs_a_loopback_name(host: str) -> None:
    assert objection("GET", {"host": host}, None) == ""
    assert objection("GET", {"host": host, "origin": f"http://{host}"}, None) == ""


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "rebound.example"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "10.0.0.1:15080"},
        {"host": HOST, "origin": "null"},
        {"host": HOST, "origin": "http://127.0.0.1:15081"},
        {"host": HOST, "origin": "https://evil.example"},
        {"host": HOST, "sec-fetch-site": "cross-site"},
        {"host": HOST, "sec-fetch-site": "same-site"},
    ],
)
def test_others_are_refused(headers: dict[str, str]) -> None:
    assert objection("GET", headers, None)
    assert objection("POST", {**CHANGE, **headers}, "secret") or not headers


def test_a_change_needs_the_token_and_the_pages_own_origin() -> None:
    assert objection("POST", CHANGE, "secret") == ""
    assert "--write" in objection("POST", CHANGE, None)
    for name in ("origin", "content-type", "x-tidegate-token"):
        assert objection("POST", {key: value for key, value in CHANGE.items() if key != name}, "secret")
    for token in ("", "secre", "secret ", "SECRET", "\udcff"):
        assert objection("POST", {**CHANGE, "x-tidegate-token": token}, "secret")
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        assert objection(method, {"host": HOST}, "secret")


@pytest.mark.parametrize(("text", "shown"), [(HOST, HOST), ("[::1]:0", "[::1]:0"), ("127.8.8.8:1", "127.8.8.8:1")])
def test_loopback_addresses_are_places(text: str, shown: str) -> None:
    assert str(place(text)) == shown


NO_PLACES = ("0.0.0.0:1", "[::]:1", "localhost:1", "127.0.0.1", "127.0.0.1:x", ":1", "127.0.0.1:65536")


@pytest.mark.parametrize("text", NO_PLACES)
def test_others_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"loopback|IP:PORT"):
        place(text)
