"""A user's filter, through the door and the rules in C: what it changes, what it answers, what it may not."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.core.policy.http import Filters, HttpRule, HttpTarget
from proxy.core.route.filters import HeaderEdits, Redirect
from proxy.core.route.match import Match
from proxy.core.route.match import Path as RulePath
from proxy.core.route.table import RuleTable
from proxy.errors import BadSetting
from proxy.lanes.parsed.decider import Decider, Known
from proxy.lanes.parsed.filters.budget import Budget
from proxy.lanes.parsed.filters.decider import FilteredDecider
from proxy.lanes.parsed.filters.load import load
from tests.unit.cext.route.both import cluster
from tests.unit.cext.route.evaluator import ANSWER, PLAIN, Outcome, Site
from tests.unit.cext.route.test_asked import FAILURES, ask
from tests.unit.house.repository import ROOT

EDITS = Filters(request=HeaderEdits(add=(("x-rule", "1"),)), response=HeaderEdits(set=(("X-Old", "2"),)))
RULES = (
    HttpRule(Match(RulePath(value="/old")), (HttpTarget(1, cluster("old")),), "a/r", "0"),
    HttpRule(Match(RulePath(value="/new")), (HttpTarget(1, cluster("new")),), "a/r", "1", filters=EDITS),
    HttpRule(Match(RulePath(value="/moved")), (), "a/r", "2", filters=Filters(redirect=Redirect(scheme="https"))),
)
Filtered = Callable[..., Outcome]


@pytest.fixture
def bypassed() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def filtered(tmp_path: Path, bypassed: list[tuple[str, str]]) -> Iterator[Filtered]:
    """The outcome of a request with a filter of this text."""
    decider = Decider()
    decider.learn(3, Known(RULES, RuleTable([rule.match for rule in RULES]), PLAIN))
    site = Site(RULES, ask_always=True)
    budget = Budget(lambda *what: bypassed.append(what), budget_s=0.1, pause_s=0.4)

    def run(text: str, target: str = "/old/x", *lines: str, method: str = "GET") -> Outcome:
        (tmp_path / "filter.py").write_text(text)
        hooks = load(tmp_path / "filter.py")
        head = "\r\n".join([f"{method} {target} HTTP/1.1", "Host:  shop", *lines, "", ""]).encode()
        return ask(site, head, FilteredDecider(decider, hooks, budget).decide)

    yield run
    budget.close()
    site.close()


def example() -> str:
    text = (ROOT / "docs" / "filters.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_pages_example_does_what_it_says(filtered: Filtered) -> None:
    refused = filtered(example(), "/old/x")
    assert (refused.status, refused.answer) == (
        403,
        b"HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: 12\r\n\r\nwhich team?\n",
    )
    passed = filtered(example(), "/old/x?q", "X-Team: blue")
    assert (passed.rule, passed.target) == (1, 0)
    assert passed.request == (
        b"GET /new/x?q HTTP/1.1\r\nHost: shop\r\nX-Team: blue\r\nx-checked: yes\r\nx-rule: 1\r\n\r\n"
    )
    assert b"Server" in ANSWER
    assert b"Server" not in passed.answer
    assert b"X-Old: 2\r\n" in passed.answer


def test_what_changes_nothing_leaves_the_bytes_as_they_came(filtered: Filtered) -> None:
    outcome = filtered("def on_request(request): request.headers.get('host')\ndef on_response(response): pass")
    assert (outcome.rule, outcome.edits_request) == (0, False)
    assert outcome.answer == ANSWER


def test_a_changed_request_may_meet_any_rule(filtered: Filtered) -> None:
    gone = filtered("def on_request(request): request.target = '/nothing'")
    assert (gone.status, gone.kind) == (404, "answer")
    moved = filtered("def on_request(request): request.target = '/moved/y'")
    assert (moved.status, b"location: https://shop/moved/y\r\n" in moved.answer) == (302, True)


@pytest.mark.parametrize(
    "line",
    [
        "request.headers.set('content-length', '3')",
        "request.headers.remove('Transfer-Encoding')",
        "request.headers.add('x', 'a\\r\\nb')",
        "request.headers.add('x y', 'a')",
        "request.target = '/a b'",
        "request.answer(200, 'x', [('content-length', '3')])",
        "request.answer(99)",
        "request.answer(204, 'x')",
        "return 7",
        "1 / 0",
    ],
)
def test_what_may_not_be_done_is_a_500(filtered: Filtered, line: str) -> None:
    FAILURES.clear()
    assert filtered(f"def on_request(request):\n    {line}").status == 500
    assert len(FAILURES) == 1


def test_what_takes_too_long_is_interrupted_bypassed_and_left_alone(
    filtered: Filtered, bypassed: list[tuple[str, str]]
) -> None:
    endless = "def on_request(request):\n    request.target = '/moved'\n    while True: pass"
    began = time.monotonic()
    outcome = filtered(endless)
    assert time.monotonic() - began < 5
    assert (outcome.rule, outcome.request) == (0, b"")
    assert filtered(endless).rule == 0
    assert bypassed == [("on_request", "budget"), ("on_request", "paused")]
    time.sleep(0.45)
    assert filtered("def on_request(request): request.target = '/new'").rule == 1


def test_a_call_that_catches_everything_or_sleeps_is_noticed_when_it_comes_back(
    filtered: Filtered, bypassed: list[tuple[str, str]]
) -> None:
    stubborn = "import time\ndef on_response(response):\n    time.sleep(0.3)\n    response.headers.set('x', 'late')"
    assert filtered(stubborn).answer == ANSWER
    assert bypassed == [("on_response", "budget")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1", "filter.py"),
        ("\ndef on_request(request:", "filter.py:2"),
        ("\n\nimport not_there_at_all", "filter.py:3"),
        ("on_request = 7", "on_request to be a function"),
    ],
)
def test_a_file_that_is_no_filter_is_named(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "filter.py").write_text(text)
    with pytest.raises(BadSetting, match=re.escape(told)):
        load(tmp_path / "filter.py")
