"""`init` in a container that ends after it: what is in force has to outlive it, and to cover who is not in it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.command_line import BINARY

pytestmark = pytest.mark.kernel

CONTAINER = ("unshare", "--mount", "--pid", "--fork", "--mount-proc")
SLAVE = ("unshare", "--mount", "--propagation", "slave", "--pid", "--fork", "--mount-proc")
NO_BPFFS = "umount -l /sys/fs/bpf || true\n"


@pytest.fixture(autouse=True)
def clean(lab: Lab) -> Iterator[None]:
    yield
    lab.tidegate("cleanup").ok()


@pytest.fixture
def pod(lab: Lab) -> Iterator[Path]:
    """The init container's cgroup folder: its cgroup namespace has it for its top."""
    folder = lab.cgroup.child("init-container")
    try:
        yield folder.folder
    finally:
        folder.delete()


def contained(lab: Lab, script: str, *, container: tuple[str, ...] = CONTAINER) -> subprocess.CompletedProcess[str]:
    """`script` as a container's process 1, in APP's network namespace, on a host whose bpffs is shared."""
    inner = f"TG={BINARY}\n{script}"
    host = 'mount --make-shared /sys/fs/bpf\n"$@" || exit $?\ntrue'  # no exec: the "host" stays there meanwhile
    argv = ["unshare", "--mount", "sh", "-euc", host, "host", *container, "sh", "-euc", inner]
    return lab.app.run(argv, check=False, timeout=90)


def in_cgroup_namespace(pod: Path, script: str, mounts: str = "") -> str:
    inside = f"umount -lR /sys/fs/cgroup\nmount -t cgroup2 none /sys/fs/cgroup\n{script}"
    return f"echo $$ > {pod}/cgroup.procs\n{mounts}exec unshare --cgroup sh -euc 'TG={BINARY}\n{inside}'"


def captured(lab: Lab) -> bool:
    """Nobody listens on 15001 here: a captured connection is refused, another is answered by PEER."""
    reply = lab.actor().tcp("10.0.0.1", 80)
    assert reply.who == "peer" or reply.status == "refused", reply
    return reply.status == "refused"


@pytest.mark.parametrize("before", [NO_BPFFS, ""], ids=["no bpffs", "bpffs without propagation"])
def test_where_pins_may_end_with_the_container_ebpf_is_refused(lab: Lab, before: str) -> None:
    refused = contained(lab, f"{before}$TG init --mode ebpf")
    assert refused.returncode == 3, refused
    assert "/sys/fs/bpf" in refused.stderr
    assert "HostToContainer" in refused.stderr
    assert not captured(lab)


def test_auto_passes_ebpf_over_and_what_it_takes_stays(lab: Lab) -> None:
    done = contained(lab, f"{NO_BPFFS}$TG init --json")
    assert done.returncode == 0, done
    applied = json.loads(done.stdout)
    assert applied["mode"] == "nftables"
    assert "/sys/fs/bpf" in applied["why"]
    assert captured(lab)


def test_with_the_hosts_bpffs_it_outlives_the_container(lab: Lab) -> None:
    done = contained(lab, "$TG init --mode ebpf", container=SLAVE)
    assert done.returncode == 0, done
    assert captured(lab)
    status = lab.tidegate("status", "--json").ok().json
    assert (status["mode"], status["drift"]) == ("ebpf", [])


def test_a_cgroup_namespace_that_does_not_cover_the_application(lab: Lab, pod: Path) -> None:
    refused = contained(lab, in_cgroup_namespace(pod, "$TG init --mode ebpf"), container=SLAVE)
    assert refused.returncode == 3, refused
    assert "cgroup" in refused.stderr
    assert "mount" in refused.stderr
    assert not captured(lab)
    done = contained(lab, in_cgroup_namespace(pod, "$TG init --json"), container=SLAVE)
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["mode"] == "nftables"
    assert captured(lab)


def test_with_the_hosts_cgroups_mounted_it_covers_the_application(lab: Lab, pod: Path) -> None:
    mounts = (
        "mkdir -p /run/host-cgroup\nmount --bind /sys/fs/cgroup/unified /run/host-cgroup 2>/dev/null || "
        "mount --bind /sys/fs/cgroup /run/host-cgroup\n"
    )
    mounts = f"mount -t tmpfs none /run\n{mounts}"
    done = contained(lab, in_cgroup_namespace(pod, "$TG init --mode ebpf", mounts), container=SLAVE)
    assert done.returncode == 0, done
    assert captured(lab)
    assert lab.tidegate("status", "--json").ok().json["drift"] == []


def test_a_process_outside_the_cgroup_namespace_is_named(lab: Lab, pod: Path) -> None:
    """With the host's processes in sight, those of this network namespace tell whom the hooks would miss."""
    actor = lab.actor()
    refused = contained(lab, in_cgroup_namespace(pod, "$TG init --mode ebpf"), container=("env",))
    assert refused.returncode == 3, refused
    assert str(actor.pid) in refused.stderr


def test_run_needs_neither(lab: Lab, pod: Path) -> None:
    done = contained(lab, NO_BPFFS + in_cgroup_namespace(pod, "$TG run --mode ebpf -- true"))
    assert done.returncode == 0, done
