"""Packets that come in another order, and a full table of connections."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.faults.model import Seen, fault
from scripts.faults.network import transfer
from scripts.faults.world import World
from tests.lab import Lab
from tests.lab.namespaces import Namespace
from tests.netns.proxy.proxy_rig import PEER_V4, rules

AREA = "network"
APP_V4 = "10.0.0.2"
_PROMISED = (
    "new connections wait or fail as with any NAT, open ones go on; ebpf mode has no such table; all works again"
)

# Every eighth packet from PEER is dropped as it arrives, and comes once more a few milliseconds later.
LATE = """
table inet faults {
  chain in { type filter hook prerouting priority -400
    iifname "eth0" ip ttl 64 ip id & 7 == 3 counter drop
  }
}
"""
DELAYS = """
import ctypes, fcntl, socket, struct, sys, time
def off(name, command):
    control = socket.socket()
    wanted = ctypes.create_string_buffer(struct.pack("II", command, 0))
    fcntl.ioctl(control, 0x8946, struct.pack("16sP", name, ctypes.addressof(wanted)) + bytes(16))
for command in (0x1F, 0x24):  # ETHTOOL_STSO, ETHTOOL_SGSO: packets as they are on a wire
    off(b"eth0", command)
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind(("eth0", 3))
wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
waiting = []
print("up", flush=True)
while True:
    wire.settimeout(0.001)
    try:
        frame, place = wire.recvfrom(65536)
        late = place[2] == 4 and frame[12:14] == b"\\x08\\x00" and frame[22] == 64 and frame[19] & 7 == 3
        if late and frame[23] == 6:
            again = bytearray(frame)
            again[22] = 63  # a hop more, by which it is told from the one that is dropped
            total = struct.unpack_from("!H", again, 24)[0] + 0x100
            struct.pack_into("!H", again, 24, (total & 0xFFFF) + (total >> 16))
            waiting.append((time.monotonic() + 0.003, bytes(again)))
    except TimeoutError:
        pass
    while waiting and waiting[0][0] <= time.monotonic():
        wire.send(waiting.pop(0)[1])
"""


@fault(AREA, "every byte arrives, in order")
def packets_reordered(lab: Lab) -> Seen:
    """Every eighth packet comes three milliseconds late, behind those that left after it."""
    with World(lab) as world, _delaying(lab):
        clean = transfer(world)
        with rules(lab.app, LATE, "inet faults"):
            late = transfer(world, timeout=60)
            listing = lab.app.run(["nft", "list", "table", "inet", "faults"]).stdout
            count = int(listing.partition("counter packets ")[2].split()[0])
            seen = _counter(lab.app, "TCPOFOQueue")
        assert count > 100, listing
        assert seen > 50, "the receiver has queued nothing out of order"
        assert world.works()
    return Seen(
        f"20 MB there and back, {count} packets late, {seen} put in order: {late:.1f} s instead of {clean:.1f} s"
    )


@contextlib.contextmanager
def _delaying(lab: Lab) -> Iterator[None]:
    with lab.peer.popen(["python3", "-c", DELAYS], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            yield
        finally:
            process.kill()


def _counter(namespace: Namespace, name: str) -> int:
    """Of /proc/net/netstat."""
    text = namespace.run(["cat", "/proc/net/netstat"]).stdout.splitlines()
    rows = [
        dict(zip(one.split()[1:], two.split()[1:], strict=True)) for one, two in zip(text[::2], text[1::2], strict=True)
    ]
    return next(int(row[name]) for row in rows if name in row)


# The other end's host says nothing, and ours hears nothing: entries are all that is wanted.
QUIET = """
table inet faults {
  chain in { type filter hook input priority 0
    ip saddr 198.18.0.0/15 drop
  }
}
"""


@fault(AREA, _PROMISED)
def conntrack_full(lab: Lab) -> Seen:
    """The namespace's table of tracked connections is full (conntrack)."""
    most = int(Path("/proc/sys/net/netfilter/nf_conntrack_max").read_text())
    with World(lab) as world, world.open_connection() as carries, rules(lab.app, QUIET, "inet faults"):
        # Made of packets from the middle of connections, which end by themselves when nothing comes for so long.
        lab.app.sysctl("net/netfilter/nf_conntrack_tcp_timeout_established", "50")
        _fill(lab.app, most)
        met = world.outcome()
        assert met in ("no answer", "refused", "reset"), f"not full: {met}"
        assert carries()
        lab.tidegate("init", "--mode", "ebpf").ok()
        moved = world.recovery(world.works, 5)
        lab.tidegate("init", "--mode", "nftables").ok()
        began = time.monotonic()
        world.recovery(world.works, 70)
        took = time.monotonic() - began
        world.recovery(world.ready, 15)
    text = f"{most:,} entries; a new connection met: {met}; a change to ebpf mode helped after {moved * 1000:.0f} ms"
    return Seen(f"{text}; in nftables mode it worked when entries ran out", took)


def _fill(namespace: Namespace, count: int) -> None:
    """So many tracked connections that carry bytes both ways: others are given up for new ones."""
    with namespace.entered():
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        namespace.run(["ip", "route", "replace", "198.18.0.0/15", "via", PEER_V4])
    with raw, contextlib.suppress(PermissionError):  # which is how the kernel says that there is no room
        for number in range(count + 1000):
            there = socket.inet_aton(f"198.18.{number >> 8 & 255}.{number & 255}")
            here = socket.inet_aton(APP_V4)
            ports = 20_000 + (number >> 16), 9
            out = _acknowledgement(here, there, *ports), (socket.inet_ntoa(there), 0)
            raw.sendto(*out)
            raw.sendto(_acknowledgement(there, here, *reversed(ports)), (APP_V4, 0))
            raw.sendto(*out)  # after an answer: now it counts as one that is really there


def _acknowledgement(source: bytes, target: bytes, sport: int, dport: int) -> bytes:
    head = struct.pack("!HHIIBBHHH", sport, dport, 1, 1, 5 << 4, 16, 8192, 0, 0)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0, source, target)
    return ip + head
