"""What rules do with requests and answers: edits both ways, rewrites, redirects, and answers of the proxy's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.parsed.routes_rig import OTHER_VIP, SERVICES, V2, VIP, curl, http_service, status, to
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import until
from tests.unit.mesh.support import grant, http_route

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]


def rule(prefix: str, *parts: str) -> str:
    match = f"matches: [{{path: {{type: PathPrefix, value: {prefix}}}}}]"
    return "{" + ", ".join((match, *parts)) + "}"


def filtered(*items: str) -> str:
    return f"filters: [{', '.join(items)}]"


EDITS = rule(
    "/edit",
    filtered(
        "{type: RequestHeaderModifier, requestHeaderModifier:"
        " {add: [{name: x-added, value: yes1}], set: [{name: x-set, value: new}], remove: [x-gone]}}",
        "{type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: x-more, value: m}], remove: [X-Secret]}}",
    ),
    to("v1"),
)
REWRITE = rule(
    "/old",
    filtered(
        "{type: URLRewrite, urlRewrite: {hostname: new.example,"
        " path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}"
    ),
    to("v2"),
)
REDIRECT = rule("/go", filtered("{type: RequestRedirect, requestRedirect: {hostname: example.org, statusCode: 301}}"))
CORS = rule(
    "/cors",
    filtered("{type: CORS, cors: {allowOrigins: ['http://a.example'], allowMethods: [PUT], maxAge: 60}}"),
    to("v1"),
)
PLAIN = rule("/plain", to("v1"))
FOREIGN = rule("/far", "backendRefs: [{name: far, namespace: other, port: 80}]")
NOBODY = rule("/nobody", to("v1=0", "v2=0"))
MISSING = rule("/missing", to("absent"))
REGEX = "{matches: [{path: {type: RegularExpression, value: '/r[0-9]+'}}], " + to("v2") + "}"
FAR = http_service("far", V2, namespace="other")
ALL = SERVICES + FAR + http_route(", ".join((EDITS, REWRITE, REDIRECT, CORS, PLAIN, FOREIGN, NOBODY, MISSING, REGEX)))


def told(lab: Lab, *flags: str) -> list[str]:
    """Each thing that rules can do, and what came of it."""
    return [
        curl(lab, "/edit", "-i", "-H", "x-gone: g", "-H", "x-set: old", *flags),
        curl(lab, "/old/x?q=1", *flags),
        curl(lab, "/go/there?q=1", "-i", *flags),
        curl(lab, "/cors", "-i", "-X", "OPTIONS", "-H", "origin: http://a.example", "-H",
             "access-control-request-method: PUT", *flags),
        curl(lab, "/cors", "-i", "-H", "origin: http://a.example", *flags),
        curl(lab, "/plain", "-i", *flags),
        *(curl(lab, path, "-i", *flags) for path in ("/far", "/nobody", "/missing", "/r12", "/r12x", "/")),
    ]  # fmt: skip


def without_date(answers: list[str]) -> list[list[str]]:
    return [[line for line in one.splitlines() if not line.lower().startswith("date:")] for one in answers]


def test_what_rules_do(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, ALL) as proxy:
        edit, old, go, preflight, cors, plain, far, nobody, missing, regex, not_regex, none = told(lab)
        assert "v1 /edit added=yes1 set=new gone= host=10.0.0.80" in edit
        assert "x-more: m" in edit
        assert "x-secret" not in edit
        assert "x-server: v1" in edit
        assert old == "v2 /new/x?q=1 added= set= gone= host=new.example\n"
        assert go.startswith("HTTP/1.1 301 ")
        assert "location: http://example.org/go/there?q=1\r\n" in go or "location: http://example.org" in go
        assert preflight.startswith("HTTP/1.1 204 ")
        assert "access-control-allow-origin: http://a.example" in preflight.lower()
        assert "access-control-allow-origin: http://a.example" in cors.lower()
        assert "x-secret: s" in plain
        for one in (far, nobody, missing):
            assert one.startswith("HTTP/1.1 500 ")
        assert "v2 /r12 " in regex
        for one in (not_regex, none):
            assert one.startswith("HTTP/1.1 404 ")
        log = until(lambda: len(found := requests(proxy.access_log())) == 12 and found, "twelve requests")
        by_path = {(one["path"], one["method"]): one for one in log}
        assert by_path["/old/x?q=1", "GET"]["route"] == "shop/route"
        assert by_path["/", "GET"]["flags"] == "NR"
        assert {by_path[path, "GET"]["flags"] for path in ("/far", "/nobody", "/missing")} == {"NC"}


def requests(log: list[dict[str, object]]) -> list[dict[str, object]]:
    return [one for one in log if "method" in one]


def test_asked_requests_get_the_same_as_those_of_the_table(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, ALL):
        by_table = without_date(told(lab))
    with proxy_with(lab, file, ALL, "--ask-all"):
        assert without_date(told(lab)) == by_table


def test_a_grant_lets_another_namespaces_service_be_used(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, ALL + grant("HTTPRoute")):
        assert curl(lab, "/far").startswith("v2 /far ")


def test_answers_of_the_rules_leave_the_connection_open(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, ALL):
        assert sum(int(one) for one in curl(lab, "/go/[1-5]", "-w", "%{num_connects}\n").split()) == 1
        assert sum(int(one) for one in curl(lab, "/none/[1-5]", "-w", "%{num_connects}\n").split()) == 1


def test_a_request_with_a_body_gets_the_rules_answer_and_a_close(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, ALL):
        body = file.with_name("body")
        body.write_text("x" * 200_000)
        answer = curl(lab, "/nowhere", "-i", "--data-binary", f"@{body}")
        assert answer.startswith("HTTP/1.1 404 ")
        assert "connection: close" in answer


def test_a_service_without_a_route_is_what_it_was(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, ALL + http_service("plain", V2, ip=OTHER_VIP)):
        assert curl(lab, "/x", ip=OTHER_VIP).startswith("v2 /x ")


def test_a_route_that_comes_and_goes_is_obeyed_on_open_connections(lab: Lab, file: Path) -> None:
    """A client that keeps its connection gets what is in force when it asks."""
    from tests.netns.proxy.config_rig import dump, in_force, write

    with proxy_with(lab, file, SERVICES) as proxy:
        assert status(lab, "/") == 200
        digest = dump(proxy)["digest"]
        write(file, SERVICES + http_route(rule("/only", to("v2"))))
        digest = in_force(proxy, digest)
        until(lambda: status(lab, "/") == 404, "the route")
        assert curl(lab, "/only").startswith("v2 ")
        write(file, SERVICES)
        in_force(proxy, digest)
        until(lambda: status(lab, "/") == 200, "no route")
        assert VIP in curl(lab, "/only")
