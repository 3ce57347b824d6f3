"""The test's handle of an agent process: typed requests, typed results."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.namespaces import Namespace, close_pipes
from tests.lab.patience import patient

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who acts: numeric user and group, supplementary groups, cgroup v2 folder (None: where the test runs)."""

    uid: int = 1000
    gid: int = 1000
    groups: tuple[int, ...] = ()
    cgroup: Path | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client saw. `status`: ok, refused, reset, timeout, unreachable, closed, or `error: …`."""

    status: str
    line: Mapping[str, Any] | None
    ms: float
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def who(self) -> str | None:
        """`peer`, `app`, `proxy` or another server's name; None when nobody answered."""
        return self.line["who"] if self.line else None


class Actor:
    """Owns one agent process. Not for use by two threads at once."""

    def __init__(self, namespace: Namespace, identity: Identity) -> None:
        self.namespace = namespace
        self.identity = identity
        argv = [sys.executable, "-S", "-m", "tests.lab.agent", "--uid", str(identity.uid), "--gid", str(identity.gid)]
        argv += ["--groups", ",".join(map(str, identity.groups))]
        if identity.cgroup is not None:
            argv += ["--cgroup", str(identity.cgroup)]
        self._process = namespace.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: Mapping[str, Any], *, timeout: float = 60) -> dict[str, Any]:
        """One request, one answer; AssertionError when the agent failed or didn't answer in time."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        ready, _, _ = select.select([stdout], [], [], patient(timeout))
        line = stdout.readline() if ready else ""
        if not line:
            raise AssertionError(f"agent {self.pid} in {self.namespace.name} gave no answer to {request}")
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise AssertionError(f"agent {self.pid} in {self.namespace.name}: {request}: {answer['failed']}")
        return answer

    def tcp(self, host: str, port: int, **options: Any) -> Reply:
        """Connect, read the banner. Options: source, source_port, mapped, nonblocking, fastopen, mark, device, timeout,
        send, keep (leave it open; the id is in `raw["id"]`)."""
        return reply(self.ask({"op": "tcp", "host": host, "port": port, **options}))

    def udp(self, host: str, port: int, **options: Any) -> Reply:
        """One datagram and its answer. Options as for `tcp`, and `connected`."""
        return reply(self.ask({"op": "udp", "host": host, "port": port, **options}))

    def many(self, requests: Sequence[Mapping[str, Any]]) -> list[Reply]:
        """Several requests in one round trip, done one after the other."""
        return [reply(one) for one in self.ask({"op": "many", "requests": list(requests)}, timeout=120)["results"]]

    def keep(self, host: str, port: int, **options: Any) -> tuple[int, Reply]:
        """Connect and stay connected: the id for `echo` and `let_go`, and what was seen. Fails when unanswered."""
        kept = self.tcp(host, port, keep=True, **options)
        assert kept.status == "ok", f"{host}:{port}: {kept}"
        return kept.raw["id"], kept

    def echo(self, kept: int, size: int, timeout: float = 10) -> dict[str, Any]:
        """Send `size` bytes over a kept connection and read them back: `status` ok, closed, corrupt, reset, timeout."""
        return self.ask({"op": "echo", "id": kept, "size": size, "timeout": timeout}, timeout=timeout + 20)

    def let_go(self, kept: int) -> None:
        """Close a kept connection, with a reset."""
        self.ask({"op": "close", "id": kept, "reset": True})

    def in_thread(self, request: Mapping[str, Any]) -> Reply:
        return reply(self.ask({"op": "thread", "request": request}))

    def in_child(self, request: Mapping[str, Any], *, depth: int = 1) -> Reply:
        return reply(self.ask({"op": "child", "request": request, "depth": depth}))

    def serve(self, who: str, ports: Sequence[int], udp_ports: Sequence[int] = ()) -> int:
        """Open servers that answer with a banner; the id is for `unserve`."""
        server: int = self.ask({"op": "serve", "who": who, "ports": list(ports), "udp_ports": list(udp_ports)})["id"]
        return server

    def unserve(self, server: int) -> None:
        self.ask({"op": "unserve", "id": server})

    def storm(self, host: str, port: int, **options: Any) -> int:
        """Connect without end in the background (also `udp=True`, `pause` seconds between); `calm` ends it."""
        storm: int = self.ask({"op": "storm", "host": host, "port": port, **options})["id"]
        return storm

    def calm(self, storm: int) -> dict[str, Any]:
        """End a storm: `counts` by who answered or why nobody did, `slowest_ms`, one example of each."""
        return self.ask({"op": "calm", "id": storm})

    def close(self) -> None:
        """End the process; kill it when it doesn't go by itself."""
        close_pipes(self._process.stdin)
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        close_pipes(self._process.stdout)


def reply(answer: Mapping[str, Any]) -> Reply:
    return Reply(answer["status"], answer["line"], answer["ms"], answer)
