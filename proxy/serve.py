"""Runs the proxy in the foreground."""

import gc
import logging
import socket

import uvloop

from proxy.errors import ProxyError
from proxy.feed.source import Configured, PolicySource
from proxy.settings import ProxySettings
from proxy.sidecar import Sidecar
from proxy.start.startup import Started, start
from proxy.telemetry.log_writer import QueuedHandler

STDERR = 2
_NO_THREAD = "can't start new thread"
"""CPython's words, for an error that has no type of its own."""
_log = logging.getLogger("tidegate.proxy")


def serve(settings: ProxySettings, source: PolicySource | None = None, companions: socket.socket | None = None) -> int:
    """Serves until told to end; returns the exit code. Raises ProxyError when it can't start. companions: where our
    ends of each companion's channels arrive; it is taken over.

    The source is read first, as the user who starts us: what is wrong is found before anything is changed.

    Changes the whole process: user, capabilities, descriptor limit, signal handlers, the root logger.
    """
    configured = None if source is None else Configured(source, *source.load())
    started = start(settings, companions)
    try:
        handler = _log_to_stderr(settings.log_level)
        try:
            for warning in started.warnings:
                _log.warning("%s", warning)
            _run(settings, started, handler, configured)
        finally:
            logging.getLogger().removeHandler(handler)
            handler.close()
    except RuntimeError as failed:
        if str(failed) != _NO_THREAD:
            raise
        raise ProxyError("no more threads can be started: raise the limit of processes (ulimit -u, pids.max)") from None
    return 0


def _run(settings: ProxySettings, started: Started, handler: QueuedHandler, configured: Configured | None) -> None:
    loop = uvloop.new_event_loop()
    sidecar = Sidecar(loop, settings, started, lambda: handler.dropped, configured)
    # One run of the loop from here to the end: a signal that arrives between two runs is lost.
    opening = loop.create_task(_open(sidecar, started))
    opening.add_done_callback(lambda done: loop.stop() if done.cancelled() or done.exception() else None)
    try:
        loop.run_forever()
        if opening.done():
            opening.result()
        else:
            opening.cancel()
    finally:
        loop.run_until_complete(sidecar.close())
        loop.close()


async def _open(sidecar: Sidecar, started: Started) -> None:
    await sidecar.open()
    _log.info(
        "ready: outbound %d, inbound %d, at most %d connections",
        started.outbound.port,
        started.inbound.port,
        started.connection_limit,
    )
    # What exists by now lives until the end: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()


def _log_to_stderr(level: str) -> QueuedHandler:
    """Before any other thread exists but after privileges are gone: the handler's thread inherits what is left."""
    handler = QueuedHandler(STDERR)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level.upper())
    return handler
