"""`consul connect redirect-traffic`, as its documentation writes it."""

from __future__ import annotations

from typing import Any

import pytest

from intercept.errors import BadInput, Unsupported
from intercept.intent.from_flags import intent_from_flags
from intercept.peers import read
from intercept.plan.stored import as_flags

REQUIRED = ("-proxy-uid", "1234", "-proxy-inbound-port", "20000")
DEFAULTS = {"outbound-port": "15001", "inbound-port": "20000", "proxy-uid": "1234", "proxy-gid": ""}


@pytest.mark.parametrize(
    ("argv", "differs"),
    [
        (REQUIRED, {}),
        (("consul", "connect", "redirect-traffic", *REQUIRED), {}),
        (("--proxy-uid=1234", "--proxy-inbound-port=20000"), {}),
        ((*REQUIRED, "-proxy-outbound-port", "22500"), {"outbound-port": "22500"}),
        (
            (*REQUIRED, "-exclude-inbound-port", "22", "-exclude-inbound-port", "8080:9000"),
            {"exclude-inbound-ports": "22,8080-9000"},
        ),
        ((*REQUIRED, "-exclude-outbound-port", "22"), {"exclude-outbound-ports": "22"}),
        (
            (*REQUIRED, "-exclude-outbound-cidr", "1.1.1.1", "-exclude-outbound-cidr", "2.2.2.2/24"),
            {"exclude-outbound-cidrs": "1.1.1.1/32,2.2.2.0/24"},
        ),
        ((*REQUIRED, "-exclude-uid", "456", "-exclude-uid", "789"), {"proxy-uid": "456,789,1234"}),
        ((*REQUIRED, "-consul-dns-port", "0", "-consul-dns-ip="), {}),
    ],
)
def test_arguments(argv: tuple[str, ...], differs: dict[str, Any]) -> None:
    wanted = as_flags(intent_from_flags({**DEFAULTS, **differs}))
    assert as_flags(read("consul", argv, {}).intent) == wanted


def test_netns() -> None:
    assert read("consul", (*REQUIRED, "-netns", "/var/run/netns/foo"), {}).netns == "/var/run/netns/foo"


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        ((), ("-proxy-uid",)),
        (("-proxy-uid", "1234"), ("-proxy-inbound-port",)),
        (("-proxy-inbound-port", "20000"), ("-proxy-uid",)),
        (("-proxy-uid", "", "-proxy-inbound-port", "20000"), ("-proxy-uid",)),
        (("-proxy-uid", "envoy", "-proxy-inbound-port", "20000"), ("-proxy-uid", "envoy")),
        ((*REQUIRED, "-proxy-inbound-port", "70000"), ("-proxy-inbound-port", "70000")),
        ((*REQUIRED, "-proxy-outbound-port", "20000"), ("-proxy-inbound-port", "20000")),
        ((*REQUIRED, "-exclude-inbound-port", "ssh"), ("-exclude-inbound-port", "ssh")),
        ((*REQUIRED, "-exclude-outbound-cidr", "x"), ("-exclude-outbound-cidr", "'x'")),
        ((*REQUIRED, "-exclude-uid", "root"), ("-exclude-uid", "root")),
        ((*REQUIRED, "-nope"), ("-nope",)),
        ((*REQUIRED, "word", "-exclude-uid", "5"), ("word",)),
    ],
)
def test_refusals_name_flag_and_token(argv: tuple[str, ...], named: tuple[str, ...]) -> None:
    with pytest.raises(BadInput) as refused:
        read("consul", argv, {})
    assert all(part in str(refused.value) for part in named), refused.value


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (("-proxy-uid", "1234", "-proxy-id", "web"), "-proxy-id"),
        ((*REQUIRED, "-node-name", "n"), "-node-name"),
        ((*REQUIRED, "-consul-dns-ip", "10.0.0.1"), "-consul-dns-ip"),
        ((*REQUIRED, "-consul-dns-port", "8600"), "-consul-dns-port"),
    ],
)
def test_what_cannot_be_expressed(argv: tuple[str, ...], named: str) -> None:
    with pytest.raises(Unsupported, match=named):
        read("consul", argv, {})


def test_flags_about_the_agent_are_named_as_ignored() -> None:
    notes = read("consul", (*REQUIRED, "-http-addr", "http://x:8500", "-token=t"), {}).notes
    assert [name in note for name, note in zip(("-http-addr", "-token"), notes, strict=True)] == [True, True]
