"""`tidegate doctor` on the real kernel: it agrees with `init`, says what is missing, and leaves nothing behind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import BACKENDS
from tests.lab import Lab, skips
from tests.lab.command_line import BINARY, Ran

pytestmark = pytest.mark.kernel


@pytest.fixture
def clean(lab: Lab) -> Iterator[None]:
    yield
    lab.tidegate("cleanup").ok()


def doctor_in(lab: Lab, script: str, *namespaces: str) -> dict[str, Any]:
    """Doctor's report after `script`, in fresh namespaces (flags of `unshare`) that end with it."""
    done = lab.app.run(["unshare", *namespaces, "sh", "-ec", f"{script}\nexec {BINARY} doctor --json"], check=False)
    assert done.stdout.startswith("{"), done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if report["ok"] else 3)
    return report


def modes(report: dict[str, Any]) -> dict[str, str | None]:
    return {mode["mode"]: mode["reason"] for mode in report["modes"]}


def test_it_changes_nothing(lab: Lab) -> None:
    lab.tidegate("doctor", "--json").ok()  # the first use of some tables makes the kernel show them, empty, for good
    before = lab.snapshot(handles=True)
    report = lab.tidegate("doctor", "--json").ok().json
    assert lab.changes_since(before, handles=True, within_s=3) == ""
    assert report["untried"] == [], report


@pytest.mark.usefixtures("clean")
def test_what_it_says_works_can_be_put_in_force_and_what_not_cannot(lab: Lab) -> None:
    told = modes(lab.tidegate("doctor", "--json").json)
    assert set(told) == set(BACKENDS)
    for mode, reason in told.items():
        ran = lab.tidegate("init", "--mode", mode)
        assert (ran.code == 0) is (reason is None), f"doctor says of {mode}: {reason}; but {ran}"
        lab.tidegate("cleanup").ok()


@pytest.mark.usefixtures("clean")
def test_auto_takes_what_it_says(lab: Lab) -> None:
    auto = lab.tidegate("doctor", "--json").ok().json["auto"]
    applied = lab.tidegate("init", "--json").ok().json
    assert applied["mode"] == auto["mode"]
    assert applied["why"] == auto["why"]


@pytest.mark.usefixtures("clean")
def test_capture_in_force_does_not_notice(lab: Lab, backend: str) -> None:
    applied = lab.tidegate("init", "--mode", backend)
    if applied.code == 3 and backend in skips.OLDEST:
        skips.blame_kernel(backend)
    applied.ok()
    actor = lab.actor()
    storm = actor.storm("10.0.0.1", 80)  # nobody listens on 15001: whoever is captured is refused
    lab.tidegate("doctor", "--json").ok()
    seen = actor.calm(storm)
    assert lab.tidegate("status", "--json").ok().json["drift"] == []
    assert not [key for key in seen["counts"] if key.startswith("ok:")], seen


def test_an_ordinary_user_is_told_which_capability(lab: Lab) -> None:
    ran = lab.tidegate("doctor", uid=1000).ended(3)
    assert "CAP_NET_ADMIN" in ran.out, ran
    report = lab.tidegate("doctor", "--json", uid=1000).ended(3).json
    assert report["auto"]["mode"] is None
    assert all("CAP_" in (reason or "") for reason in modes(report).values()), report


def test_people_get_a_table(lab: Lab) -> None:
    said = lab.tidegate("doctor").ok().out
    for word in (os.uname().release, "auto", "ebpf", "nftables", "iptables", "tproxy", "cgroup"):
        assert word in said


def test_hooks_are_named_with_the_kernel_they_came_with(lab: Lab) -> None:
    report = lab.tidegate("doctor", "--json").json
    hooks = {hook["hook"]: hook for hook in report["hooks"]}
    assert {"connect4", "connect6", "sk_lookup", "getsockopt", "sockops"} <= hooks.keys()
    assert all(hook["since"] and (hook["works"] or hook["reason"]) for hook in hooks.values())
    # What works as a whole works in its parts.
    if modes(report)["ebpf"] is None:
        assert all(hook["works"] for hook in hooks.values()), hooks


def test_a_loopback_that_is_down_is_found(lab: Lab) -> None:
    report = doctor_in(lab, "true", "--net")
    assert report["network"]["loopback_up"] is False
    assert any("ip link set lo up" in line for line in report["advice"])
    assert doctor_in(lab, "ip link set lo up", "--net")["network"]["loopback_up"] is True


def test_ipv6_switched_off_is_found(lab: Lab) -> None:
    report = doctor_in(lab, "ip link set lo up; sysctl -qw net.ipv6.conf.all.disable_ipv6=1", "--net")
    assert "disable_ipv6" in report["network"]["ipv6_missing"]
    assert any("disable_ipv6" in line for line in report["advice"])


def test_few_local_ports_are_found(lab: Lab) -> None:
    script = "ip link set lo up; sysctl -qw net.ipv4.ip_local_port_range='40000 40999'"
    assert any("1000 local ports" in line for line in doctor_in(lab, script, "--net")["advice"])


MESHES = {
    "Istio": "iptables-legacy -t nat -N ISTIO_OUTPUT; iptables-legacy -t nat -A OUTPUT -p tcp -j ISTIO_OUTPUT",
    "Linkerd": "nft 'add table ip nat; add chain ip nat PROXY_INIT_OUTPUT'",
    "Kuma": "ip6tables-legacy -t nat -N KUMA_MESH_OUTBOUND",
    "Docker": "nft 'add table ip nat; add chain ip nat DOCKER'",
}


@pytest.mark.parametrize("tool", MESHES)
def test_others_rules_are_named(lab: Lab, tool: str) -> None:
    report = doctor_in(lab, f"ip link set lo up; {MESHES[tool]}", "--net")
    assert [found["tool"] for found in report["neighbours"]["rules"]] == [tool]
    advised = [line for line in report["advice"] if tool in line]
    assert bool(advised) is (tool != "Docker"), "a container engine's rules go with ours, another mesh's don't"


def test_namespace_flag(lab: Lab) -> None:
    from tests.lab.lab import zygote

    ran: Ran = zygote().run(None, ["doctor", "--json", "--netns", lab.app.name])
    assert ran.ok().json["ok"] is True
    assert "no-such" in zygote().run(None, ["doctor", "--netns", "no-such"]).ended(2).err


@pytest.mark.alone
def test_it_is_quick(lab: Lab) -> None:
    """500 ms on an idle machine; the rest is for the others on this one."""
    times = sorted(lab.tidegate_binary("doctor", "--json").ok().ms for _ in range(3))
    assert times[0] < 2500, times
