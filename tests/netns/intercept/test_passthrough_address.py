"""::6 on the loopback interface, which Istio's and Kuma's proxies bind: there for good when `in_place` has put it."""

from __future__ import annotations

import ipaddress

import pytest

from intercept.host import passthrough_address
from intercept.host.facts import read_host
from intercept.peers import read
from tests.lab import Lab

pytestmark = pytest.mark.kernel

OFTEN = 400
"""The kernel makes the address' route behind the call's back, and is slower than a reader about once in 150 times."""


def test_what_is_put_is_one_of_the_own_addresses_at_once(lab: Lab) -> None:
    intent = read("istio", (), {}).intent
    ours = ipaddress.ip_network("::6/128")
    with lab.app.entered():
        for _ in range(OFTEN):
            with passthrough_address.in_place(intent) as added:
                assert added
                assert ours in read_host().own
            assert passthrough_address.withdraw()
        assert ours not in read_host().own
