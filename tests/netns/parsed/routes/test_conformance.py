"""HTTPRoute on the running proxy, by the names of Gateway API's conformance tests (conformance/tests): what each asks
of an implementation, asked of ours with real servers. Those that have files of their own are not here: weights
(test_canary), mirrors (test_mirror), retries and time limits (test_choice)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.parsed.routes_rig import OTHER_VIP, SERVICES, V1, V2, curl, http_service, status, to
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import until
from tests.unit.mesh.support import grant, http_route

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
Asked = tuple[str, str, tuple[str, ...]]


def prefix(path: str, *parts: str) -> str:
    return "{" + ", ".join((f"matches: [{{path: {{type: PathPrefix, value: {path}}}}}]", *parts)) + "}"


def match(*matches: str, backend: str = "v2") -> str:
    return "{matches: [" + ", ".join(f"{{{one}}}" for one in matches) + f"], {to(backend)}}}"


def redirect(spec: str) -> str:
    return f"filters: [{{type: RequestRedirect, requestRedirect: {{{spec}}}}}]"


def rewrite(spec: str) -> str:
    return f"filters: [{{type: URLRewrite, urlRewrite: {{{spec}}}}}]"


def header(name: str, value: str, kind: str = "Exact") -> str:
    return f"{{type: {kind}, name: {name}, value: '{value}'}}"


# MeshHTTPRouteMatching, HTTPRouteMatching, HTTPRouteHeaderMatching, HTTPRoutePathMatchOrder, HTTPRouteMethodMatching,
# HTTPRouteQueryParamMatching
MATCHES = ", ".join((
    match("path: {type: Exact, value: /one}", backend="v1"),
    match("path: {type: PathPrefix, value: /one}", backend="v2"),
    match("path: {type: PathPrefix, value: /one/two/}", backend="v1"),
    match("path: {type: PathPrefix, value: /h}", f"path: {{value: /h}}, headers: [{header('Version', 'two')}]",
          backend="v1"),
    match(f"path: {{value: /h}}, headers: [{header('version', 'two')}, {header('color', 'blue')}]", backend="v2"),
    match(f"path: {{value: /h}}, headers: [{header('color', 'r.d', 'RegularExpression')}]", backend="v2"),
    match("path: {value: /m}, method: POST", backend="v1"),
    match("path: {value: /m}, method: GET", backend="v2"),
    match("path: {value: /q}, queryParams: [{name: animal, value: whale}]", backend="v1"),
    match("path: {value: /q}, queryParams: [{name: animal, value: 'dol.*', type: RegularExpression}]", backend="v2"),
    match("path: {value: /q}, queryParams: [{name: animal, value: whale}, {name: size, value: big}]", backend="v2"),
    match("path: {type: RegularExpression, value: '/r[0-9]+/x'}", backend="v2"),
))  # fmt: skip
MATCHED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("/one", "v1", ()),
    ("/one/", "v2", ()),
    ("/one/x?y", "v2", ()),
    ("/one/two", "v1", ()),
    ("/one/two/three", "v1", ()),
    ("/onetwo", "404", ()),
    ("/h", "v1", ()),
    ("/h", "v1", ("-H", "version: two")),
    ("/h", "v2", ("-H", "VERSION: two", "-H", "color: blue")),
    ("/h", "v2", ("-H", "color: red")),
    ("/h", "v1", ("-H", "color: reed")),
    ("/m", "v1", ("-X", "POST")),
    ("/m", "v2", ()),
    ("/m", "404", ("-X", "PUT")),
    ("/q?animal=whale", "v1", ()),
    ("/q?animal=whale&animal=dolphin", "v1", ()),
    ("/q?animal=dolphin", "v2", ()),
    ("/q?size=big&animal=whale", "v2", ()),
    ("/q", "404", ()),
    ("/r12/x", "v2", ()),
    ("/r12/xy", "404", ()),
)


def answered(lab: Lab, path: str, flags: tuple[str, ...]) -> str:
    said = curl(lab, path, "-w", "%{http_code}", *flags)
    return said.split()[0] if said.startswith("v") else said[-3:]


@pytest.mark.parametrize("flags", [(), ("--ask-all",)], ids=["table", "asked"])
def test_matching(lab: Lab, file: Path, flags: tuple[str, ...]) -> None:
    with proxy_with(lab, file, SERVICES + http_route(MATCHES), *flags):
        assert [(path, answered(lab, path, given), given) for path, _, given in MATCHED] == list(MATCHED)


# HTTPRouteRedirectPort, …Scheme, …Path, …HostAndStatus, HTTPRoute303Redirect, 307, 308; MeshHTTPRouteSchemeRedirect
REDIRECTS = {
    "/port": ("port: 8083", "302 http://shop.example:8083/port/x?q=1"),
    "/host": ("hostname: example.org, port: 8083, statusCode: 301", "301 http://example.org:8083/host/x?q=1"),
    "/scheme": ("scheme: https, hostname: example.org", "302 https://example.org/scheme/x?q=1"),
    "/scheme-port": ("scheme: https, port: 8443, statusCode: 308", "308 https://shop.example:8443/scheme-port/x?q=1"),
    "/full": ("path: {type: ReplaceFullPath, replaceFullPath: /new}, statusCode: 303", "303 http://shop.example/new?q=1"),
    "/before": ("path: {type: ReplacePrefixMatch, replacePrefixMatch: /after}, statusCode: 307",
                "307 http://shop.example/after/x?q=1"),
}  # fmt: skip


@pytest.mark.parametrize("flags", [(), ("--ask-all",)], ids=["table", "asked"])
def test_redirects(lab: Lab, file: Path, flags: tuple[str, ...]) -> None:
    rules = ", ".join(prefix(path, redirect(spec)) for path, (spec, _) in REDIRECTS.items())
    with proxy_with(lab, file, SERVICES + http_route(rules), *flags):
        for path, (_, expected) in REDIRECTS.items():
            told = curl(lab, f"{path}/x?q=1", "-o", "/dev/null", "-H", "host: shop.example", "-w",
                        "%{http_code} %{redirect_url}")  # fmt: skip
            assert told == expected, path


# HTTPRouteRewritePath, HTTPRouteRewriteHost, MeshHTTPRouteRewritePath
REWRITES = {
    "/prefix/one": ("path: {type: ReplacePrefixMatch, replacePrefixMatch: /one}", "/one/x?q=1 host=shop.example"),
    "/strip": ("path: {type: ReplacePrefixMatch, replacePrefixMatch: /}", "/x?q=1 host=shop.example"),
    "/full": ("path: {type: ReplaceFullPath, replaceFullPath: /one}", "/one?q=1 host=shop.example"),
    "/hosts": ("hostname: one.example.org", "/hosts/x?q=1 host=one.example.org"),
    "/both": ("hostname: a.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: ''}", "/x?q=1 host=a.example"),
}


@pytest.mark.parametrize("flags", [(), ("--ask-all",)], ids=["table", "asked"])
def test_rewrites(lab: Lab, file: Path, flags: tuple[str, ...]) -> None:
    rules = ", ".join(prefix(path, rewrite(spec), to("v1")) for path, (spec, _) in REWRITES.items())
    with proxy_with(lab, file, SERVICES + http_route(rules), *flags):
        for path, (_, expected) in REWRITES.items():
            words = curl(lab, f"{path}/x?q=1", "-H", "host: shop.example").split()
            assert f"{words[1]} {words[-1]}" == expected, path


# HTTPRouteRequestHeaderModifier, HTTPRouteBackendRequestHeaderModifier, HTTPRouteResponseHeaderModifier
@pytest.mark.parametrize("flags", [(), ("--ask-all",)], ids=["table", "asked"])
def test_header_modifiers(lab: Lab, file: Path, flags: tuple[str, ...]) -> None:
    request = (
        "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Set, value: rule}], remove: [x-gone]}}"
    )
    own = "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: x-added, value: backend}]}}]"
    answer = (
        "{type: ResponseHeaderModifier, responseHeaderModifier:"
        " {set: [{name: X-Server, value: hidden}], add: [{name: x-new, value: n}], remove: [X-SECRET]}}"
    )
    rule = prefix("/", f"filters: [{request}, {answer}]", to("v1", more=f", {own}"))
    with proxy_with(lab, file, SERVICES + http_route(rule), *flags):
        told = curl(lab, "/x", "-i", "-H", "x-set: a", "-H", "X-Gone: b")
        assert "added=backend set=rule gone= " in told
        lines = told.lower().splitlines()
        assert "x-server: hidden" in lines
        assert "x-new: n" in lines
        assert not any(line.startswith("x-secret") for line in lines)


# HTTPRouteCORS
@pytest.mark.parametrize("flags", [(), ("--ask-all",)], ids=["table", "asked"])
def test_cors(lab: Lab, file: Path, flags: tuple[str, ...]) -> None:
    cors = (
        "allowOrigins: ['https://www.foo.com', 'https://*.bar.com'], allowMethods: [GET, OPTIONS],"
        " allowHeaders: [x-header-1], exposeHeaders: [x-exposed], maxAge: 3600, allowCredentials: true"
    )
    rule = prefix("/", f"filters: [{{type: CORS, cors: {{{cors}}}}}]", to("v1"))
    ask = ("-X", "OPTIONS", "-H", "access-control-request-method: GET")

    def head(origin: str, *more: str) -> dict[str, str]:
        lines = curl(lab, "/", "-i", "-H", f"origin: {origin}", *more).lower().splitlines()
        return dict(line.split(": ", 1) for line in lines[1:] if ": " in line and not line.startswith("v1 "))

    with proxy_with(lab, file, SERVICES + http_route(rule), *flags):
        for origin in ("https://www.foo.com", "https://a.bar.com"):
            asked = head(origin, *ask)
            assert asked["access-control-allow-origin"] == origin
            assert asked["access-control-allow-methods"] == "get, options"
            assert asked["access-control-allow-headers"] == "x-header-1"
            assert (asked["access-control-max-age"], asked["access-control-allow-credentials"]) == ("3600", "true")
            given = head(origin)
            assert (given["access-control-allow-origin"], given["access-control-expose-headers"]) == (
                origin,
                "x-exposed",
            )
        for origin in ("https://foo.com", "http://www.foo.com", "https://bar.com"):
            assert "access-control-allow-origin" not in head(origin, *ask)
            assert "access-control-allow-origin" not in head(origin)


# HTTPRouteTimeoutRequest and …BackendRequest are in test_choice. HTTPRouteNamedRule, MeshHTTPRouteNamedRule
def test_named_rules_are_told_of(lab: Lab, file: Path) -> None:
    rules = prefix("/a", "name: first-rule", to("v1")) + ", " + prefix("/b", to("v2"))
    with proxy_with(lab, file, SERVICES + http_route(rules)) as proxy:
        assert curl(lab, "/a").startswith("v1 ")
        assert curl(lab, "/b").startswith("v2 ")
        until(lambda: len([one for one in proxy.access_log() if "method" in one]) == 2, "both requests")
        assert "first-rule" in proxy.request("/config_dump")[1]


# HTTPRouteInvalidBackendRefUnknownKind, HTTPRouteInvalidNonExistentBackendRef,
# HTTPRouteInvalidCrossNamespaceBackendRef, HTTPRoutePartiallyInvalidViaInvalidReferenceGrant, HTTPRouteReferenceGrant
def test_backends_that_may_not_be_used_are_500(lab: Lab, file: Path) -> None:
    far = http_service("far", V2, namespace="other") + http_service("near", V1)
    kind = "backendRefs: [{group: example.org, kind: Thing, name: v1, port: 80}]"
    rules = ", ".join((
        prefix("/missing", to("absent")),
        prefix("/kind", kind),
        prefix("/far", "backendRefs: [{name: far, namespace: other, port: 80}]"),
        prefix("/half", "backendRefs: [{name: far, namespace: other, port: 80}, {name: near, port: 80}]"),
    ))  # fmt: skip
    text = SERVICES + far + http_route(rules)
    with proxy_with(lab, file, text):
        assert [status(lab, path) for path in ("/missing", "/kind", "/far")] == [500, 500, 500]
        half = re.findall(r"\d{3}", curl(lab, "/half/[1-60]", "-o", "/dev/null", "-w", "%{http_code} "))
        assert 10 < half.count("500") < 50, half
        assert half.count("200") == 60 - half.count("500")
    with proxy_with(lab, file, text + grant("HTTPRoute", name="far")):
        assert curl(lab, "/far").startswith("v2 ")
    with proxy_with(lab, file, text + grant("HTTPRoute", name="elsewhere")):
        assert status(lab, "/far") == 500


# MeshClusterIPMatching, MeshFrontend: only what is dialled at the Service's address has its rules
def test_rules_are_those_of_the_address_that_was_dialled(lab: Lab, file: Path) -> None:
    text = SERVICES + http_service("other", V1, ip=OTHER_VIP) + http_route(prefix("/only", to("v2")))
    with proxy_with(lab, file, text):
        assert curl(lab, "/only").startswith("v2 ")
        assert status(lab, "/else") == 404
        assert curl(lab, "/only", "-H", "host: web.shop", ip=OTHER_VIP).startswith("v1 ")
        assert curl(lab, "/only", ip="10.0.0.1:8102").startswith("v2 ")  # a Pod's own address has no route
        assert curl(lab, "/else", ip="10.0.0.1:8101").startswith("v1 ")


# MeshFrontendHostname: hostnames of a route have no say where its parent is a Service
def test_hostnames_have_no_say(lab: Lab, file: Path) -> None:
    route = http_route("{" + to("v2") + "}").replace("rules:", "hostnames: [other.example], rules:")
    with proxy_with(lab, file, SERVICES + route):
        assert curl(lab, "/", "-H", "host: shop.example").startswith("v2 ")


# MeshConsumerRoute: a route of another namespace acts on clients of that namespace alone
@pytest.mark.parametrize(("namespace", "server"), [("shop", "v1"), ("consumer", "v2"), (None, "v1")])
def test_consumer_routes(
    lab: Lab, file: Path, monkeypatch: pytest.MonkeyPatch, namespace: str | None, server: str
) -> None:
    if namespace is None:
        monkeypatch.delenv("POD_NAMESPACE", raising=False)
    else:
        monkeypatch.setenv("POD_NAMESPACE", namespace)
    consumer = http_route("{" + to("v2", more=", namespace: shop") + "}", parent="web, namespace: shop",
                          name="consumer", namespace="consumer")  # fmt: skip
    of_shop = "\n---\napiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n"
    of_shop += "metadata: {name: g, namespace: shop}\nspec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute,"
    of_shop += " namespace: consumer}], to: [{group: '', kind: Service}]}\n"
    with proxy_with(lab, file, SERVICES + consumer + of_shop):
        assert curl(lab, "/").startswith(f"{server} ")


# MeshPorts, HTTPRouteServiceTypes: a parentRef may name a port; the Service's others are not concerned
def test_a_parents_port(lab: Lab, file: Path) -> None:
    two = SERVICES.replace("ports: [{port: 80, name: http}]", "ports: [{port: 80, name: http}]", 1)
    route = http_route("{" + to("v2") + "}", parent="web, port: 80")
    with proxy_with(lab, file, two + route):
        assert curl(lab, "/").startswith("v2 ")
    with proxy_with(lab, file, SERVICES + http_route("{" + to("v2") + "}", parent="web, port: 81")) as proxy:
        assert curl(lab, "/").startswith("v1 ")
        assert "81" in proxy.stderr()


# HTTPRouteMatchingAcrossRoutes: rules of several routes are one list; the more specific one wins, then the older route
def test_rules_of_several_routes(lab: Lab, file: Path) -> None:
    one = http_route(match("path: {value: /}", "path: {value: /v}, headers: [{name: version, value: two}]"), name="b")
    other = http_route(match("path: {value: /v}", backend="v1"), name="a")
    with proxy_with(lab, file, SERVICES + one + other):
        assert curl(lab, "/x").startswith("v2 ")
        assert curl(lab, "/v").startswith("v1 ")
        assert curl(lab, "/v", "-H", "version: two").startswith("v2 ")
