"""One guest: this machine's files under another kernel, in QEMU without KVM. Its results come back through a folder.

The root is shared twice: as virtme-ng does it, which asks the host for every page each time, and once more with a cache
in the guest, from which `inside.sh` takes the programs and the checkout. That makes Python start ten times faster.
"""

import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SHARE = "tidegate_host"
RESULTS = "/run/tidegate-results"
"""Where the guest finds the folder for its results."""

_MEMORY = "2G"


_BOOT_LIMIT_S = 180
STOP = threading.Event()
"""Set it to have all guests ended at once."""


class Ended(NamedTuple):
    """code: virtme-run's; None when the guest's time was up, or it had not come up in time."""

    code: int | None
    seconds: float


def command(virtme_run: Path, image: Path, results: Path, kernel_arguments: Sequence[str]) -> list[str]:
    """The argument list that boots the guest. Pure. What it has to do stands in `steps.json` in `results`.

    virtme-ng passes the script on the kernel's command line, where more than 2 KB make the kernel panic.
    """
    script = f"exec sh {shlex.quote(str(HERE / 'inside.sh'))} {shlex.quote(str(ROOT))}"
    share = f"local,id={SHARE},path=/,security_model=none,readonly=on,multidevs=remap"
    extra = [part for argument in kernel_arguments for part in ("--kopt", argument)]
    return [
        str(virtme_run), "--kimg", str(image), "--mods", "auto", "--disable-kvm", "--force-9p",
        "--memory", _MEMORY, "--cpus", "1", "--rwdir", f"{RESULTS}={results}", "--show-boot-console", *extra,
        "--script-sh", script,
        "--qemu-opts", "-fsdev", share, "-device", f"virtio-9p-pci,fsdev={SHARE},mount_tag={SHARE}",
    ]  # fmt: skip


def boot(argv: Sequence[str], console: Path, sign: Path, limit_s: float) -> Ended:
    """Runs the guest to its end or for `limit_s`, at low priority. What it prints goes to the file `console`.

    `sign`: the file that appears when the guest is up. A guest that isn't after a while is ended at once.
    """
    # virtme-ng mounts the kernel's modules there in the guest, whose root can't be written.
    Path("/usr/lib/modules").mkdir(exist_ok=True)
    started = time.monotonic()
    with console.open("wb") as log:
        # QEMU opens its standard output anew for each of its channels: through a pipe they don't overwrite each other.
        guest = subprocess.Popen(
            ["nice", "-n", "10", *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        copier = subprocess.Popen(["cat"], stdin=guest.stdout, stdout=log)
        if guest.stdout is not None:
            guest.stdout.close()
        try:
            code = _wait(guest, min(_BOOT_LIMIT_S, limit_s), sign)
            if code is None and sign.exists():
                code = _wait(guest, started + limit_s - time.monotonic(), None)
        finally:
            _end(guest)
            copier.wait()
    return Ended(code, time.monotonic() - started)


def _wait(guest: subprocess.Popen[bytes], seconds: float, sign: Path | None) -> int | None:
    """Until the guest ends (its code), or the sign appears or time is up (None)."""
    deadline = time.monotonic() + seconds
    while guest.poll() is None and time.monotonic() < deadline and not STOP.is_set():
        if sign is not None and sign.exists():
            return None
        time.sleep(0.2)
    return guest.poll()


def _end(guest: subprocess.Popen[bytes]) -> None:
    """Ends what is left of the guest: its session has nobody else in it."""
    if guest.poll() is None:
        os.killpg(guest.pid, signal.SIGKILL)
        guest.wait()
