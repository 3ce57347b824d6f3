"""Which destinations of the workload are captured."""

from __future__ import annotations

from tests.lab.third_party_proxy import ProxyOptions
from tests.netns.cases.model import PROXY_USER, Captured, Case, Dial, Direct, Refused, dials, from_peer

CASES = (
    Case("out-all", (), dials({("peer", 80): Captured(), ("far", 443): Captured()})),
    Case("out-all+relayed", (), dials({("peer", 80): Captured(), ("far2", 443): Captured()}), relay=True),
    Case(
        "bpf-connect",
        (),
        (
            Dial("peer", 80, Captured(), options={"nonblocking": True}),
            Dial("peer", 80, Captured(), options={"fastopen": True, "send": "x"}),
            Dial("peer", 443, Captured(), options={"fastopen_sendto": True, "send": "x"}),
            Dial("far", 80, Captured(), options={"source_port": 23456}),
        ),
    ),
    Case(
        "v4-mapped-socket",
        (),
        (
            Dial("peer", 80, Captured(), families=(4,)),
            Dial("peer", 80, Captured(), families=(4,), options={"mapped": True}),
            Dial("far", 443, Captured(), families=(4,), options={"mapped": True, "nonblocking": True}),
        ),
    ),
    Case(
        "v4-mapped-socket+excluded",
        ("--exclude-outbound-cidrs", "{far-net}"),
        (
            Dial("far", 80, Direct(), families=(4,), options={"mapped": True}),
            Dial("peer", 80, Captured(), families=(4,), options={"mapped": True}),
        ),
    ),
    Case(
        "out-include-cidr",
        ("--include-outbound-cidrs", "{peer-net}"),
        dials({("peer", 80): Captured(), ("far", 80): Direct(), ("peer-net1", 80): Direct()}),
    ),
    Case(
        "out-include-cidr+one-family",
        ("--include-outbound-cidrs", "10.0.0.0/8,"),
        (
            Dial("peer", 80, Captured(), families=(4,)),
            Dial("far", 80, Direct()),
            Dial("peer", 80, Direct(), families=(6,)),
        ),
    ),
    Case(
        "out-include-cidr+mask-0",
        ("--include-outbound-cidrs", " 0.0.0.0/0 , ::/0 ,"),
        dials({("peer", 80): Captured(), ("far", 443): Captured()}),
    ),
    Case(
        "out-include-cidr+mask-0-one-family",
        ("--include-outbound-cidrs", "::/0"),
        (Dial("peer", 80, Captured(), families=(6,)), Dial("peer", 80, Direct(), families=(4,))),
    ),
    Case(
        "out-include-cidr+none",
        ("--include-outbound-cidrs", ""),
        (*dials({("peer", 80): Direct(), ("far", 80): Direct(), ("self", 8080): Direct()}),),
    ),
    Case(
        "out-include-cidr+nested-and-twice",
        ("--include-outbound-cidrs", "{near-net},{near-odd},{near-net}", "--exclude-outbound-cidrs", "{near-odd}"),
        dials({("near", 7000): Captured(), ("near-odd", 8080): Direct(), ("peer", 80): Direct()}),
    ),
    Case(
        "most-specific-subnet-first",
        # No flag ties ports to a CIDR, and excludes always win: what is left of that case is that a host inside an
        # included network can be excluded, whatever the ports say.
        (
            "--include-outbound-cidrs",
            "{near-net}",
            "--include-outbound-ports",
            "8080",
            "--exclude-outbound-cidrs",
            "{near-odd}",
        ),
        dials(
            {
                ("near-odd", 8080): Direct(),
                ("near-odd", 8081): Direct(),
                ("near", 7000): Captured(),
                ("far", 8080): Captured(),
                ("far", 7000): Direct(),
            }
        ),
    ),
    Case(
        "out-exclude-cidr-wins",
        (
            "--include-outbound-cidrs",
            "{peer-net}",
            "--include-outbound-ports",
            "443",
            "--exclude-outbound-cidrs",
            "{peer}",
        ),
        dials(
            {
                ("peer", 80): Direct(),
                ("peer", 443): Direct(),
                ("resolver", 80): Captured(),
                ("far", 443): Captured(),
                ("far", 80): Direct(),
            }
        ),
    ),
    Case("out-exclude-everything", ("--exclude-outbound-cidrs", "{everything}"), dials({("peer", 80): Direct()})),
    Case(
        "out-include-ports-any-ip",
        ("--include-outbound-cidrs", "", "--include-outbound-ports", "32000,31000,9090"),
        dials(
            {
                ("peer", 32000): Captured(),
                ("far", 31000): Captured(),
                ("peer", 80): Direct(),
                ("loopback", 9090): Direct(),
            }
        ),
    ),
    Case(
        "out-include-ports-any-ip+ranges",
        ("--include-outbound-cidrs", "", "--include-outbound-ports", " 8000-8100 , 443,8080,"),
        dials(
            {
                ("peer", 8000): Captured(),
                ("peer", 8081): Captured(),
                ("peer", 8100): Captured(),
                ("far", 443): Captured(),
                ("peer", 7000): Direct(),
                ("peer", 9000): Direct(),
            }
        ),
    ),
    Case(
        "out-exclude-ports+ranges",
        ("--exclude-outbound-ports", "8000-8100,22,"),
        dials(
            {
                ("peer", 8000): Direct(),
                ("peer", 8100): Direct(),
                ("far", 22): Direct(),
                ("peer", 7000): Captured(),
                ("peer", 9000): Captured(),
            }
        ),
    ),
    Case(
        "out-exclude-port-first",
        ("--include-outbound-ports", "5432", "--exclude-outbound-ports", "5432", "--self-calls", "hairpin"),
        (
            *dials({("peer", 5432): Direct(), ("self", 5432): Direct(), ("peer", 80): Captured()}),
            Dial("self", 5432, Direct(), who=PROXY_USER),
        ),
    ),
    Case(
        "out-exclude-port-first+own-address",
        ("--exclude-outbound-ports", "5432"),
        dials({("self", 5432): Direct(), ("self", 8080): Captured()}),
    ),
    Case(
        "out-localhost-bypass",
        (),
        dials({("loopback", 9090): Direct(), ("other-loopback", 8080): Direct(), ("peer", 9090): Captured()}),
    ),
    Case(
        "out-localhost-bypass+listed",
        ("--include-outbound-cidrs", "{all-loopback},{peer-net}"),
        dials({("loopback", 9090): Captured(), ("peer", 80): Captured(), ("far", 80): Direct()}),
    ),
    Case(
        "out-localhost-bypass+one-host-listed",
        ("--include-outbound-cidrs", "127.0.0.1"),
        (
            Dial("loopback", 9090, Captured(), families=(4,)),
            Dial("loopback", 9090, Direct(), families=(6,)),
            Dial("other-loopback", 9090, Direct(), families=(4,)),
            Dial("peer", 80, Direct()),
        ),
    ),
    Case(
        "out-localhost-bypass+listed-and-excluded",
        ("--include-outbound-cidrs", "{all-loopback}", "--exclude-outbound-cidrs", "{loopback}"),
        (Dial("loopback", 9090, Direct()), Dial("other-loopback", 9090, Captured(), families=(4,))),
    ),
    Case(
        "listener-dialled-straight",
        (),
        (
            *dials(
                {
                    ("loopback", 15001): Refused(),
                    ("loopback", 15006): Refused(),
                    ("self", 15001): Refused(),
                    ("self", 15006): Refused(),
                    ("self-net1", 15001): Refused(),
                }
            ),
            from_peer("self", 15001, Refused()),
            from_peer("self", 15006, Refused()),
        ),
    ),
    Case(
        "listener-dialled-straight+included-ports",
        ("--include-outbound-ports", "15001,15006", "--include-outbound-cidrs", "{all-loopback}"),
        dials({("loopback", 15001): Refused(), ("loopback", 15006): Refused(), ("self", 15006): Refused()}),
    ),
    Case(
        "same-ports-elsewhere",
        ("--dns", "all"),
        dials(
            {
                ("peer", 15001): Captured(),
                ("peer", 15006): Captured(),
                ("far", 15053): Captured(),
                ("far", 15020): Captured(),
            }
        ),
    ),
    Case(
        "other-listener-ports",
        ("--outbound-port", "25001", "--inbound-port", "25006", "--include-outbound-cidrs", "*"),
        (
            Dial("peer", 80, Captured(25001)),
            Dial("peer", 15001, Captured(25001)),
            from_peer("self", 8080, Captured(25006)),
            Dial("loopback", 25001, Refused()),
        ),
        proxy=ProxyOptions(tcp=(25001, 25006), udp=()),
    ),
)
