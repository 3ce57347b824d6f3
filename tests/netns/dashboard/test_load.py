"""The page under 2,000 requests a second: what it keeps stays bounded, and it goes on to show what is counted."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.lab import Lab
from tests.netns.dashboard.rig import Dashboard, opened, rows
from tests.netns.parsed.routes_rig import SERVICES, VIP, to
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import until
from tests.unit.mesh.support import http_route

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
SECONDS = int(os.environ.get("TIDEGATE_PAGE_SECONDS", "12"))
RATE = 2000
CLIENTS = 8
TAB_MB, PROCESS_MB = 200, 150


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.takes(30)
@pytest.mark.timeout(SECONDS + 120)
def test_memory_stays_bounded(lab: Lab, file: Path, browser: Browser) -> None:
    each = RATE * SECONDS // CLIENTS
    command = ["curl", "-s", "-o", "/dev/null", "--rate", f"{RATE // CLIENTS}/s", f"http://{VIP}/[1-{each}]"]
    with (
        proxy_with(lab, file, SERVICES + http_route("{" + to("v1=9", "v2=1") + "}")),
        Dashboard(lab) as dashboard,
        opened(browser, dashboard.url) as page,
        contextlib.ExitStack() as clients,
    ):
        page.wait_for_selector("#state:text('The proxy answers')")
        painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        cdp = page.context.new_cdp_session(page)
        began = time.monotonic()
        load = [clients.enter_context(lab.app.popen(command, stdin=subprocess.DEVNULL)) for _ in range(CLIENTS)]
        heap = resident = 0.0
        while any(one.poll() is None for one in load):
            time.sleep(1)
            heap = max(heap, cdp.send("Runtime.getHeapUsage")["usedSize"] / 1e6)
            resident = max(resident, resident_mb(dashboard.process.pid))
            assert len(rows(page, "live")) <= 200
        rate = each * CLIENTS / (time.monotonic() - began)
        print(f"{rate:.0f}/s: tab {heap:.0f} MB, process {resident:.0f} MB, first paint {painted:.0f} ms")
        assert (heap < TAB_MB, resident < PROCESS_MB) == (True, True), (heap, resident)
        until(lambda: sum(int(one["requests"]) for one in rows(page, "traffic")) == each * CLIENTS, "the whole count")
