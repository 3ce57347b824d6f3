"""Hosts that lack something: what is missing is named, `auto` takes the next best and says so, nothing half-works.

Each host is made of this one by namespaces that end with the test; what only another kernel can lack is seen by
`make kernels`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.command_line import BINARY

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[3]
WITHOUT_CGROUPS = "umount -l /sys/fs/cgroup/unified 2>/dev/null || umount -l /sys/fs/cgroup"
V2_ONLY = "umount -lR /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup"
PYTHON_NFTABLES = "/usr/lib/python3/dist-packages/nftables/__init__.py"


@pytest.fixture
def clean(lab: Lab) -> Iterator[None]:
    yield
    lab.tidegate("cleanup").ok()


def run(lab: Lab, script: str, *, namespaces: tuple[str, ...] = ("--mount",)) -> subprocess.CompletedProcess[str]:
    """A shell script in APP's network namespace and in fresh namespaces of its own; `$TG` is tidegate."""
    argv = ["unshare", *namespaces, "sh", "-eu", "-c", f"TG={BINARY}\n{script}"]
    return lab.app.run(argv, check=False, timeout=90)


def ok(lab: Lab, script: str, *, namespaces: tuple[str, ...] = ("--mount",)) -> str:
    done = run(lab, script, namespaces=namespaces)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


def captured(lab: Lab) -> bool:
    """Nobody listens on 15001 here: who is captured is refused, and PEER answers who isn't."""
    reply = lab.actor().tcp("10.0.0.1", 80)
    assert reply.who == "peer" or reply.status == "refused", reply
    return reply.status == "refused"


# ---- cgroup layouts


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("mode", ["nftables", "ebpf"])
def test_cgroup_v2_not_mounted(lab: Lab, mode: str) -> None:
    """Capturing all needs no folder; --cgroup does, and says what to mount."""
    ok(lab, f"{WITHOUT_CGROUPS}; $TG init --mode {mode}")
    assert captured(lab)
    ok(lab, f"{WITHOUT_CGROUPS}; $TG cleanup")
    refused = run(lab, f"{WITHOUT_CGROUPS}; $TG init --mode {mode} --cgroup any/folder")
    assert refused.returncode == 3, refused
    assert "cgroup v2" in refused.stderr
    assert not captured(lab)
    report = json.loads(ok(lab, f"{WITHOUT_CGROUPS}; $TG doctor --json"))
    assert report["cgroup"]["layout"] in ("v1", "none")
    assert any("cgroup v2 is not mounted" in line for line in report["advice"])


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("mode", ["nftables", "iptables", "ebpf"])
def test_cgroup_v2_only_layout(lab: Lab, mode: str) -> None:
    folder = lab.cgroup.path.strip("/")
    out = ok(lab, f"{V2_ONLY}; $TG doctor --json; $TG init --mode {mode} --cgroup {folder} >&2; $TG status --json")
    doctor, status = map(json.loads, out.splitlines())
    assert (doctor["cgroup"]["layout"], doctor["cgroup"]["mount_point"]) == ("v2", "/sys/fs/cgroup")
    assert (status["active"], status["drift"], status["scope"]["cgroup"]) == (True, [], folder)
    assert not captured(lab), "the actor is not in that cgroup"
    # Under the host's own layout it is the same capture.
    assert lab.tidegate("status", "--json").ok().json["drift"] == []


def test_cgroup_namespace() -> None:
    """Seen from a cgroup namespace the folder that we are in is the top. Ebpf mode hangs its hooks there where no other
    process of the network namespace is outside."""
    lab = Lab()
    try:
        inside = lab.cgroup.child("pod").folder
        mount = "mount -t cgroup2 none /sys/fs/cgroup"
        script = (
            f"echo $$ > {inside}/cgroup.procs\n"
            f"exec unshare --cgroup --mount sh -euc 'umount -lR /sys/fs/cgroup; {mount}; "
            f"{BINARY} init --mode ebpf >&2; {BINARY} doctor --json; {BINARY} check --stand-in --json; "
            f"{BINARY} cleanup >&2'"
        )
        doctor, check = map(json.loads, ok(lab, script).splitlines())
        assert doctor["cgroup"]["own"] == "/"
        assert check["ok"], check
    finally:
        lab.close()


# ---- programs, libraries, file systems


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("mode", ["nftables", "iptables", "tproxy", "ebpf"])
def test_no_program_of_netfilter_is_needed(lab: Lab, mode: str) -> None:
    hide = "mount -t tmpfs none /usr/sbin"
    ok(lab, f"{hide}; $TG init --mode {mode}; $TG status --json")
    assert captured(lab)
    assert json.loads(ok(lab, f"{hide}; $TG doctor --json"))["tools"]["nft"] is None
    ok(lab, f"{hide}; $TG cleanup")
    assert not captured(lab)


@pytest.mark.usefixtures("clean")
def test_without_the_nftables_library(lab: Lab) -> None:
    gone = lab.folder / "gone.py"
    gone.write_text('raise ModuleNotFoundError("No module named \'nftables\'", name="nftables")\n')
    hide = f"mount --bind {gone} {PYTHON_NFTABLES}"
    for mode in ("nftables", "tproxy"):
        refused = run(lab, f"{hide}; $TG init --mode {mode}")
        assert refused.returncode == 3, refused
        assert "nftables" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert not captured(lab)
    out = ok(lab, f"{hide}; $TG doctor --json; $TG init --json; $TG check --stand-in >&2; $TG cleanup >&2")
    doctor, applied = map(json.loads, out.splitlines())
    assert applied["mode"] == doctor["auto"]["mode"]
    assert applied["mode"] in ("ebpf", "iptables")
    assert any("python3-nftables" in line for line in doctor["advice"])


@pytest.mark.usefixtures("clean")
def test_without_the_iptables_library(lab: Lab) -> None:
    hide = "for one in $(find /usr/lib -name 'libip4tc.so*'); do mount --bind /dev/null $one; done"
    refused = run(lab, f"{hide}; $TG init --mode iptables")
    assert refused.returncode in (0, 3), refused
    assert "Traceback" not in refused.stderr
    if refused.returncode == 3:
        assert "ip" in refused.stderr
        assert not captured(lab)
    ok(lab, f"{hide}; $TG init --mode nftables")
    assert captured(lab)


@pytest.mark.usefixtures("clean")
def test_bpffs_not_mounted(lab: Lab) -> None:
    """It is found, or mounted, where process 1 is. Nowhere else would it last (test_ebpf_containers.py)."""
    done = run(
        lab, "umount -l /sys/fs/bpf || true; $TG init --mode ebpf >&2; $TG check --stand-in --json; $TG cleanup >&2"
    )
    if os.access("/proc/1/root", os.X_OK):
        assert done.returncode == 0, done
        assert json.loads(done.stdout)["ok"]
    else:
        assert done.returncode == 3, done
        assert "mount -t bpf bpf /sys/fs/bpf" in done.stderr
    assert not captured(lab)


LOOKS = """
import os, sys
sys.path.insert(0, sys.argv[1])
from intercept.host.cgroup_view import seen_by_nft
with seen_by_nft():
    assert os.path.exists("/sys/fs/cgroup/cgroup.controllers")
print(os.listdir("/media"), os.getcwd())
"""


def test_a_chroot_is_not_left(lab: Lab, tmp_path: Path) -> None:
    """nft is shown cgroup v2 in another mount namespace: the way back must not lead out of the root that we had."""
    (tmp_path / "root").mkdir()
    (tmp_path / "looks.py").write_text(LOOKS)
    script = (
        f"cd {tmp_path}; mount --rbind / root; mount -t tmpfs none root/media; mkdir root/media/inside; "
        f"chroot root /usr/bin/env -C /media {sys.executable} -P {tmp_path}/looks.py {ROOT}"
    )
    assert ok(lab, script) == "['inside'] /media\n"


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("mode", ["nftables", "iptables", "tproxy", "ebpf"])
def test_read_only_root(lab: Lab, mode: str) -> None:
    folders = "for one in /run /tmp /var; do mount --bind $one $one && mount -o remount,ro,bind $one; done"
    read_only = f"mount -o remount,ro,bind / && {folders}"
    out = ok(lab, f"{read_only}; $TG init --mode {mode} >&2; $TG status --json")
    assert json.loads(out)["drift"] == []
    assert captured(lab)
    assert json.loads(ok(lab, f"{read_only}; $TG doctor --json"))["settings"]["read_only_root"] is True
    ok(lab, f"{read_only}; $TG cleanup")
    assert not captured(lab)


# ---- privilege


CAPABILITIES = {
    ("nftables", "net_admin"): 0,
    ("iptables", "net_admin,net_raw"): 0,
    ("tproxy", "net_admin"): 0,
    # Without CAP_PERFMON the verifier judges as it does ordinary users' programs.
    ("ebpf", "net_admin,bpf"): 4,
    # Without CAP_SYS_ADMIN maps can't be opened by id; doing what can be done or naming the capability is both right.
    ("ebpf", "net_admin,bpf,perfmon"): (0, 4),
    ("ebpf", "net_admin,sys_admin"): 0,
    ("ebpf", "net_admin"): 4,
    ("ebpf", "bpf,sys_admin"): 4,
    ("nftables", "sys_admin"): 4,
}


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(("mode", "held"), CAPABILITIES)
def test_capabilities(lab: Lab, mode: str, held: str) -> None:
    """Either in force, or the missing capability is named and nothing is."""
    wanted = CAPABILITIES[mode, held]
    flags = ",".join(["-all", *(f"+{one}" for one in held.split(","))])
    done = lab.app.run(
        ["setpriv", f"--bounding-set={flags}", f"--inh-caps={flags}", str(BINARY), "init", "--mode", mode], check=False
    )
    assert done.returncode in (wanted if isinstance(wanted, tuple) else (wanted,)), done
    assert captured(lab) is (done.returncode == 0)
    if done.returncode:
        assert "CAP_" in done.stderr
    assert "Traceback" not in done.stderr


def test_user_namespace(lab: Lab) -> None:
    """BPF is closed to it; netfilter of its own network namespace is not."""
    script = (
        "ip link set lo up; $TG doctor --json || true; $TG init --json; $TG status --json; $TG cleanup >&2; "
        "$TG init --mode ebpf >&2 || echo $?"
    )
    out = ok(lab, script, namespaces=("--user", "--map-root-user", "--net", "--mount")).splitlines()
    doctor, applied, status = map(json.loads, out[:3])
    assert doctor["privileges"]["user_namespace"] is True
    assert any("user namespace" in line for line in doctor["advice"])
    assert applied["mode"] == doctor["auto"]["mode"] == status["mode"]
    assert applied["mode"] in ("nftables", "iptables")
    assert "ebpf" in applied["why"], "it has to say what it passed over and why"
    assert status["drift"] == []
    assert out[3] in ("3", "4")


# ---- networks


def test_ipv6_switched_off(lab: Lab, backend: str) -> None:
    off = "ip link set lo up; sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"
    namespaces = ("--mount", "--net")
    out = ok(lab, f"{off}; $TG init --mode {backend} --json; $TG status --json; $TG cleanup >&2", namespaces=namespaces)
    applied, status = map(json.loads, out.splitlines())
    assert any("IPv6" in line for line in applied["not_captured"]), applied
    assert status["drift"] == []
    refused = run(lab, f"{off}; $TG init --mode {backend} --ipv6 required", namespaces=namespaces)
    assert refused.returncode == 3, refused
    assert "IPv6" in refused.stderr
    nothing = ok(lab, f"{off}; $TG init --mode {backend} --ipv6 required || $TG status --json", namespaces=namespaces)
    assert json.loads(nothing.splitlines()[-1])["active"] is False


def test_a_loopback_that_is_down(lab: Lab, backend: str) -> None:
    """Rules can be put in force before it is up, and then work; routes through it can't, and that is said."""
    namespaces = ("--mount", "--net")
    first = run(lab, f"$TG init --mode {backend} && $TG cleanup", namespaces=namespaces)
    if backend == "tproxy":
        assert first.returncode in (1, 3), first
        assert "ip link set lo up" in first.stderr
        nothing = run(lab, f"$TG init --mode {backend} || $TG status --json", namespaces=namespaces)
        assert json.loads(nothing.stdout)["active"] is False
        return
    assert first.returncode == 0, first
    script = f"$TG init --mode {backend} >&2; ip link set lo up; $TG check --stand-in --json; $TG cleanup >&2"
    probes = json.loads(run(lab, script, namespaces=namespaces).stdout.splitlines()[0])["probes"]
    # NAT can't pass the collision probe.
    assert [one for one in probes if not one["ok"] and "collision" not in one["name"]] == []
