"""What stands at which path. A new endpoint is one function and one line in a table below.

A function that reads gets the running proxy and the request, and returns a Response, one that comes Later, or a Stream
of what happens from now on; a function that changes something returns a Response, at once or Later. The server sees
to the rest: methods, who may call, limits, slow clients.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from proxy.admin import policies, views
from proxy.admin.answer import Route, text
from proxy.admin.changes import set_weights
from proxy.admin.messages import Given, Later, Request, Response, Sink, Stream
from proxy.admin.running import Running
from proxy.admin.why import why
from proxy.core.report.fields import report
from proxy.core.report.request_fields import report as request_report
from proxy.core.report.wanted import wanted
from proxy.lanes.drain import SERVING
from proxy.settings import LOG_LEVELS
from proxy.telemetry.tap import notice

CLUSTERS = 20
"""That are rendered at a time."""


@dataclass(frozen=True, slots=True)
class Entry:
    """read: answers GET and HEAD, and must not change anything. change: answers POST of those who may."""

    read: Callable[[Running, Request], Given] | None = None
    change: Callable[[Running, Request], Response | Later] | None = None


def metrics(proxy: Running, request: Request) -> Later:
    async def made() -> Response:
        page = await proxy.metrics(request.headers.get("accept", ""))
        return Response(HTTPStatus.OK, page.body, page.content_type)

    return Later(made())


def ready(proxy: Running, _: Request) -> Response:
    state = proxy.readiness.state()
    return text(HTTPStatus.OK if state == SERVING else HTTPStatus.SERVICE_UNAVAILABLE, state)


def live(_proxy: Running, _: Request) -> Response:
    return text(HTTPStatus.OK, "live")


def connections(proxy: Running, _: Request) -> Response:
    return _json([report(record) for record in proxy.live()])


def requests(proxy: Running, _: Request) -> Response:
    """The last ones that have ended, newest last."""
    proxy.requests.take()
    return _json([request_report(record) for record in proxy.requests.recent.requests()])


def totals(proxy: Running, _: Request) -> Later:
    """What has gone through since the proxy began, by service, route and endpoint."""

    async def made() -> Response:
        return _json(await proxy.totals())

    return Later(made())


def tap(proxy: Running, request: Request) -> Response | Stream:
    """Each request and connection as it ends, from now on: those that pass the filters of the query."""
    try:
        chosen = wanted(dict(parse_qsl(request.query, keep_blank_values=True)))
    except ValueError as wrong:
        return text(HTTPStatus.BAD_REQUEST, str(wrong))

    def subscribe(sink: Sink) -> Callable[[], None]:
        return proxy.tap.follow(sink, chosen)

    return Stream("application/x-ndjson", subscribe, notice)


def listeners(proxy: Running, _: Request) -> Response:
    return _json(views.listener_list(proxy.splice))


def clusters(proxy: Running, _: Request) -> Later:
    async def made() -> Response:
        for _ in proxy.request_counts.read():
            await asyncio.sleep(0)
        found = []
        for number, cluster in enumerate(views.cluster_list(proxy)):
            found.append(json.dumps(cluster))
            if number % CLUSTERS == 0:
                await asyncio.sleep(0)
        return Response(HTTPStatus.OK, f"[{', '.join(found)}]\n".encode(), "application/json")

    return Later(made())


def config_dump(proxy: Running, _: Request) -> Response:
    return _json(views.config_dump(proxy.settings, proxy.feed))


def access_log(proxy: Running, _: Request) -> Stream:
    """Each line of the access log as it is written, from now on."""

    def subscribe(sink: Sink) -> Callable[[], None]:
        return proxy.access_log.follow(sink.put)

    return Stream(proxy.access_log.content_type, subscribe, proxy.access_log.missed)


def log_level(_proxy: Running, _: Request) -> Response:
    return text(HTTPStatus.OK, logging.getLevelName(logging.getLogger().level).lower())


def set_log_level(proxy: Running, request: Request) -> Response:
    levels = [value for name, value in parse_qsl(request.query, keep_blank_values=True) if name == "level"]
    if len(levels) != 1 or levels[0] not in LOG_LEVELS:
        return text(HTTPStatus.BAD_REQUEST, f"expected /logging?level=LEVEL, with LEVEL one of {', '.join(LOG_LEVELS)}")
    logging.getLogger().setLevel(levels[0].upper())
    return log_level(proxy, request)


def drain(proxy: Running, _: Request) -> Response:
    proxy.drain.begin(proxy.settings.drain_timeout_s, then_exit=False)
    return text(HTTPStatus.OK, proxy.readiness.state())


def quit_(proxy: Running, _: Request) -> Response:
    proxy.drain.begin_soon(0.0, then_exit=True)
    return text(HTTPStatus.OK, "quitting")


Table = Mapping[str, Entry]

TELEMETRY: Table = {
    "/metrics": Entry(read=metrics),
    "/healthz/ready": Entry(read=ready),
    "/healthz/live": Entry(read=live),
}
"""What others on the network may see. Nothing here changes anything."""

ADMIN: Table = {
    **TELEMETRY,
    "/stats/prometheus": Entry(read=metrics),
    "/connections": Entry(read=connections),
    "/requests": Entry(read=requests),
    "/tap": Entry(read=tap),
    "/totals": Entry(read=totals),
    "/why": Entry(read=why),
    "/listeners": Entry(read=listeners),
    "/clusters": Entry(read=clusters),
    "/config_dump": Entry(read=config_dump),
    "/access_log": Entry(read=access_log),
    "/logging": Entry(read=log_level, change=set_log_level),
    "/drain": Entry(change=drain),
    "/quitquitquit": Entry(change=quit_),
    "/route/weights": Entry(change=set_weights),
    "/policy": Entry(read=policies.listed, change=policies.set_),
    "/policy/revert": Entry(change=policies.revert),
}
"""Everything, for programs on this machine."""


def routes(table: Table, proxy: Running) -> dict[str, Route]:
    return {
        path: Route(
            None if entry.read is None else partial(entry.read, proxy),
            None if entry.change is None else partial(entry.change, proxy),
        )
        for path, entry in table.items()
    }


def _json(value: Any) -> Response:
    return Response(HTTPStatus.OK, json.dumps(value).encode() + b"\n", "application/json")
