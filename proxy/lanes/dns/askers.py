"""Whom the DNS listener serves: the workload, whose questions arrive on loopback, captured or not; and what arrives on
interfaces whose DNS is captured. The listener is open to the network, or REDIRECT could not deliver to it; but others
would use it to reach resolvers that serve this host alone, and to send answers to addresses that are not theirs."""

import socket
import struct

IPV6_PKTINFO = 50
IP_PKTINFO = 8
LOOPBACK = 1
"""The interface index of `lo`, in every network namespace."""

Ancillary = list[tuple[int, int, bytes]]


class Askers:
    def __init__(self) -> None:
        self.interfaces: tuple[str, ...] = ()
        """Names; a `+` at the end stands for anything."""

    def admitted(self, ancillary: Ancillary) -> Ancillary | None:
        """What makes an answer leave from the address at which the question arrived; None: it is not to be answered."""
        for level, kind, data in ancillary:
            if (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):
                (interface,) = struct.unpack_from("=I", data, 16)
                answer = data[:16] + struct.pack("=I", 0)
            elif (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
                # struct in_pktinfo: interface, the address to use (spec_dst), the header's address.
                (interface,) = struct.unpack_from("=I", data)
                answer = struct.pack("=I", 0) + data[4:8] + struct.pack("=I", 0)
            else:
                continue
            return [(level, kind, answer)] if interface == LOOPBACK or self._serves(interface) else None
        return None

    def _serves(self, interface: int) -> bool:
        if not self.interfaces:
            return False
        try:
            name = socket.if_indextoname(interface)
        except OSError:
            return False
        return any(name == one or (one.endswith("+") and name.startswith(one[:-1])) for one in self.interfaces)
