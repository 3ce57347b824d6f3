"""Certificates in the cluster, against a small API server that keeps objects and judges resourceVersions."""

import base64
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from onboard.webhook.certificate import AUTHORITY_LIFE, SERVING_LIFE
from onboard.webhook.cluster import Api, ClusterError, Names, keep

NAMES = Names("tidegate-webhook", "tidegate-webhook", "tidegate")
KEPT_IN = "/api/v1/namespaces/mesh/secrets/tidegate-webhook"
CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/tidegate"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Store:
    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {
            CONFIGURATION: {"webhooks": [{"name": "a", "clientConfig": {}}, {"name": "b", "clientConfig": {}}]}
        }
        self.tokens: set[str] = set()
        self.asked: list[str] = []
        self.meanwhile: Any = None
        """Called once before a write, as another replica would come in between."""

    def bundles(self) -> list[bytes]:
        hooks = self.objects[CONFIGURATION]["webhooks"]
        return [base64.b64decode(one["clientConfig"].get("caBundle", "")) for one in hooks]


class Handler(BaseHTTPRequestHandler):
    store: Store

    def do_GET(self) -> None:
        self._answer(self.store.objects.get(self.path))

    def do_POST(self) -> None:
        self._interrupted()
        made = self._body()
        path = f"{self.path}/{made['metadata']['name']}"
        self._answer(None if path in self.store.objects else self._put(path, made), 409)

    def do_PUT(self) -> None:
        self._interrupted()
        made, there = self._body(), self.store.objects[self.path]
        same = made["metadata"]["resourceVersion"] == there["metadata"]["resourceVersion"]
        self._answer(self._put(self.path, made) if same else None, 409)

    def do_PATCH(self) -> None:
        assert self.headers["Content-Type"] == "application/json-patch+json"
        for one in self._body():
            index = int(one["path"].split("/")[2])
            self.store.objects[self.path]["webhooks"][index]["clientConfig"]["caBundle"] = one["value"]
        self._answer(self.store.objects[self.path])

    def _interrupted(self) -> None:
        meanwhile, self.store.meanwhile = self.store.meanwhile, None
        if meanwhile is not None:
            meanwhile()

    def _put(self, path: str, made: dict[str, Any]) -> dict[str, Any]:
        made["metadata"]["resourceVersion"] = str(len(self.store.asked))
        self.store.objects[path] = made
        return made

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, found: Any, otherwise: int = 404) -> None:
        self.store.asked.append(f"{self.command} {self.path}")
        self.store.tokens.add(self.headers["Authorization"])
        body = json.dumps(found or {"kind": "Status"}).encode()
        self.send_response(200 if found is not None else otherwise)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def api(store: Store, tmp_path: Path) -> Iterator[Api]:
    (tmp_path / "namespace").write_text("mesh\n")
    (tmp_path / "token").write_text("secret-of-the-account")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"store": store}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Api(f"http://127.0.0.1:{server.server_address[1]}", tmp_path)
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_first_start_makes_all_and_tells_the_api_server(api: Api, store: Store) -> None:
    kept = keep(api, NAMES, lambda: NOW)
    assert store.bundles() == [kept.authority, kept.authority]
    assert base64.b64decode(store.objects[KEPT_IN]["data"]["tls.crt"]) == kept.serving
    assert store.tokens == {"Bearer secret-of-the-account"}


def test_a_later_start_writes_nothing(api: Api, store: Store) -> None:
    first = keep(api, NAMES, lambda: NOW)
    store.asked.clear()
    assert keep(api, NAMES, lambda: NOW + SERVING_LIFE / 2) == first
    assert [line.split()[0] for line in store.asked] == ["GET", "GET"]


def test_a_configuration_that_was_applied_again_is_told_again(api: Api, store: Store) -> None:
    kept = keep(api, NAMES, lambda: NOW)
    store.objects[CONFIGURATION] = {"webhooks": [{"name": "a", "clientConfig": {}}]}
    keep(api, NAMES, lambda: NOW)
    assert store.bundles() == [kept.authority]


@pytest.mark.parametrize("before", [None, {"metadata": {"name": "tidegate-webhook", "resourceVersion": "x"}}])
def test_of_two_replicas_the_second_takes_what_the_first_wrote(api: Api, store: Store, before: Any) -> None:
    if before is not None:
        store.objects[KEPT_IN] = before
    firsts: list[Any] = []
    store.meanwhile = lambda: firsts.append(keep(api, NAMES, lambda: NOW))
    assert keep(api, NAMES, lambda: NOW) == firsts[0]
    assert store.bundles() == [firsts[0].authority] * 2


def test_a_change_of_authority_leaves_both_trusted(api: Api, store: Store) -> None:
    first = keep(api, NAMES, lambda: NOW)
    second = keep(api, NAMES, lambda: NOW + AUTHORITY_LIFE * 0.7)
    assert store.bundles() == [second.authority + first.authority] * 2


def test_a_refusal_names_what_was_asked(api: Api, store: Store) -> None:
    del store.objects[CONFIGURATION]
    with pytest.raises(ClusterError, match=r"GET .*mutatingwebhookconfigurations/tidegate: status 404"):
        keep(api, NAMES, lambda: NOW)
