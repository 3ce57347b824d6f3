"""Deadlines: how headers are read, which one holds, and what is passed on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.resilience.deadline import ENVOY_EXPECTED, ENVOY_TIMEOUT, GRPC, left, passed_on, told

OWN = "x-deadline-ms"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1H", 3600), ("2M", 120), ("3S", 3), ("250m", 0.25), ("1500u", 0.0015), ("7n", 7e-9), ("99999999S", 99999999),
     ("0S", 0), ("0n", 0), ("", None), ("S", None), ("5", None), ("5s", None), ("123456789S", None), ("-1S", None),
     ("1.5S", None), ("\N{ARABIC-INDIC DIGIT FIVE}S", None), (" 5S", None)],
)  # fmt: skip
def test_grpc_timeout(value: str, expected: float | None) -> None:
    found = told(GRPC, value)
    assert found == (None if expected is None else pytest.approx(expected))


def test_zero_means_none_in_one_header_and_expired_in_all_others() -> None:
    assert told(ENVOY_TIMEOUT, "0") is None
    assert told(ENVOY_EXPECTED, "0") == 0
    assert told(OWN, "0") == 0
    assert told(GRPC, "0m") == 0
    assert left({ENVOY_TIMEOUT: "0"}, "", [], 0) is None
    assert left({OWN: "0"}, OWN, [5.0], 0) == 0


@pytest.mark.parametrize("name", [ENVOY_TIMEOUT, ENVOY_EXPECTED, OWN])
def test_milliseconds(name: str) -> None:
    assert told(name, "1500") == 1.5
    for wrong in ("", "1.5", "-1", "1s", "x", "\N{SUPERSCRIPT TWO}", " 1"):
        assert told(name, wrong) is None


def test_the_shortest_holds_and_a_header_never_lengthens() -> None:
    headers = {GRPC: "4S", ENVOY_TIMEOUT: "3000", ENVOY_EXPECTED: "2000", OWN: "1000"}
    assert left(headers, OWN, [5.0], 0.25) == 0.75
    assert left(headers, "", [5.0], 0) == 2  # nobody knows that header
    assert left({GRPC: "4S"}, "", [1.0, 2.0], 0) == 1
    assert left({}, "", [None, 0, 3.0], 1) == 2
    assert left({}, OWN, [None, 0], 1) is None
    assert left({GRPC: "nonsense"}, "", [], 1) is None
    assert left({GRPC: "1S"}, "", [], 1.5) == -0.5


@given(st.sampled_from([GRPC, ENVOY_EXPECTED, ENVOY_TIMEOUT, OWN]), st.floats(1e-3, 1e9))
def test_what_is_passed_on_is_what_is_left_and_no_more(name: str, left_s: float) -> None:
    found = told(name, passed_on(name, left_s))
    assert found is not None
    assert found <= left_s + 1e-12
    assert found == pytest.approx(left_s, rel=1e-5, abs=1e-3)


@given(st.sampled_from([ENVOY_EXPECTED, ENVOY_TIMEOUT, OWN]), st.floats(-1, 1e-3))
def test_a_remainder_under_a_millisecond_never_reads_as_no_limit(name: str, left_s: float) -> None:
    assert passed_on(name, left_s) == "1"


def test_grpc_in_the_finest_unit_that_fits() -> None:
    assert passed_on(GRPC, 0.05) == "50000000n"
    assert passed_on(GRPC, 0.5) == "500000u"
    assert passed_on(GRPC, 500) == "500000m"
    assert passed_on(GRPC, -1) == "0n"
    assert passed_on(GRPC, 1e13) == "99999999H"
