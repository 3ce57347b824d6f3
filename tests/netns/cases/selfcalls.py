"""The workload's and the proxy's calls to this namespace's own addresses."""

from __future__ import annotations

from tests.netns.cases.model import INBOUND, PROXY_USER, Captured, Case, Dial, Direct, dials, from_peer, user

OWN = (("self", 8080), ("self-net1", 9090), ("self-vnet0", 8080))

CASES = (
    Case(
        "self-calls-proxy",
        (),
        (
            *dials(dict.fromkeys(OWN, Captured())),
            *dials(dict.fromkeys(OWN, Direct()), who=PROXY_USER),
            Dial("loopback", 8080, Direct()),
            Dial("far", 80, Captured()),
        ),
    ),
    Case(
        "self-pod-ip",  # Istio's default is our --self-calls bypass
        ("--self-calls", "bypass"),
        (
            *dials(dict.fromkeys(OWN, Direct())),
            *dials(dict.fromkeys(OWN, Direct()), who=PROXY_USER),
            Dial("far", 80, Captured()),
            from_peer("self", 8080, Captured(INBOUND)),
        ),
    ),
    Case(
        "self-calls-hairpin",
        ("--self-calls", "hairpin"),
        (
            *dials(dict.fromkeys(OWN, Direct())),
            *dials(dict.fromkeys(OWN, Captured(INBOUND)), who=PROXY_USER),
            Dial("self", 8080, Captured(INBOUND), who=user(1337, 1000)),
            Dial("self", 8080, Captured(INBOUND), who=user(1000, 1337)),
            Dial("loopback", 8080, Direct(), who=PROXY_USER),
            Dial("loopback", 8080, Direct()),
            Dial("far", 80, Captured()),
            Dial("far", 80, Direct(), who=PROXY_USER),
            from_peer("self", 8080, Captured(INBOUND)),
        ),
    ),
    Case(
        "self-calls-hairpin+many-uids",
        ("--self-calls", "hairpin", "--proxy-uid", "3,4", "--proxy-gid", "2"),
        (
            Dial("self", 8080, Captured(INBOUND), who=user(3)),
            Dial("self", 8080, Captured(INBOUND), who=user(4)),
            Dial("self", 8080, Captured(INBOUND), who=user(1000, 2)),
            Dial("self", 8080, Direct()),
        ),
    ),
    Case(
        "inbound-passthrough-source",
        ("--from", "istio"),
        (
            Dial(
                "self", 8080, Direct(), who=PROXY_USER, options={"source": "127.0.0.6"}, families=(4,), explained=False
            ),
            Dial("self", 8080, Captured(INBOUND), who=PROXY_USER),
            Dial("self", 8080, Direct()),
            Dial("peer", 80, Captured()),
            from_peer("self", 8080, Captured(INBOUND)),
        ),
        argv_after=("-p", "15001", "-z", "15006", "-u", "1337", "-i", "*", "-b", "*"),
    ),
)
