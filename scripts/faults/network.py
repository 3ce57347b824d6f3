"""Links, losses and floods."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator

from scripts.faults.model import Seen, fault
from scripts.faults.world import PORT, World
from tests.lab import Lab
from tests.lab.namespaces import Namespace, batch
from tests.netns.proxy.proxy_rig import PEER_V4, rules

AREA = "network"
SIZE = 20_000_000


def transfer(world: World, size: int = SIZE, timeout: float = 20) -> float:
    """Send so many bytes and get them back; seconds. AssertionError when they are not the same."""
    data = bytes(range(256)) * (size // 256)
    began = time.monotonic()
    with world.dial(timeout=timeout) as client:
        sent = got = 0
        client.setblocking(True)
        client.settimeout(timeout)
        while got < len(data):
            if sent < len(data):
                sent += client.send(data[sent : sent + 65536])
            piece = client.recv(65536)
            assert piece, f"closed after {got} bytes"
            assert piece == data[got : got + len(piece)], "bytes were changed"
            got += len(piece)
    return time.monotonic() - began


@fault(AREA, "open connections go on when the link is back; new ones wait for it")
def link_down_and_up(lab: Lab) -> Seen:
    """The link goes down for three seconds."""
    with World(lab) as world, world.open_connection() as carries:
        batch(lab.app, ["link set eth0 down"])
        time.sleep(3)
        batch(lab.app, ["link set eth0 up", "addr replace fd00::2/64 dev eth0 nodad"])
        batch(lab.app, [f"route replace {net} via 10.0.0.1" for net in ("192.0.2.0/24", "1.2.3.0/24")])
        took = world.recovery(world.works, 10)
        assert carries()
        world.recovery(world.ready, 10)
    return Seen("the open connection went on", took)


LOSSY = """
table inet faults {
  chain in { type filter hook prerouting priority -400
    iifname "eth0" numgen random mod 100 < %d counter drop
  }
}
"""


@fault(AREA, "every byte arrives, in order, more slowly")
def packet_loss(lab: Lab) -> Seen:
    """Every twentieth packet is lost."""
    with World(lab) as world:
        clean = transfer(world)
        with rules(lab.app, LOSSY % 5, "inet faults"):
            lossy = transfer(world, timeout=60)
            listing = lab.app.run(["nft", "list", "table", "inet", "faults"]).stdout
            lost = int(listing.partition("counter packets ")[2].split()[0])
        assert lost > 5, listing
        assert transfer(world) < 20
    return Seen(f"20 MB there and back, {lost} packets lost: {lossy:.1f} s instead of {clean:.1f} s")


BLACK_HOLE = """
table inet faults {
  chain out { type filter hook postrouting priority 100
    oifname "eth0" ip length > 1200 drop
  }
  chain in { type filter hook prerouting priority -400
    icmp type destination-unreachable drop
  }
}
"""


@fault(AREA, "the connection stalls as without us, nothing else does; with tcp_mtu_probing it goes on")
def mtu_black_hole(lab: Lab) -> Seen:
    """Large packets vanish, and no ICMP comes (MTU black hole)."""
    with World(lab) as world, rules(lab.app, BLACK_HOLE, "inet faults"):
        assert world.works(), "small packets pass"
        stalled = False
        try:
            transfer(world, size=100_096, timeout=3)
        except TimeoutError:
            stalled = True
        assert stalled
        assert world.ready()
        lab.app.sysctl("net/ipv4/tcp_mtu_probing", "2")
        took = transfer(world, size=100_096, timeout=30)
    return Seen(f"stalled; with tcp_mtu_probing=2 in the sidecar's namespace 100 kB took {took:.1f} s")


def _syn_flood(namespace: Namespace, destination: str, port: int, count: int) -> None:
    """SYNs from addresses that answer nothing."""
    target = socket.inet_aton(destination)
    with namespace.entered():
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with raw:
        for number in range(count):
            source = socket.inet_aton(f"10.0.0.{100 + number % 100}")
            head = struct.pack("!HHIIBBHHH", 1024 + number % 60000, port, number, 0, 5 << 4, 2, 8192, 0, 0)
            pseudo = source + target + struct.pack("!BBH", 0, 6, len(head))
            total = sum(struct.unpack(f"!{len(pseudo + head) // 2}H", pseudo + head))
            total = (total >> 16) + (total & 0xFFFF)
            checksum = ~(total + (total >> 16)) & 0xFFFF
            head = head[:16] + struct.pack("!H", checksum) + head[18:]
            ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0, source, target)
            with contextlib.suppress(OSError):
                raw.sendto(ip + head, (destination, 0))


@fault(AREA, "the workload's connections and the probes go on")
def half_open_flood(lab: Lab) -> Seen:
    """20,000 half-open connections to a captured port (SYN flood)."""
    lab.serve_app()
    with World(lab) as world:
        began = time.monotonic()
        _syn_flood(lab.peer, "10.0.0.2", 8080, 20_000)
        slowest = 0.0
        for _ in range(20):
            one = time.monotonic()
            assert world.works()
            assert world.ready()
            slowest = max(slowest, time.monotonic() - one)
        reply = lab.actor(namespace=lab.peer).tcp("10.0.0.2", 8080)
        assert reply.who == "app", reply
        took = time.monotonic() - began
    return Seen(f"a connection and a probe took {slowest * 1000:.0f} ms at most, {took:.1f} s from the flood's start")


@contextlib.contextmanager
def _dead(world: World) -> Iterator[None]:
    """The server's host answers nothing."""
    rule = f"type filter hook input priority 0\ntcp dport {PORT} drop"
    text = f"table inet faults {{\nchain in {{\n{rule}\n}}\n}}\n"
    with rules(world.lab.peer, text, "inet faults"):
        yield


@fault(AREA, "a new connection is reset after --connect-timeout; others go on; it works when the host is back")
def upstream_silent(lab: Lab) -> Seen:
    """The upstream's host answers nothing."""
    with World(lab, proxy_flags=("--connect-timeout", "1")) as world:
        with _dead(world):
            began = time.monotonic()
            assert world.outcome(timeout=5) == "reset"
            after = time.monotonic() - began
            assert world.ready()
        took = world.recovery(world.works, 5)
    assert PEER_V4
    return Seen(f"reset after {after:.1f} s (--connect-timeout 1)", took)


@fault("capture", "readiness says so within two looks of the companion's; `init` mends it")
def bpffs_emptied(lab: Lab) -> Seen:
    """Our folder in the BPF file system is removed under a running capture."""
    from bpf import bpffs

    with World(lab, "ebpf") as world:
        root = bpffs.find()
        assert root is not None
        with lab.app.entered():
            from intercept.backends.ebpf.anchors import netns_cookie

            folder = bpffs.folder_of(root, str(netns_cookie()))
        bpffs.remove_tree(folder)
        noticed = world.recovery(lambda: not world.ready(), 8)
        lab.tidegate("init", "--mode", "ebpf").ok()
        took = world.recovery(lambda: world.ready() and world.works(), 8)
    return Seen(f"unready after {noticed:.1f} s; connections go direct meanwhile", took)


@fault("capture", "readiness says so within two looks of the companion's; `init` mends it", short=True)
def rules_flushed(lab: Lab) -> Seen:
    """Somebody flushes all nftables rules."""
    with World(lab) as world:
        lab.app.run(["nft", "flush", "ruleset"])
        noticed = world.recovery(lambda: not world.ready(), 8)
        lab.tidegate("init", "--mode", "nftables").ok()
        took = world.recovery(lambda: world.ready() and world.works(), 8)
    return Seen(f"unready after {noticed:.1f} s; connections go direct meanwhile", took)
