"""`python -m bench.scale.startup`: how long configuration of a large cluster takes, and what it weighs.

Measured are `config check` and a proxy's start until it is ready, for 5,000 Services of 3 endpoints, as many documents
and as one List; then, for 10,000 Services of 10 endpoints, compiling the documents once they are parsed, and a change
of one EndpointSlice. Medians of a few rounds; every figure comes from a process of its own. On a machine that does
something else look at cpu_s: it moves less.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from bench.accounting import TICK_S
from bench.kubectl import endpoint_slice, write_documents, write_folder, write_list
from bench.processes import PROC, stat_fields
from bench.rounds import say
from demo.network import Network, inside

TIDEGATE = str(Path(sys.executable).parent / "tidegate")
READY_TIMEOUT_S = 60.0
TELEMETRY = "127.0.0.1:15020"
Figures = dict[str, float]
_UTIME, _STIME = 11, 12  # fields 14 and 15 of /proc/PID/stat
OWED = {
    "check_s": 4.0,
    "check_list_s": 4.0,
    "ready_s": 5.0,
    "ready_list_s": 5.0,
    "compile_s": 4.0,
    "rss_mb": 160.0,
    "change_ms": 10.0,
}


def config_check(file: Path) -> Figures:
    began = time.monotonic()
    process = subprocess.Popen([TIDEGATE, "config", "check", str(file)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"config check {file} ended with {process.returncode}")
    return {"s": time.monotonic() - began, "cpu_s": used.ru_utime + used.ru_stime, "rss_mb": used.ru_maxrss / 1024}


def proxy_ready(file: Path, netns: str) -> Figures:
    """Until readiness is answered with 200, asked every ten milliseconds from a process in the namespace."""
    argv = [TIDEGATE, "proxy", "--config", str(file), "--telemetry", TELEMETRY, "--log-level", "warning"]
    began = time.monotonic()
    process = subprocess.Popen(inside(netns, *argv), stdout=subprocess.DEVNULL)
    try:
        subprocess.run(inside(netns, sys.executable, "-m", "bench.scale.startup", "--wait"), check=True)
        waited = time.monotonic() - began
        fields = stat_fields(process.pid)
        found = {
            "s": waited,
            "cpu_s": TICK_S * (int(fields[_UTIME]) + int(fields[_STIME])),
            "rss_mb": memory_mb(process.pid, "VmRSS"),
        }
    finally:
        process.terminate()
        process.wait()
    return found


def wait_until_ready() -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(f"http://{TELEMETRY}/healthz/ready", timeout=1):  # ours
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def compiling(folder: Path) -> Figures:
    """In a process of its own: it prints its figures."""
    argv = [sys.executable, "-m", "bench.scale.startup", "--compile", str(folder)]
    found: Figures = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
    return found


def compile_here(folder: Path) -> Figures:
    from mesh.compile.compiler import Compiler
    from mesh.reading import Reader
    from mesh.sources.files import without_collector
    from mesh.yaml.problems import Problems

    with without_collector():
        reader, compiler = Reader(), Compiler()
        time.sleep(0.2)  # files that have just changed are not remembered
        began = time.monotonic()
        documents = reader.read([str(folder)], Problems())
        parsed, parsed_mb = time.monotonic(), memory_mb(os.getpid(), "VmRSS")
        compiler.compile(documents, Problems())
        compiled = time.monotonic()
        changes = []
        for number in range(10):
            (folder / "changing.yaml").write_text(endpoint_slice(7, 3 + number % 2).replace("abcde", "fghij"))
            documents = reader.read([str(folder)], Problems())
            before = time.monotonic()
            compiler.compile(documents, Problems())
            changes.append(time.monotonic() - before)
    (folder / "changing.yaml").unlink()
    return {
        "parse_s": parsed - began,
        "compile_s": compiled - parsed,
        "parsed_mb": parsed_mb,
        "rss_mb": memory_mb(os.getpid(), "VmHWM"),
        "change_ms": 1000 * median(changes),
    }


def memory_mb(pid: int, field: str) -> float:
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has ended")


def rounds(count: int, measure: Callable[[], Figures]) -> Figures:
    measured = [measure() for _ in range(count)]
    return {name: median(one[name] for one in measured) for name in measured[0]}


def measured(asked: argparse.Namespace, folder: Path) -> dict[str, Figures]:
    documents, listed, large = folder / "documents.yaml", folder / "list.yaml", folder / "large"
    write_documents(documents, asked.services, 3)
    write_list(listed, asked.services, 3)
    write_folder(large, 2 * asked.services, 10)
    found = {
        "check": rounds(asked.rounds, lambda: config_check(documents)),
        "check_list": rounds(asked.rounds, lambda: config_check(listed)),
    }
    if os.geteuid() == 0:
        with Network() as network:
            found["ready"] = rounds(asked.rounds, lambda: proxy_ready(documents, network.app))
            found["ready_list"] = rounds(asked.rounds, lambda: proxy_ready(listed, network.app))
    else:
        say("bench.scale.startup: only root may make the namespace in which a proxy starts: left out")
    found["large"] = rounds(asked.rounds, lambda: compiling(large))
    return found


def show(found: dict[str, Figures]) -> None:
    for subject, figures in found.items():
        for name, value in figures.items():
            owed = OWED.get(name if subject == "large" else f"{subject}_{name}")
            say(f"{subject:12} {name:10} {value:10.2f}" + ("" if owed is None else f"   owed: {owed:g}"))


def _arguments() -> Any:
    parser = argparse.ArgumentParser(prog="python -m bench.scale.startup", description=__doc__)
    parser.add_argument("--services", type=int, default=5_000, help="the larger policy has twice as many")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="the figures on standard output, too")
    parser.add_argument("--wait", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--compile", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    asked = _arguments()
    if asked.wait:
        wait_until_ready()
        return 0
    if asked.compile is not None:
        print(json.dumps(compile_here(asked.compile)))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # the proxy gives root up and reads its configuration again
        found = measured(asked, folder)
    show(found)
    if asked.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
