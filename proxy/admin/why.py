"""Why a connection or a request is treated as it is: the values are gathered here, and proxy.core.why explains them."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from proxy.admin.answer import text
from proxy.admin.messages import Request, Response
from proxy.admin.running import Running
from proxy.core.addresses import UpstreamAddress
from proxy.core.decide.verdict import Verdict
from proxy.core.policy.cluster import Cluster
from proxy.core.report import fields, request_fields
from proxy.core.report.flags import FLAGS
from proxy.core.report.record import ConnectionRecord
from proxy.core.report.request import RequestRecord
from proxy.core.route.match import Request as Head
from proxy.core.why.asked import Asked, asked
from proxy.core.why.endpoints import Standing
from proxy.core.why.explained import Known, explained


def why(proxy: Running, request: Request) -> Response:
    """`?dst=IP:PORT` asks of a connection that might be made, `?id=N` of one that was, or of a request."""
    try:
        given = parse_qsl(request.query, keep_blank_values=True)
        if any(key == "id" for key, _ in given):
            return _past(proxy, _number(given))
        question = asked(given)
    except ValueError as wrong:
        return text(HTTPStatus.BAD_REQUEST, str(wrong))
    return _json(explained(question, _known(proxy, question)))


def _number(given: list[tuple[str, str]]) -> int:
    if len(given) != 1:
        raise ValueError("id stands alone: what is asked about is known")
    number = given[0][1]
    if not (number.isascii() and number.isdigit() and len(number) <= 20):
        raise ValueError(f"id {number!r}: expected the number that /requests, /connections or tap shows as id")
    return int(number)


def _past(proxy: Running, number: int) -> Response:
    """Ids of requests and of connections are counted apart: both are told where there are two."""
    proxy.requests.take()
    request = proxy.requests.recent.find(number)
    connections = [one for one in proxy.live() if one.id == number and number] or proxy.ended.find(number)
    found = [] if request is None else [_of_request(proxy, request)]
    found += [_of_connection(proxy, one) for one in connections]
    if not found:
        return text(
            HTTPStatus.NOT_FOUND,
            f"nothing with the id {number} is known: the last 1,000 requests are, open connections, and those that "
            "ended while tap looked on",
        )
    return _json({"id": number, "found": found})


def _of_request(proxy: Running, one: RequestRecord) -> dict[str, Any]:
    said = {
        "what": "request",
        "request": request_fields.report(one),
        "connection": one.connection,
        "flags": {flag: FLAGS[flag] for flag in one.flags.split(",") if flag in FLAGS},
    }
    if one.original_destination is None:
        return said
    host = [] if one.authority == "-" else [("host", one.authority)]
    question = Asked(one.original_destination, one.direction, one.source.ip, Head(one.method, one.path, host))
    return said | {"now": explained(question, _known(proxy, question))}


def _of_connection(proxy: Running, one: ConnectionRecord) -> dict[str, Any]:
    question = Asked(one.destination, one.direction, one.peer.ip)
    said = {"what": "connection", "connection": fields.report(one), "decided": _verdict(one.verdict)}
    return said | {"now": explained(question, _known(proxy, question))}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "lane": str(verdict.lane),
        "reason": verdict.lane_reason,
        "cluster": verdict.cluster,
        "refusal": None if verdict.refusal is None else str(verdict.refusal),
    }


def _known(proxy: Running, question: Asked) -> Known:
    verdicts = proxy.verdicts
    return Known(
        policy=verdicts.policy,
        lanes=verdicts.lanes,
        health=verdicts.health,
        standing=lambda cluster: _standing(proxy, cluster),
        spoken=proxy.splice.spoken(question.direction, question.destination),
    )


def _standing(proxy: Running, cluster: Cluster) -> Mapping[UpstreamAddress, Standing]:
    """What all lanes have counted of the cluster's endpoints; latencies and what is under way are of requests."""
    connections: dict[UpstreamAddress, list[int]] = {}

    def add(endpoint: UpstreamAddress, active: int, failures: int) -> None:
        counted = connections.setdefault(endpoint, [0, 0])
        counted[0] += active
        counted[1] += failures

    for group, counters in proxy.splice.counters_of(cluster.name):
        add(group.endpoint, counters.opened - counters.closed, counters.connect_failures)
    for endpoint, load in proxy.verdicts.ledger.loads.members(cluster.name):
        add(endpoint, load.active, load.failures)
    for endpoint, counts in proxy.direct.counts_of(cluster.name):
        add(endpoint, counts.opened - counts.closed, counts.failed)
    found = {}
    requests = proxy.request_endpoints(cluster.name)
    for endpoint in cluster.endpoints:
        active, failures = connections.get(endpoint, (0, 0))
        of_requests = requests.get(endpoint)
        found[endpoint] = Standing(
            outstanding=0 if of_requests is None else of_requests.outstanding,
            connections=active,
            failures=failures,
            latency_us=None if of_requests is None else of_requests.latency_us,
        )
    return found


def _json(value: Any) -> Response:
    return Response(HTTPStatus.OK, json.dumps(value).encode() + b"\n", "application/json")
