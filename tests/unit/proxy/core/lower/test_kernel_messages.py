"""What the proxy tells of the direct lane arrives whole, and nothing else is taken."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.lower.kernel_messages import (
    KEYS_AT_ONCE,
    MOST_ENDPOINTS,
    ROOM,
    SERVICES_AT_ONCE,
    MessageError,
    ToldService,
    changes,
    read_change,
)


def service(number: int, endpoints: int = 2, **more: Any) -> ToldService:
    found = tuple((f"10.1.{n // 250}.{n % 250 + 1}", 8080, 1 + n) for n in range(endpoints))
    one = ToldService(number, f"10.0.{number // 250}.{number % 250 + 1}", 80, False, found, 0, (), 0, 1)
    return one._replace(**more)


@given(st.integers(0, 700), st.integers(0, 40), st.integers(0, 1500), st.none() | st.sets(st.integers(1, 65535)))
def test_a_change_arrives_as_it_was_told_in_bounded_parts(
    services: int, endpoints: int, gone: int, straight: set[int] | None
) -> None:
    told = [service(1 + n, endpoints) for n in range(services)]
    keys = [(f"10.9.{n // 250}.{n % 250 + 1}", 1 + n) for n in range(gone)]
    messages = [json.loads(json.dumps({"event": "x", **one})) for one in changes(7, told, keys, straight, begin=True)]
    parts = [read_change(one) for one in messages]
    assert [one for part in parts for one in part.services] == told
    assert [key for part in parts for key in part.gone] == keys
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert [part.begin for part in parts] == [True] + [False] * (len(parts) - 1)
    assert {part.version for part in parts} == {7}
    assert parts[-1].straight == straight
    assert all(len(part.services) <= SERVICES_AT_ONCE and len(part.gone) <= KEYS_AT_ONCE for part in parts)
    assert all(sum(len(one.endpoints) for one in part.services) <= ROOM for part in parts)


ONE = json.loads(json.dumps(service(1)._asdict()))
GOOD = {"version": 1, "begin": True, "last": True, "services": [ONE], "gone": [], "straight": [80]}


def spoilt(**more: Any) -> dict[str, Any]:
    return {**GOOD, "services": [{**ONE, **more}]}


def endpoint(*values: Any) -> dict[str, Any]:
    return spoilt(endpoints=[list(values)])


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({**GOOD, "more": 1}, "'more' is not expected"),
        ({key: GOOD[key] for key in GOOD if key != "version"}, "version: None"),
        ({**GOOD, "version": True}, "version: True"),
        ({**GOOD, "begin": 1}, "begin: 1 is not true or false"),
        ({**GOOD, "services": {}}, "services: not a list"),
        ({**GOOD, "services": [1]}, "1 is not an object"),
        ({**GOOD, "services": [ONE] * (SERVICES_AT_ONCE + 1)}, "at most 256"),
        ({**GOOD, "gone": [["10.0.0.1", 1]] * (KEYS_AT_ONCE + 1)}, "at most 1024"),
        ({**GOOD, "gone": [["localhost", 1]]}, "'localhost' is not an IP address"),
        ({**GOOD, "gone": ["10.0.0.1:1"]}, "is not an address and a port"),
        ({**GOOD, "straight": [0]}, "straight: 0"),
        ({**GOOD, "straight": None}, "straight: not a list"),
        (spoilt(id=0), "id: 0"),
        (spoilt(id=1 << 40), "id: 1099511627776"),
        (spoilt(ip="shop"), "'shop' is not an IP address"),
        (spoilt(ip="::ffff:10.0.0.1"), "is not an IP address"),
        (spoilt(ip="010.0.0.1"), "is not an IP address"),
        (spoilt(ip="fe80::1%eth0"), "is not an IP address"),
        (spoilt(port=65536), "port: 65536"),
        (spoilt(port="80"), "port: '80'"),
        (spoilt(round_robin=None), "round_robin: None"),
        (spoilt(endpoints=[["10.0.0.1", 80, 1]] * (MOST_ENDPOINTS + 1)), "at most 128"),
        (endpoint("10.0.0.1", 80), "an address, a port and a weight"),
        (endpoint("example.com", 80, 1), "'example.com' is not an IP address"),
        (endpoint("fd00::1", 80, 1), "another address family"),
        (endpoint("10.0.0.1", 80, 0), "endpoints: 0"),
        (endpoint("10.0.0.1", 80, 1.5), "endpoints: 1.5"),
        (spoilt(affinity_s=float("nan")), "affinity_s: nan"),
        (spoilt(affinity_s=float("inf")), "affinity_s: inf"),
        (spoilt(affinity_s=-1), "affinity_s: -1"),
        (spoilt(rate_per_s="fast"), "rate_per_s: 'fast'"),
        (spoilt(rate_per_s=True), "rate_per_s: True"),
        (spoilt(burst=0), "burst: 0"),
        (spoilt(denied=["10.0.0.1/8"]), "'10.0.0.1/8' is not a network"),
        (spoilt(denied=["10.0.0.0/8"] * 1025), "at most 1024"),
        (spoilt(denied="10.0.0.0/8"), "denied: not a list"),
        (spoilt(weights=[1]), "'weights' is not expected"),
        (spoilt(ip="x" * 10_000), "..."),
    ],
)
def test_what_is_not_exactly_a_change_is_refused_by_name(message: dict[str, Any], told: str) -> None:
    with pytest.raises(MessageError) as refused:
        read_change(message)
    assert told in str(refused.value)
    assert len(str(refused.value)) < 300


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*GOOD, "other"]), json_values))
def test_anything_is_a_change_or_a_message_error(message: dict[str, Any]) -> None:
    with contextlib.suppress(MessageError):
        read_change(message)
