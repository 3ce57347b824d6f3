"""proxy-init's arguments, as Linkerd's chart and its own tests write them."""

from __future__ import annotations

from typing import Any

import pytest

from intercept.errors import BadInput
from intercept.intent.from_flags import intent_from_flags
from intercept.peers import Action, read
from intercept.plan.stored import as_flags

PORTS = ("-p", "4143", "-o", "4140")
DEFAULTS = {
    "outbound-port": "4140",
    "inbound-port": "4143",
    "proxy-uid": "",
    "proxy-gid": "",
    "self-calls": "bypass",
}
INJECTED = ("--incoming-proxy-port", "4143", "--outgoing-proxy-port", "4140", "--proxy-uid", "2102")
INJECTED += ("--inbound-ports-to-ignore", "4190,4191,4567,4568", "--outbound-ports-to-ignore", "4567,4568")


@pytest.mark.parametrize(
    ("argv", "differs"),
    [
        (PORTS, {}),
        (
            INJECTED,
            {
                "proxy-uid": "2102",
                "exclude-inbound-ports": "4190-4191,4567-4568",
                "exclude-outbound-ports": "4567-4568",
            },
        ),
        ((*PORTS, "-u", "2102", "-g", "7"), {"proxy-uid": "2102", "proxy-gid": "7"}),
        ((*PORTS, "-u", "0", "-g", "0"), {}),
        ((*PORTS, "-u", "-1"), {}),
        ((*PORTS, "-r", "80,443", "-r", "8080"), {"include-inbound-ports": "80,443,8080"}),
        ((*PORTS, "-r=80"), {"include-inbound-ports": "80"}),
        (
            (*PORTS, "--inbound-ports-to-ignore=22,8100-8102", "--inbound-ports-to-ignore", "9000"),
            {"exclude-inbound-ports": "22,8100-8102,9000"},
        ),
        ((*PORTS, "--inbound-ports-to-ignore", "6000,7000,"), {"exclude-inbound-ports": "6000,7000"}),
        ((*PORTS, "--outbound-ports-to-ignore", ""), {}),
        ((*PORTS, "--subnets-to-ignore", "1.1.1.1/24 "), {"exclude-inbound-cidrs": "1.1.1.0/24"}),
        (
            (*PORTS, "--subnets-to-ignore", "10.0.0.0/8,fd00::/8"),
            {"exclude-inbound-cidrs": "10.0.0.0/8,fd00::/8"},
        ),
        ((*PORTS, "--ipv6"), {}),
        ((*PORTS, "--ipv6=false"), {"ipv6": "off"}),
        (("proxy-init", *PORTS), {}),
        (("/usr/lib/linkerd/proxy-init", *PORTS), {}),
    ],
)
def test_arguments(argv: tuple[str, ...], differs: dict[str, Any]) -> None:
    wanted = as_flags(intent_from_flags({**DEFAULTS, **differs}))
    assert as_flags(read("linkerd", argv, {}).intent) == wanted


def test_the_environment_is_not_read() -> None:
    assert read("linkerd", PORTS, {"PROXY_UID": "5", "DRY_RUN": "true"}) == read("linkerd", PORTS, {})


def test_simulate_and_netns() -> None:
    translated = read("linkerd", (*PORTS, "--simulate", "--netns", "/run/netns/x"), {})
    assert (translated.action, translated.dry_run, translated.netns) == (Action.APPLY, True, "/run/netns/x")


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (("-w",), "-w/--use-wait-flag"),
        (("--iptables-mode", "nft"), "--iptables-mode"),
        (("--firewall-bin-path", "iptables-nft"), "--firewall-bin-path"),
        (("--firewall-save-bin-path", "iptables-nft-save"), "--firewall-save-bin-path"),
        (("--timeout-close-wait-secs", "3600"), "--timeout-close-wait-secs"),
        (("--log-format=json",), "--log-format"),
        (("--log-level", "info"), "--log-level"),
        (("--subnets-to-ignore", "1.1.1.1/24"), "1.1.1.0/24"),
    ],
)
def test_what_is_left_out_is_named(argv: tuple[str, ...], named: str) -> None:
    notes = read("linkerd", (*PORTS, *argv), {}).notes
    assert len(notes) == 1
    assert named in notes[0]


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        ((), ("--incoming-proxy-port",)),
        (("-p", "4143"), ("--outgoing-proxy-port",)),
        (("-p", "0", "-o", "1"), ("-p/--incoming-proxy-port", "'0'")),
        (("-p", "4143", "-o", "70000"), ("-o", "70000")),
        (("-p", "x", "-o", "1"), ("-p", "'x'")),
        (("-p", "4143", "-o", "4143"), ("4143",)),
        ((*PORTS, "-r", "0"), ("-r", "'0'")),
        ((*PORTS, "--inbound-ports-to-ignore", "22,notanumber,33"), ("--inbound-ports-to-ignore", "notanumber")),
        ((*PORTS, "--inbound-ports-to-ignore", "27-25"), ("27-25",)),
        ((*PORTS, "--outbound-ports-to-ignore", "0-25"), ("--outbound-ports-to-ignore", "0-25")),
        ((*PORTS, "--subnets-to-ignore", "1.1.1.1/33"), ("--subnets-to-ignore", "1.1.1.1/33")),
        ((*PORTS, "-u", "linkerd"), ("-u", "linkerd")),
        ((*PORTS, "-u", "4294967295"), ("-u", "4294967295")),
        ((*PORTS, "--ipv6", "false"), ("false",)),
        ((*PORTS, "--ipv6=no"), ("--ipv6", "no")),
        ((*PORTS, "--nope"), ("--nope",)),
    ],
)
def test_refusals_name_flag_and_token(argv: tuple[str, ...], named: tuple[str, ...]) -> None:
    with pytest.raises(BadInput) as refused:
        read("linkerd", argv, {})
    assert all(part in str(refused.value) for part in named), refused.value
