"""What `--pid`, `--unit` and `--cgroup` mean on this host."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from intercept.errors import BadInput
from intercept.host import cgroups

_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_.@-]+")


class Selector(NamedTuple):
    """kind: pid, unit or cgroup."""

    kind: str
    text: str

    @property
    def flag(self) -> str:
        return f"--{self.kind}"

    @property
    def name(self) -> str:
        """Of the enrolment, where the user gives none: what `ls` shows and `--enrolment` takes."""
        plain = f"pid-{self.text}" if self.kind == "pid" else self.text.strip("/")
        return _NOT_A_NAME.sub("-", plain)[-64:].strip("-.") or "enrolment"


class Target(NamedTuple):
    """folder: full path of the cgroup v2 folder; of a pid, the one that it is in now. netns: the namespace of its
    processes; None: that of the caller."""

    folder: Path
    netns: str | None


def chosen(*, pid: str | None, unit: str | None, cgroup: str | None) -> Selector:
    """Raises BadInput unless exactly one is given."""
    asked = {"pid": pid, "unit": unit, "cgroup": cgroup}
    given = [Selector(kind, text) for kind, text in asked.items() if text is not None]
    if len(given) != 1:
        said = " and ".join(one.flag for one in given) or "none of them"
        raise BadInput("enroll", said, "exactly one of --pid, --unit and --cgroup")
    return given[0]


def resolve(selector: Selector) -> Target:
    """Raises BadInput where there is no such process, unit or folder."""
    if selector.kind == "pid":
        return _of_pid(selector)
    folder = _unit_folder(selector.text) if selector.kind == "unit" else _folder(selector.text)
    return Target(folder, _netns_of(selector, folder))


def _of_pid(selector: Selector) -> Target:
    text = selector.text
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        raise BadInput("--pid", text, "the number of a process")
    pid = int(text)
    if pid in (1, os.getpid()):
        raise BadInput("--pid", text, "a service's process, neither init nor this command")
    try:
        folder = cgroups.folder_of_process(pid)
        kernel_thread = not os.readlink(f"/proc/{pid}/exe")
    except FileNotFoundError:
        if Path(f"/proc/{pid}").exists():
            raise BadInput("--pid", text, "a process of a program; this one is a kernel thread") from None
        raise BadInput("--pid", text, "a process that runs") from None
    if folder is None or kernel_thread:
        raise BadInput("--pid", text, "a process in a cgroup v2 folder")
    return Target(folder, f"/proc/{pid}/ns/net")


def _folder(text: str) -> Path:
    mount = cgroups.mount_point()
    path = Path(text)
    folder = path if path.is_relative_to(mount) else mount / text.lstrip("/")
    if not (folder / "cgroup.procs").exists() or folder == mount:
        raise BadInput("--cgroup", text, f"a cgroup v2 folder that exists below {mount}")
    return folder


def _unit_folder(name: str) -> Path:
    """A unit's folder has the unit's name, wherever its slice is (systemd.resource-control(5))."""
    wanted = name if "." in name else f"{name}.service"
    if not wanted or "/" in wanted:
        raise BadInput("--unit", name, "the name of a systemd unit, such as nginx.service")
    mount = cgroups.mount_point()
    found = [Path(where, wanted) for where, folders, _ in os.walk(mount) if wanted in folders]
    if not found:
        raise BadInput("--unit", name, f"a systemd unit that runs: no folder below {mount} is named {wanted}")
    if len(found) > 1:
        raise BadInput("--unit", name, f"one unit; give one of its folders as --cgroup: {', '.join(map(str, found))}")
    return found[0]


def _netns_of(selector: Selector, folder: Path) -> str | None:
    found: dict[str, int] = {}
    for pid in cgroups.processes_in(folder):
        try:
            found.setdefault(os.readlink(f"/proc/{pid}/ns/net"), pid)
        except OSError:  # it has ended
            continue
    if len(found) > 1:
        which = ", ".join(f"pid {pid}" for pid in found.values())
        raise BadInput(
            selector.flag, selector.text, f"processes of one network namespace; these are in several: {which}"
        )
    return next((f"/proc/{pid}/ns/net" for pid in found.values()), None)
