"""What a decision costs does not depend on how many rules there are."""

import time
from collections.abc import Callable

import pytest

from proxy.core.policy.http import HttpRule, HttpTarget
from proxy.core.route.match import Kind, Match, Path, Text
from proxy.core.route.table import RuleTable
from tests.unit.cext.route.both import cluster, request_of
from tests.unit.cext.route.evaluator import Site, framed, library

TARGETS = (HttpTarget(1, cluster("v1")),)


def rules(count: int, expressions: int) -> list[HttpRule]:
    """Mixed: exact paths, prefixes, headers under one path, and expressions of paths."""
    kinds: list[Callable[[int], Match]] = [
        lambda i: Match(Path(Kind.EXACT, f"/exact/{i}")),
        lambda i: Match(Path(Kind.PREFIX, f"/prefix/{i}")),
        lambda i: Match(Path(Kind.PREFIX, "/tenants"), headers=(Text("x-env", "live"), Text("x-tenant", str(i)))),
    ]
    matches = [kinds[i % 3](i) for i in range(count)]
    matches += [Match(Path(Kind.REGEX, f"/re/[0-9]+/{i}")) for i in range(expressions)]
    return [HttpRule(match, TARGETS, "a/r", "0") for match in matches]


def head(line: str) -> bytes:
    return f"GET {line} HTTP/1.1\r\nHost: shop\r\nAccept: */*\r\nX-Env: live\r\nX-Tenant: 5\r\n\r\n".encode()


HEADS = [head("/exact/3"), head("/prefix/4/a/b?c=d"), head("/tenants/x/y")]


def cost(count: int, expressions: int) -> float:
    """Seconds of the cheapest of some rounds of decisions."""
    ffi, lib = library()
    site = Site(rules(count, expressions))
    outcome = ffi.new("struct route_outcome *")
    best = float("inf")
    for bytes_ in HEADS:
        assert site.decide(bytes_).kind == "forward"
    for _ in range(7):
        spent = 0.0
        for bytes_ in HEADS:
            with framed(bytes_, answer=False) as parsed:
                given = ffi.from_buffer(bytes_)
                began = time.perf_counter()
                for _ in range(2000):
                    lib.route_decide(site.handle, parsed, given, 1, outcome)
                    lib.route_release(outcome)
                spent += time.perf_counter() - began
        best = min(best, spent)
    site.close()
    return best


@pytest.mark.alone
def test_ten_thousand_rules_cost_no_more_than_a_handful() -> None:
    few, many = cost(9, 1), cost(9500, 500)
    # Asking each rule would cost a thousand times as much; the bound leaves room for a machine that is busy.
    assert many < 20 * few, (few, many)


@pytest.mark.alone
def test_asked_decisions_do_not_scan_either() -> None:
    asked = request_of(head("/re/7/499"))
    table = RuleTable([rule.match for rule in rules(9500, 500)])
    assert table.find(asked) == 9999
    began = time.perf_counter()
    for _ in range(200):
        assert table.find(request_of(head("/re/7/499"))) == 9999
    assert (time.perf_counter() - began) / 200 < 0.001
