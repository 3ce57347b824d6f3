"""One proxy for the tests of a module, and the newest line of its log."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.netns.proxy.proxy_rig import (
    ProxyProcess,
    rules,
    until,
)

RESET = struct.pack("ii", 1, 0)


@pytest.fixture(scope="module")
def running(lab: Lab) -> Iterator[ProxyProcess]:
    with ProxyProcess(lab, "--log-format", "json", "--connect-timeout", "1.6") as proxy, rules(lab.app):
        yield proxy


@pytest.fixture
def proxy(running: ProxyProcess) -> Iterator[ProxyProcess]:
    """The module's proxy; a test must leave it without connections and as healthy as it found it."""
    before = running.fds()
    yield running
    until(lambda: running.request("/connections")[1] == "[]\n", "every connection to end")
    until(lambda: running.fds() == before, f"{before} descriptors again, there are {running.fds()}")
    assert " ERROR " not in running.stderr()


def last(proxy: ProxyProcess, destination: str) -> dict[str, object]:
    """The newest access log line about a destination."""

    def find() -> dict[str, object] | None:
        lines = [line for line in proxy.access_log() if line["original_destination"] == destination]
        return lines[-1] if lines else None

    found: dict[str, object] = until(find, f"an access log line about {destination}")
    return found
