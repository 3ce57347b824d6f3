"""What stands at which path: the full admin endpoint, and the read-only telemetry endpoint."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from proxy.admin.hosts import is_loopback_host
from proxy.admin.http import Answer, Request, Response

Route = Mapping[str, Answer]
"""By method. HEAD is answered as GET."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the answers come from; each is called when it is asked for."""

    state: Callable[[], str]
    """"serving" means ready; any other text says why not."""
    metrics: Callable[[str], tuple[str, bytes]]
    """Accept header -> content type and body."""
    connections: Callable[[], Any]
    listeners: Callable[[], Any]
    clusters: Callable[[], Any]
    config: Callable[[], Any]
    log_level: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Actions:
    set_log_level: Callable[[str], None]
    """Raises ValueError naming what is allowed."""
    drain: Callable[[], None]
    quit: Callable[[], None]


def telemetry_routes(sources: Sources) -> dict[str, Route]:
    """What others may read."""

    def metrics(request: Request) -> Response:
        content_type, body = sources.metrics(request.headers.get("accept", ""))
        return Response(HTTPStatus.OK, body, content_type)

    def ready(_: Request) -> Response:
        state = sources.state()
        status = HTTPStatus.OK if state == "serving" else HTTPStatus.SERVICE_UNAVAILABLE
        return _text(status, state)

    return {
        "/metrics": {"GET": metrics},
        "/healthz/ready": {"GET": ready},
        "/healthz/live": {"GET": lambda _: _text(HTTPStatus.OK, "live")},
    }


def admin_routes(sources: Sources, actions: Actions) -> dict[str, Route]:
    """Everything, for whoever is on this machine."""

    def logging_level(request: Request) -> Response:
        return set_logging_level(request) if request.query else _text(HTTPStatus.OK, sources.log_level())

    def set_logging_level(request: Request) -> Response:
        levels = [value for name, value in parse_qsl(request.query, keep_blank_values=True) if name == "level"]
        if len(levels) != 1:
            return _text(HTTPStatus.BAD_REQUEST, "expected /logging?level=LEVEL")
        try:
            actions.set_log_level(levels[0])
        except ValueError as wrong:
            return _text(HTTPStatus.BAD_REQUEST, str(wrong))
        return _text(HTTPStatus.OK, sources.log_level())

    def drain(_: Request) -> Response:
        actions.drain()
        return _text(HTTPStatus.OK, sources.state())

    def quit_(_: Request) -> Response:
        actions.quit()
        return _text(HTTPStatus.OK, "quitting")

    telemetry = telemetry_routes(sources)
    return {
        **telemetry,
        "/stats/prometheus": telemetry["/metrics"],
        "/connections": {"GET": lambda _: _json(sources.connections())},
        "/listeners": {"GET": lambda _: _json(sources.listeners())},
        "/clusters": {"GET": lambda _: _json(sources.clusters())},
        "/config_dump": {"GET": lambda _: _json(sources.config())},
        "/logging": {"GET": logging_level, "POST": set_logging_level},
        "/drain": {"POST": drain},
        "/quitquitquit": {"POST": quit_},
    }


def answerer(routes: Mapping[str, Route], *, local_only: bool) -> Answer:
    """The function that answers for a table of routes. local_only: the Host header has to name this machine."""

    def answer(request: Request) -> Response:
        if local_only and not is_loopback_host(request.headers.get("host", "localhost")):
            return _text(HTTPStatus.FORBIDDEN, "this endpoint answers to loopback names only")
        route = routes.get(request.path)
        if route is None:
            return _text(HTTPStatus.NOT_FOUND, "no such path; there are: " + " ".join(sorted(routes)))
        handler = route.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            allowed = sorted({*route, "HEAD"} if "GET" in route else route)
            return Response(HTTPStatus.METHOD_NOT_ALLOWED, b"", headers=(("allow", ", ".join(allowed)),))
        return handler(request)

    return answer


def _text(status: HTTPStatus, text: str) -> Response:
    return Response(status, text.encode() + b"\n")


def _json(value: Any) -> Response:
    return Response(HTTPStatus.OK, json.dumps(value).encode() + b"\n", "application/json")
