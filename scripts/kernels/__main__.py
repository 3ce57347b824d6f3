"""`make kernels [KERNELS=5.10,6.1,…]`: fetch, boot, test, write docs/kernels.md. Results and logs: build/kernels."""

import argparse
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from scripts.kernels import guest, packages, page, suites

CACHE = guest.ROOT / "build/kernels"
PAGE = guest.ROOT / "docs/kernels.md"
README = guest.ROOT / "README.md"
TABLE = ("<!-- kernels: `make kernels` writes what stands here -->\n", "<!-- end of kernels -->\n")
HOSTS = guest.HERE / "hosts.md"
_FETCHING = threading.Lock()
_BUILT = ("cext/**/*.so", "bpf/objects/*", "*.egg-info/*")
_GUEST_LIMIT_S = 1500
_GUESTS_AT_ONCE = 2
"""Each has one CPU of its own to be emulated on; with fewer CPUs, one after the other."""


def main(argv: Sequence[str] | None = None) -> int:
    """0 when every kernel booted and no test failed in it; 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kernels", nargs="?", default=",".join(suites.BOOTS), help="comma separated, as 5.10,6.1")
    parser.add_argument("--steps", default="", help="only the steps whose name begins with one of these")
    parser.add_argument("--limit", type=int, default=_GUEST_LIMIT_S, metavar="S", help="time for each guest")
    parser.add_argument("--page", type=Path, default=PAGE, help="where to write the table")
    options = parser.parse_args(argv)
    if options.steps and options.page == PAGE:
        parser.error("--steps needs --page: docs/kernels.md tells of all steps")
    wanted = [each.strip() for each in options.kernels.split(",") if each.strip()]
    for each in wanted:
        if each not in suites.BOOTS:
            parser.error(f"{each!r} is not a kernel here: allowed are {', '.join(suites.BOOTS)}")
    prefixes = tuple(each for each in options.steps.split(",") if each)
    CACHE.mkdir(parents=True, exist_ok=True)
    lock = (CACHE / "lock").open("w")  # the kernel frees it with this process
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        parser.error(f"another `make kernels` works in {CACHE}: wait for it")
    # Started in the background by a shell we would not be interruptible, and a guest would go on without us.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    virtme_run = _tools()
    _compile()
    _copy_checkout()

    def boot(kernel: str) -> dict[str, Any]:
        steps = suites.steps(suites.BOOTS[kernel])
        asked = [step._asdict() for step in steps if not prefixes or step.name.startswith(prefixes)]
        return _one(kernel, asked, virtme_run, options.limit)

    results = []
    with ThreadPoolExecutor(min(_GUESTS_AT_ONCE, os.cpu_count() or 1)) as guests:
        booted = [guests.submit(boot, each) for each in wanted]
        try:
            for one in as_completed(booted):
                results.append(one.result())
                _write(results, options.page, partly=bool(prefixes))
        except BaseException:
            guest.STOP.set()
            guests.shutdown(cancel_futures=True)
            raise
    return 0 if all(_sound(one) for one in results) else 1


def _write(results: list[dict[str, Any]], to: Path, *, partly: bool) -> None:
    if partly:
        # A part of the steps says less than is known already.
        to.write_text(page.page(results))
    else:
        _remember(results[-1])
        to.write_text(page.page(_remembered(), HOSTS.read_text()))
        _show_in_readme(page.overview(_remembered()))
    _say(f"kernels: {to} is written")


def _one(kernel: str, steps: list[dict[str, Any]], virtme_run: Path, limit_s: int) -> dict[str, Any]:
    _say(f"kernels: {kernel}: fetching")
    boot_of = suites.BOOTS[kernel]
    with _FETCHING:  # several boots may be of one package
        unpacked = packages.fetch(boot_of.suite, CACHE, time.time())
    folder = CACHE / "results" / kernel
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _say(f"kernels: {kernel}: booting {unpacked.package}")
    (folder / "steps.json").write_text(json.dumps(steps))
    argv = guest.command(virtme_run, unpacked.image, folder, boot_of.arguments)
    lines = folder / "results.jsonl"
    ended = guest.boot(argv, folder / "console.log", lines, limit_s)
    told = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
    boot = next((line for line in told if line["step"] == "boot"), None)
    doctor = next((line.get("doctor") for line in told if line["step"] == "doctor"), None)
    result: dict[str, Any] = {
        "kernel": kernel,
        "arguments": list(boot_of.arguments),
        "release": boot["release"] if boot else unpacked.release,
        "package": unpacked.package,
        "booted": boot is not None,
        "ended": ended.code,
        "boot_s": boot["uptime_s"] if boot else 0.0,
        "total_s": round(ended.seconds, 1),
        "doctor": doctor,
        "steps": [line for line in told if line["step"] not in ("boot", "doctor", "end")],
    }
    for step in result["steps"]:
        counts = {key: step[key] for key in ("code", "passed", "failed", "skipped", "seconds") if key in step}
        _say(f"kernels: {kernel}: {step['step']}: {counts}")
    if boot is None:
        _say(f"kernels: {kernel}: it did not boot; see {folder / 'console.log'}")
    return result


def _show_in_readme(table: str) -> None:
    text = README.read_text()
    begin, end = TABLE
    before, rest = text.split(begin)
    _, after = rest.split(end)
    README.write_text(f"{before}{begin}{table}{end}{after}")


def _sound(result: dict[str, Any]) -> bool:
    return bool(result["booted"]) and all(step.get("failed", 1) == 0 for step in result["steps"])


def _remember(result: dict[str, Any]) -> None:
    (CACHE / "results" / f"{result['kernel']}.json").write_text(json.dumps(result, indent=1) + "\n")


def _remembered() -> list[dict[str, Any]]:
    """What is known of every kernel, also from earlier runs, oldest kernel first."""
    files = [CACHE / "results" / f"{kernel}.json" for kernel in suites.BOOTS]
    return [json.loads(file.read_text()) for file in files if file.exists()]


def _tools() -> Path:
    """virtme-ng's command, from a virtual environment of its own: no part of tidegate's."""
    folder = CACHE / "tools"
    command = folder / "bin/virtme-run"
    if not command.exists():
        _say("kernels: installing virtme-ng")
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin/pip"), "install", "-q", "--disable-pip-version-check", "virtme-ng"]
        subprocess.run(pip, check=True)
    # It looks for QEMU and busybox on PATH, where cron and CI may lack sbin.
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return command


def _compile() -> None:
    """Byte code for the guests, in a folder of its own, of everything they may import."""
    ours = ("tidegate", "onboard", "mesh", "intercept", "bpf", "proxy", "cext", "tests", "scripts")
    folders = [sysconfig.get_path("stdlib"), "/usr/lib/python3/dist-packages", sysconfig.get_path("purelib")]
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(CACHE / "pycache")}
    argv = [sys.executable, "-m", "compileall", "-qq", *folders, *(str(guest.ROOT / each) for each in ours)]
    # Some packages carry sources of other Python versions, which don't compile.
    subprocess.run(argv, env=environment, check=False)


def _copy_checkout() -> None:
    """What the guests see as the checkout: this moment's, since all kernels have to be judged by the same files."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=guest.ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    built = [str(each.relative_to(guest.ROOT)) for kind in _BUILT for each in guest.ROOT.glob(kind)]
    target = CACHE / "checkout"
    shutil.rmtree(target, ignore_errors=True)
    for name in filter(None, {*listed, *built, ".venv/", "build/"}):
        if name.endswith("/"):
            (target / name).mkdir(parents=True)
        elif (guest.ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(guest.ROOT / name, target / name)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
