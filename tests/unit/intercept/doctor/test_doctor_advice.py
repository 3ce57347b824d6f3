"""From a report to advice and to a choice: pure, so by properties."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intercept.doctor import host, neighbours
from intercept.doctor.advice import advise
from intercept.doctor.examine import choice
from intercept.host.facts import HostFacts
from tidegate.commands.doctor import rows_of
from tidegate.rows import plain

MODES = ("ebpf", "nftables", "iptables", "tproxy")
PREFERRED = ("ebpf", "nftables", "iptables")


def report(**changed: Any) -> dict[str, Any]:
    """Of a host that lacks nothing."""
    whole: dict[str, Any] = {
        "ok": True,
        "auto": {"mode": "ebpf", "why": "the best that works here"},
        "modes": [mode(name) for name in MODES],
        "hooks": [{"hook": "connect4", "works": True, "since": "5.8", "does": "steers", "reason": None}],
        "features": [{"name": "SO_NETNS_COOKIE", "works": True, "since": "5.14", "without": "no ebpf"}],
        "kernel": {"release": "6.1.0-50-amd64", "machine": "x86_64", "version": [6, 1]},
        "privileges": {"uid": 0, "capabilities": ["CAP_NET_ADMIN", "CAP_BPF"], "user_namespace": False},
        "cgroup": {"layout": "v2", "mount_point": "/sys/fs/cgroup", "writable": True, "own": "/", "namespace": False},
        "bpffs": "/sys/fs/bpf",
        "settings": {
            "lockdown": None,
            "modules_disabled": 0,
            "ip_local_port_range": [32768, 60999],
            "conntrack": {"count": 5, "max": 262144},
            "unprivileged_bpf_disabled": 2,
        },
        "limits": {"nofile": [1024, 1048576], "memlock": [-1, -1], "file_max": 100000},
        "network": network(),
        "tools": {},
        "neighbours": {"rules": [], "programs": []},
        "untried": [],
        "advice": [],
    }
    return whole | changed


def network(**changed: Any) -> dict[str, Any]:
    return {"loopback_up": True, "ipv6_missing": None, "interfaces": ["eth0"], **changed}


def mode(name: str, reason: str | None = None) -> dict[str, Any]:
    return {"mode": name, "works": reason is None, "reason": reason, "ms": 1}


def lacking(name: str, reason: str) -> list[dict[str, Any]]:
    return [mode(one, reason if one == name else None) for one in MODES]


def test_a_host_that_lacks_nothing_gets_no_advice() -> None:
    assert advise(report()) == []


OLD = {
    "modes": lacking("ebpf", "ebpf mode: attach hook sk_lookup: Invalid argument"),
    "kernel": {"release": "5.4.0-9-amd64", "machine": "x86_64", "version": [5, 4]},
    "hooks": [{"hook": "sk_lookup", "works": False, "since": "5.9", "does": "inbound", "reason": "Invalid argument"}],
}
ADVISED = {
    "old kernel": (OLD, ("5.9", "sk_lookup")),
    "no capability": (
        {"privileges": {"uid": 5, "capabilities": [], "user_namespace": False}},
        ("CAP_NET_ADMIN",),
    ),
    "no CAP_BPF": (
        {"privileges": {"uid": 5, "capabilities": ["CAP_NET_ADMIN"], "user_namespace": False}},
        ("CAP_BPF",),
    ),
    "no nft library": (
        {"modes": lacking("nftables", "needs Python's nftables module (apt install python3-nftables)")},
        ("apt install python3-nftables",),
    ),
    "no tproxy module": ({"modes": lacking("tproxy", "the kernel lacks tproxy")}, ("nft_tproxy",)),
    "no iptables": ({"modes": lacking("iptables", "the kernel lacks match owner")}, ("xt_owner",)),
    "no bpffs": (
        {"bpffs": None, "modes": lacking("ebpf", "ebpf mode: the BPF file system is not mounted")},
        ("mount -t bpf bpf /sys/fs/bpf",),
    ),
    "cgroup v1": (
        {"cgroup": {"layout": "v1", "mount_point": None, "writable": False, "own": None, "namespace": None}},
        ("cgroup v2", "--cgroup"),
    ),
    "loopback down": (
        {"network": {"loopback_up": False, "ipv6_missing": None, "interfaces": []}},
        ("ip link set lo up",),
    ),
    "no ipv6": (
        {"network": {"loopback_up": True, "ipv6_missing": "switched off", "interfaces": []}},
        ("switched off",),
    ),
    "several interfaces": (
        {
            "network": network(interfaces=["eth0", "eth1"]),
            "modes": lacking("ebpf", "no bpffs"),
        },
        ("eth0, eth1", "SO_BINDTODEVICE", "--exclude-outbound-gids"),
    ),
    "few files": ({"limits": {"nofile": [256, 256], "memlock": [-1, -1], "file_max": 1}}, ("256 open files",)),
    "istio": (
        {"neighbours": {"rules": [{"tool": "Istio", "mesh": True, "chains": ["ISTIO_OUTPUT"]}], "programs": []}},
        ("Istio", "ISTIO_OUTPUT"),
    ),
    "exclusive program": (
        {
            "neighbours": {
                "rules": [],
                "programs": [{"hook": "connect4", "program": "theirs", "id": 9, "shared": False}],
            }
        },
        ("theirs", "id 9", "connect4", "BPF_F_ALLOW_MULTI"),
    ),
}


@pytest.mark.parametrize("changed", ADVISED)
def test_what_is_missing_is_named(changed: str) -> None:
    difference, words = ADVISED[changed]
    said = advise(report(**difference))
    assert said, changed
    assert any(all(word in line for word in words) for line in said), said


def test_what_a_newer_kernel_would_not_mend_is_not_blamed_on_it() -> None:
    refused = {"modes": lacking("ebpf", "this host does not let us"), "bpffs": "/sys/fs/bpf"}
    refused["hooks"] = [{"hook": "connect4", "works": False, "since": "5.8", "does": "steers", "reason": "EPERM"}]
    assert not [line for line in advise(report(**refused)) if "or newer" in line]


@given(st.tuples(*[st.none() | st.sampled_from(["lacks this", "CAP_NET_ADMIN is missing"]) for _ in MODES]))
def test_auto_is_the_first_of_the_preferred_that_works(reasons: tuple[str | None, ...]) -> None:
    modes = [mode(name, reason) for name, reason in zip(MODES, reasons, strict=True)]
    chosen = choice(modes, HostFacts())
    working = [name for name, reason in zip(MODES, reasons, strict=True) if reason is None and name in PREFERRED]
    assert chosen["mode"] == (working[0] if working else None)
    for one in modes:
        passed_over = not one["works"] and one["mode"] in PREFERRED and (not working or one["mode"] < working[0])
        if passed_over and working and PREFERRED.index(one["mode"]) < PREFERRED.index(working[0]):
            assert f"{one['mode']}: {one['reason']}" in chosen["why"]


@given(st.integers(0, 99), st.integers(0, 999), st.text(alphabet=".-+abc0123", max_size=12))
def test_versions_are_read_from_releases(major: int, minor: int, rest: str) -> None:
    assert host.version_of(f"{major}.{minor}" + (f"-{rest}" if rest else "")) == (major, minor)


@given(st.text(max_size=20))
def test_no_release_breaks_it(text: str) -> None:
    assert len(host.version_of(text)) == 2


@given(st.lists(st.text(max_size=12), max_size=8))
def test_names_that_say_nothing_are_nobodys(names: list[str]) -> None:
    mine = [name for name in names if not name.startswith(("ISTIO", "DOCKER", "KUBE", "CILIUM", "cali", "sshuttle"))]
    assert all(found["chains"] for found in neighbours.known(names))
    assert neighbours.known([f"x{name}" for name in mine]) == []


@pytest.mark.parametrize("changed", ADVISED)
def test_the_readable_report_says_what_does_not_work(changed: str) -> None:
    difference, _ = ADVISED[changed]
    made = report(**difference)
    made["advice"] = advise(made)
    text = "\n".join(plain(rows_of(made)))
    for one in made["modes"]:
        assert one["reason"] is None or one["reason"] in text
    for line in made["advice"]:
        assert line in text
