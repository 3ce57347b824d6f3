"""Runs tidegate's command line many times without paying the interpreter's start each time.

It imports the front door once and forks for every command, so each command is still a process of its own that enters
through `tidegate.cli:main`. Requests and answers are JSON lines. The few tests that are about start-up itself use the
installed binary instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import json
import os
import select
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000

WARM = ("tidegate.cli", "intercept.capture", "intercept.plan.explain", "nftables", "pyroute2", "iptc")
"""What is worth importing before the fork; a module that fails to import fails again, and aloud, in the command."""

_libc = ctypes.CDLL(None, use_errno=True)


def must(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def with_resolv_conf(text: str) -> None:
    """A mount namespace of its own in which /etc/resolv.conf has this content."""
    must(_libc.unshare(CLONE_NEWNS), "unshare")
    must(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "make / private")
    with tempfile.NamedTemporaryFile("w", suffix=".resolv.conf", delete=False) as replacement:
        replacement.write(text)
    os.chmod(replacement.name, 0o644)
    must(_libc.mount(replacement.name.encode(), b"/etc/resolv.conf", None, MS_BIND, None), "mount resolv.conf")
    os.unlink(replacement.name)


def command(request: dict[str, Any], out: int, err: int) -> int:
    """In the child: everything the command would find had it been started there."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    if request.get("netns"):
        with open(request["netns"], "rb") as namespace:
            must(_libc.setns(namespace.fileno(), CLONE_NEWNET), "setns")
    if request.get("resolv_conf") is not None:
        with_resolv_conf(request["resolv_conf"])
    os.environ.update(request.get("env") or {})
    if request.get("uid") is not None:
        os.setgroups([])
        os.setresgid(request["uid"], request["uid"], request["uid"])
        os.setresuid(request["uid"], request["uid"], request["uid"])
    if len(request["argvs"]) == 1:
        return one(request["argvs"][0])
    answers: list[dict[str, Any]] = []
    for argv in request["argvs"]:
        with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
            answers.append({"code": one(argv), "said": said})
    print(json.dumps([answer | {"said": answer["said"].getvalue()} for answer in answers]))
    return 0


def one(argv: list[str]) -> int:
    sys.argv = ["tidegate", *argv]
    from tidegate.cli import main  # warm by now, and its failure belongs to this command

    try:
        main()
    except SystemExit as end:
        if end.code is None:
            return 0
        if isinstance(end.code, int):
            return end.code
        print(end.code, file=sys.stderr)
        return 1
    return 0


def fork(request: dict[str, Any]) -> dict[str, Any]:
    out, err = os.memfd_create("out"), os.memfd_create("err")
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = command(request, out, err)
        except BaseException:  # a child must never return into the zygote's loop
            traceback.print_exc()
            code = 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    timed_out = not wait(pid, request.get("timeout", 30))
    if timed_out:
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    answer: dict[str, Any] = {"code": os.waitstatus_to_exitcode(status), "timed_out": timed_out}
    for name, fd in (("out", out), ("err", err)):
        answer[name] = os.pread(fd, os.fstat(fd).st_size, 0).decode(errors="replace")
        os.close(fd)
    return answer


def wait(pid: int, seconds: float) -> bool:
    fd = os.pidfd_open(pid)
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)


def main() -> None:
    control = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in WARM:
        try:
            importlib.import_module(name)
        except Exception as error:  # see WARM
            print(f"zygote: {name}: {error}", file=sys.stderr)
    for path in sorted((Path.cwd() / "intercept/backends").rglob("*.py")):
        try:
            importlib.import_module(".".join(path.relative_to(Path.cwd()).with_suffix("").parts))
        except Exception as error:
            print(f"zygote: {path.stem}: {error}", file=sys.stderr)
    for line in sys.stdin:
        started = time.monotonic()
        answer = fork(json.loads(line))
        answer["ms"] = (time.monotonic() - started) * 1000
        control.write(json.dumps(answer) + "\n")
        control.flush()


if __name__ == "__main__":
    main()
