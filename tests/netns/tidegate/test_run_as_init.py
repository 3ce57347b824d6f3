"""`tidegate run` as a container's first process: what loses its parent becomes its child."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab import Lab
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


def test_a_run_in_another_pid_namespace_leaves_ours_alone(lab: Lab) -> None:
    """From there our supervisor can't be seen, and is not dead for that: containers of a pod are like that."""
    argv = [str(BINARY), "run", "--mode", "nftables", "--", "sh", "-c", "echo up; sleep 60"]
    ours = lab.app.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert ours.stdout is not None
    try:
        assert ours.stdout.readline() == "up\n"
        in_force = lab.app.run(["nft", "list", "ruleset"]).stdout
        assert "tidegate-run-" in in_force
        theirs = lab.app.run(
            ["unshare", "--pid", "--fork", "--mount-proc", str(BINARY), "run", "--mode", "nftables", "--", "true"]
        )
        assert "killed run" not in theirs.stderr
        assert ours.poll() is None, ours.communicate()
        assert lab.app.run(["nft", "list", "ruleset"]).stdout == in_force
    finally:
        ours.terminate()
        ours.communicate(timeout=patient(20))
