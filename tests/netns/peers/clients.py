"""Real clients of HTTP, each a command line that asks a server many things and prints what it was told."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.netns.peers.servers import PROGRAMS

NAMES = ("curl", "requests", "httpx", "aiohttp", "node", "java", "plain")
BODY = "b" * 300_000
WRITTEN = "%{http_code} %{size_download} %{num_connects}\\n"


def _curl(base: str, server: str) -> list[str]:
    """One process, so that its connection is kept; each answer with its head."""
    one = ["-s", "-i", "-w", WRITTEN]
    more: list[list[str]] = [
        [f"{base}/small", "-H", "X-oDD: kept", "-H", "X-Empty;"],
        [f"{base}/small", "-H", 'If-None-Match: "small"'],
        ["-I", f"{base}/small"],
        [f"{base}/big"],
        [f"{base}/big", "-r", "100-199"],
        [f"{base}/chunked", "--compressed"],
        [f"{base}/events", "-N"],
        [f"{base}/empty"],
        [f"{base}/missing/../x", "--path-as-is"],
        [f"{base}/echo", "-d", "a=1&b=2"],
        [f"{base}/echo", "-H", "Expect: 100-continue", "-d", BODY[:100_000]],
        [f"{base}/echo", "-H", "Transfer-Encoding: chunked", "-d", BODY[:100_000]],
        [f"{base}/echo", "-X", "PUT", "-d", ""],
        [f"{base}/echo", "-X", "BREW"],
        [f"{base}/small", "-0"],
        [f"{base}/small", "-0", "-H", "Connection: keep-alive"],
        ["--request-target", "*", "-X", "OPTIONS", f"{base}/"],
        ["--request-target", "http://other.example/small", f"{base}/"],
        [f"{base}/small", "-H", "Connection: close"],
        [f"{base}/small", "-H", "Host:", "-0"],
    ]
    if server == "jetty":
        # It ends connections of HTTP/1.0 when it likes; what curl says meanwhile reaches no server.
        more = [asked for asked in more if "-0" not in asked]
    argv = ["curl"]
    for number, asked in enumerate(more):
        argv += [*(["--next"] if number else []), *one, *asked]
    return argv


def command(name: str, base: str, upstream: str, classes: Path) -> list[str]:
    """upstream: the server's name; some can do more than others. classes: where Java's are."""
    if name == "curl":
        return _curl(base, upstream)
    if name == "node":
        return ["node", str(PROGRAMS / "ask.js"), base, upstream]
    if name == "java":
        return ["java", "-XX:TieredStopAtLevel=1", "-cp", str(classes), "Ask", base]
    return [sys.executable, "-P", str(PROGRAMS / f"ask_{name}.py"), base, upstream]
