"""docs/grafana.md and deploy/grafana/tidegate.json, held to a Prometheus that scrapes a proxy under traffic."""

import contextlib
import json
import os
import re
import subprocess
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.release.suites import ROOT
from tests.lab import Lab
from tests.netns.proxy.proxy_rig import APP_V4, PEER_V4, ProxyProcess, until
from tests.netns.take_over.upgrading import STREAMS, WEB, Calls, world
from tests.unit.mesh.support import endpoints

pytestmark = [pytest.mark.kernel, pytest.mark.deliver, pytest.mark.timeout(300)]
VIP, PORT = "10.0.0.80", 9090
SERVICE = f"""
apiVersion: v1
kind: Service
metadata: {{name: store, namespace: shop}}
spec: {{clusterIP: {VIP}, ports: [{{name: http, port: {WEB}}}, {{name: tcp-main, port: {STREAMS}}}]}}
"""
SCRAPE = """
global: {scrape_interval: 1s}
scrape_configs:
- job_name: tidegate
  static_configs: [{targets: ["127.0.0.1:15020"]}]
"""
VARIABLES = {"$service": "store.shop.svc.cluster.local", "$namespace": "shop", "$workload": "till"}
RATE = {"$__rate_interval": "1m"}
Row = tuple[str, str, str]


def rows() -> list[Row]:
    """Panel, query, answer."""
    page = (ROOT / "docs/grafana.md").read_text(encoding="utf-8")
    table = page.partition("<!-- queries")[2].partition("<!-- end of queries")[0]
    return re.findall(r"^\| ([^|]+?) \| `(.+)` \| (.+?) \|$", table, re.MULTILINE)


def panels() -> list[tuple[str, str]]:
    """Title, query."""
    dashboard = json.loads((ROOT / "deploy/grafana/tidegate.json").read_text(encoding="utf-8"))
    return [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel["targets"]]


def filled(query: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        query = query.replace(name, value)
    assert "$" not in query, f"a variable that the test does not know: {query}"
    return query


class Scraped:
    def __init__(self, lab: Lab, proxy: ProxyProcess) -> None:
        self._lab = lab
        self._proxy = proxy

    def ask(self, query: str) -> list[float]:
        """The values that Prometheus gives."""
        url = f"http://127.0.0.1:{PORT}/api/v1/query?query={urllib.parse.quote(query)}"
        told = self._lab.app.run(["curl", "-s", "-w", "\n%{http_code}", url], check=False).stdout
        body, _, status = told.rpartition("\n")
        if status in ("000", "503"):
            return []  # it has not begun to serve
        answer: Any = json.loads(body)
        assert answer["status"] == "success", f"{query}: {answer}"
        return [float(sample["value"][1]) for sample in answer["data"]["result"]]

    def families(self) -> set[str]:
        """Names of all metrics that the proxy announces."""
        return set(re.findall(r"^# TYPE (\S+)", self._proxy.request("/metrics")[1], re.MULTILINE))


@pytest.fixture(scope="module")
def scraped(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    folder = tmp_path_factory.mktemp("prometheus")
    scrape, config = folder / "prometheus.yml", lab.folder / "store.yaml"
    scrape.write_text(SCRAPE)
    text = SERVICE + endpoints("store", PEER_V4, port=WEB, port_name="http")
    more = endpoints("store", PEER_V4, port=STREAMS, port_name="tcp-main").replace(
        "name: store-", "name: store-tcp-", 1
    )
    config.write_text(text + more)
    who = {**os.environ, "TIDEGATE_WORKLOAD": "till", "TIDEGATE_NAMESPACE": "shop"}
    argv = ["prometheus", f"--config.file={scrape}", f"--storage.tsdb.path={folder}/data"]
    argv += [f"--web.listen-address=127.0.0.1:{PORT}", "--log.level=warn"]
    with (
        world(lab, "nftables"),
        ProxyProcess(lab, "--config", str(config), env=who) as proxy,
        (folder / "log").open("w") as log,
        contextlib.ExitStack() as stack,
    ):
        for namespace, host in ((lab.app, VIP), (lab.peer, APP_V4)):
            stack.callback(Calls(namespace, host).kill)
        server = lab.app.popen(argv, stdout=subprocess.DEVNULL, stderr=log, cwd=folder)
        stack.callback(server.wait)
        stack.callback(server.kill)
        found = Scraped(lab, proxy)
        until(lambda: (found.ask("count_over_time(up[1m])") or [0])[0] >= 8, f"scrapes (see {log.name})", 60)
        yield found


def test_the_table_is_read() -> None:
    assert len(rows()) > 20
    assert {row[2].partition(";")[0].partition(":")[0] for row in rows()} == {"yes", "no"}


@pytest.mark.parametrize("row", rows(), ids=lambda row: str(row[0]))
def test_the_panel_is_answered_as_the_page_says(scraped: Scraped, row: Row) -> None:
    values = scraped.ask(filled(row[1], VARIABLES))
    if row[2].startswith("yes"):
        assert values
        assert any(value > 0 for value in values)
    else:
        assert not any(value > 0 for value in values)


ZERO_WHEN_ALL_IS_WELL = ("beyond", "out of use", "failed", "Refused", "DNS", "nobody")
"""Panels of what does not happen in this traffic: they must be understood, and may be empty."""


@pytest.mark.parametrize("panel", panels(), ids=str)
def test_our_own_panels_are_answered(scraped: Scraped, panel: tuple[str, str]) -> None:
    title, query = panel
    values = scraped.ask(filled(query, RATE))
    if not any(word in title for word in ZERO_WHEN_ALL_IS_WELL):
        assert any(value > 0 for value in values)


def test_our_own_panels_ask_for_metrics_that_there_are(scraped: Scraped) -> None:
    """Also those of which there is no series now."""
    known = scraped.families()
    asked = {name for _, query in panels() for name in re.findall(r"\b(?:tidegate|istio|process)_\w+", query)}
    assert {name for name in asked if name.removesuffix("_bucket") not in known} == set()
