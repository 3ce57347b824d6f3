"""Which BPF file system outlives us, by the text of mountinfo."""

import pytest

from bpf.bpffs import mounts_in
from bpf.lasting import outlives
from intercept.backends.ebpf.coverage import is_outside

OWN = "72 23 0:39 / /sys/fs/bpf rw,relatime - bpf bpf rw,mode=700"
TIED = "72 23 0:39 / /sys/fs/bpf rw,relatime master:7 - bpf bpf rw"
SHARED = "72 23 0:39 / /sys/fs/bpf rw,relatime shared:7 propagate_from:2 - bpf bpf rw"
UNTIED = "72 23 0:39 / /sys/fs/bpf rw,relatime unbindable - bpf bpf rw"
ELSEWHERE = "80 23 0:39 / /host/bpf rw - bpf bpf rw"
ANOTHER = "80 23 0:40 / /sys/fs/bpf rw - bpf bpf rw"


@pytest.mark.parametrize(
    ("here", "process_1", "on_host", "answer"),
    [
        (TIED, None, False, True),
        (SHARED, None, False, True),
        (OWN, None, False, False),
        (UNTIED, None, False, False),
        (OWN, OWN, False, False),  # process 1 is the container's
        (OWN, OWN, True, True),
        (OWN, ELSEWHERE, True, True),
        (OWN, ANOTHER, True, False),
        (OWN, "", True, False),
        (OWN, None, True, True),
        (f"{TIED}\n{OWN}", None, False, False),  # the last one mounted is the one that is seen
        ("", OWN, True, False),
    ],
)
def test_what_outlives_us(here: str, process_1: str | None, on_host: bool, answer: bool) -> None:
    assert outlives("/sys/fs/bpf", here, process_1, on_host=on_host) is answer


def test_a_mount_points_name_with_a_blank() -> None:
    (mount,) = mounts_in("1 2 0:3 / /a\\040b rw shared:1 - bpf bpf rw\n1 2 0:3 / /c rw - tmpfs none rw")
    assert (mount.point, mount.device, mount.tied) == ("/a b", "0:3", True)


@pytest.mark.parametrize(("text", "answer"), [("1:cpu:/\n0::/", False), ("0::/../app", True), ("0::/pod/a", False)])
def test_outside_of_the_cgroup_namespace(text: str, answer: bool) -> None:
    assert is_outside(text) is answer
