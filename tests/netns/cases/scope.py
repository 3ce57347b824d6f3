"""Interfaces, families, switches: what bounds capture as a whole."""

from __future__ import annotations

from tests.netns.cases.model import DNS, INBOUND, Captured, Case, Dial, Direct, Unserved, from_guest, from_peer

IN = Captured(INBOUND)

CASES = (
    Case(
        "iface-exclude",
        ("--exclude-interfaces", "net1"),
        (
            Dial("peer-net1", 80, Direct(), via="net1"),
            from_peer("self-net1", 8080, Direct(), via="net1"),
            Dial("peer", 80, Captured(), via="eth0"),
            from_peer("self", 8080, IN, via="eth0"),
        ),
        may_refuse={"ebpf": "--exclude-interfaces"},
    ),
    Case(
        "iface-exclude+absent-interface",
        ("--exclude-interfaces", "net1,not-there0,"),
        (Dial("peer-net1", 80, Direct(), via="net1"), Dial("peer", 80, Captured(), via="eth0")),
        may_refuse={"ebpf": "--exclude-interfaces"},
    ),
    Case(
        "virtual-interfaces",
        ("--virtual-interfaces", "vnet0", "--exclude-outbound-ports", "5432", "--exclude-outbound-cidrs", "{far-net}"),
        (
            from_guest("peer", 80, Captured(), via="vnet0"),
            from_guest("far2", 443, Captured(), via="vnet0"),
            from_guest("peer", 5432, Direct(), via="vnet0"),
            from_guest("far", 80, Direct(), via="vnet0"),
            from_peer("self", 8080, IN, via="eth0"),
            from_peer("guest", 8080, Direct(), via="eth0"),
            Dial("peer", 80, Captured()),
        ),
        may_refuse={"ebpf": "--virtual-interfaces"},
    ),
    Case(
        "virtual-interfaces+include-list",
        (
            "--virtual-interfaces",
            "vnet0",
            "--include-outbound-cidrs",
            "{far-net}",
            "--include-outbound-ports",
            "9090",
            "--include-outbound-gids",
            "888",
        ),
        (
            from_guest("far", 80, Captured(), via="vnet0"),
            from_guest("peer", 9090, Captured(), via="vnet0"),
            from_guest("peer", 80, Direct(), via="vnet0"),
        ),
        may_refuse={"ebpf": "--virtual-interfaces"},
    ),
    Case(
        "virtual-interfaces+dns",
        ("--virtual-interfaces", "vnet0", "--dns", "all"),
        (
            from_guest("public-dns", 53, Captured(DNS), udp=True, via="vnet0", explained=False),
            from_guest("public-dns", 53, Captured(DNS), via="vnet0"),
        ),
        may_refuse={"ebpf": "--virtual-interfaces"},
    ),
    Case(
        "ipv6-off",
        ("--ipv6", "off"),
        (
            Dial("peer", 80, Captured(), families=(4,)),
            Dial("peer", 80, Direct(), families=(6,)),
            Dial("peer", 80, Captured(), families=(4,), options={"mapped": True}),
            from_peer("self", 8080, IN, families=(4,)),
            from_peer("self", 8080, Direct(), families=(6,)),
        ),
    ),
    Case(
        "ipv6-required",
        ("--ipv6", "required"),
        (Dial("peer", 80, Captured()), from_peer("self", 8080, IN)),
    ),
    Case(
        "drop-invalid+ordinary-traffic",
        ("--drop-invalid",),
        (
            Dial("peer", 80, Captured()),
            from_peer("self", 8080, IN),
            Dial("loopback", 8080, Direct()),
            Dial("loopback", 1, Unserved()),
        ),
    ),
    Case(
        "everything-at-once",
        (
            "--include-outbound-cidrs",
            "{peer-net},{far-net},{all-loopback}",
            "--exclude-outbound-cidrs",
            "{resolver}",
            "--exclude-outbound-ports",
            "22",
            "--include-outbound-ports",
            "31000",
            "--exclude-inbound-ports",
            "22",
            "--exclude-inbound-cidrs",
            "{guest-net}",
            "--self-calls",
            "bypass",
            "--dns",
            "all",
            "--drop-invalid",
            "--exclude-outbound-for",
            "tcp:443:1000",
        ),
        (
            Dial("peer", 80, Captured()),
            Dial("peer", 22, Direct()),
            Dial("peer", 443, Direct()),
            Dial("far2", 31000, Captured()),
            Dial("far2", 80, Direct()),
            Dial("resolver", 80, Direct()),
            Dial("resolver", 53, Direct(), udp=True),
            Dial("public-dns", 53, Captured(DNS), udp=True),
            Dial("self", 8080, Direct()),
            Dial("loopback", 8080, Captured()),
            from_peer("self", 8080, IN),
            from_peer("self", 22, Direct()),
            from_guest("self-vnet0", 8080, Direct()),
        ),
    ),
)
