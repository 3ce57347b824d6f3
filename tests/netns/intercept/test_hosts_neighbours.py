"""Beside others: meshes' and container engines' rules, foreign BPF programs with and without room for ours.

None of theirs is ever removed, moved or changed; where both can't be, it is said and `auto` takes another mode.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.command_line import BINARY

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]

ISTIO = "\n".join(
    f"iptables-legacy -t nat {rule}"
    for rule in (
        "-N ISTIO_INBOUND", "-N ISTIO_REDIRECT", "-N ISTIO_IN_REDIRECT", "-N ISTIO_OUTPUT",
        "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 16001",
        "-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 16006",
        "-A PREROUTING -p tcp -j ISTIO_INBOUND",
        "-A ISTIO_INBOUND -p tcp --dport 8443 -j ISTIO_IN_REDIRECT",
        "-A OUTPUT -p tcp -j ISTIO_OUTPUT",
        "-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN",
        "-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN",
        "-A ISTIO_OUTPUT -p tcp --dport 8443 -j ISTIO_REDIRECT",
    )
)  # fmt: skip
LINKERD = """nft -f - <<'EOF'
table ip nat {
  chain PROXY_INIT_REDIRECT { tcp dport { 4190, 4191 } return comment "proxy-init/ignore-port"; }
  chain PROXY_INIT_OUTPUT { meta skuid 2102 return; oifname "lo" return; }
  chain OUTPUT { type nat hook output priority -100; policy accept; jump PROXY_INIT_OUTPUT; }
  chain PREROUTING { type nat hook prerouting priority dstnat; policy accept; jump PROXY_INIT_REDIRECT; }
}
EOF
"""
DOCKER = "\n".join(
    (
        "sysctl -qw net.ipv6.conf.default.addr_gen_mode=1",
        "ip link add docker0 type bridge && ip addr add 172.17.0.1/16 dev docker0 && ip link set docker0 up",
        "iptables-legacy -t nat -N DOCKER",
        "iptables-legacy -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
        "iptables-legacy -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
        "iptables-legacy -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
        "iptables-legacy -t nat -A DOCKER ! -i docker0 -p tcp --dport 9443 -j DNAT --to-destination 172.17.0.5:443",
        "iptables-legacy -N DOCKER-USER && iptables-legacy -A FORWARD -j DOCKER-USER",
        "iptables-legacy -P FORWARD DROP",
    )
)
RULESETS = {"istio-like": ISTIO, "linkerd-like": LINKERD, "docker-like": DOCKER}
SAVE = (
    "save() { nft list ruleset; for s in iptables-legacy-save ip6tables-legacy-save; do $s; done "
    "| sed -e '/^#/d' -e 's/\\[[0-9:]*\\]//'; ip rule; ip route show table all; }"
)
# Empty tables of iptables-legacy come into being when somebody looks; so that looking shows no difference, look first.
LOOK_FIRST = "for t in nat filter mangle raw; do iptables-legacy -t $t -S; ip6tables-legacy -t $t -S; done >/dev/null"


def in_fresh_namespace(lab: Lab, script: str) -> str:
    done = lab.app.run(
        ["unshare", "--net", "--mount", "sh", "-eu", "-c", f"TG={BINARY}\n{SAVE}\nip link set lo up\n{script}"],
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("theirs", RULESETS)
def test_their_rules_stay_and_ours_work_beside_them(lab: Lab, backend: str, theirs: str) -> None:
    before, probes, during, after = in_fresh_namespace(
        lab,
        f"{RULESETS[theirs]}\n{LOOK_FIRST}\nsave; echo =====; "
        f"$TG init --mode {backend} >&2; $TG check --stand-in --json || true; "
        "echo =====; save; echo =====; $TG cleanup >&2; save",
    ).split("=====\n")
    assert after == before
    # NAT can't pass the collision probe.
    failed = [one for one in json.loads(probes)["probes"] if not one["ok"] and "collision" not in one["name"]]
    assert failed == []
    # In the order they had: what of theirs stands there while ours is in force is what stood there before.
    theirs_before = [line for line in before.splitlines() if is_theirs(line)]
    assert theirs_before, "the ruleset of this test has no line of theirs"
    assert [line for line in during.splitlines() if is_theirs(line)] == theirs_before


def is_theirs(line: str) -> bool:
    return any(name in line for name in ("ISTIO", "PROXY_INIT", "DOCKER", "proxy-init", "172.17."))


# ---- BPF programs of others

_CGROUP_SOCK_ADDR, _CONNECT4, _ALLOW_MULTI = 18, 10, 2
_ALLOW = struct.pack("=BBhi", 0xB7, 0, 0, 1) + struct.pack("=BBhi", 0x95, 0, 0, 0)
"""r0 = 1; exit."""


class Foreign:
    """A program named `theirs` on connect4 of a cgroup, attached as other tools do, without a link. `close` ends it."""

    def __init__(self, folder: Path, flags: int) -> None:
        self._library = ctypes.CDLL("libbpf.so.1", use_errno=True)
        options = struct.pack("=QiIIIII4x", 36, 0, _CONNECT4, 0, 0, 0, 0)
        self._program = self._library.bpf_prog_load(
            _CGROUP_SOCK_ADDR, b"theirs", b"GPL", _ALLOW, ctypes.c_size_t(2), options
        )
        assert self._program >= 0, os.strerror(-self._program)
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        attached = self._library.bpf_prog_attach(self._program, self._folder, _CONNECT4, flags)
        assert attached == 0, os.strerror(ctypes.get_errno())

    def there(self) -> int:
        """How many programs are attached there, directly."""
        count, flags, ids = ctypes.c_uint32(16), ctypes.c_uint32(0), (ctypes.c_uint32 * 16)()
        result = self._library.bpf_prog_query(self._folder, _CONNECT4, 0, ctypes.byref(flags), ids, ctypes.byref(count))
        assert result == 0
        return int(count.value)

    def close(self) -> None:
        self._library.bpf_prog_detach2(self._program, self._folder, _CONNECT4)
        os.close(self._program)
        os.close(self._folder)


@pytest.fixture
def pod(lab: Lab) -> Iterator[Path]:
    """A cgroup that is to be the top of a cgroup namespace."""
    folder = lab.cgroup.child("beside")
    try:
        yield folder.folder
    finally:
        folder.delete()


def in_pod(lab: Lab, pod: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Where the pod's folder is the top of cgroup v2, in APP."""
    inner = f"umount -lR /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; TG={BINARY}; {script}"
    outer = f'echo $$ > {pod}/cgroup.procs; exec unshare --cgroup --mount sh -euc "$1"'
    return lab.app.run(["sh", "-euc", outer, "sh", inner], check=False, timeout=90)


def test_a_program_that_leaves_room_stays_beside_ours(lab: Lab, pod: Path) -> None:
    theirs = Foreign(pod, _ALLOW_MULTI)
    try:
        done = in_pod(lab, pod, "$TG init --mode ebpf >&2; $TG doctor --json; $TG check --stand-in --json")
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        doctor, check = map(json.loads, done.stdout.splitlines())
        assert check["ok"], check
        programs = doctor["neighbours"]["programs"]
        assert [(one["program"], one["hook"], one["shared"]) for one in programs] == [("theirs", "connect4", True)]
        assert theirs.there() == 2, "theirs and ours"
        assert in_pod(lab, pod, "$TG cleanup").returncode == 0
        assert theirs.there() == 1
    finally:
        theirs.close()


@pytest.mark.parametrize("flags", [0, 1], ids=["exclusive", "override"])
def test_a_program_that_leaves_no_room_is_named_and_another_mode_taken(lab: Lab, pod: Path, flags: int) -> None:
    theirs = Foreign(pod, flags)
    try:
        refused = in_pod(lab, pod, "$TG init --mode ebpf")
        assert refused.returncode == 3, refused
        assert "connect4" in refused.stderr, "it has to say which hook is taken"
        assert "Traceback" not in refused.stderr
        done = in_pod(lab, pod, "$TG doctor --json; $TG init --json; $TG cleanup >&2")
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        doctor, applied = map(json.loads, done.stdout.splitlines())
        assert applied["mode"] == doctor["auto"]["mode"] == "nftables"
        assert "ebpf" in applied["why"]
        assert any("theirs" in line and "ALLOW_MULTI" in line for line in doctor["advice"]), doctor["advice"]
        assert theirs.there() == 1
    finally:
        theirs.close()
