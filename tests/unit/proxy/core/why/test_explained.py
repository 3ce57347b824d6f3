"""What `why` says, from values alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.addresses import Address, OriginalDestination
from proxy.core.decide.lane import Lanes
from proxy.core.lanes import Direction, Lane, LaneChoice
from proxy.core.policy.policy import NO_POLICY, Policy
from proxy.core.resilience.health import HEALTHY, Fitness, Health, health
from proxy.core.route.match import Kind, Match, Path, Request, Text
from proxy.core.why.asked import Asked, asked
from proxy.core.why.endpoints import Standing
from proxy.core.why.explained import Known, explained
from proxy.core.why.rules import why_not
from tests.unit.mesh.support import SERVICE, SLICE, http_route, policy_of, service, tcp_route, traffic_policy

LANES = Lanes(available=frozenset({Lane.SPLICE, Lane.PARSED}))
EBPF = Lanes(available=frozenset(Lane))


def at(ip: str = "10.0.0.1", port: int = 80, **more: Any) -> Asked:
    return Asked(OriginalDestination(Address(ip, port)), **more)


def known(policy: Policy = NO_POLICY, lanes: Lanes = LANES, healthy: Health = HEALTHY, spoken: str = "") -> Known:
    return Known(policy, lanes, healthy, lambda _: {}, spoken)


def web(extra: str = "") -> Policy:
    return policy_of(SERVICE + "---" + SLICE + extra)[0]


def test_an_unclaimed_destination_is_passed_through() -> None:
    told = explained(at(), known())
    assert (told["lane"]["lane"], told["outcome"]) == ("parsed", "passed through to 10.0.0.1:80")
    assert told["detection"]["protocol"] is None
    assert explained(at(), known(spoken="tls"))["lane"]["lane"] == "splice"
    forced = known(lanes=replace(LANES, forced=LaneChoice.SPLICE))
    assert explained(at(), forced)["detection"]["mode"] == "opaque"


def test_the_direct_lane_says_who_decides() -> None:
    told = explained(at(), known(web(), EBPF))
    assert told["lane"]["lane"] == "direct"
    assert "past the proxy" in told["lane"]["decided"]
    assert told["outcome"] == "sent to one of 2 endpoints"


def test_ejected_endpoints_get_no_share() -> None:
    policy = web()
    (cluster,) = [one for one in policy.clusters if one.endpoints]
    ejected = health([(cluster.name, cluster.endpoints[0], Fitness(0, "too many failures"))])
    (target,) = explained(at(), known(policy, healthy=ejected))["targets"]
    first, second = target["endpoints"]
    assert (first["health"], first["share"], first["why"]) == ("ejected", 0.0, "too many failures")
    assert (second["health"], second["share"]) == ("healthy", 1.0)
    every = health([(cluster.name, one, Fitness(0, "bad")) for one in cluster.endpoints])
    (target,) = explained(at(), known(policy, healthy=every))["targets"]
    assert all("used all the same" in one["why"] for one in target["endpoints"])


def test_denied_sources_and_decisions_one_by_one() -> None:
    policy = web(traffic_policy("web", "deniedSources: [10.9.0.0/16]"))
    told = explained(at(source="10.9.1.1"), known(policy))
    assert told["outcome"] == "refused: 10.9.1.1 is a denied source"
    assert explained(at(source="10.8.1.1"), known(policy))["outcome"].startswith("sent to")
    limited = web(traffic_policy("web", "connectionRateLimit: {connections: 5}"))
    assert "one by one: a rate limit" in explained(at(), known(limited))["lane"]["reason"]


def test_shares_of_a_tcp_route() -> None:
    text = "".join(service(name, port="port: 80, name: tcp") for name in ("one", "two"))
    policy = web(text + tcp_route("web", ("one", 3), ("two", 1), ("gone", 0)))
    told = explained(at(), known(policy))
    assert [one["share"] for one in told["targets"]] == [0.75, 0.25, 0.0]
    assert told["outcome"].startswith("refused: ")


def test_targets_that_are_not_there_are_refused_only_where_all_are() -> None:
    http = SERVICE.replace("tcp-main", "http")
    half = policy_of(http + "---" + SLICE.replace("tcp-main", "http") + http_route(
        "{backendRefs: [{name: web, port: 80}, {name: gone, port: 80}]}"))[0]  # fmt: skip
    told = explained(at(request=Request("GET", "/", [])), known(half))
    assert told["route"]["status"] is None
    assert told["targets"][1]["cluster"] is None
    none = policy_of(http + http_route("{backendRefs: [{name: gone, port: 80}]}"))[0]
    told = explained(at(request=Request("GET", "/", [])), known(none))
    assert told["outcome"].startswith("answered 500 by the proxy")


def test_scores_follow_latency_and_load() -> None:
    policy = policy_of(SERVICE.replace("tcp-main", "http") + "---" + SLICE.replace("tcp-main", "http"))[0]
    (cluster,) = [one for one in policy.clusters if one.endpoints]
    standing = {cluster.endpoints[0]: Standing(2, 1, 0, 5000.0), cluster.endpoints[1]: Standing(0, 0, 3, None)}
    told = explained(at(request=Request("GET", "/", [])), Known(policy, LANES, HEALTHY, lambda _: standing))
    first, second = told["targets"][0]["endpoints"]
    assert (first["score"], first["latency_ms"]) == (15.0, 5.0)
    assert (second["score"], second["failures"]) == (0.0, 3)


@pytest.mark.parametrize(
    ("match", "reason"),
    [
        (Match(), None),
        (Match(method="POST"), "the method is GET, not POST"),
        (Match(path=Path(Kind.EXACT, "/b")), "the path /a is not exactly /b"),
        (Match(path=Path(Kind.PREFIX, "/b")), "the path /a is not /b or below"),
        (Match(path=Path(Kind.REGEX, "/[0-9]+")), "the path /a is not a match of the expression /[0-9]+"),
        (Match(headers=(Text("x", "1"),)), "the header x is not 1"),
        (Match(headers=(Text("y", "1"),)), "there is no header y"),
        (
            Match(parameters=(Text("q", "[0-9]", Kind.REGEX),)),
            "the query parameter q is not a match of the expression [0-9]",
        ),
    ],
)
def test_why_a_rule_does_not_take_a_request(match: Match, reason: str | None) -> None:
    assert why_not(match, Request("GET", "/a?q=v", [("X", "2")])) == reason


@pytest.mark.parametrize(
    "query",
    ["", "dst=1", "dst=a:1", "dst=1.2.3.4:80&dst=1.2.3.4:80", "dst=1.2.3.4:80&x=1", "dst=1.2.3.4:80&src=q",
     "dst=1.2.3.4:80&direction=up", "dst=1.2.3.4:80&header=x", "dst=1.2.3.4:80&path=x", "dst=1.2.3.4:70000"],
)  # fmt: skip
def test_bad_questions_are_refused(query: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        asked(parse_qsl(query, keep_blank_values=True))


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.sampled_from(list(Direction)))
def test_whatever_is_asked_is_explained_or_refused(method: str, path: str, header: str, direction: Direction) -> None:
    given_query = [("dst", "10.0.0.1:80"), ("direction", str(direction)), ("method", method), ("path", path)]
    try:
        question = asked([*given_query, ("header", header)])
    except ValueError:
        return
    policy = web(http_route("{matches: [{path: {type: PathPrefix, value: /x}}], backendRefs: [{name: web, port: 80}]}"))
    assert explained(question, known(policy))["outcome"]
