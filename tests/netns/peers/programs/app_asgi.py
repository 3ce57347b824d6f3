"""uvicorn's application: the same answers, and a WebSocket that echoes."""

import asyncio
import hashlib


async def websocket(receive, send):
    await receive()
    await send({"type": "websocket.accept", "headers": [(b"x-socket", b"yes")]})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")})


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    if scope["type"] == "websocket":
        await websocket(receive, send)
        return
    headers = dict(scope["headers"])

    async def answer(status, body, *more):
        length = [] if status in (204, 304) else [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": [*length, *more]})
        await send({"type": "http.response.body", "body": body})

    path = scope["path"]
    if path == "/small":
        tag = (b"etag", b'"small"')
        if headers.get(b"if-none-match") == b'"small"':
            await answer(304, b"", tag)
        else:
            await answer(200, b"hello\n", tag, (b"set-cookie", b"a=1"), (b"Set-Cookie", b"b=2"))
    elif path == "/big":
        await answer(200, b"b" * (1 << 20))
    elif path in ("/chunked", "/events"):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for number in range(20):
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
            await asyncio.sleep(0.002)
        await send({"type": "http.response.body", "body": b""})
    elif path == "/empty":
        await answer(204, b"")
    elif path == "/echo":
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        odd = headers.get(b"x-odd", b"None").decode("latin-1")
        told = f"{scope['method']} {len(body)} {hashlib.sha256(body).hexdigest()} {odd}\n"
        await answer(200, told.encode(), (b"X-Empty", b""))
    else:
        await answer(404, b"none\n")
