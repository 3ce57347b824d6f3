"""Filters of tap: what passes, and that a filter that makes no sense is refused."""

import pytest

from proxy.core.addresses import Address, ClientAddress
from proxy.core.report.request import RequestRecord, shown
from proxy.core.report.wanted import wanted
from tests.unit.proxy.core.report.requests import request


@pytest.mark.parametrize(
    ("given", "one", "passes"),
    [
        ({}, request(), True),
        ({"service": "shop"}, request(), True),
        ({"service": "ns/shop"}, request(), True),
        ({"service": "other/shop"}, request(), False),
        ({"service": "sho"}, request(), False),
        ({"service": "ns"}, request(), False),
        ({"route": "canary"}, request(), True),
        ({"route": "stable"}, request(), False),
        ({"route": "canary"}, request(route="ns/canary/0"), True),
        ({"status": "5xx"}, request(), False),
        ({"status": "5XX, 404"}, request(status=404), True),
        ({"status": "5xx"}, request(status=503), True),
        ({"status": "503"}, request(status=504), False),
        ({"path": "/cart"}, request(), True),
        ({"path": "/admin"}, request(), False),
        ({"source": "10.0.0.1"}, request(), True),
        ({"source": "10.0.0.2"}, request(), False),
        ({"source": "0:0::1"}, request(source=ClientAddress(Address("::1", 1))), True),
        ({"source": "10.0.0.1", "status": "4xx"}, request(), False),
    ],
)
def test_all_that_is_given_must_hold(given: dict[str, str], one: RequestRecord, passes: bool) -> None:
    assert wanted(given).takes(one) is passes


@pytest.mark.parametrize(
    ("given", "said"),
    [({"status": "6x"}, "'6x'"), ({"source": "localhost"}, "'localhost'"), ({"staus": "5xx"}, "'staus'")],
)
def test_what_makes_no_sense_is_named(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        wanted(given)


def test_bytes_of_peers_never_reach_a_terminal() -> None:
    assert shown(b"/\x1b]0;title\x07\xff") == "/\\x1b]0;title\\x07\\xff"
    assert shown(b"") == "-"
