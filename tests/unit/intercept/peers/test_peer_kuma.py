"""kumactl install transparent-proxy: command line, environment, file, in that order of strength."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intercept.errors import BadInput, Unsupported
from intercept.intent.from_flags import intent_from_flags
from intercept.peers import Translated, read
from intercept.plan.stored import as_flags

DEFAULTS = {"proxy-uid": "5678", "proxy-gid": "", "self-calls": "hairpin"}
ENV = "KUMA_TRANSPARENT_PROXY_"


def translate(argv: tuple[str, ...] = (), environ: Mapping[str, str] | None = None, file: str = "") -> Translated:
    arguments = ("--config-file", "tp.yaml", *argv) if file else argv
    variables = {ENV + name: text for name, text in (environ or {}).items()}
    return read("kuma", arguments, variables, {"tp.yaml": file}.__getitem__)


def wanted(differs: Mapping[str, Any]) -> dict[str, Any]:
    return dict(as_flags(intent_from_flags({**DEFAULTS, **differs})))


@pytest.mark.parametrize(
    ("argv", "differs"),
    [
        ((), {}),
        (("--exclude-inbound-ports=9000",), {"exclude-inbound-ports": "9000"}),  # as Kuma's injector writes it
        (("/usr/bin/kumactl", "install", "transparent-proxy", "--kuma-dp-user", "7"), {"proxy-uid": "7"}),
        (("--kuma-dp-uid", "7"), {"proxy-uid": "7"}),
        (("--redirect-outbound-port", "1", "--redirect-inbound-port=2"), {"outbound-port": "1", "inbound-port": "2"}),
        (("--redirect-inbound=false",), {"include-inbound-ports": ""}),
        (("--exclude-outbound-ports", "5678, 8900,"), {"exclude-outbound-ports": "5678,8900"}),
        (("--exclude-outbound-ports", "1", "--exclude-outbound-ports", "2"), {"exclude-outbound-ports": "2"}),
        (
            ("--exclude-outbound-ips", "10.0.0.1,172.1.0.0/24", "--exclude-outbound-ips", "fe80::/10"),
            {"exclude-outbound-cidrs": "10.0.0.1/32,172.1.0.0/24,fe80::/10"},
        ),
        (("--exclude-inbound-ips", "10.0.0.1/8"), {"exclude-inbound-cidrs": "10.0.0.0/8"}),
        (("--redirect-dns",), {"dns": "resolvers"}),
        (("--redirect-all-dns-traffic", "--redirect-dns-port", "53053"), {"dns": "all", "dns-port": "53053"}),
        (("--drop-invalid-packets",), {"drop-invalid": True}),
        (("--ip-family-mode", "ipv4"), {"ipv6": "off"}),
        (("--ip-family-mode=DualStack",), {}),
        (("--ipv6-disabled",), {"ipv6": "off"}),
        (("--redirect-inbound-port-v6", "0"), {"ipv6": "off"}),
        (("--redirect-inbound-port-v6", "15010"), {}),
        (("--ebpf-enabled", "--ebpf-instance-ip", "10.0.0.2"), {"mode": "ebpf"}),
        (
            ("--exclude-outbound-ports-for-uids", "tcp:22:1000-2000", "--exclude-outbound-ports-for-uids", "123"),
            {"exclude-outbound-for": ["tcp:22:1000-2000", "123"]},
        ),
        (
            ("--exclude-outbound-ports-for-uids", "53,3000-5000:106-108"),
            {"exclude-outbound-for": ["53,3000-5000:106-108"]},
        ),
        (("--exclude-outbound-ports-for-uids", "::7"), {"exclude-outbound-for": ["7"]}),
        (("--exclude-outbound-tcp-ports-for-uids", "53:7"), {"exclude-outbound-for": ["tcp:53:7"]}),
        (("--exclude-outbound-udp-ports-for-uids", "53:7"), {"exclude-outbound-for": ["udp:53:7"]}),
    ],
)
def test_arguments(argv: tuple[str, ...], differs: dict[str, Any]) -> None:
    assert as_flags(translate(argv).intent) == wanted(differs)


@pytest.mark.parametrize(
    ("environ", "differs"),
    [
        ({"KUMA_DP_USER": "7"}, {"proxy-uid": "7"}),
        ({"IP_FAMILY_MODE": "ipv4"}, {"ipv6": "off"}),
        ({"REDIRECT_INBOUND_ENABLED": "false"}, {"include-inbound-ports": ""}),
        ({"REDIRECT_INBOUND_PORT": "2"}, {"inbound-port": "2"}),
        ({"REDIRECT_INBOUND_INCLUDE_PORTS": "80,443"}, {"include-inbound-ports": "80,443"}),
        ({"REDIRECT_INBOUND_EXCLUDE_PORTS": "1234"}, {"exclude-inbound-ports": "1234"}),
        ({"REDIRECT_INBOUND_EXCLUDE_PORTS_FOR_IPS": "10.0.0.1,fd00::1"}, {"exclude-inbound-cidrs": "10.0.0.1,fd00::1"}),
        ({"REDIRECT_OUTBOUND_ENABLED": "0"}, {"include-outbound-cidrs": ""}),
        ({"REDIRECT_OUTBOUND_PORT": "1"}, {"outbound-port": "1"}),
        (
            {"REDIRECT_OUTBOUND_INCLUDE_PORTS": "80", "REDIRECT_OUTBOUND_EXCLUDE_PORTS": "81"},
            {"include-outbound-cidrs": "", "include-outbound-ports": "80"},
        ),
        ({"REDIRECT_OUTBOUND_EXCLUDE_PORTS": "5678,8900"}, {"exclude-outbound-ports": "5678,8900"}),
        ({"REDIRECT_OUTBOUND_EXCLUDE_PORTS_FOR_IPS": "10.0.0.0/8"}, {"exclude-outbound-cidrs": "10.0.0.0/8"}),
        (
            {"REDIRECT_OUTBOUND_EXCLUDE_PORTS_FOR_UIDS": "tcp:22:7,udp:53:8"},
            {"exclude-outbound-for": ["tcp:22:7", "udp:53:8"]},
        ),
        ({"REDIRECT_DNS_ENABLED": "true"}, {"dns": "resolvers"}),
        ({"REDIRECT_DNS_ENABLED": "true", "REDIRECT_DNS_CAPTURE_ALL": "true"}, {"dns": "all"}),
        ({"REDIRECT_DNS_PORT": "3"}, {"dns-port": "3"}),
        ({"DROP_INVALID_PACKETS": "T"}, {"drop-invalid": True}),
        ({"EBPF_ENABLED": "true"}, {"mode": "ebpf"}),
        ({"REDIRECT_INBOUND_EXCLUDE_PORTS": ""}, {}),
    ],
)
def test_environment(environ: dict[str, str], differs: dict[str, Any]) -> None:
    assert as_flags(translate((), environ).intent) == wanted(differs)


FILE = """
kumaDPUser: "7"
ipFamilyMode: ipv4
redirect:
  dns: {enabled: true, captureAll: true, port: 15055}
  inbound:
    enabled: true
    port: 25006
    excludePorts: [22, 9000]
  outbound:
    enabled: true
    excludePorts: "23,24"
    excludePortsForIPs:
      - 10.0.0.0/8
      - fd00::/8
    excludePortsForUIDs: ["tcp:80,443:1000", "9"]
  vnet:
iptablesExecutables: {iptables: /sbin/iptables}
dropInvalidPackets: true
wait: 7
"""


def test_a_file() -> None:
    translated = translate(file=FILE)
    assert as_flags(translated.intent) == wanted(
        {
            "proxy-uid": "7",
            "ipv6": "off",
            "dns": "all",
            "dns-port": "15055",
            "inbound-port": "25006",
            "exclude-inbound-ports": "22,9000",
            "exclude-outbound-ports": "23,24",
            "exclude-outbound-cidrs": "10.0.0.0/8,fd00::/8",
            "exclude-outbound-for": ["tcp:80,443:1000", "9"],
            "drop-invalid": True,
        }
    )
    assert translated.wait_s == 7
    assert [("iptablesExecutables" in note) for note in translated.notes] == [True]


def test_json_on_the_command_line() -> None:
    translated = translate(("--config", '{"kumaDPUser": 7, "redirect": {"inbound": {"enabled": false}}}'))
    assert as_flags(translated.intent) == wanted({"proxy-uid": "7", "include-inbound-ports": ""})


def test_command_line_then_environment_then_file() -> None:
    file = "kumaDPUser: 1\nredirect: {inbound: {port: 1001}, outbound: {port: 1002}}"
    environ = {"KUMA_DP_USER": "2", "REDIRECT_INBOUND_PORT": "2001"}
    flags = as_flags(translate(("--kuma-dp-uid", "3"), environ, file).intent)
    assert (flags["proxy-uid"], flags["inbound-port"], flags["outbound-port"]) == ("3", "2001", "1002")


def test_dry_run_wait_and_sources() -> None:
    translated = translate(("--dry-run", "--wait", "9"))
    assert (translated.dry_run, translated.wait_s) == (True, 9)
    assert translated.intent.exempt.sources == ("127.0.0.6", "::6")


@pytest.mark.parametrize(
    "argv",
    [
        ("--verbose",),
        ("--wait-interval", "1"),
        ("--max-retries", "4"),
        ("--sleep-between-retries", "2s"),
        ("--iptables-logs",),
        ("--disable-comments",),
        ("--store-firewalld",),
        ("--skip-dns-conntrack-zone-split",),
        ("--redirect-inbound-insert-instead-of-append",),
        ("--redirect-outbound-insert-instead-of-append",),
        ("--iptables-executables", "iptables:/sbin/iptables"),
        ("--redirect-dns-upstream-target-chain", "RETURN"),
        ("--ebpf-bpffs-path", "/x"),
        ("--log-level", "debug"),
    ],
)
def test_what_is_left_out_is_named(argv: tuple[str, ...]) -> None:
    notes = translate(argv).notes
    assert len(notes) == 1
    assert argv[0] in notes[0]


def test_a_variable_that_kuma_has_not_is_named() -> None:
    assert [ENV + "REDIRECT_INBOUND_PROT" in note for note in translate((), {"REDIRECT_INBOUND_PROT": "1"}).notes]


@pytest.mark.parametrize(
    ("argv", "environ", "file", "named"),
    [
        (("--kuma-dp-user", "kuma-dp"), {}, "", ("--kuma-dp-user", "kuma-dp", "numeric")),
        (("--exclude-outbound-ports-for-uids", "3000-5000:1:*"), {}, "", ("3000-5000:1:*",)),
        (("--exclude-outbound-ports-for-uids", "3000-5000:1:1,2,3"), {}, "", ("3000-5000:1:1,2,3",)),
        (("--exclude-outbound-ports-for-uids", "http:1:1"), {}, "", ("http",)),
        (("--exclude-outbound-ports-for-uids", "a3000-5000:1"), {}, "", ("a3000-5000",)),
        (("--exclude-outbound-ports-for-uids", "tcp:80:*"), {}, "", ("tcp:80:*",)),
        (("--exclude-outbound-ports-for-uids", "1:2:3:4"), {}, "", ("1:2:3:4",)),
        (("--redirect-dns", "--redirect-all-dns-traffic"), {}, "", ("--redirect-dns",)),
        (("--ip-family-mode", "ipv6"), {}, "", ("--ip-family-mode", "ipv6")),
        (("--redirect-inbound-port", "0"), {}, "", ("--redirect-inbound-port",)),
        (("--config", "-"), {}, "", ("--config-file -",)),
        (("--config", "{}"), {}, "a: 1", ("--config-file",)),
        ((), {"DROP_INVALID_PACKETS": "yes"}, "", (ENV + "DROP_INVALID_PACKETS", "yes")),
        ((), {}, "kumaDPUsr: 1", ("tp.yaml:1", "kumaDPUsr")),
        ((), {}, "\nredirect:\n  inbund: {}", ("tp.yaml:3", "redirect.inbund")),
        ((), {}, "redirect: 7", ("tp.yaml:1", "redirect")),
        ((), {}, "kumaDPUser: {a: 1}", ("tp.yaml:1", "kumaDPUser")),
        ((), {}, "redirect:\n  inbound:\n    port: x", ("tp.yaml:3", "redirect.inbound.port", "'x'")),
        ((), {}, "dropInvalidPackets: sure", ("tp.yaml:1", "dropInvalidPackets", "sure")),
        ((), {}, "a: [", ("tp.yaml", "YAML")),
        ((), {}, "just text", ("tp.yaml:1", "just text")),
        ((), {}, "[" * 3000, ("tp.yaml",)),
        (("--nope",), {}, "", ("--nope",)),
    ],
)
def test_refusals_name_flag_and_token(
    argv: tuple[str, ...], environ: dict[str, str], file: str, named: tuple[str, ...]
) -> None:
    with pytest.raises(BadInput) as refused:
        translate(argv, environ, file)
    assert all(part in str(refused.value) for part in named), refused.value


@pytest.mark.parametrize(
    ("argv", "environ", "named"),
    [
        (("--vnet", "docker0:172.17.0.0/16"), {}, "--vnet"),
        (("--redirect-inbound-port-v6", "15007"), {}, "--redirect-inbound-port-v6"),
        (("--redirect-dns",), {"REDIRECT_DNS_RESOLV_CONFIG_PATH": "/x"}, "RESOLV_CONFIG_PATH"),
    ],
)
def test_what_cannot_be_expressed(argv: tuple[str, ...], environ: dict[str, str], named: str) -> None:
    with pytest.raises(Unsupported, match=named):
        translate(argv, environ)


@given(st.text(max_size=60))
def test_whatever_the_file_says(text: str) -> None:
    """A translation, or a refusal."""
    try:
        translate(file=text)
    except (BadInput, Unsupported):
        return
