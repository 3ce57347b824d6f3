"""Connections from before capture: found, told apart from captured ones, closed on request and only then."""

from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.lab import ROOT_USER
from tests.lab.third_party_proxy import ProxyOptions, ThirdPartyProxy

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def proxy(backend: str, lab: Lab) -> Iterator[ThirdPartyProxy]:
    lab.serve_app()
    with lab.proxy(ProxyOptions(transparent=backend == "tproxy")) as made:
        yield made


def test_existing_connections(lab: Lab, backend: str, proxy: ThirdPartyProxy) -> None:
    workload, client = lab.actor(), lab.actor(ROOT_USER, lab.peer)
    before = [(workload, "192.0.2.1", 80), (workload, "2001:db8:2::1", 80), (client, "10.0.0.2", 8080)]
    kept = [(actor, actor.keep(host, port)[0]) for actor, host, port in before]
    try:
        lab.tidegate("init", "--mode", backend).ok()
        lab.adopt(backend, proxy)
        captured = [(actor, actor.keep(host, port)) for actor, host, port in before]
        assert all(reply.who == "proxy" for _, (_, reply) in captured)
        listed = lab.tidegate("status", "--existing", "--json").json["existing"]
        assert sorted((one["direction"], one["peer"]) for one in listed if one["direction"] == "outbound") == [
            ("outbound", "192.0.2.1:80"),
            ("outbound", "[2001:db8:2::1]:80"),
        ]
        assert [one["workload"] for one in listed if one["direction"] == "inbound"] == ["10.0.0.2:8080"]
        told = lab.tidegate("init", "--mode", backend, "--close-existing", "--json").ok().json
        assert told["closed"] == 3
        for actor, connection in kept:
            assert actor.echo(connection, 10)["status"] != "ok"
        for actor, (connection, _) in captured:
            assert actor.echo(connection, 10)["status"] == "ok"
            actor.let_go(connection)
        assert lab.tidegate("status", "--existing", "--json").json["existing"] == []
    finally:
        for actor, connection in kept:
            actor.let_go(connection)
        lab.tidegate("cleanup").ok()
