"""The pieces of the archive, each by its name: how it is had, and as what it is kept."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidegate.admin import Admin
from tidegate.asking.whom import Whom
from tidegate.netns import inside
from tidegate.support import redact

LOG_BYTES = 2 * 1024 * 1024
"""The end of a log that is kept."""
JOURNAL_LINES = 2000
PAGES = ("config_dump", "clusters", "listeners", "connections", "requests", "totals", "policy")
TEXTS = ("metrics", "healthz/ready", "logging")


@dataclass(frozen=True, slots=True)
class Piece:
    """make raises where it can't be had; what it returns is redacted already."""

    name: str
    make: Callable[[], str]


def of_host(*, doctor_s: float, config: tuple[str, ...]) -> Iterator[Piece]:
    """doctor_s: seconds that trying may take; 0: nothing is tried."""
    yield Piece("about.json", _about)
    yield Piece("status.json", lambda: _json(_status()))
    if doctor_s:
        yield Piece("doctor.json", lambda: _json(_doctor(doctor_s)))
    yield Piece("enrolments.json", lambda: _json(_enrolments()))
    yield from _logs()
    yield Piece("logs/journal.txt", _journal)
    if config:
        yield Piece("config/documents.json", lambda: _json(_documents(config)))


def of_proxy(one: Whom) -> Iterator[Piece]:
    folder = f"proxies/{one.name.replace(' ', '-').replace('/', '_')}"
    for page in PAGES:
        yield Piece(f"{folder}/{page}.json", lambda page=page: _json(_asked(one, f"/{page}")))  # type: ignore[misc]
    for page in TEXTS:
        yield Piece(f"{folder}/{page.replace('/', '-')}.txt", lambda page=page: _page(one, f"/{page}"))  # type: ignore[misc]


def _asked(one: Whom, path: str) -> Any:
    with inside(one.netns):
        return Admin(one.admin).get(path)


def _page(one: Whom, path: str) -> str:
    with inside(one.netns):
        return redact.log(Admin(one.admin).text(path))


def _json(found: Any) -> str:
    return json.dumps(redact.value(found), indent=1) + "\n"


def _about() -> str:
    from importlib.metadata import version

    return json.dumps(
        {
            "tidegate": version("tidegate"),
            "python": sys.version,
            "kernel": platform.release(),
            "machine": platform.machine(),
            "system": _system(),
            "uid": os.geteuid(),
            "capabilities": _line_of("/proc/self/status", "CapEff:"),
        },
        indent=1,
    )


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def _line_of(file: str, beginning: str) -> str:
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        if line.startswith(beginning):
            return line.removeprefix(beginning).strip()
    return ""


def _status() -> dict[str, Any]:
    from intercept.status import status

    return status().as_dict()


def _doctor(limit_s: float) -> dict[str, Any]:
    from intercept.doctor.examine import examine

    return examine(limit_s)


def _enrolments() -> list[dict[str, object]]:
    from onboard.enroll import registry

    if registry.FOLDER.exists() and not os.access(registry.FOLDER, os.R_OK | os.X_OK):
        raise PermissionError(f"{registry.FOLDER} can be read by root only")
    return [one.as_dict() for one in registry.every()]


def _logs() -> Iterator[Piece]:
    from onboard.enroll import registry

    for one in registry.every():
        path = registry.log_path(one.name)
        yield Piece(f"logs/enrolment-{one.name}.txt", lambda path=path: redact.log(_end_of(path)))  # type: ignore[misc]


def _end_of(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LOG_BYTES))
        return file.read(LOG_BYTES).decode("utf-8", "replace")


def _journal() -> str:
    argv = ["journalctl", "--no-pager", "--lines", str(JOURNAL_LINES), "--unit", "tidegate*"]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=20, check=False)
    except FileNotFoundError:
        raise FileNotFoundError("this host has no journalctl; a proxy logs to its standard error") from None
    if done.returncode != 0:
        raise OSError(done.stderr.decode("utf-8", "replace").strip() or f"journalctl ended with {done.returncode}")
    return redact.log(done.stdout.decode("utf-8", "replace")[-LOG_BYTES:])


def _documents(config: tuple[str, ...]) -> dict[str, Any]:
    from mesh.sources.files import load
    from proxy.core.report.policy import destinations

    loaded = load(config)
    return {
        "documents": len(loaded.documents.all),
        "warnings": [str(problem) for problem in loaded.problems],
        "destinations": destinations(loaded.policy),
    }
