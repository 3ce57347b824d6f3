"""Hedged requests: a second one when the first is late, the first answer wins, and hedges feed no storm."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.parsed.origin import origins
from tests.netns.parsed.routes_rig import VIP, curl, http_service, status
from tests.netns.parsed.test_limits import logged
from tests.netns.proxy.config_rig import proxy_with
from tests.unit.mesh.support import traffic_policy

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
ONE, TWO = 8111, 8112
HEDGING = "hedging: {quantile: 0.9, budgetPercent: 20, minDelay: 100ms}"
IN_TURN = "loadBalancer: {simple: ROUND_ROBIN}"
TEXT = http_service("web", ONE, TWO, ip=VIP) + traffic_policy("web", f"{HEDGING}, {IN_TURN}")


def warm(lab: Lab, count: int = 80) -> None:
    assert Counter(curl(lab, f"/warm/[1-{count}]", "-o", "/dev/null", "-w", "%{http_code}\n").split()) == {"200": count}


def test_a_late_answer_is_overtaken_by_another_endpoints(lab: Lab, file: Path) -> None:
    with origins(lab, ONE, TWO) as (one, _), proxy_with(lab, file, TEXT) as proxy:
        warm(lab)
        one.after_s = 20.0
        for number in range(6):
            began = time.monotonic()
            assert json.loads(curl(lab, f"/late/{number}"))["name"] == str(TWO)
            assert time.monotonic() - began < 5
        late = [one for one in logged(proxy, 86) if one["path"].startswith("/late")]
        assert {1, 2} == {one["attempts"] for one in late}
        assert {one["upstream"].rpartition(":")[2] for one in late} == {str(TWO)}
        assert "not obeyed" not in proxy.stderr()
        assert sum(one.seen[f"/late/{number}"] for number in range(6)) >= 1


def test_nothing_is_hedged_before_fifty_answers(lab: Lab, file: Path) -> None:
    with origins(lab, ONE, TWO) as (one, two), proxy_with(lab, file, TEXT):
        warm(lab, 20)
        one.after_s = two.after_s = 0.5
        assert status(lab, "/late") == 200
        assert one.seen["/late"] + two.seen["/late"] == 1


def test_what_may_not_be_repeated_is_not_hedged(lab: Lab, file: Path) -> None:
    with origins(lab, ONE, TWO) as (one, two), proxy_with(lab, file, TEXT):
        warm(lab)
        one.after_s = two.after_s = 0.5
        assert status(lab, "/post", "-d", "x") == 200
        assert one.seen["/post"] + two.seen["/post"] == 1
        assert status(lab, "/key", "-d", "x", "-H", "idempotency-key: k") == 200
        assert one.seen["/key"] + two.seen["/key"] == 2


def test_the_second_request_stands_in_for_one_that_fails(lab: Lab, file: Path) -> None:
    policy = traffic_policy("web", f"{HEDGING}, {IN_TURN}, retries: {{attempts: 0, perTryTimeout: 6s}}")
    text = http_service("web", ONE, TWO, ip=VIP) + policy
    with origins(lab, ONE, TWO) as (one, two), proxy_with(lab, file, text):
        warm(lab)
        one.after_s, two.after_s = 30.0, 0.5
        assert {json.loads(curl(lab, f"/late/{number}"))["name"] for number in range(4)} == {str(TWO)}


def test_hedges_stay_within_their_budget_when_all_are_slow(lab: Lab, file: Path) -> None:
    text = TEXT.replace("minDelay: 100ms", "minDelay: 1ms").replace("budgetPercent: 20", "budgetPercent: 5")
    with origins(lab, ONE, TWO) as (one, two), proxy_with(lab, file, text):
        warm(lab, 200)
        one.after_s = two.after_s = 0.05
        warm(lab, 100)
        made = sum(one.seen.values()) + sum(two.seen.values())
        assert 300 <= made <= 300 + 0.05 * 300 + 1
