"""Whose traffic is captured: users, groups, marks."""

from __future__ import annotations

from tests.netns.cases.model import DNS as DNS_LISTENER
from tests.netns.cases.model import PROXY_USER, ROOT, Captured, Case, Dial, Direct, dials, user

CASES = (
    Case(
        "proxy-uid-exempt",
        (),
        (
            Dial("peer", 9090, Direct(), who=PROXY_USER),
            Dial("peer", 9090, Direct(), who=user(1337, 1000)),
            Dial("peer", 9090, Direct(), who=user(1000, 1337)),
            Dial("peer", 9090, Captured()),
            Dial("peer", 9090, Captured(), who=ROOT),
        ),
    ),
    Case(
        "proxy-many-uids",
        ("--proxy-uid", "3, 4", "--proxy-gid", "1,2,"),
        (
            Dial("peer", 80, Direct(), who=user(3)),
            Dial("peer", 80, Direct(), who=user(4)),
            Dial("peer", 80, Direct(), who=user(1000, 2)),
            Dial("peer", 80, Captured()),
            Dial("peer", 80, Captured(), who=PROXY_USER),
        ),
    ),
    Case(
        "proxy-uid-zero",
        ("--proxy-uid", "0"),
        (Dial("peer", 80, Direct(), who=ROOT), Dial("peer", 80, Captured())),
        warns="--proxy-uid",
    ),
    Case(
        "proxy-gid-zero",
        ("--proxy-gid", "0"),
        (
            Dial("peer", 80, Direct(), who=ROOT),
            Dial("peer", 80, Captured(), who=user(1000, 1000)),
            Dial("peer", 80, Direct(), who=user(1000, 0)),
        ),
        warns="--proxy-gid",
    ),
    Case(
        "proxy-mark",
        ("--proxy-mark", "77"),
        (
            Dial("peer", 80, Direct(), who=ROOT, options={"mark": 77}, explained=False),
            Dial("peer", 80, Captured(), who=ROOT, options={"mark": 78}, explained=False),
            Dial("peer", 80, Captured(), who=ROOT),
            Dial("peer", 80, Direct(), who=PROXY_USER),
        ),
    ),
    Case(
        "groups-exclude",
        ("--exclude-outbound-gids", "888"),
        (
            Dial("peer", 80, Direct(), who=user(1000, 888)),
            Dial("peer", 80, Captured()),
        ),
    ),
    Case(
        "groups-exclude+range",
        ("--exclude-outbound-gids", "880-890,7"),
        (
            Dial("peer", 80, Direct(), who=user(1000, 888)),
            Dial("peer", 80, Direct(), who=user(1000, 7)),
            Dial("peer", 80, Captured()),
        ),
    ),
    Case(
        "groups-include",
        ("--include-outbound-gids", "888, 889", "--exclude-outbound-gids", "889"),
        (
            Dial("peer", 80, Captured(), who=user(1000, 888)),
            Dial("peer", 80, Direct(), who=user(1000, 889)),
            Dial("peer", 80, Direct()),
        ),
    ),
    Case("groups-include+none", ("--include-outbound-gids", ""), (Dial("peer", 80, Direct()),)),
    Case(
        "groups-exclude+dns",
        ("--exclude-outbound-gids", "888", "--dns", "all"),
        (
            Dial("peer", 53, Direct(), who=user(1000, 888), udp=True),
            Dial("peer", 53, Captured(DNS_LISTENER), udp=True),
        ),
    ),
    Case(
        "exclude-outbound-for",
        ("--exclude-outbound-for", "tcp:5432,8000-8100:1000-1010", "--exclude-outbound-for", "123"),
        (
            *dials(
                {
                    ("peer", 5432): Direct(),
                    ("far", 8080): Direct(),
                    ("peer", 80): Captured(),
                    ("peer", 7000): Captured(),
                }
            ),
            Dial("peer", 5432, Direct(), who=user(1010)),
            Dial("peer", 5432, Captured(), who=user(1011)),
            Dial("peer", 80, Direct(), who=user(123)),
            Dial("peer", 5432, Direct(), who=user(123)),
        ),
    ),
    Case(
        "exclude-outbound-for+udp",
        ("--dns", "all", "--exclude-outbound-for", "udp:53:1000"),
        (
            Dial("peer", 53, Direct(), udp=True),
            Dial("peer", 53, Captured(DNS_LISTENER)),
            Dial("peer", 53, Captured(DNS_LISTENER), who=user(1001), udp=True),
        ),
    ),
    Case(
        "exclude-outbound-for+both-protocols",
        ("--dns", "all", "--exclude-outbound-for", "*:53-80:1000"),
        (
            Dial("peer", 53, Direct(), udp=True),
            Dial("peer", 53, Direct()),
            Dial("peer", 80, Direct()),
            Dial("peer", 443, Captured()),
            Dial("peer", 80, Captured(), who=user(1001)),
        ),
    ),
)
