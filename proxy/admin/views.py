"""The running proxy as plain values: listeners, clusters, the settings and the configuration in force."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from proxy.admin.running import Running
from proxy.core.addresses import Address, UpstreamAddress
from proxy.core.balance.loads import EndpointLoad
from proxy.core.decide.verdict import PASSTHROUGH
from proxy.core.lanes import Direction
from proxy.core.report import policy as policy_report
from proxy.feed.feed import Feed
from proxy.lanes.splice.lane import SpliceLane
from proxy.settings import ProxySettings


def listener_list(lane: SpliceLane) -> list[Any]:
    return [
        {
            "direction": str(one.direction),
            "explicit": one.explicit,
            "port": one.bound.port,
            "addresses": list(one.bound.addresses),
            "state": lane.listening.state,
            "accepted": lane.listening.accepted(index),
            "transparent": lane.listening.transparent(index),
        }
        for index, one in enumerate(lane.listening.listeners)
    ]


def cluster_list(proxy: Running) -> Iterator[Any]:
    """Clusters with what is open in each, one by one, for they may be many: the two pass-through ones, and those of the
    policy in force."""
    active = dict.fromkeys(PASSTHROUGH.values(), 0)
    for connection in proxy.punted.live():
        if connection.verdict.cluster in active:
            active[connection.verdict.cluster] += 1
    elsewhere: dict[tuple[str, UpstreamAddress], EndpointLoad] = {}

    def add(cluster: str, endpoint: UpstreamAddress, load: EndpointLoad) -> None:
        if cluster in active:
            active[cluster] += load.active
        elsewhere[cluster, endpoint] = elsewhere.get((cluster, endpoint), EndpointLoad()) + load

    for group, one in proxy.splice.counters():
        load = EndpointLoad(one.opened - one.closed, one.opened, one.connect_failures)
        add(group.verdict.cluster, group.verdict.upstream, load)
    for _, member, counts in proxy.direct.counts():
        load = EndpointLoad(counts.opened - counts.closed, counts.opened, counts.failed)
        add(member.verdict.cluster, member.verdict.upstream, load)
    passing = [
        {
            "name": PASSTHROUGH[direction],
            "direction": str(direction),
            "type": "original-destination",
            "endpoints": [],
            "connections_active": active[PASSTHROUGH[direction]],
        }
        for direction in Direction
    ]
    answered: dict[tuple[str, str], dict[str, int]] = {}
    for (cluster, endpoint, status), count in proxy.request_counts.endpoints.items():
        answered.setdefault((cluster, endpoint), {})[status] = count
    yield from passing
    yield from policy_report.clusters(
        proxy.verdicts.policy, proxy.verdicts.ledger, elsewhere, proxy.verdicts.health, answered
    )


def config_dump(settings: ProxySettings, feed: Feed | None) -> dict[str, Any]:
    """The settings in force, under their own names, and the configuration; the last refused one is named."""
    found = {field.name: _plain(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
    return {"settings": found, "configuration": None if feed is None else _configuration(feed)}


def _configuration(feed: Feed) -> dict[str, Any]:
    refused = feed.refused
    return {
        "sources": list(feed.names),
        "digest": feed.policy.digest,
        "loaded_at": feed.loaded_at,
        "warnings": list(feed.warnings),
        "refused": None if refused is None else {"at": refused.at, "errors": list(refused.errors)},
        "destinations": policy_report.destinations(feed.policy),
    }


def _plain(value: object) -> Any:
    if isinstance(value, Address):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
