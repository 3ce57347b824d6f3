"""An agent: one small process of a given user, group and cgroup in a namespace, told over stdin what to do.

Run as `python -S -m tests.lab.agent --uid N …` inside the namespace. One JSON request a line, one JSON answer a line.
It ends at end of file, so it can't outlive the test session, however that ends.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.lab import agent_client
from tests.lab.banner_server import BannerServer
from tests.lab.patience import patient


class Storm:
    """Connects again and again in a thread until stopped, and counts who answered (or why nobody did)."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._request = request
        self._stop = threading.Event()
        self.counts: Counter[str] = Counter()
        self.slowest_ms = 0.0
        self.examples: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        ask = agent_client.udp if self._request.get("udp") else agent_client.tcp
        while not self._stop.is_set():
            result = ask(self._request)
            key = f"ok:{result['line']['who']}" if result["status"] == "ok" else f"{result['status']}@{result['stage']}"
            self.counts[key] += 1
            self.examples.setdefault(key, result | {"at": time.time()})
            self.slowest_ms = max(self.slowest_ms, result["ms"])
            self._stop.wait(self._request.get("pause", 0.002))

    def end(self) -> dict[str, Any]:
        self._stop.set()
        self._thread.join(10)
        return {"counts": dict(self.counts), "slowest_ms": self.slowest_ms, "examples": self.examples}


class Agent:
    def __init__(self) -> None:
        self._kept: dict[int, socket.socket] = {}
        self._servers: dict[int, BannerServer] = {}
        self._storms: dict[int, Storm] = {}

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        operation = getattr(self, f"do_{request['op']}")
        answer: dict[str, Any] = operation(request)
        return answer

    def do_ping(self, _request: dict[str, Any]) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "uid": os.getuid(),
            "gid": os.getgid(),
            "cgroup": Path("/proc/self/cgroup").read_text(),
        }

    def do_tcp(self, request: dict[str, Any]) -> dict[str, Any]:
        return agent_client.tcp(request, keep=self._kept if request.get("keep") else None)

    def do_udp(self, request: dict[str, Any]) -> dict[str, Any]:
        return agent_client.udp(request)

    def do_many(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"results": [self.handle(one) for one in request["requests"]]}

    def do_echo(self, request: dict[str, Any]) -> dict[str, Any]:
        return agent_client.echo(self._kept[request["id"]], request["size"], request.get("timeout", 10.0))

    def do_close(self, request: dict[str, Any]) -> dict[str, Any]:
        sock = self._kept.pop(request["id"])
        if request.get("reset"):
            agent_client.reset_on_close(sock)
        sock.close()
        return {}

    def do_serve(self, request: dict[str, Any]) -> dict[str, Any]:
        server = BannerServer(request["who"], request["ports"], request.get("udp_ports", ()))
        self._servers[id(server)] = server
        return {"id": id(server)}

    def do_unserve(self, request: dict[str, Any]) -> dict[str, Any]:
        self._servers.pop(request["id"]).close()
        return {}

    def do_storm(self, request: dict[str, Any]) -> dict[str, Any]:
        storm = Storm(request)
        self._storms[id(storm)] = storm
        return {"id": id(storm)}

    def do_calm(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._storms.pop(request["id"]).end()

    def do_thread(self, request: dict[str, Any]) -> dict[str, Any]:
        """The wrapped request, done by a thread other than the main one."""
        answers: list[dict[str, Any]] = []
        worker = threading.Thread(target=lambda: answers.append(self.handle(request["request"])))
        worker.start()
        worker.join()
        return answers[0]

    def do_child(self, request: dict[str, Any]) -> dict[str, Any]:
        """The wrapped request, done by a descendant `depth` forks down whose parents have all gone."""
        argv = [sys.executable, "-S", "-m", "tests.lab.agent", "--once", json.dumps(request["request"])]
        for _ in range(request.get("depth", 1) - 1):
            # the shell goes at once, so what it started is an orphan
            argv = ["sh", "-c", '"$@" & ', "sh", *argv]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=patient(20))
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def become(uid: int, gid: int, groups: list[int], cgroup: str | None) -> None:
    """Enter the cgroup first: only root may move processes there."""
    if cgroup:
        (Path(cgroup) / "cgroup.procs").write_text(str(os.getpid()))
    if os.getuid() == 0:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--uid", type=int, default=os.getuid())
    parser.add_argument("--gid", type=int, default=os.getgid())
    parser.add_argument("--groups", default="")
    parser.add_argument("--cgroup")
    parser.add_argument("--once", help="one request as JSON instead of stdin; no identity change")
    options = parser.parse_args()
    agent = Agent()
    if options.once:
        print(json.dumps(agent.handle(json.loads(options.once))), flush=True)
        return
    become(options.uid, options.gid, [int(g) for g in options.groups.split(",") if g], options.cgroup)
    for line in sys.stdin:
        try:
            answer = agent.handle(json.loads(line))
        except Exception as error:  # whatever it was belongs to the test that asked
            answer = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    os._exit(0)  # daemon threads may sit in a system call


if __name__ == "__main__":
    main()
