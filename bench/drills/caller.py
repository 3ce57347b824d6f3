"""The caller of a drill: `python -m bench.drills.caller ADDRESS RATE SECONDS`. An open loop: requests begin on time,
whatever became of those before, and a time counts from when its request should have begun. Prints JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter

PATIENCE_S = 5.0
_Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Caller:
    def __init__(self, address: str) -> None:
        self.address = address
        self.times: list[float] = []
        self.ends: Counter[str] = Counter()
        self._idle: list[_Pair] = []

    async def one(self, due: float) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                end = await self._request()
        except TimeoutError:
            end = "no answer in time"
        except OSError as wrong:
            end = type(wrong).__name__
        except asyncio.IncompleteReadError:
            end = "cut short"
        self.ends[end] += 1
        self.times.append(time.monotonic() - due)

    async def _request(self) -> str:
        while self._idle:
            pair = self._idle.pop()
            try:
                return await self._exchange(pair)
            except (asyncio.IncompleteReadError, OSError) as wrong:
                pair[1].close()
                # As all clients do: a kept connection that ends without a byte was closed before the request came.
                if not (isinstance(wrong, asyncio.IncompleteReadError) and not wrong.partial):
                    raise
        return await self._exchange(await asyncio.open_connection(self.address, 80))

    async def _exchange(self, pair: _Pair) -> str:
        reader, writer = pair
        done = False
        try:
            writer.write(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n")
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = next((line for line in head.split(b"\r\n") if line.startswith(b"content-length:")), b":0")
            await reader.readexactly(int(length.partition(b":")[2]))
            done = b"connection: close" not in head
        finally:
            if done:
                self._idle.append(pair)
            else:
                writer.close()
        return head[9:12].decode()


async def call(address: str, rate: float, seconds: float) -> dict[str, object]:
    caller, began, running = Caller(address), time.monotonic(), []
    for number in range(int(rate * seconds)):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        running.append(asyncio.create_task(caller.one(due)))
    await asyncio.gather(*running)
    times = sorted(caller.times)
    return {
        "requests": len(times),
        "failed": len(times) - caller.ends["200"],
        "ends": dict(caller.ends),
        "p50_ms": 1000 * times[len(times) // 2],
        "p99_ms": 1000 * times[min(len(times) - 1, int(len(times) * 0.99))],
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(call(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))))
