"""An explicit proxy on APP's loopback, and curl that is told of it."""

from __future__ import annotations

import subprocess
from typing import Any

from tests.lab import Lab
from tests.netns.proxy.proxy_rig import ProxyProcess, until

PORT = 3128
PROXY = f"127.0.0.1:{PORT}"
EXPLICIT = ("--explicit-port", str(PORT))


def curl(lab: Lab, *arguments: str, proxy: str = PROXY) -> subprocess.CompletedProcess[str]:
    return lab.app.run(["curl", "-sS", "-m", "60", "-x", f"http://{proxy}", *arguments], check=False)


def said(lab: Lab, *arguments: str, proxy: str = PROXY) -> str:
    done = curl(lab, *arguments, proxy=proxy)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def status(lab: Lab, url: str, *flags: str, proxy: str = PROXY) -> int:
    return int(said(lab, "-o", "/dev/null", "-w", "%{http_code}", *flags, url, proxy=proxy))


def requests(proxy: ProxyProcess, count: int) -> list[dict[str, Any]]:
    def found() -> list[dict[str, Any]]:
        return [one for one in proxy.access_log() if "method" in one]

    until(lambda: len(found()) >= count, f"{count} requests in the log")
    return found()
