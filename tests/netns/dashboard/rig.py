"""The page's process beside a lab's proxy, and a headless Chromium that looks at it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.lab import Lab
from tests.lab.patience import patient
from tests.netns.proxy.proxy_rig import ROOT, until

CHROMIUM = "/usr/bin/chromium"


class Dashboard:
    """One `tidegate dashboard`, which looks into the lab's namespace and is served in ours."""

    def __init__(self, lab: Lab, *flags: str) -> None:
        argv = [sys.executable, "-P", "-m", "tidegate", "dashboard", "--listen", "127.0.0.1:0", "--netns", lab.app.name]
        self.process = subprocess.Popen(
            [*argv, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        url, *token = self._lines(2 if "--write" in flags else 1)
        self.url = url.split()[4]
        self.token = token[0].split()[-1] if token else ""

    def _lines(self, count: int) -> list[str]:
        """Read by hand: a buffered reader would hold lines that `select` does not know of."""
        assert self.process.stdout is not None
        read = ""
        while read.count("\n") < count:
            if not select.select([self.process.stdout], [], [], patient(30))[0]:
                self.process.kill()
                raise AssertionError(f"{read!r} after 30 s: {self.process.communicate()}")
            some = os.read(self.process.stdout.fileno(), 4096).decode()
            assert some, self.process.communicate()[1]
            read += some
        return read.splitlines()

    def __enter__(self) -> Dashboard:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        _, err = self.process.communicate(timeout=patient(10))
        assert (self.process.returncode, err) == (0, "")

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])

    def ask(
        self, method: str, path: str, body: str | None = None, **headers: str
    ) -> tuple[int, str, http.client.HTTPMessage]:
        """headers: with _ for -. Status, body and headers of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patient(10))
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def state(self) -> dict[str, Any]:
        """Of its one proxy, once it has been asked."""

        def asked() -> dict[str, Any] | None:
            found: dict[str, Any] = json.loads(self.ask("GET", "/api/state")[1])["proxies"][0]
            return None if found["error"] == "not asked yet" else found

        return dict(until(asked, "the first answer"))


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(browser: Browser, url: str, **context: Any) -> Iterator[Page]:
    """The page, watched: what it writes to the console as an error, and what it asks of other hosts, fails the test."""
    made = browser.new_context(**context)
    page = made.new_page()
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(url) else wrong.append(f"asks {asked.url}"))
    try:
        page.goto(url)
        yield page
        assert wrong == []
    finally:
        made.close()


def rows(page: Page, section: str) -> list[dict[str, str]]:
    """Of a section's table, by the columns' names."""
    found: list[dict[str, str]] = page.eval_on_selector(
        f"#{section} > .wide > table",
        """table => {
          const names = [...table.tHead.rows[0].cells].map(cell => cell.textContent);
          return [...table.tBodies[0].rows].map(
            row => Object.fromEntries([...row.cells].map((cell, at) => [names[at], cell.textContent])));
        }""",
    )
    return found
