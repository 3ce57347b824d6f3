"""`--cgroup`: one process tree is captured and nothing beside it (case bpf-scope, on every backend)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.actor import Actor, Identity
from tests.lab.cgroup_folder import CgroupFolder, mount_point
from tests.lab.lab import ROOT_USER
from tests.lab.third_party_proxy import ProxyOptions, ThirdPartyProxy

pytestmark = pytest.mark.kernel

FAR = ("10.0.0.1", "fd00::1")


@dataclass(frozen=True)
class Scoped:
    """Capture is in force for `folder` only."""

    backend: str
    folder: CgroupFolder
    inside: Actor
    below: Actor
    outside: Actor
    proxy: ThirdPartyProxy


@pytest.fixture(scope="module")
def scoped(backend: str, lab: Lab) -> Iterator[Scoped]:
    folder = lab.cgroup.child(f"scope-{backend}")
    below = folder.child("below")
    inside = lab.actor(Identity(1000, 1000, (), folder.folder))
    deeper = lab.actor(Identity(1000, 1000, (), below.folder))
    inside.serve("app", (8080,))
    lab.actor().serve("app", (9090,))
    lab.tidegate("init", "--mode", backend, "--cgroup", folder.path).ok()
    with lab.proxy(ProxyOptions(transparent=backend == "tproxy")) as proxy:
        lab.adopt(backend, proxy)
        yield Scoped(backend, folder, inside, deeper, lab.actor(), proxy)
        lab.tidegate("cleanup").ok()
        for actor in (inside, deeper, lab.actor()):
            lab.dismiss(actor)


@pytest.mark.parametrize("host", FAR)
def test_the_tree_is_captured_and_the_same_user_outside_is_not(scoped: Scoped, host: str) -> None:
    for actor in (scoped.inside, scoped.below):
        reply = actor.tcp(host, 80)
        assert reply.line is not None
        assert (reply.who, reply.line["listener"]) == ("proxy", 15001)
        assert reply.line["original"] == (f"[{host}]:80" if ":" in host else f"{host}:80")
    assert scoped.outside.tcp(host, 80).who == "peer"


@pytest.mark.parametrize("host", FAR)
def test_threads_and_descendants_are_captured(scoped: Scoped, host: str) -> None:
    request = {"op": "tcp", "host": host, "port": 80}
    assert scoped.inside.in_thread(request).who == "proxy"
    assert scoped.inside.in_child(request).who == "proxy"
    assert scoped.inside.in_child(request, depth=3).who == "proxy"
    assert scoped.outside.in_thread(request).who == "peer"
    assert scoped.outside.in_child(request, depth=3).who == "peer"


@pytest.mark.parametrize("host", ["10.0.0.2", "fd00::2"])
def test_inbound_is_captured_for_servers_of_the_tree(lab: Lab, scoped: Scoped, host: str) -> None:
    client = lab.actor(ROOT_USER, lab.peer)
    reply = client.tcp(host, 8080)
    assert client.tcp(host, 9090).who == "app", "a server outside the cgroup"
    if scoped.backend == "iptables":
        # Its cgroup match works where packets leave only, and the status says so aloud.
        assert reply.who == "app"
        left_out = lab.tidegate("status", "--json").ok().json["not_captured"]
        assert any("inbound" in sentence for sentence in left_out), left_out
        return
    assert reply.line is not None
    assert (reply.who, reply.line["listener"]) == ("proxy", 15006)
    assert reply.line["source"] == reply.raw["local"]


def test_listeners_are_still_refused_when_dialled_straight(scoped: Scoped) -> None:
    assert scoped.inside.tcp("127.0.0.1", 15001).status == "refused"
    assert scoped.inside.tcp("::1", 15006).status == "refused"


def test_the_same_again_changes_nothing(lab: Lab, scoped: Scoped) -> None:
    first = lab.snapshot(handles=True)
    lab.tidegate("init", "--mode", scoped.backend, "--cgroup", scoped.folder.path).ok()
    assert lab.changes_since(first, handles=True) == ""
    full_path = str(mount_point() / scoped.folder.path.lstrip("/"))
    lab.tidegate("init", "--mode", scoped.backend, "--cgroup", full_path).ok()
    assert lab.changes_since(first, handles=True) == "", "the folder's full path names the same folder"


def test_the_proxy_may_run_inside_the_cgroup(lab: Lab, scoped: Scoped) -> None:
    proxy = lab.actor(Identity(1337, 1337, (), scoped.folder.folder))
    for host in FAR:
        assert proxy.tcp(host, 80).who == "peer"
    lab.dismiss(proxy)


def test_inbound_asked_for_under_a_cgroup_is_refused_by_iptables_alone(lab: Lab, backend: str) -> None:
    folder = lab.cgroup.child(f"asked-{backend}")
    before = lab.snapshot()
    init = ("init", "--mode", backend, "--cgroup", folder.path, "--include-inbound-ports", "8080")
    ran = lab.tidegate(*init)
    try:
        if backend == "iptables":
            ran.ended(3)
            assert "iptables" in ran.err
            assert "--cgroup" in ran.err or "--include-inbound-ports" in ran.err
            assert lab.changes_since(before) == ""
        else:
            ran.ok()
    finally:
        lab.tidegate("cleanup").ok()


def test_a_folder_that_is_not_there_is_named(lab: Lab, backend: str) -> None:
    before = lab.snapshot()
    ran = lab.tidegate("init", "--mode", backend, "--cgroup", "/tglab-not-there")
    assert ran.code in (1, 2), ran
    assert "tglab-not-there" in ran.err
    assert not Path(mount_point() / "tglab-not-there").exists()
    assert lab.changes_since(before) == ""
