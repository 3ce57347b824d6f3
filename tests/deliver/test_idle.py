"""What a sidecar costs that has nothing to do: `make numbers` reports it, with the image's size and install time."""

import os
import time
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.proxy.proxy_rig import ProxyProcess, until
from tests.netns.take_over.upgrading import TIDEGATE
from tests.netns.tidegate import pod

pytestmark = [pytest.mark.kernel, pytest.mark.deliver, pytest.mark.timeout(300)]
IDLE_S = float(os.environ.get("TIDEGATE_IDLE_S", "10"))
MOST_MB = 45
MOST_CPU = 0.005
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def resident_mb(pid: int) -> float:
    (line,) = [one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024 / 1e6


def beside(pid: int) -> dict[str, int]:
    """The companion and its warden, by name."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if int(rest.split()[3]) == os.getsid(pid) and name.startswith("tidegate-"):
            found[name] = int(status.parent.name)
    return found


@pytest.mark.parametrize("started_as", ["user 1337", "root"])
def test_an_idle_sidecar_is_small_and_sleeps(lab: Lab, started_as: str) -> None:
    prefix = pod.UNPRIVILEGED if started_as == "user 1337" else ()
    lab.app.run([*TIDEGATE, "init", "--mode", "nftables"])
    try:
        with ProxyProcess(lab, prefix=prefix) as proxy:
            until(lambda: proxy.request("/healthz/ready")[0] == 200, "readiness")
            time.sleep(3)
            helpers = {} if started_as == "user 1337" else beside(proxy.pid)
            before = {name: cpu_s(pid) for name, pid in {"proxy": proxy.pid, **helpers}.items()}
            time.sleep(IDLE_S)
            for name, pid in {"proxy": proxy.pid, **helpers}.items():
                share = (cpu_s(pid) - before[name]) / IDLE_S
                size = resident_mb(pid)
                print(f"idle: {name} (started as {started_as}): {size:.1f} MB, {100 * share:.2f} % of a core")
                if name == "proxy":
                    assert size <= MOST_MB
                    assert share <= MOST_CPU + 2 * TICK_S / IDLE_S
    finally:
        lab.app.run([*TIDEGATE, "cleanup"])
