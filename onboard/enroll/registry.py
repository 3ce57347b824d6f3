"""What is written down about the enrolments of this host: a file each, in a folder that only root can write."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from intercept import runs
from intercept.errors import BadInput

FOLDER = Path("/run/tidegate/enrolments")
_NAME = re.compile(r"[A-Za-z0-9_@-][A-Za-z0-9_.@-]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One enrolment. pid, started: of the process that serves it (a pid alone may be used again). cgroup: as an Intent
    names it. homes: the folders that processes were moved from, by pid, and under "" where those born since go."""

    name: str
    selector: str
    pid: int
    started: int
    cgroup: str
    mode: str = ""
    outbound_port: int = 0
    inbound_port: int = 0
    dns_port: int | None = None
    admin: str = ""
    state: str = "starting"
    """starting, serving, waiting (its cgroup is not there at the moment), draining."""
    not_captured: tuple[str, ...] = ()
    homes: Mapping[str, str] = field(default_factory=dict)
    document: str = ""
    """What is in force for it, as `intercept.plan.stored` writes it."""

    @property
    def lives(self) -> bool:
        return runs.start_time(self.pid) == self.started

    @property
    def netns(self) -> str:
        """Of the process that serves it."""
        return f"/proc/{self.pid}/ns/net"

    def as_dict(self) -> dict[str, object]:
        """What `ls --json` shows."""
        found = asdict(self)
        for key in ("started", "homes", "document"):
            del found[key]
        return found | {"state": self.state if self.lives else "dead", "not_captured": list(self.not_captured)}


def judged(name: str) -> str:
    """Raises BadInput for a text that can't be an enrolment's name: it becomes a file's name and a cgroup's."""
    if not _NAME.match(name):
        raise BadInput("--name", name, "up to 64 letters, digits and _ . @ -, no dot at the front")
    return name


def save(one: Enrolment) -> None:
    """In one step: readers see the former one or this one."""
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = FOLDER / f".{one.name}.{os.getpid()}"
    new.write_text(json.dumps(asdict(one)), encoding="utf-8")
    new.rename(FOLDER / f"{one.name}.json")


def forget(name: str) -> None:
    (FOLDER / f"{name}.json").unlink(missing_ok=True)
    log_path(name).unlink(missing_ok=True)


def log_path(name: str) -> Path:
    """Where the process that serves the enrolment and its proxy say what goes wrong."""
    return FOLDER / f"{name}.log"


def find(name: str) -> Enrolment | None:
    try:
        text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    except OSError:
        return None
    return _read(text)


def every() -> list[Enrolment]:
    """By name; also those whose process was killed and that wait to be undone."""
    found = (find(path.stem) for path in sorted(FOLDER.glob("[!.]*.json")))
    return [one for one in found if one is not None]


def _read(text: str) -> Enrolment | None:
    try:
        values: dict[str, Any] = json.loads(text)
        return Enrolment(**{**values, "not_captured": tuple(values["not_captured"])})
    except (ValueError, TypeError, KeyError):  # of another version
        return None
