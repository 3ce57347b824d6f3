"""`run --config` and `init --config`: what the documents say is what is captured, and where it goes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.proxy.config_rig import ONE, TCP, TWO, VIP, says, web
from tests.netns.proxy.proxy_rig import PEER_V4, Server
from tests.unit.mesh.support import service

pytestmark = pytest.mark.kernel
TIDEGATE = [sys.executable, "-P", "-m", "tidegate"]
CAPTURE = (
    "\n---\napiVersion: tidegate.dev/v1alpha1\nkind: Capture\nmetadata: {name: c}\n"
    f"spec: {{mode: nftables, excludeOutboundPorts: [{TWO}], dns: off}}\n"
)
ASK = (
    "import socket, sys\n"
    "for port in sys.argv[2:]:\n"
    "    print(socket.create_connection((sys.argv[1], int(port)), 5).recv(1).decode(), end='')\n"
)


def run(lab: Lab, file: Path, report: Path, *argv: str) -> tuple[int, str, str]:
    command = [*TIDEGATE, "run", "--config", str(file), "--report", str(report), "--", *argv]
    done = lab.app.run(command, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_a_runs_connections_go_where_the_documents_say(lab: Lab, tmp_path: Path) -> None:
    """The folder is root's alone: the proxy reads it before it becomes another user."""
    file, report = tmp_path / "config.yaml", tmp_path / "report.json"
    file.write_text(web(ONE) + CAPTURE)
    file.chmod(0o600)
    with Server(lab.peer, PEER_V4, ONE, says(b"1")), Server(lab.peer, PEER_V4, TWO, says(b"2")):
        code, out, err = run(lab, file, report, sys.executable, "-c", ASK, VIP, "80")
        assert (code, out) == (0, "1"), err
        found = json.loads(report.read_text())
        assert found["mode"] == "nftables"
        assert [(one["original_destination"], one["upstream"]) for one in found["connections"]] == [
            (f"{VIP}:80", f"{PEER_V4}:{ONE}")
        ]
        code, out, err = run(lab, file, report, sys.executable, "-c", ASK, PEER_V4, str(TWO))
        assert (code, out) == (0, "2"), err
        assert json.loads(report.read_text())["connections"] == []  # excluded by the Capture


def test_a_run_with_bad_documents_starts_nothing(lab: Lab, tmp_path: Path) -> None:
    file, marker = tmp_path / "config.yaml", tmp_path / "started"
    file.write_text(web(ONE) + service("web", "10.0.0.83", port=TCP) + CAPTURE.replace("dns: off", "dns: some"))
    code, _, err = run(lab, file, tmp_path / "report.json", "touch", str(marker))
    assert code == 2
    assert "'some' is not valid" in err
    assert "is here twice" in err
    assert not marker.exists()


def test_init_takes_the_intent_from_a_capture_and_flags_win(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "capture.yaml"
    file.write_text(CAPTURE)
    try:
        done = lab.app.run([*TIDEGATE, "init", "--config", str(file), "--ipv6", "off", "--json"])
        assert json.loads(done.stdout)["mode"] == "nftables"
        status = json.loads(lab.app.run([*TIDEGATE, "status", "--json"]).stdout)
        said = json.dumps(status["intent"])
        assert str(TWO) in said
        assert '"off"' in said
    finally:
        lab.app.run([*TIDEGATE, "cleanup"])
    before = lab.app.run(["nft", "list", "ruleset"]).stdout
    file.write_text(CAPTURE.replace(f"[{TWO}]", "[0]"))
    done = lab.app.run([*TIDEGATE, "init", "--config", str(file)], check=False)
    assert done.returncode == 2
    assert f"{file}:6: spec.excludeOutboundPorts: '0' is not valid" in done.stderr
    assert lab.app.run(["nft", "list", "ruleset"]).stdout == before


@pytest.mark.parametrize("hidden", ["file", "folder"])
def test_a_workloads_link_to_what_it_can_not_read_is_refused_unread(lab: Lab, tmp_path: Path, hidden: str) -> None:
    """Root checks a folder of the workload's: a message that quoted the file would tell the workload its content."""
    secret, folder = tmp_path / "private" / "secret", tmp_path / "mine"
    secret.parent.mkdir(mode=0o700 if hidden == "folder" else 0o755)
    secret.write_text("hunter2")
    secret.chmod(0o600 if hidden == "file" else 0o644)
    folder.mkdir()
    link = folder / "mesh.yaml"
    link.symlink_to("../private/secret")
    os.chown(link, 1000, 1000, follow_symlinks=False)
    done = lab.app.run([*TIDEGATE, "config", "check", str(folder)], check=False, timeout=30)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{link}: is reached by a symbolic link of uid 1000" in done.stderr
    assert "hunter2" not in done.stderr
    os.chown(link, 0, 0, follow_symlinks=False)
    done = lab.app.run([*TIDEGATE, "config", "check", str(folder)], check=False, timeout=30)
    assert "hunter2" in done.stderr  # root's own link may lead anywhere


@pytest.mark.parametrize(
    "command",
    [
        ("init", "--dry-run", "--from", "kuma", "--", "--config-file"),
        ("policy", "set", "web", "--file"),
        ("inject", "-f"),
        ("config", "check"),
        ("init", "--dry-run", "--config"),
        ("proxy", "--admin", "off", "--telemetry", "off", "--config"),
    ],
    ids=lambda argv: " ".join(argv[:2]),
)
def test_no_command_quotes_what_a_workloads_link_leads_to(lab: Lab, tmp_path: Path, command: tuple[str, ...]) -> None:
    secret, link = tmp_path / "secret", tmp_path / "mine.yaml"
    secret.write_text("hunter2: [\n")
    secret.chmod(0o600)
    link.symlink_to(secret)
    os.chown(link, 1000, 1000, follow_symlinks=False)
    done = lab.app.run([*TIDEGATE, *command, str(link)], check=False, timeout=30)
    assert done.returncode == 2, done
    assert "a symbolic link of uid 1000" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_a_workloads_link_to_its_own_file_is_read(lab: Lab, tmp_path: Path) -> None:
    file, link = tmp_path / "own", tmp_path / "mesh.yaml"
    file.write_text(web(ONE))
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and str(folder) not in ("/", "/tmp"):
            folder.chmod(0o755)
    file.chmod(0o600)
    os.chown(file, 1000, 1000)
    link.symlink_to(file)
    os.chown(link, 1000, 1000, follow_symlinks=False)
    done = lab.app.run([*TIDEGATE, "config", "check", str(link)], check=False, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
