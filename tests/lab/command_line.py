"""tidegate's command line, from outside: through the zygote (fast), or the installed binary (exact)."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.lab.actor import ROOT
from tests.lab.namespaces import Namespace, close_pipes
from tests.lab.patience import patient

BINARY = ROOT / ".venv/bin/tidegate"


@dataclass(frozen=True, slots=True)
class Ran:
    """One command's end."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str
    ms: float

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.out)
        except ValueError as error:
            raise AssertionError(f"no JSON on stdout ({error}) from {self}") from None

    def ok(self) -> Ran:
        """Itself when it ended with 0; AssertionError with all it said otherwise."""
        return self.ended(0)

    def ended(self, code: int) -> Ran:
        assert self.code == code, f"wanted exit code {code}: {self}"
        return self

    def __str__(self) -> str:
        command = " ".join(self.argv)
        return f"tidegate {command} -> {self.code} in {self.ms:.0f} ms\n--- stdout\n{self.out}--- stderr\n{self.err}"


class Zygote:
    """Owns the zygote process. One command at a time."""

    def __init__(self) -> None:
        argv = [sys.executable, "-m", "tests.lab.zygote"]
        environment = {**os.environ, "COLUMNS": "200"}
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=environment,
            text=True,
        )

    def run(self, namespace: Namespace | None, argv: Sequence[str], **options: Any) -> Ran:
        """Options: `resolv_conf` (text of its /etc/resolv.conf), `env`, `uid` (run without privilege), `timeout`."""
        answer = self._ask(namespace, [argv], **options)
        return Ran(tuple(argv), answer["code"], answer["out"], answer["err"], answer["ms"])

    def run_all(self, namespace: Namespace | None, argvs: Sequence[Sequence[str]], **options: Any) -> list[Ran]:
        """Several commands that change nothing, in one process; `out` has both outputs."""
        if not argvs:
            return []
        if len(argvs) == 1:
            return [self.run(namespace, argvs[0], **options)]
        answer = self._ask(namespace, argvs, **options)
        assert answer["code"] == 0, f"{answer['out']}{answer['err']}"
        each = answer["ms"] / len(argvs)
        ends = json.loads(answer["out"])
        return [Ran(tuple(argv), end["code"], end["said"], "", each) for argv, end in zip(argvs, ends, strict=True)]

    def _ask(
        self,
        namespace: Namespace | None,
        argvs: Sequence[Sequence[str]],
        *,
        resolv_conf: str | None = None,
        env: Mapping[str, str] | None = None,
        uid: int | None = None,
        timeout: float = 30,
    ) -> dict[str, Any]:
        request = {
            "netns": str(namespace.path) if namespace else None,
            "argvs": [list(argv) for argv in argvs],
            "resolv_conf": resolv_conf,
            "env": dict(env or {}),
            "uid": uid,
            "timeout": patient(timeout),
        }
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        ready, _, _ = select.select([stdout], [], [], patient(timeout) + 20)
        line = stdout.readline() if ready else ""
        assert line, f"the zygote gave no answer to {argvs}"
        answer: dict[str, Any] = json.loads(line)
        assert not answer["timed_out"], f"not done within {timeout} s: {argvs}: {answer}"
        return answer

    def close(self) -> None:
        close_pipes(self._process.stdin)
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        close_pipes(self._process.stdout)


def run_binary(
    namespace: Namespace,
    argv: Sequence[str],
    *,
    prefix: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    timeout: float = 30,
) -> Ran:
    """The installed command itself; `prefix` is put before it (strace, setpriv, unshare …)."""
    started = time.monotonic()
    environment = {**os.environ, "COLUMNS": "200", **(env or {})}
    done = namespace.run([*prefix, str(BINARY), *argv], check=False, env=environment, timeout=timeout)
    return Ran(tuple(argv), done.returncode, done.stdout, done.stderr, (time.monotonic() - started) * 1000)


def start_binary(
    namespace: Namespace, argv: Sequence[str], *, prefix: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Started, not waited for; the caller owns it."""
    environment = {**os.environ, "COLUMNS": "200", **(env or {})}
    return namespace.popen(
        [*prefix, str(BINARY), *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
