"""What the page's process answers: the page's files, what is seen now, and changes."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from importlib import resources
from typing import Any

from aiohttp import web

from dashboard import changes, guard
from dashboard.proxies import Gone, NotTaken
from dashboard.recent import Recent
from dashboard.shown import plain, some
from dashboard.steps import steps
from dashboard.watch import Watch
from proxy.core.report.wanted import wanted

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
LARGEST = 64 * 1024
"""Bytes of a request's body."""


class Page:
    """Belongs to the event loop; the proxies are asked by the watches' threads, and changes by the loop's executor."""

    def __init__(self, watches: Mapping[str, Watch], recent: Recent, token: str | None) -> None:
        self._watches = watches
        self._recent = recent
        self._token = token
        self._files = _files()

    def application(self) -> web.Application:
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._guarded(request, handler)

        made = web.Application(client_max_size=LARGEST, middlewares=[web.middleware(guarded)])
        made.router.add_get("/", self._file)
        made.router.add_get("/{name:[a-z]+[.][a-z]+}", self._file)
        made.router.add_get("/api/state", self._state)
        made.router.add_get("/api/requests", self._requests)
        made.router.add_get("/api/request", self._request)
        made.router.add_post("/api/change", self._change)
        return made

    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        objection = guard.objection(request.method, headers, self._token)
        if objection or len(request.headers.getall("host", [])) > 1:
            answer: web.StreamResponse = _said(HTTPStatus.FORBIDDEN, objection or "one Host is needed")
        else:
            try:
                answer = await handler(request)
            except web.HTTPException as wrong:
                answer = _said(HTTPStatus(wrong.status), wrong.reason)
            except ValueError as wrong:
                answer = _said(HTTPStatus.BAD_REQUEST, str(wrong))
        answer.headers.update(guard.HEADERS)
        return answer

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("name", "index.html")
        if name not in self._files:
            return _said(HTTPStatus.NOT_FOUND, "no such file")
        kind, body = self._files[name]
        return web.Response(body=body, content_type=kind, charset="utf-8")

    async def _state(self, request: web.Request) -> web.StreamResponse:
        text = request.query.get("q", "")
        return _json(
            {"write": self._token is not None, "proxies": [_seen(one, text) for one in self._watches.values()]}
        )

    async def _requests(self, request: web.Request) -> web.StreamResponse:
        asked = dict(request.query)
        after = _number(asked.pop("after", "0"))
        shown = self._recent.since(after, wanted({key: value for key, value in asked.items() if value}))
        return _json(shown._asdict())

    async def _request(self, request: web.Request) -> web.StreamResponse:
        told = self._recent.one(_number(request.query.get("number", "")))
        if told is None or "method" not in told:
            return _said(HTTPStatus.NOT_FOUND, "this request is too long ago: the last 1,000 are kept")
        look = self._watches[told["proxy"]].look()
        return _json({"request": told, "steps": steps(told, look.routes, look.endpoints)})

    async def _change(self, request: web.Request) -> web.StreamResponse:
        asked = changes.change(json.loads(await request.text()))
        if asked.proxy not in self._watches:
            raise ValueError(f"no proxy is called {asked.proxy!r}")
        proxy = self._watches[asked.proxy].proxy
        try:
            said = await asyncio.get_running_loop().run_in_executor(None, proxy.post, asked.path, asked.body)
        except NotTaken as refused:
            return _said(HTTPStatus.CONFLICT, str(refused))
        except Gone as gone:
            return _said(HTTPStatus.BAD_GATEWAY, str(gone))
        return _said(HTTPStatus.OK, said)


def _seen(watch: Watch, text: str) -> dict[str, Any]:
    look = watch.look()
    return {
        "name": watch.proxy.name,
        "admin": watch.proxy.admin,
        "error": look.error,
        "dropped": look.dropped,
        "edges": some(look.edges, text, ("peer", "lane")),
        "traffic": some(look.table, text, ("service", "route", "endpoint", "lane")),
        "routes": some(look.routes, text, ("service", "route", "match", "addresses")),
        "endpoints": some(look.endpoints, text, ("service", "cluster", "address", "health")),
        "changes": look.changes,
    }


def _files() -> dict[str, tuple[str, bytes]]:
    folder = resources.files("dashboard") / "page"
    found = ((one.name, KINDS.get(one.name[one.name.rfind(".") :]), one) for one in folder.iterdir())
    return {name: (kind, one.read_bytes()) for name, kind, one in found if kind is not None}


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        raise ValueError(f"{text!r} is not valid: expected a number")
    return int(text)


def _said(status: HTTPStatus, line: str) -> web.Response:
    return web.Response(status=status, text=plain(line) + "\n", content_type="text/plain")


def _json(value: Any) -> web.Response:
    return web.Response(text=json.dumps(plain(value)), content_type="application/json")
