"""What the process's signals mean: the first SIGTERM or SIGINT drains, the second one does not wait; SIGHUP reads the
configuration again."""

import asyncio
import logging
import signal

from proxy.feed.feed import Feed
from proxy.lanes.drain import SERVING, Drain

_log = logging.getLogger("tidegate.proxy")


def hear_signals(loop: asyncio.AbstractEventLoop, drain: Drain, drain_timeout_s: float, feed: Feed | None) -> None:
    """feed: None where there is no configuration."""

    def end() -> None:
        again = drain.state != SERVING
        drain.begin(0.0 if again else drain_timeout_s, then_exit=True)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, _nothing_to_reload if feed is None else feed.request)


def _nothing_to_reload() -> None:
    _log.info("SIGHUP: there is no configuration to read again")
