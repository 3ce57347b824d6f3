"""Which endpoints requests may go to: localities, subsets by label, slow start; on the running proxy."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.parsed.routes_rig import DEAD, HTTP, V1, V2, VIP, curl, http_service, quiet, shares
from tests.netns.proxy.config_rig import dump, in_force, proxy_with, write
from tests.netns.proxy.proxy_rig import PEER_V4, until
from tests.unit.mesh.support import http_route, service, traffic_policy

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
HERE = "eu/west/a"
ALL_OUT = "outlierDetection: {consecutive5xxErrors: 1, maxEjectionPercent: 100, baseEjectionTime: 300s}"


def placed(**ports: int) -> str:
    """The Service `web`; each endpoint's locality is its name, with `_` for the slashes."""
    text = service("web", VIP, port=HTTP)
    for place, port in ports.items():
        region, zone = place.split("_")
        text += (
            f"\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
            f"metadata: {{name: web-{region}-{zone}, namespace: shop, labels: {{kubernetes.io/service-name: web}}}}\n"
            f"addressType: IPv4\nports: [{{name: http, port: {port}}}]\n"
            f"endpoints: [{{addresses: ['{PEER_V4}'], zone: {zone},"
            f" deprecatedTopology: {{topology.kubernetes.io/region: {region}}}}}]\n"
        )
    return text


def locality(spec: str, more: str = "") -> str:
    balancer = f"loadBalancer: {{simple: RANDOM, localityLbSetting: {{{spec}}}}}"
    return traffic_policy("web", balancer + (f", {more}" if more else ""))


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_LOCALITY", HERE)


@pytest.mark.parametrize("flags", [(), ("--ask-all",)], ids=["table", "asked"])
def test_the_nearest_endpoint_gets_all_requests(lab: Lab, file: Path, flags: tuple[str, ...]) -> None:
    with proxy_with(lab, file, placed(eu_west=V1, us_east=V2) + locality("enabled: true"), *flags) as proxy:
        assert shares(lab, 100) == Counter(v1=100)
        assert "not obeyed" not in proxy.stderr()


def test_when_the_nearest_is_dead_the_next_gets_them(lab: Lab, file: Path) -> None:
    text = placed(eu_west=DEAD, eu_east=V1, us_east=V2) + locality("enabled: true", ALL_OUT)
    with proxy_with(lab, file, text):
        until(lambda: curl(lab, "/", "-o", "/dev/null", "-w", "%{http_code}") == "200", "the failover")
        assert shares(lab, 60) == Counter(v1=60)


def test_failover_names_the_region(lab: Lab, file: Path) -> None:
    for to, server in (("us", "v2"), ("ap", "v1")):
        text = placed(eu_west=DEAD, ap_south=V1, us_east=V2)
        with proxy_with(lab, file, text + locality(f"failover: [{{from: eu, to: {to}}}]", ALL_OUT)):
            until(lambda: curl(lab, "/", "-o", "/dev/null", "-w", "%{http_code}") == "200", "the failover")
            assert shares(lab, 60) == Counter({server: 60})


def test_distribute_says_each_places_share(lab: Lab, file: Path) -> None:
    spec = "distribute: [{from: 'eu/west/*', to: {'eu/west/*': 80, 'us/*': 20}}]"
    with proxy_with(lab, file, placed(eu_west=V1, us_east=V2, ap_south=DEAD) + locality(spec)):
        found = shares(lab, 1500)
        assert 215 < found["v2"] < 385, found
        assert found["v1"] + found["v2"] == 1500


def test_a_subset_has_the_endpoints_with_its_labels(lab: Lab, file: Path) -> None:
    text = http_service("web", V1, V2, ip=VIP)
    for version, port in (("one", V1), ("two", V2)):
        text = text.replace(
            f"name: web-{port}-ipv4, namespace: shop, labels: {{",
            f"name: web-{port}-ipv4, namespace: shop, labels: {{version: {version}, ",
        )
    text += traffic_policy("web", "subsets: [{name: a, labels: {version: one}}, {name: b, labels: {version: two}}]")

    def rule(subset: str, path: str) -> str:
        ref = f"{{group: tidegate.dev, kind: Subset, name: {subset}.web, port: 80}}"
        return f"{{matches: [{{path: {{type: PathPrefix, value: {path}}}}}], backendRefs: [{ref}]}}"

    with proxy_with(lab, file, text + http_route(f"{rule('a', '/a')}, {rule('b', '/b')}")):
        assert shares(lab, 20, "/a/") == Counter(v1=20)
        assert shares(lab, 20, "/b/") == Counter(v2=20)


@pytest.mark.alone
def test_a_new_endpoint_begins_with_a_part_of_its_share(lab: Lab, file: Path) -> None:
    policy = traffic_policy("web", "loadBalancer: {simple: RANDOM, warmup: {duration: 600s, minimumPercent: 10}}")
    with proxy_with(lab, file, http_service("web", V1, ip=VIP) + policy) as proxy:
        assert shares(lab, 20) == Counter(v1=20)
        digest = dump(proxy)["digest"]
        write(file, http_service("web", V1, V2, ip=VIP) + policy)
        in_force(proxy, digest)
        quiet(2.5)  # health, of which slow start is a part, is looked at once a second
        found = shares(lab, 600)
        # A tenth of what the other one gets: 55 of 600, and not half of them.
        assert 10 < found["v2"] < 140, found
