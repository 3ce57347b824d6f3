"""Policy as plain values: names for clusters, no defaults, nothing that JSON does not know."""

from __future__ import annotations

import json

from proxy.core.policy.http import Filters, HttpRule, HttpTarget, Mirror
from proxy.core.policy.settings import Failure, HttpSettings, Retries, Shedding
from proxy.core.policy.upstream import HashTable
from proxy.core.report.plain import plain
from proxy.core.route.filters import HeaderEdits
from proxy.core.route.match import Kind, Match, Path, Text
from tests.unit.proxy.core.build import cluster


def test_a_rule() -> None:
    one = cluster()
    rule = HttpRule(
        Match(Path(Kind.EXACT, "/a"), headers=(Text("x", "y"),)),
        (HttpTarget(3, one, name="web"), HttpTarget(0, None, "gone")),
        "shop/r",
        "0",
        filters=Filters(request=HeaderEdits(set=(("a", "b"),)), mirrors=(Mirror(one, 1, 4),)),
    )
    found = plain(rule)
    assert json.loads(json.dumps(found)) == found
    assert found == {
        "match": {"path": {"kind": "exact", "value": "/a"}, "headers": [{"name": "x", "value": "y", "kind": "exact"}]},
        "targets": [
            {"weight": 3, "cluster": one.name, "name": "web"},
            {"weight": 0, "cluster": None, "unresolved": "gone"},
        ],
        "route": "shop/r",
        "rule": "0",
        "filters": {
            "request": {"set": [["a", "b"]]},
            "mirrors": [{"cluster": one.name, "numerator": 1, "denominator": 4, "unresolved": ""}],
        },
    }


def test_settings() -> None:
    assert plain(HttpSettings()) == {}
    retries = Retries(failures=frozenset({Failure.RESET, Failure.CONNECT}), statuses=frozenset({503, 500}))
    assert plain(HttpSettings(retries=retries, shedding=Shedding(5.0))) == {
        "retries": {"failures": ["connect-failure", "reset"], "statuses": [500, 503]},
        "shedding": {"drop_percent": 5.0},
    }
    assert plain(HashTable.MAGLEV) == "maglev"
