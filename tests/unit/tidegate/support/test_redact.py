"""What is taken out of values and lines."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.support.archive import pack
from tidegate.support.pieces import Piece
from tidegate.support.redact import REDACTED, log, problem, text, value

S = "hunter2planted"


@pytest.mark.parametrize(
    "held",
    [
        {"password": S}, {"apiKey": S}, {"Authorization": S}, {"x": {"client_secret": [S]}}, {"set": [["x", S]]},
        {"headers": [{"name": "x", "value": S, "kind": "exact"}]}, {"headers": {"x": S}}, {"path": f"/a?b={S}"},
        {"errors": [f"f.yaml:1: '{S}' is not valid"]}, {"authority": f"user:{S}@host"}, {"url": f"http://u:{S}@h/p?q={S}"},
        {"add": [["x-more", S]]}, {"queryParams": [{"name": "q", "value": S}]}, ["cookie: " + S],
    ],
)  # fmt: skip
def test_secrets_go(held: object) -> None:
    assert S not in json.dumps(value(held))


@pytest.mark.parametrize(
    "line",
    [
        f"2026 GET /a?b={S} 200", f'path="/a/b?c={S}"', f"Authorization: Bearer {S}", f"https://u:{S}@h/", f"token={S}",
        f'{{"path":"/x?y={S}","status":200}}', f"cookie: sid={S}", f"f.yaml:3: '{S}' is not valid: expected a number",
        f'f.yaml:3: "{S}" is not valid', f"password='{S}'", f"api_key: {S}",
    ],
)  # fmt: skip
def test_secrets_go_from_lines(line: str) -> None:
    assert S not in log(line)


@pytest.mark.parametrize(
    "held",
    [
        {"mode": "ebpf", "listeners": {"outbound": 15001}}, {"path": "/a/b"}, {"cookie": "session"}, {"count": 3},
        {"address": "10.0.0.1:80", "why": "no endpoint"}, {"token_file": None},
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(held: object) -> None:
    assert value(held) == held


def test_lines_without_secrets_stay() -> None:
    for line in ("ready: outbound 15001", "10.0.0.1:80 -> 10.0.0.2:81", "what? nothing"):
        assert text(line) == log(line) == line
    assert problem("f.yaml:1: 'x' is not valid") == f"f.yaml:1: '{REDACTED}' is not valid"


@given(st.recursive(st.none() | st.integers() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)))
def test_any_value_is_taken(held: object) -> None:
    json.dumps(value(held))


def test_a_piece_that_cannot_be_had_hinders_no_other() -> None:
    def fails() -> str:
        raise PermissionError("only root may")

    data, packed = pack([Piece("a", fails), Piece("b", lambda: "b\udcff")], "x", 0.0)
    assert packed.missing == {"a": "only root may"}
    assert set(packed.kept) == {"b", "manifest.json"}
    assert data.startswith(b"\x1f\x8b")
