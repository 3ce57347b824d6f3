"""Command lines that must be refused: what is said, and which token the message has to quote."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """`init` with `flags` exits 2 and its message has `names` and `token` in it."""

    id: str
    flags: tuple[str, ...]
    names: str
    token: str


def port_lists() -> list[Refusal]:
    bad = {
        "name": ("22,notanumber,33", "notanumber"),
        "service-name": ("ssh", "ssh"),
        "backwards": ("27-25", "27-25"),
        "too-high": ("70000", "70000"),
        "just-too-high": ("65536", "65536"),
        "zero": ("0", "0"),
        "zero-in-range": ("0-10", "0-10"),
        "range-too-high": ("65000-65536", "65000-65536"),
        "colon-range": ("8000:8100", "8000:8100"),
        "negative": ("-5", "-5"),
        "open-range": ("8000-", "8000-"),
        "plus": ("+80", "+80"),
        "blank-inside": ("80 81", "80 81"),
        "float": ("80.0", "80.0"),
        "hex": ("0x50", "0x50"),
        "underscore": ("8_0", "8_0"),
        "other-digits": ("٨٠", "٨٠"),
        "injection": ("80; flush ruleset", "80; flush ruleset"),
        "newline": ("80\n81", "80"),
        "star-beside-items": ("*,80", "*"),
    }
    flags = (
        "--include-outbound-ports",
        "--exclude-outbound-ports",
        "--include-inbound-ports",
        "--exclude-inbound-ports",
    )
    return [
        Refusal(f"port-token-bad+{flag[2:]}+{what}", (f"{flag}={text}",), flag, token)
        for flag in flags
        for what, (text, token) in bad.items()
    ]


def cidr_lists() -> list[Refusal]:
    bad = {
        "host-bits": ("10.0.0.1/8", "10.0.0.1/8"),
        "host-bits-v6": ("fd00::1/64", "fd00::1/64"),
        "name": ("example.com", "example.com"),
        "zone": ("fe80::1%eth0", "fe80::1%eth0"),
        "mask-33": ("10.0.0.0/33", "10.0.0.0/33"),
        "mask-129": ("::/129", "::/129"),
        "negative-mask": ("10.0.0.0/-1", "10.0.0.0/-1"),
        "dotted-mask": ("10.0.0.0/255.0.0.0", "10.0.0.0/255.0.0.0"),
        "short": ("10.0.0", "10.0.0"),
        "octal": ("010.0.0.1", "010.0.0.1"),
        "port": ("10.0.0.1:80", "10.0.0.1:80"),
        "among-good": ("10.0.0.0/8, 300.1.1.1 ,fd00::/8", "300.1.1.1"),
        "injection": ("10.0.0.0/8 } flush ruleset", "flush"),
        "empty-mask": ("10.0.0.0/", "10.0.0.0/"),
    }
    flags = ("--include-outbound-cidrs", "--exclude-outbound-cidrs", "--exclude-inbound-cidrs")
    return [
        Refusal(f"cidr-bad+{flag[2:]}+{what}", (f"{flag}={text}",), flag, token)
        for flag in flags
        for what, (text, token) in bad.items()
    ]


def exclusions_for_users() -> list[Refusal]:
    flag = "--exclude-outbound-for"
    bad = {
        "everybody": ("3000-5000:1:*", "3000-5000:1:*"),
        "protocol-is-ports": ("3000-5000:1:1,2,3", "3000-5000"),
        "protocol-name": ("http:1:1", "http"),
        "ports-name": ("a3000-5000:1", "a3000-5000"),
        "no-users": ("tcp:80:", "tcp:80:"),
        "no-ports": ("tcp::1", "tcp::1"),
        "too-many-parts": ("tcp:80:1:2", "tcp:80:1:2"),
        "user-name": ("tcp:80:alice", "alice"),
        "port-zero": ("tcp:0:1", "'0'"),
        "empty": ("", "''"),
    }
    return [
        Refusal(f"uid-port-exclusion-parse+{what}", (f"{flag}={text}",), flag, token)
        for what, (text, token) in bad.items()
    ]


CASES = (
    Refusal("out-exclude-wildcard-refused", ("--exclude-outbound-cidrs", "*"), "--exclude-outbound-cidrs", "*"),
    Refusal(
        "out-exclude-wildcard-refused+among",
        ("--exclude-outbound-cidrs", "10.0.0.0/8,*"),
        "--exclude-outbound-cidrs",
        "*",
    ),
    *port_lists(),
    *cidr_lists(),
    *exclusions_for_users(),
    Refusal("mode-unknown", ("--mode", "random"), "--mode", "random"),
    Refusal("dns-unknown", ("--dns", "some"), "--dns", "some"),
    Refusal("ipv6-unknown", ("--ipv6", "yes"), "--ipv6", "yes"),
    Refusal("self-calls-unknown", ("--self-calls", "maybe"), "--self-calls", "maybe"),
    Refusal("when-down-unknown", ("--when-down", "half"), "--when-down", "half"),
    Refusal("listener-zero", ("--outbound-port", "0"), "--outbound-port", "0"),
    Refusal("listener-range", ("--inbound-port", "15006-15007"), "--inbound-port", "15006-15007"),
    Refusal("listener-twice", ("--outbound-port", "15006"), "-port", "15006"),
    Refusal("uid-name", ("--proxy-uid", "envoy"), "--proxy-uid", "envoy"),
    Refusal("uid-minus-one", ("--proxy-uid", "4294967295"), "--proxy-uid", "4294967295"),
    Refusal("gid-name", ("--proxy-gid", "1337,wheel"), "--proxy-gid", "wheel"),
    Refusal("gids-name", ("--exclude-outbound-gids", "java"), "--exclude-outbound-gids", "java"),
    Refusal("mark-zero", ("--proxy-mark", "0"), "--proxy-mark", "0"),
    Refusal("mark-name", ("--proxy-mark", "red"), "--proxy-mark", "red"),
    Refusal("interface-path", ("--exclude-interfaces", "../../x"), "--exclude-interfaces", "../../x"),
    Refusal("interface-long", ("--exclude-interfaces", "a" * 16), "--exclude-interfaces", "a" * 16),
    Refusal("interface-quote", ("--virtual-interfaces", 'eth0" accept'), "--virtual-interfaces", "eth0"),
    Refusal("interface-shell", ("--virtual-interfaces", "$(reboot)"), "--virtual-interfaces", "$(reboot)"),
    Refusal("cgroup-dots", ("--cgroup", "/a/../b"), "--cgroup", "/a/../b"),
    Refusal("cgroup-quote", ("--cgroup", 'a" accept'), "--cgroup", "accept"),
    Refusal("table-local", ("--tproxy-table", "255"), "--tproxy-table", "255"),
    Refusal("tproxy-mark-zero", ("--tproxy-mark", "0"), "--tproxy-mark", "0"),
    Refusal("wait-name", ("--wait", "soon"), "--wait", "soon"),
    Refusal("wait-negative", ("--wait=-1",), "--wait", "-1"),
    Refusal("unknown-flag", ("--exclude-everything",), "--exclude-everything", "--exclude-everything"),
)
