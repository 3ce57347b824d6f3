"""The essence of every backend in few steps, for kernels and hosts on which the whole case table would take hours.

One process plays workload, proxy and peer; no agents, no recorder. It runs on this kernel too, so what guests are
judged by (`make kernels`) is judged here first.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from intercept.doctor.host import version_of
from tests.lab import leftovers, namespaces, skips, snapshot, topology
from tests.lab.banner_server import answer_datagram, bind_udp
from tests.lab.command_line import Ran
from tests.lab.lab import zygote
from tests.lab.namespaces import Namespace

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(400)]

APP, PEER = {4: "10.0.0.2", 6: "fd00::2"}, {4: "10.0.0.1", 6: "fd00::1"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
PATIENCE_S = 20
IP_TRANSPARENT, IPV6_TRANSPARENT, SO_ORIGINAL_DST = 19, 75, 80


class Rig:
    """APP and PEER, a server for each port in both, the proxy's ports in APP. `close` ends all."""

    def __init__(self) -> None:
        self._undo = ExitStack()
        name = leftovers.fresh_name()
        try:
            self.app, self.peer = (self._namespace(f"{name}-{role}") for role in ("app", "peer"))
            for one in (self.app, self.peer):
                one.sysctl("net/ipv6/conf/default/addr_gen_mode", "1")
                one.sysctl("net/ipv6/conf/default/accept_dad", "0")
                namespaces.batch(one, ["link set lo up"])
            topology.link((self.app, "eth0"), (self.peer, "eth0"), "10.0.0.", "fd00::")
            for version in (4, 6):
                for port in (80, 8081):
                    self._serve("peer", self.peer, version, port)
                self._serve("app", self.app, version, 8080)
                for port in (15001, 15006):
                    self._serve("proxy", self.app, version, port, transparent=port == 15006)
            self._answer_dns("peer", self.peer, 53)
            self._answer_dns("proxy", self.app, 15053)
        except BaseException:
            self._undo.close()
            raise

    def _namespace(self, name: str) -> Namespace:
        made = namespaces.create(name)
        self._undo.callback(made.delete)
        return made

    def _serve(self, who: str, where: Namespace, version: int, port: int, *, transparent: bool = False) -> None:
        with where.entered():
            listener = socket.socket(FAMILY[version], socket.SOCK_STREAM)
        if version == 6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if transparent:
            level, option = (socket.SOL_IP, IP_TRANSPARENT) if version == 4 else (41, IPV6_TRANSPARENT)
            listener.setsockopt(level, option, 1)
        listener.bind(("", port))
        listener.listen(16)
        self._in_background(listener, lambda: accept_one(listener, who, version))

    def _answer_dns(self, who: str, where: Namespace, port: int) -> None:
        # Answers from the address that was asked: netfilter knows the answer by it.
        with where.entered():
            server = bind_udp(socket.AF_INET, port)
        self._in_background(server, lambda: answer_datagram(server, who))

    def _in_background(self, sock: socket.socket, once: Callable[[], object]) -> None:
        ending = threading.Event()

        def run() -> None:
            while not ending.is_set():
                if select.select([sock], [], [], 0.2)[0]:
                    once()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def end() -> None:
            ending.set()
            thread.join(5)
            sock.close()

        self._undo.callback(end)

    def dial(self, where: Namespace, version: int, host: str, port: int) -> tuple[dict[str, str], str]:
        """Who answered (and for what destination), and the peer that the socket says it has."""
        with where.entered():
            client = socket.socket(FAMILY[version], socket.SOCK_STREAM)
        with client:
            client.settimeout(PATIENCE_S)
            client.connect((host, port))
            peer = client.getpeername()
            answer = json.loads(client.makefile().readline())
            return answer, shown(peer)

    def ask_dns(self, server: str, *, connected: bool) -> tuple[str, str]:
        """Who answered, and from which address."""
        with self.app.entered():
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with client:
            client.settimeout(PATIENCE_S)
            if connected:
                client.connect((server, 53))
                client.send(b"?")
            else:
                client.sendto(b"?", (server, 53))
            answer, sender = client.recvfrom(512)
            return json.loads(answer)["who"], shown(sender)

    def tidegate(self, *argv: str) -> Ran:
        return zygote().run(self.app, argv, timeout=120)

    def snapshot(self) -> snapshot.Snapshot:
        return snapshot.take(self.app)

    def close(self) -> None:
        self._undo.close()


def accept_one(listener: socket.socket, who: str, version: int) -> None:
    connection, source = listener.accept()
    with connection:
        line = {"who": who, "original": original_destination(connection, version), "source": source[0]}
        connection.sendall(json.dumps(line).encode() + b"\n")


def original_destination(connection: socket.socket, version: int) -> str:
    """As any proxy asks for it; what no NAT and no hook has touched has its own address as the destination."""
    try:
        if version == 4:
            raw = connection.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
            return f"{socket.inet_ntop(socket.AF_INET, raw[4:8])}:{struct.unpack('!H', raw[2:4])[0]}"
        raw = connection.getsockopt(41, SO_ORIGINAL_DST, 28)
        return f"{socket.inet_ntop(socket.AF_INET6, raw[8:24])}:{struct.unpack('!H', raw[2:4])[0]}"
    except OSError:
        return shown(connection.getsockname())


def shown(address: tuple[str, int] | tuple[str, int, int, int]) -> str:
    return f"{address[0].removeprefix('::ffff:')}:{address[1]}"


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    made = Rig()
    try:
        yield made
    finally:
        made.close()


FLAGS = ("--exclude-outbound-ports", "8081", "--dns", "all")


def test_iptables_where_nobody_has_used_it(rig: Rig) -> None:
    """First of all here: after a boot, and where iptables is a module of the kernel, none of it is loaded yet."""
    applied = rig.tidegate("init", "--mode", "iptables", "--json").ok().json
    rig.tidegate("cleanup").ok()
    assert not [left for left in applied["not_captured"] if left.startswith("IPv6")]


def test_capture_from_end_to_end(rig: Rig, backend: str) -> None:
    """One story a backend, not one test a fact: each command takes a guest seconds."""
    since, _ = skips.OLDEST.get(backend, ((0, 0), ""))
    if version_of(os.uname().release) < since:
        refused = rig.tidegate("init", "--mode", backend).ended(3)
        assert f"{since[0]}.{since[1]}" in refused.err, "it must say from which kernel on it works"
        skips.blame_kernel(backend)
    rig.snapshot()  # the first look at a table of iptables-legacy makes it show, empty, for good
    before = rig.snapshot()
    wrong = Wrong()
    rig.tidegate("init", "--mode", backend, *FLAGS).ok()
    try:
        judge_connections(rig, wrong)
        judge_commands(rig, backend, wrong)
    finally:
        rig.tidegate("cleanup").ok()
    wrong.expect("what cleanup leaves", before.diff(rig.snapshot()), "")
    for version in (4, 6):
        wrong.expect(f"after cleanup, IPv{version}", rig.dial(rig.app, version, PEER[version], 80)[0]["who"], "peer")
    assert wrong == [], "\n".join(wrong)


class Wrong(list[str]):
    def expect(self, what: str, seen: object, wanted: object) -> None:
        if seen != wanted:
            self.append(f"{what}: {seen}, wanted {wanted}")


def judge_connections(rig: Rig, wrong: Wrong) -> None:
    for version in (4, 6):
        name = f"IPv{version}"
        answer, peer = rig.dial(rig.app, version, PEER[version], 80)
        wrong.expect(f"outbound {name}", (answer["who"], answer["original"]), ("proxy", f"{PEER[version]}:80"))
        wrong.expect(f"outbound {name}, getpeername", peer, f"{PEER[version]}:80")
        answer, _ = rig.dial(rig.app, version, PEER[version], 8081)
        wrong.expect(f"excluded port {name}", answer["who"], "peer")
        answer, _ = rig.dial(rig.app, version, "127.0.0.1" if version == 4 else "::1", 8080)
        wrong.expect(f"loopback {name}", answer["who"], "app")
        answer, _ = rig.dial(rig.peer, version, APP[version], 8080)
        wrong.expect(f"inbound {name}", (answer["who"], answer["original"]), ("proxy", f"{APP[version]}:8080"))
        wrong.expect(f"inbound {name}, source", answer["source"], PEER[version])
    answer, peer = rig.dial(rig.app, 6, f"::ffff:{PEER[4]}", 80)
    wrong.expect("v4-mapped", (answer["who"], answer["original"], peer), ("proxy", f"{PEER[4]}:80", f"{PEER[4]}:80"))
    for connected in (True, False):
        seen = rig.ask_dns(PEER[4], connected=connected)
        wrong.expect(f"DNS, {'' if connected else 'not '}connected", seen, ("proxy", f"{PEER[4]}:53"))


def judge_commands(rig: Rig, backend: str, wrong: Wrong) -> None:
    status = rig.tidegate("status", "--json").json
    wrong.expect("status", (status["active"], status["mode"], status["drift"]), (True, backend, []))
    again = rig.tidegate("init", "--mode", backend, *FLAGS, "--json").ok().json
    wrong.expect("the same again", again["changed"], False)
    probes = rig.tidegate("check", "--stand-in", "--json").json["probes"]
    # With REDIRECT one source port can't reach two ports at once: a limit of NAT, which check exists to tell.
    failed = [one for one in probes if not one["ok"] and (backend == "ebpf" or "collision" not in one["name"])]
    wrong.expect("check", failed, [])
    probed = {one["name"] for one in probes}
    wrong.expect("probes", {"outbound/ipv4/tcp", "inbound/ipv4/tcp", "outbound/ipv6/tcp"} <= probed, True)
