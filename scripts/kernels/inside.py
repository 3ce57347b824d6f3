"""In the guest: runs the steps it is told and writes what came of each, line by line, so that a guest that dies or is
ended leaves what it had found."""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

RESULTS = Path("/run/tidegate-results")
SCRATCH = Path("/run")
_TEST_LIMIT_S = 200


def main() -> None:
    told = Report(RESULTS / "results.jsonl")
    told.add({"step": "boot", "release": platform.release(), "uptime_s": _uptime()})
    for step in json.loads((RESULTS / "steps.json").read_text()):
        started = time.monotonic()
        outcome = _doctor(step["limit_s"]) if step["name"] == "doctor" else _tests(step)
        told.add({"step": step["name"], "seconds": round(time.monotonic() - started, 1), **outcome})
    told.add({"step": "end", "uptime_s": _uptime()})


class Report:
    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, line: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _uptime() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


def _doctor(limit_s: int) -> dict[str, Any]:
    done = subprocess.run(
        [".venv/bin/tidegate", "doctor", "--json", "--wait", str(limit_s)], capture_output=True, text=True, check=False
    )
    try:
        return {"code": done.returncode, "doctor": json.loads(done.stdout)}
    except ValueError:
        return {"code": done.returncode, "error": (done.stdout + done.stderr)[-4000:]}


def _tests(step: dict[str, Any]) -> dict[str, Any]:
    """Counts, what became of each test, and why one didn't pass."""
    name = step["name"].replace("/", "-")
    report = SCRATCH / f"{name}.xml"
    log = RESULTS / f"{name}.log"
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--color=no",
        "-o",
        f"timeout={_TEST_LIMIT_S}",
    ]
    with log.open("w") as said:
        tests = subprocess.Popen([*argv, f"--junitxml={report}", *step["tests"]], stdout=said, stderr=subprocess.STDOUT)
        try:
            code: int | None = tests.wait(step["limit_s"])
        except subprocess.TimeoutExpired:
            # pytest writes its report when it is interrupted, unless it hangs.
            tests.send_signal(2)
            code = None
            try:
                tests.wait(20)
            except subprocess.TimeoutExpired:
                tests.kill()
                tests.wait()
    outcome: dict[str, Any] = {"code": code, **(_read(report) if report.exists() else {})}
    if code != 0:
        subprocess.run(f"dmesg | tail -n 200 > {RESULTS / name}.dmesg", shell=True, check=False)  # noqa: S602
    return outcome


def _read(report: Path) -> dict[str, Any]:
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    reasons = []
    each = {}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  # pytest wrote it just now
        bad = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        kind = "passed" if bad is None else "skipped" if bad.tag == "skipped" else "failed"
        counts[kind] += 1
        each[case.get("name")] = kind
        if bad is None:
            continue
        reasons.append({"test": case.get("name"), "outcome": kind, "reason": (bad.get("message") or "")[:600]})
    return {**counts, "not_passed": reasons, "each": each}


if __name__ == "__main__":
    main()
