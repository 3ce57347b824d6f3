"""`tidegate why` on real captures, proxies and servers: what it says is what then happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab
from tests.netns.parsed.routes_rig import DEAD, SERVICES, VIP, curl, http_service, status, to
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import PEER_V4, ProxyProcess, Server, dial, echo, until
from tests.netns.proxy.test_proxy_tap import tapped
from tests.unit.mesh.support import endpoints, http_route, service

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]

RULES = ", ".join(
    (
        "{matches: [{path: {type: Exact, value: /cart}, method: POST}], " + to("v1") + "}",
        "{matches: [{path: {type: PathPrefix, value: /cart}, headers: [{name: x-canary, value: '1'}]}], "
        + to("v2")
        + "}",
        "{matches: [{path: {type: PathPrefix, value: /cart}}], " + to("v1=9", "v2=1") + "}",
    )
)
OPAQUE_VIP, EMPTY_VIP, PORT = "10.0.0.90", "10.0.0.92", 12480
OPAQUE = service("plain", OPAQUE_VIP, port="port: 80, name: tcp-main") + endpoints(
    "plain", PEER_V4, port=PORT, port_name="tcp-main"
)
EMPTY = service("empty", EMPTY_VIP, port="port: 80, name: http") + endpoints("empty", port_name="http")
ALL = SERVICES + OPAQUE + EMPTY + http_route(RULES)


def why(lab: Lab, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = lab.tidegate("why", *words, "--json").ok().json
    return found


def test_from_the_capture_rule_to_the_endpoints_of_a_route(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, ALL):
        told = why(lab, f"{VIP}:80", "--path", "/cart/1", "--header", "x-other: 2")
        proxy = told["proxy"]
        assert told["capture"]["decision"] == "direct", "the rig's own rules are none of init's"
        assert proxy["service"]["name"] == "shop/web"
        assert proxy["lane"]["lane"] == "parsed"
        assert proxy["detection"]["mode"] == "http"
        assert (proxy["route"]["route"], proxy["route"]["status"]) == ("shop/route", None)
        assert [one["why_not"] for one in proxy["route"]["passed_over"]] == [
            "the method is GET, not POST",
            "there is no header x-canary",
        ]
        assert [(one["name"], one["share"]) for one in proxy["targets"]] == [("v1", 0.9), ("v2", 0.1)]
        assert proxy["outcome"] == "sent to one of 2 endpoints"
        canary = why(lab, f"{VIP}:80", "--path", "/cart/1", "--header", "x-canary: 1")["proxy"]
        assert canary["outcome"] == f"sent to {PEER_V4}:8102"
        assert curl(lab, "/cart/1", "-H", "x-canary: 1").startswith("v2 "), "it says what happens"
        none = why(lab, f"{VIP}:80", "--method", "GET", "--path", "/other")["proxy"]
        assert (none["route"]["status"], none["targets"]) == (404, [])
        assert none["outcome"].startswith("answered 404 by the proxy")
        assert status(lab, "/other") == 404
        for line in ("service", "passed over", "endpoint", "outcome"):
            assert line in lab.tidegate("why", f"{VIP}:80", "--path", "/cart/1").ok().out


def test_with_capture_in_force_its_rule_is_named(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, ALL):
        lab.tidegate("init", "--mode", "nftables", "--exclude-outbound-ports", "81").ok()
        try:
            told = why(lab, f"{VIP}:80")
            assert told["capture"]["decision"] == "capture"
            assert told["proxy"]["outcome"] == "it depends on the request"
            past = why(lab, f"{VIP}:81")
            assert (past["capture"]["decision"], past["capture"]["rule"]) == ("direct", "exclude-outbound-ports")
            assert past["proxy"]["service"]["name"] is None
            said = lab.tidegate("why", f"{VIP}:81").ok().out
            assert "it does not get this connection" in said
        finally:
            lab.tidegate("cleanup").ok()


def test_the_scores_are_those_of_real_answers(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, ALL):
        for _ in range(20):
            assert status(lab, "/cart/1") == 200
        (v1, _) = why(lab, f"{VIP}:80", "--path", "/cart")["proxy"]["targets"]
        (endpoint,) = v1["endpoints"]
        assert endpoint["latency_ms"] > 0
        assert endpoint["score"] is not None
        assert (endpoint["outstanding"], endpoint["health"]) == (0, "healthy")


def test_what_first_bytes_have_taught_is_said(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, ALL), Server(lab.peer, PEER_V4, PORT, echo):
        before = why(lab, f"{PEER_V4}:{PORT}")["proxy"]
        assert (before["detection"]["protocol"], before["lane"]["lane"]) == (None, "parsed")
        with dial(lab.app, PEER_V4, PORT) as client:
            client.sendall(b"\x00opaque")
            assert client.recv(100) == b"\x00opaque"
        after = why(lab, f"{PEER_V4}:{PORT}")["proxy"]
        assert (after["detection"]["protocol"], after["lane"]["lane"]) == ("tcp", "splice")
        assert after["outcome"] == f"passed through to {PEER_V4}:{PORT}"
        assert curl(lab, "/x", ip=f"{PEER_V4}:8101").startswith("v1 ")
        assert why(lab, f"{PEER_V4}:8101")["proxy"]["detection"]["protocol"] == "http/1.1"


def test_opaque_destinations_say_their_lane_and_why(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, ALL):
        told = why(lab, f"{OPAQUE_VIP}:80")["proxy"]
        assert told["lane"]["lane"] == "splice"
        assert "direct lane needs eBPF capture" in told["lane"]["reason"]
        assert told["detection"]["mode"] == "opaque"
        assert told["outcome"] == f"sent to {PEER_V4}:{PORT}"


def test_a_service_without_endpoints_and_a_dead_one(lab: Lab, file: Path) -> None:
    dead = http_service("dead", DEAD, ip="10.0.0.93")
    with proxy_with(lab, file, ALL + dead):
        empty = why(lab, f"{EMPTY_VIP}:80", "--path", "/")["proxy"]
        assert empty["outcome"] == "refused: the Service has no ready endpoint"
        assert status(lab, "/", ip="10.0.0.93") == 503
        (target,) = why(lab, "10.0.0.93:80", "--path", "/")["proxy"]["targets"]
        assert target["endpoints"][0]["failures"] > 0


def test_a_past_request_by_its_id(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, ALL) as proxy:
        assert status(lab, "/cart/7", "-H", "x-canary: 1") == 200
        assert status(lab, "/other") == 404
        requests = until(lambda: len(found := json.loads(proxy.request("/requests")[1])) == 2 and found, "two requests")
        taken, missed = requests
        (told,) = why(lab, "--id", str(taken["id"]))["found"]
        assert told["request"]["path"] == "/cart/7"
        assert told["now"]["service"]["name"] == "shop/web"
        (told,) = why(lab, "--id", str(missed["id"]))["found"]
        assert told["flags"] == {"NR": "no route matches the request"}
        said = lab.tidegate("why", "--id", str(missed["id"])).ok().out
        assert "NR: no route matches the request" in said


def test_connections_by_the_id_that_tap_shows(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, ALL) as proxy, Server(lab.peer, PEER_V4, PORT, echo):
        with tapped(lab, proxy, "--json") as tap, dial(lab.app, OPAQUE_VIP, 80) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            (open_,) = json.loads(proxy.request("/connections")[1])
            assert why(lab, "--id", str(open_["id"]))["found"][0]["connection"]["state"] == "relaying"
            client.close()
            shown = json.loads(tap.lines(1)[0])
        (told,) = why(lab, "--id", str(shown["id"]))["found"]
        assert told["connection"]["close_reason"] == "finished"
        assert told["decided"]["lane"] == "splice"
        assert "shop/plain" in lab.tidegate("why", "--id", str(shown["id"])).ok().out


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        ((), 2, "--id"),
        (("10.0.0.1:80", "--id", "1"), 2, "--id"),
        (("10.0.0.1",), 2, "10.0.0.1"),
        (("name:80",), 2, "name"),
        (("10.0.0.1:99999",), 2, "99999"),
        (("10.0.0.1:80", "--header", "nocolon"), 2, "nocolon"),
        (("10.0.0.1:80", "--path", "relative"), 2, "relative"),
        (("10.0.0.1:80", "--src", "me"), 2, "me"),
        (("10.0.0.1:80", "--direction", "up"), 2, "up"),
        (("--id", "x"), 2, "x"),
        (("--id", "99999999999999999999999"), 2, "9999"),
        (("--id", "123456789"), 2, "123456789"),
        (("10.0.0.1:80", "--run", "1"), 2, "--run"),
        (("10.0.0.1:80", "--enrolment", "nosuch"), 2, "nosuch"),
        (("10.0.0.1:80", "--admin", "x"), 2, "--admin"),
    ],
)
def test_bad_questions_are_named(lab: Lab, words: tuple[str, ...], code: int, named: str) -> None:
    with ProxyProcess(lab):
        assert named in lab.tidegate("why", *words).ended(code).err


def test_without_a_proxy_capture_alone_is_explained(lab: Lab) -> None:
    told = why(lab, "10.0.0.1:80")
    assert told["proxy"] is None
    assert "no proxy answers" in told["proxy_unreachable"]
    assert lab.tidegate("why", "--id", "1").ended(1).err.count("no proxy answers") == 1


def test_hostile_paths_stay_text(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, ALL) as proxy:
        said = lab.tidegate("why", f"{VIP}:80", "--path", "/cart\x1b[31m").ok().out
        assert "\x1b" not in said
        assert "Traceback" not in proxy.stderr()
