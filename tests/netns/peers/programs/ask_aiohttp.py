"""aiohttp: a session that keeps its connection, and a WebSocket where there is one."""

import asyncio
import hashlib
import sys

import aiohttp


async def pieces():
    for number in range(10):
        yield b"%d" % number * 1000


async def told(name, request):
    async with request as answer:
        body = await answer.read()
        kept = sorted((key.lower(), value) for key, value in answer.headers.items() if key.lower() != "date")
        print(name, answer.status, answer.reason, hashlib.sha256(body).hexdigest(), kept)


async def main(base):
    async with aiohttp.ClientSession() as session:
        await told("small", session.get(base + "/small", headers={"X-oDD": "kept"}))
        await told("unchanged", session.get(base + "/small", headers={"If-None-Match": '"small"'}))
        await told("head", session.head(base + "/small"))
        await told("big", session.get(base + "/big"))
        await told("chunked", session.get(base + "/chunked"))
        await told("empty", session.get(base + "/empty"))
        await told("none", session.get(base + "/missing"))
        await told("post", session.post(base + "/echo", data={"a": "1"}))
        await told("post chunks", session.post(base + "/echo", data=pieces()))
        await told("post expecting", session.post(base + "/echo", data=b"z" * 300_000, expect100=True))
        await told("range", session.get(base + "/big", headers={"Range": "bytes=100-199"}))
        if "uvicorn" in sys.argv:
            async with session.ws_connect(base + "/socket") as socket:
                for said in ("hello", "x" * 200_000):
                    await socket.send_str(said)
                    print("socket", (await socket.receive_str())[:20])
                await socket.send_bytes(bytes(range(256)))
                print("socket", (await socket.receive_bytes())[:4])


asyncio.run(main(sys.argv[1]))
