"""Capture of name resolution, UDP and TCP."""

from __future__ import annotations

from tests.netns.cases.model import DNS, PROXY_USER, Captured, Case, Dial, Direct, Refused, dials

ASKED = Captured(DNS)
LISTED = "nameserver 10.0.0.53\nnameserver fd00::53\nsearch example.test\noptions ndots:2\n"

CASES = (
    Case(
        "dns-off",
        (),
        (
            Dial("peer", 53, Direct(), udp=True),
            Dial("peer", 443, Direct(), udp=True),
            Dial("peer", 53, Captured()),
        ),
        resolv_conf=LISTED,
    ),
    Case(
        "dns-all",
        ("--dns", "all"),
        (
            *dials({("resolver", 53): ASKED, ("public-dns", 53): ASKED, ("loopback", 53): ASKED, ("self", 53): ASKED}),
            *dials(
                {("resolver", 53): ASKED, ("public-dns", 53): ASKED, ("loopback", 53): ASKED, ("self", 53): ASKED},
                udp=True,
            ),
            Dial("public-dns", 53, Direct(), udp=True, who=PROXY_USER),
            Dial("public-dns", 53, Direct(), who=PROXY_USER),
            Dial("peer", 443, Direct(), udp=True),
            Dial("peer", 853, Captured()),
            Dial("loopback", DNS, Refused()),
            Dial("self", DNS, Refused()),
        ),
        resolv_conf=LISTED,
    ),
    Case(
        "dns-all+no-tcp-capture",
        ("--dns", "all", "--include-outbound-cidrs", ""),
        (
            Dial("public-dns", 53, ASKED, udp=True),
            Dial("public-dns", 53, ASKED),
            Dial("public-dns", 443, Direct()),
        ),
    ),
    Case(
        "dns-bpf-unconnected-udp",
        ("--dns", "all"),
        (
            Dial("public-dns", 53, ASKED, udp=True, options={"connected": False}),
            Dial("public-dns", 53, ASKED, udp=True, options={"connected": True}),
            Dial("public-dns", 53, ASKED, udp=True, families=(4,), options={"connected": True, "mapped": True}),
            Dial("public-dns", 53, ASKED, udp=True, families=(4,), options={"connected": False, "mapped": True}),
            Dial("public-dns", 53, ASKED, udp=True, options={"source_port": 33533}),
        ),
    ),
    Case(
        "dns-resolvconf-only",
        ("--dns", "resolvers"),
        (
            Dial("resolver", 53, ASKED, udp=True),
            Dial("resolver", 53, ASKED),
            Dial("public-dns", 53, Direct(), udp=True),
            Dial("public-dns", 53, Captured()),
            Dial("resolver", 443, Direct(), udp=True),
            Dial("resolver", 53, Direct(), udp=True, who=PROXY_USER),
        ),
        resolv_conf=LISTED,
    ),
    Case(
        "dns-localhost-resolver",
        ("--dns", "resolvers"),
        (
            Dial("local-resolver", 53, ASKED, udp=True, families=(4,)),
            Dial("local-resolver", 53, ASKED, families=(4,)),
            Dial("loopback", 8080, Direct()),
            Dial("public-dns", 53, Direct(), udp=True),
        ),
        resolv_conf="nameserver 127.0.0.53\n",
    ),
    Case(
        "dns-resolvconf-only+none-listed",
        ("--dns", "resolvers"),
        (
            Dial("resolver", 53, Direct(), udp=True),
            Dial("resolver", 53, Captured()),
        ),
        resolv_conf="search example.test\n",
        warns="resolv.conf",
    ),
    Case(
        "dns-excluded-cidr",
        ("--dns", "all", "--exclude-outbound-cidrs", "{public-dns}"),
        (
            Dial("public-dns", 53, Direct(), udp=True),
            Dial("public-dns", 53, Direct()),
            Dial("resolver", 53, ASKED, udp=True),
        ),
    ),
    Case(
        "dns-excluded-port",
        ("--dns", "all", "--exclude-outbound-ports", "53"),
        (
            Dial("public-dns", 53, Direct(), udp=True),
            Dial("public-dns", 53, Direct()),
            Dial("loopback", 8080, Direct()),
        ),
    ),
)
