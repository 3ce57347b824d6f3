"""istio-iptables' arguments and environment, as its injector and its users write them -> the intent they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intercept.errors import BadInput, Unsupported
from intercept.intent.from_flags import intent_from_flags
from intercept.peers import Action, read
from intercept.plan.stored import as_flags

NOTHING: Mapping[str, str] = {}
DEFAULTS = {
    "mode": "auto",
    "outbound-port": "15001",
    "inbound-port": "15006",
    "dns-port": "15053",
    "include-outbound-cidrs": "",
    "include-inbound-ports": "",
    "exclude-inbound-ports": "15008",
    "proxy-uid": "1337",
    "proxy-gid": "1337",
    "self-calls": "hairpin",
    "dns": "off",
    "ipv6": "auto",
    "drop-invalid": False,
}
INJECTED = ("istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "")
INJECTED += ("-b", "*", "-d", "15090,15021,15020", "--log_output_level=default:info")


def flags(argv: tuple[str, ...], environ: Mapping[str, str] = NOTHING) -> dict[str, Any]:
    return dict(as_flags(read("istio", argv, environ).intent))


@pytest.mark.parametrize(
    ("argv", "differs"),
    [
        ((), {}),
        (
            INJECTED,
            {
                "include-outbound-cidrs": "*",
                "include-inbound-ports": "*",
                "exclude-inbound-ports": "15008,15020-15021,15090",
            },
        ),
        (("-p", "1", "-z", "2"), {"outbound-port": "1", "inbound-port": "2"}),
        (("--envoy-port=1", "--inbound-capture-port", "2"), {"outbound-port": "1", "inbound-port": "2"}),
        (("-p15002",), {"outbound-port": "15002"}),
        (("-e", "18"), {"exclude-inbound-ports": "18"}),
        (("-u", "3,4"), {"proxy-uid": "3,4", "proxy-gid": "3,4"}),
        (("-u", "3,4", "-g", "1,2"), {"proxy-uid": "3,4", "proxy-gid": "1,2"}),
        (("-u", "0"), {"proxy-uid": "0", "proxy-gid": "0"}),
        (("-u", ""), {}),
        (("-g", "7"), {"proxy-gid": "7"}),
        (("-m", "TPROXY"), {"mode": "tproxy"}),
        (("-m", ""), {}),
        (("-t", "9", "-r", "99"), {"tproxy-mark": "9", "tproxy-table": "99"}),
        (("-b", "4000,5000"), {"include-inbound-ports": "4000,5000"}),
        (("-b", "4000,5000", "-d", "5000"), {"include-inbound-ports": "4000,5000"}),
        (("-b", "*", "-d", "5000"), {"include-inbound-ports": "*", "exclude-inbound-ports": "5000,15008"}),
        (("-d", "5000"), {}),
        (("-i", "1.1.0.0/16, 9.9.0.0/16,"), {"include-outbound-cidrs": "1.1.0.0/16,9.9.0.0/16"}),
        (("-i", "2001:db8::/32"), {"include-outbound-cidrs": "2001:db8::/32"}),
        (("-i", "1.1.1.1/24"), {"include-outbound-cidrs": "1.1.1.0/24"}),
        (("-i", "2001:db8::1/32"), {"include-outbound-cidrs": "2001:db8::/32"}),
        (("-i", "10.0.0.1"), {"include-outbound-cidrs": "10.0.0.1/32"}),
        (("-i", "127.1.2.3/32"), {"include-outbound-cidrs": "127.1.2.3/32"}),
        (("-x", "1.1.0.0/16"), {"exclude-outbound-cidrs": "1.1.0.0/16"}),
        (("-q", "32000,31000"), {"include-outbound-ports": "31000,32000"}),
        (("-o", "32000,31000"), {"exclude-outbound-ports": "31000,32000"}),
        (("-k", "eth1,eth2"), {"virtual-interfaces": "eth1,eth2"}),
        (("-c", "not-istio-nic"), {"exclude-interfaces": "not-istio-nic"}),
        (("--redirect-dns",), {"dns": "resolvers"}),
        (("--redirect-dns=true", "--capture-all-dns"), {"dns": "all"}),
        (("--capture-all-dns",), {}),
        (("--drop-invalid",), {"drop-invalid": True}),
        (("--drop-invalid=F",), {}),
        (("--dual-stack",), {"ipv6": "required"}),
        (("-i", "1.0.0.0/8", "-i", "2.0.0.0/8"), {"include-outbound-cidrs": "2.0.0.0/8"}),
    ],
)
def test_arguments(argv: tuple[str, ...], differs: dict[str, Any]) -> None:
    wanted = as_flags(intent_from_flags({**DEFAULTS, **differs}))
    assert flags(argv) == wanted


@pytest.mark.parametrize(
    ("environ", "differs"),
    [
        ({"ENVOY_PORT": "1"}, {}),  # the one flag that has no variable
        ({"INBOUND_CAPTURE_PORT": "2"}, {"inbound-port": "2"}),
        ({"INBOUND_TUNNEL_PORT": "18"}, {"exclude-inbound-ports": "18"}),
        ({"PROXY_UID": "5"}, {"proxy-uid": "5", "proxy-gid": "5"}),
        ({"PROXY_GID": "5"}, {"proxy-gid": "5"}),
        ({"ISTIO_INBOUND_INTERCEPTION_MODE": "TPROXY"}, {"mode": "tproxy"}),
        ({"ISTIO_INBOUND_TPROXY_MARK": "4"}, {"tproxy-mark": "4"}),
        ({"ISTIO_INBOUND_TPROXY_ROUTE_TABLE": "44"}, {"tproxy-table": "44"}),
        ({"ISTIO_INBOUND_PORTS": "*"}, {"include-inbound-ports": "*"}),
        (
            {"ISTIO_INBOUND_PORTS": "*", "ISTIO_LOCAL_EXCLUDE_PORTS": "22"},
            {"include-inbound-ports": "*", "exclude-inbound-ports": "22,15008"},
        ),
        ({"ISTIO_SERVICE_CIDR": "*"}, {"include-outbound-cidrs": "*"}),
        ({"ISTIO_SERVICE_EXCLUDE_CIDR": "10.0.0.0/8"}, {"exclude-outbound-cidrs": "10.0.0.0/8"}),
        ({"ISTIO_OUTBOUND_PORTS": "8"}, {"include-outbound-ports": "8"}),
        ({"ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE": "8"}, {"exclude-outbound-ports": "8"}),
        ({"KUBE_VIRT_INTERFACES": "a"}, {"virtual-interfaces": "a"}),
        ({"ISTIO_EXCLUDE_INTERFACES": "a"}, {"exclude-interfaces": "a"}),
        ({"REDIRECT_DNS": "t"}, {"dns": "resolvers"}),
        ({"ISTIO_META_DNS_CAPTURE": "true"}, {"dns": "resolvers"}),
        ({"REDIRECT_DNS": "true", "ISTIO_META_DNS_CAPTURE": "false"}, {}),
        ({"REDIRECT_DNS": "1", "CAPTURE_ALL_DNS": "1"}, {"dns": "all"}),
        ({"DROP_INVALID": "1"}, {"drop-invalid": True}),
        ({"INVALID_DROP": "1"}, {"drop-invalid": True}),
        ({"DUAL_STACK": "1"}, {"ipv6": "required"}),
        ({"ISTIO_DUAL_STACK": "true"}, {"ipv6": "required"}),
        ({"ISTIO_OUTBOUND_OWNER_GROUPS": "888,1"}, {"include-outbound-gids": "1,888"}),
        ({"ISTIO_OUTBOUND_OWNER_GROUPS": ""}, {"include-outbound-gids": ""}),
        ({"ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE": "888"}, {"exclude-outbound-gids": "888"}),
        (
            {"ISTIO_OUTBOUND_OWNER_GROUPS": "1", "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE": "888"},
            {"include-outbound-gids": "1"},
        ),
        ({"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR": "127.0.0.1/32"}, {}),
        ({"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR": "127.0.0.1/8"}, {}),
        ({"ENVOY_USER": "root"}, {}),
        ({"CNI_MODE": "", "NATIVE_NFTABLES": ""}, {}),
    ],
)
def test_environment(environ: dict[str, str], differs: dict[str, Any]) -> None:
    assert flags((), environ) == as_flags(intent_from_flags({**DEFAULTS, **differs}))


def test_the_command_line_wins_over_the_environment() -> None:
    environ = {"ISTIO_SERVICE_CIDR": "10.0.0.0/8", "REDIRECT_DNS": "true", "PROXY_UID": "5"}
    read_flags = flags(("-i", "*", "--redirect-dns=false", "-u", "6"), environ)
    assert (read_flags["include-outbound-cidrs"], read_flags["dns"], read_flags["proxy-uid"]) == ("*", "off", "6")


def test_the_proxys_own_source_addresses_are_exempt() -> None:
    assert read("istio", (), {}).intent.exempt.sources == ("127.0.0.6", "::6")


@pytest.mark.parametrize(
    ("argv", "action", "dry_run"),
    [
        ((), Action.APPLY, False),
        (("-n",), Action.APPLY, True),
        (("--dry-run",), Action.APPLY, True),
        (("--cleanup-only",), Action.CLEANUP, False),
        (("--cleanup-only", "-n"), Action.CLEANUP, True),
        (("--run-validation",), Action.APPLY_THEN_CHECK, False),
        (("--skip-rule-apply",), Action.CHECK, False),
        (("--run-validation", "--skip-rule-apply"), Action.CHECK, False),
        (("--run-validation=false",), Action.APPLY, False),
    ],
)
def test_what_to_do(argv: tuple[str, ...], action: Action, dry_run: bool) -> None:
    translated = read("istio", argv, {})
    assert (translated.action, translated.dry_run) == (action, dry_run)


def test_the_namespace() -> None:
    assert read("istio", ("--network-namespace", "/proc/7/ns/net"), {}).netns == "/proc/7/ns/net"
    assert read("istio", (), {"NETWORK_NAMESPACE": "/x"}).netns == "/x"
    assert read("istio", (), {}).netns is None


@pytest.mark.parametrize(
    ("argv", "environ", "named"),
    [
        (("--log_output_level=default:info",), {}, "--log_output_level"),
        (("--log_as_json",), {}, "--log_as_json"),
        (("--force-apply",), {}, "--force-apply"),
        (("--native-nftables",), {}, "--native-nftables"),
        (("--force-iptables-binary", "nft"), {}, "--force-iptables-binary"),
        (("--reconcile",), {}, "--reconcile"),
        (("--cni-mode",), {}, "--cni-mode"),
        (("--probe-timeout", "5s"), {}, "--probe-timeout"),
        ((), {"NATIVE_NFTABLES": "true"}, "NATIVE_NFTABLES"),
        (("-i", "1.1.1.1/24"), {}, "1.1.1.0/24"),
        (("-b", "1", "-d", "2"), {}, "-d/--istio-local-exclude-ports"),
        (("--capture-all-dns",), {}, "--capture-all-dns"),
        ((), {"ENVOY_USER": "istio-proxy"}, "ENVOY_USER"),
        ((), {"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR": "127.0.0.0/16"}, "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR"),
    ],
)
def test_what_is_left_out_is_named(argv: tuple[str, ...], environ: dict[str, str], named: str) -> None:
    notes = read("istio", argv, environ).notes
    assert len(notes) == 1
    assert named in notes[0]


def test_the_plainest_command_has_no_notes() -> None:
    assert read("istio", INJECTED[:-1], {}).notes == ()


@pytest.mark.parametrize(
    ("argv", "environ", "named"),
    [
        (("-x", "*"), {}, ("-x", "'*'")),
        ((), {"ISTIO_SERVICE_EXCLUDE_CIDR": "*"}, ("ISTIO_SERVICE_EXCLUDE_CIDR",)),
        (("-i", "10.0.0.0/33"), {}, ("-i/--istio-service-cidr", "10.0.0.0/33")),
        (("-i", "*,10.0.0.0/8"), {}, ("-i", "'*'")),
        (("-i", "::ffff:1.2.3.4/100"), {}, ("-i",)),
        (("-p", "0"), {}, ("-p", "'0'")),
        (("-p", "70000"), {}, ("-p", "70000")),
        (("-p", "15006"), {}, ("15006",)),
        (("-z", ""), {}, ("-z",)),
        (("-e", "x"), {}, ("-e",)),
        (("-d", "22,ssh"), {}, ("-d", "ssh")),
        (("-b", "8000:8100"), {}, ("-b", "8000:8100")),
        (("-b", "1", "-d", "nonsense"), {}, ("-d", "nonsense")),
        (("-u", "istio-proxy"), {}, ("-u", "istio-proxy", "numeric")),
        (("-m", "redirect"), {}, ("-m", "redirect", "REDIRECT")),
        (("-c", "eth+"), {}, ("-c", "eth+")),
        (("-t", "0"), {}, ("-t",)),
        (("-r", "254"), {}, ("-r", "254")),
        ((), {"ISTIO_OUTBOUND_OWNER_GROUPS": "java,888"}, ("ISTIO_OUTBOUND_OWNER_GROUPS", "java", "numeric")),
        ((), {"ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE": "java"}, ("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "java")),
        ((), {"REDIRECT_DNS": "yes"}, ("REDIRECT_DNS", "yes")),
        ((), {"INVALID_DROP": "on"}, ("INVALID_DROP", "on")),
        ((), {"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR": "::1/128"}, ("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR",)),
        (("--redirect-dns=2",), {}, ("--redirect-dns", "2")),
        (("--nope",), {}, ("--nope",)),
        (("istio-iptables", "extra"), {}, ("extra",)),
    ],
)
def test_refusals_name_flag_and_token(argv: tuple[str, ...], environ: dict[str, str], named: tuple[str, ...]) -> None:
    with pytest.raises(BadInput) as refused:
        read("istio", argv, environ)
    assert all(part in str(refused.value) for part in named), refused.value


def test_what_cannot_be_expressed() -> None:
    with pytest.raises(Unsupported, match=r"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=10\.0\.0\.0/8"):
        read("istio", (), {"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR": "10.0.0.0/8"})


VALUES = st.one_of(
    st.text(max_size=10),
    st.sampled_from(["*", "", "10.0.0.1/8", "::1", "fe80::1%eth0/64", "1-2", "0", "65536", "1.2.3.4/255.0.0.0", ","]),
)
LETTERS = st.sampled_from(list("pzeugmtrbdcixqok"))
VARIABLES = st.sampled_from(["ISTIO_SERVICE_CIDR", "REDIRECT_DNS", "PROXY_UID", "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR"])


@given(st.dictionaries(LETTERS, VALUES, max_size=5), st.dictionaries(VARIABLES, VALUES, max_size=3))
def test_an_intent_or_a_refusal(settings: dict[str, str], environ: dict[str, str]) -> None:
    argv = [word for letter, value in settings.items() for word in (f"-{letter}", value)]
    try:
        intent = read("istio", argv, environ).intent
    except (BadInput, Unsupported):
        return
    assert as_flags(intent_from_flags(as_flags(intent))) == as_flags(intent)
