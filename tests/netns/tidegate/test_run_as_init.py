"""`tidegate run` as a container's first process: what loses its parent becomes its child."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab.command_line import BINARY
from tests.lab.patience import patient

pytestmark = pytest.mark.kernel

COMMAND = """
for round in 1 2 3 4 5; do (sh -c 'sleep 0.1 & exit 0'); done
sleep 1
echo first=$(cat /proc/1/comm) zombies=$(grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l)
exit 7
"""


def test_orphans_are_reaped_and_the_exit_code_is_the_commands(tmp_path: Path) -> None:
    script = tmp_path / "command"
    script.write_text(COMMAND)
    inside = f"ip link set lo up; exec {BINARY} run --mode nftables -- sh {script}"
    ran = subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--mount-proc", "sh", "-c", inside],
        capture_output=True,
        text=True,
        timeout=patient(30),
        check=False,
    )
    assert ran.stdout == "first=tidegate zombies=0\n", ran.stderr
    assert ran.returncode == 7
