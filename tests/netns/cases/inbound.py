"""Which connections that arrive at the workload are captured."""

from __future__ import annotations

from tests.netns.cases.model import INBOUND, TELEMETRY, Captured, Case, Dial, Direct, Unserved, from_guest, from_peer

IN = Captured(INBOUND)

CASES = (
    Case(
        "in-all",
        (),
        (
            from_peer("self", 8080, IN),
            from_peer("self", 9090, IN),
            from_peer("self-net1", 8080, IN),
            from_guest("self-vnet0", 8080, IN),
            Dial("loopback", 8080, Direct()),
        ),
    ),
    Case("in-all+relayed", (), (from_peer("self", 8080, IN), from_peer("self", 9090, IN)), relay=True),
    Case("in-all+nobody-serves", (), (from_peer("self", 4444, IN),)),
    Case(
        "in-list",
        ("--include-inbound-ports", "9090,9099,"),
        (
            from_peer("self", 9090, IN),
            from_peer("self", 9099, IN),
            from_peer("self", 8088, Unserved()),
            from_peer("self", 8888, Unserved()),
            from_peer("self", 8080, Direct()),
        ),
    ),
    Case(
        "in-list+range",
        ("--include-inbound-ports", "7000-8080, 9090"),
        (
            from_peer("self", 7070, IN),
            from_peer("self", 8080, IN),
            from_peer("self", 9090, IN),
            from_peer("self", 5432, Direct()),
        ),
    ),
    Case("in-none", ("--include-inbound-ports", ""), (from_peer("self", 8080, Direct()), Dial("peer", 80, Captured()))),
    Case(
        # The peers keep capturing 5000; the contract says that excludes always win.
        "in-exclude-ignored-with-list",
        ("--include-inbound-ports", "4000,5000,8080", "--exclude-inbound-ports", "5000,8080"),
        (
            from_peer("self", 4000, IN),
            from_peer("self", 5000, Unserved()),
            from_peer("self", 8080, Direct()),
        ),
    ),
    Case(
        "in-exclude",
        ("--exclude-inbound-ports", "22,5000-5500"),
        (
            from_peer("self", 22, Direct()),
            from_peer("self", 5432, Direct()),
            from_peer("self", 8080, IN),
        ),
    ),
    Case(
        "in-exclude-cidrs",
        ("--exclude-inbound-cidrs", "{peer}"),
        (
            from_peer("self", 8080, Direct()),
            from_guest("self-vnet0", 8080, IN),
        ),
    ),
    Case(
        "in-exclude-cidrs+network-and-one-family",
        ("--exclude-inbound-cidrs", "10.0.2.0/24"),
        (
            from_peer("self", 8080, IN),
            from_guest("self-vnet0", 8080, Direct(), families=(4,)),
            from_guest("self-vnet0", 8080, IN, families=(6,)),
        ),
    ),
    Case(
        "telemetry-port-inbound",
        ("--include-inbound-ports", f"8080,{TELEMETRY}"),
        (from_peer("self", TELEMETRY, Direct()), from_peer("self", 8080, IN)),
    ),
    Case("telemetry-port-inbound+all", (), (from_peer("self", TELEMETRY, Direct()),)),
    Case(
        "forwarded-untouched",
        (),
        (
            from_guest("peer", 80, Direct(), via="vnet0"),
            from_guest("far", 8080, Direct(), via="vnet0"),
            from_peer("guest", 8080, Direct(), via="eth0"),
        ),
    ),
)
