"""Runs the page's process until it is told to end."""

import asyncio
import signal
from collections.abc import Callable, Sequence

from aiohttp import web

from dashboard.app import Page
from dashboard.guard import Place
from dashboard.proxies import Proxy
from dashboard.recent import Recent
from dashboard.watch import Watch


def serve(proxies: Sequence[Proxy], at: Place, token: str | None, ready: Callable[[str], None]) -> None:
    """Returns after SIGINT or SIGTERM. ready: gets the page's URL when it can be opened. Raises OSError where the
    address can't be listened at."""
    recent = Recent()
    watches = {proxy.name: Watch(proxy, recent) for proxy in proxies}
    for watch in watches.values():
        watch.start()
    asyncio.run(_serve(Page(watches, recent, token).application(), at, ready))


async def _serve(application: web.Application, at: Place, ready: Callable[[str], None]) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, at.ip, at.port)
        await site.start()
        port = runner.addresses[0][1]
        ready(f"http://{at._replace(port=port)}/")
        await ended.wait()
    finally:
        await runner.cleanup()
