"""Sends what no ordinary client sends: a segment far outside the window of somebody's open connection.

Run as `python -m tests.lab.inject IFACE SOURCE_PORT DESTINATION_PORT` where the client is. It says `ready`, learns
sequence numbers from the connection's own packets, and on a line on stdin sends the segment (`sent`). The
acknowledgement number is the right one, so that a stack that doesn't know the connection answers with a reset which
the client's stack believes.
"""

from __future__ import annotations

import logging
import sys
import threading

OUT_OF_WINDOW = 1 << 30


def main() -> None:
    logging.getLogger("scapy").setLevel(logging.ERROR)
    from scapy.all import AsyncSniffer, Raw, sendp
    from scapy.layers.inet import IP, TCP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether

    interface, source_port, destination_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    last: list[Ether] = []

    def remember(packet: Ether) -> None:
        if TCP in packet and (packet[TCP].sport, packet[TCP].dport) == (source_port, destination_port):
            last[:] = [packet]

    listening = threading.Event()
    sniffer = AsyncSniffer(iface=interface, prn=remember, store=False, started_callback=listening.set)
    sniffer.start()
    listening.wait(5)
    print("ready", flush=True)
    sys.stdin.readline()
    seen = last[0]
    network = IPv6 if IPv6 in seen else IP
    segment = (
        Ether(src=seen[Ether].src, dst=seen[Ether].dst)
        / network(src=seen[network].src, dst=seen[network].dst)
        / TCP(
            sport=source_port,
            dport=destination_port,
            flags="A",
            seq=(seen[TCP].seq + OUT_OF_WINDOW) & 0xFFFFFFFF,
            ack=seen[TCP].ack,
            window=500,
        )
        / Raw(b"not in the window")
    )
    sendp([segment] * 3, iface=interface, verbose=False)
    sniffer.stop()
    print("sent", flush=True)


if __name__ == "__main__":
    main()
