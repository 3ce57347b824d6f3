"""A third-party proxy: it knows nothing of tidegate, only SO_ORIGINAL_DST, and records what it was told.

Run as `python -S -m tests.lab.recorder --uid 1337 …` inside the namespace. Every accepted connection and datagram is
written to stdout as one JSON line, and
  answer mode: the same line is the banner, after which it echoes;
  relay mode:  the connection is relayed to its original destination, transparently.
Lines on stdin: `answer`, `relay`. End of file ends it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import selectors
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import Any

from tests.lab import wire
from tests.lab.banner_server import answer_datagram, bind_udp, listen_tcp
from tests.lab.patience import patient

PR_SET_KEEPCAPS = 8
CAP_NET_ADMIN = 12
CAPABILITY_VERSION_3 = 0x20080522


def drop_to(uid: int, gid: int, groups: list[int], *, keep_net_admin: bool) -> None:
    """Become the proxy's user, as a sidecar container would start it; IP_TRANSPARENT needs CAP_NET_ADMIN kept."""
    libc = ctypes.CDLL(None, use_errno=True)
    if keep_net_admin:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if keep_net_admin:
        header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
        bit = 1 << CAP_NET_ADMIN
        if libc.capset(header, struct.pack("IIIIII", bit, bit, 0, 0, 0, 0)) != 0:
            raise OSError(ctypes.get_errno(), "capset")


class Recorder:
    def __init__(self, tcp_ports: list[int], udp_ports: list[int], *, v4_only: bool, transparent: bool) -> None:
        self.relaying = False
        self._write = threading.Lock()
        self._selector = selectors.DefaultSelector()
        for port in tcp_ports:
            listener = listen_tcp(port, v4_only=v4_only, transparent=transparent)
            self._selector.register(listener, selectors.EVENT_READ, self._accept)
        for port in udp_ports:
            for family in (socket.AF_INET,) if v4_only else (socket.AF_INET, socket.AF_INET6):
                self._selector.register(bind_udp(family, port), selectors.EVENT_READ, self._datagram)

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                key.data(key.fileobj)

    def log(self, record: dict[str, Any]) -> None:
        with self._write:
            sys.stdout.write(json.dumps(record) + "\n")
            sys.stdout.flush()

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, peer = listener.accept()
        except OSError:
            return  # reset before it was accepted
        threading.Thread(target=self._serve, args=(connection, peer, listener.getsockname()[1]), daemon=True).start()

    def _serve(self, connection: socket.socket, peer: tuple[Any, ...], port: int) -> None:
        try:
            here = connection.getsockname()
        except OSError:
            connection.close()
            return
        answers = wire.original_destination(connection)
        v6 = wire.is_v6(wire.unmap(peer[0]))
        original = answers["v6" if v6 else "v4"]
        record = {
            "who": "proxy",
            "listener": port,
            "source": wire.shown(peer),
            "sockname": wire.shown(here),
            "original": original,
            "answers": answers,
        }
        self.log(record)
        try:
            if self.relaying:
                relay(connection, original, wire.shown(here))
            else:
                connection.sendall(wire.line(**record))
                while data := connection.recv(65536):
                    connection.sendall(data)
        except OSError:
            pass  # the client left: nothing to report, the record stands
        finally:
            connection.close()

    def _datagram(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self.log(answer_datagram(sock, "proxy"))


def relay(downstream: socket.socket, original: str, sockname: str) -> None:
    """Both directions, half-close kept; a target that can't be reached is passed on as a reset."""
    target = sockname if original.startswith("error") else original
    host, _, port = target.rpartition(":")
    try:
        upstream = socket.create_connection((host.strip("[]"), int(port)), timeout=patient(5))
    except OSError:
        downstream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return
    upstream.settimeout(None)
    with upstream:
        back = threading.Thread(target=pump, args=(upstream, downstream), daemon=True)
        back.start()
        pump(downstream, upstream)
        back.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--uid", type=int, default=1337)
    parser.add_argument("--gid", type=int, default=1337)
    parser.add_argument("--groups", default="")
    parser.add_argument("--cgroup")
    parser.add_argument("--tcp", default="15001,15006,15053")
    parser.add_argument("--udp", default="15053")
    parser.add_argument("--v4-only", action="store_true")
    parser.add_argument("--transparent", action="store_true")
    options = parser.parse_args()
    if options.cgroup:
        (Path(options.cgroup) / "cgroup.procs").write_text(str(os.getpid()))
    groups = [int(g) for g in options.groups.split(",") if g]
    drop_to(options.uid, options.gid, groups, keep_net_admin=options.transparent)
    tcp_ports = [int(p) for p in options.tcp.split(",") if p]
    udp_ports = [int(p) for p in options.udp.split(",") if p]
    recorder = Recorder(tcp_ports, udp_ports, v4_only=options.v4_only, transparent=options.transparent)
    threading.Thread(target=recorder.run, daemon=True).start()
    recorder.log({"ready": True})
    for line in sys.stdin:
        recorder.relaying = line.strip() == "relay"
        recorder.log({"mode": line.strip()})
    os._exit(0)


if __name__ == "__main__":
    main()
