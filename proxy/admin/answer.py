"""From a table of routes to the function that answers: paths, methods, and who may ask for what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

from proxy.admin.hosts import is_loopback_host, is_same_origin
from proxy.admin.messages import Answer, Given, Later, Request, Response


@dataclass(frozen=True, slots=True)
class Route:
    """What stands at a path. GET and HEAD only ever read; POST is for what changes something."""

    read: Answer | None = None
    change: Callable[[Request], Response | Later] | None = None

    @property
    def allowed(self) -> str:
        return ", ".join([*(("GET", "HEAD") if self.read else ()), *(("POST",) if self.change else ())])

    def handler(self, method: str) -> Answer | None:
        if method in ("GET", "HEAD"):
            return self.read
        return self.change if method == "POST" else None


Routes = Mapping[str, Route]


def open_to_all(routes: Routes) -> Answer:
    """For an endpoint that others on the network reach. Nothing there may change anything."""
    changing = [path for path, route in routes.items() if route.change is not None]
    if changing:
        raise ValueError(f"{', '.join(changing)}: changes something, and so belongs to the admin endpoint alone")
    return lambda request: _answer(routes, request)


def local_only(
    routes: Routes, may_change: Callable[[Request], bool], uid_of: Callable[[Request], int | None] = lambda _: None
) -> Answer:
    """For an endpoint on loopback. may_change: whether the client that sent the request may change something. uid_of:
    whose the client is; what changes something gets to know it."""

    def answer(request: Request) -> Given:
        host = request.headers.get("host", "localhost")
        if not is_loopback_host(host):
            return text(HTTPStatus.FORBIDDEN, "this endpoint answers to loopback names only")
        if not is_same_origin(host, request.headers):
            return text(HTTPStatus.FORBIDDEN, "this endpoint does not answer pages of other origins")
        if request.method == "POST":
            request = replace(request, uid=uid_of(request))
        return _answer(routes, request, may_change)

    return answer


def text(status: HTTPStatus, line: str) -> Response:
    return Response(status, line.encode() + b"\n")


def _answer(routes: Routes, request: Request, may_change: Callable[[Request], bool] | None = None) -> Given:
    route = routes.get(request.path)
    if route is None:
        return text(HTTPStatus.NOT_FOUND, "no such path; there are: " + " ".join(sorted(routes)))
    handler = route.handler(request.method)
    if handler is None:
        return Response(HTTPStatus.METHOD_NOT_ALLOWED, b"", headers=(("allow", route.allowed),))
    if handler is route.change and (may_change is None or not may_change(request)):
        return text(HTTPStatus.FORBIDDEN, "only root and the proxy's own user may change something")
    return handler(request)
