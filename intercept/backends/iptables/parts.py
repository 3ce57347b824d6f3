"""Matches and targets of iptables rules: how each is written by iptables-save and laid out for the kernel. Pure.

Layouts are the kernel's stable interface (linux/netfilter/xt_*.h). Encoding them here instead of through iptables'
plug-ins keeps the name service out: those look up every user, protocol and service, numbers too.
"""

import struct
from collections.abc import Callable

from intercept.intent.intent import IdRange, PortRange
from intercept.intent.value import Value

Lookup = Callable[[str], int]
"""Name of an ipset -> its index in this namespace."""


class Match(Value):
    """module: the kernel's name for it. text: iptables-save's words. data: its layout for a family, given the sets."""

    module: str
    revision: int
    text: str
    data: Callable[[int, Lookup], bytes]


def _fixed(module: str, revision: int, text: str, data: bytes) -> Match:
    return Match(module, revision, text, lambda _family, _sets: data)


def _not(negated: bool) -> str:
    return "! " if negated else ""


def _span(first: int, last: int, sign: str) -> str:
    return str(first) if first == last else f"{first}{sign}{last}"


def tcp_begun() -> Match:
    """TCP, but not a lone SYN (of FIN, SYN, RST, ACK)."""
    data = struct.pack("=4H4B", 0, 65535, 0, 65535, 0, 0x17, 0x02, 0x04)
    return _fixed("tcp", 0, "-m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN", data)


def dst_port(protocol: str, one: PortRange, negated: bool) -> Match:
    ends = (0, 65535, one.first, one.last)
    text = f"-m {protocol} {_not(negated)}--dport {_span(one.first, one.last, ':')}"
    if protocol == "tcp":
        return _fixed("tcp", 0, text, struct.pack("=4H4B", *ends, 0, 0, 0, 0x02 if negated else 0))
    return _fixed("udp", 0, text, struct.pack("=4HBx", *ends, 0x02 if negated else 0))


def src_port(protocol: str, port: int) -> Match:
    text = f"-m {protocol} --sport {port}"
    layout = "=4H4x" if protocol == "tcp" else "=4H2x"
    return _fixed(protocol, 0, text, struct.pack(layout, port, port, 0, 65535))


MULTIPORT_SLOTS = 15


def slots(ranges: tuple[PortRange, ...]) -> int:
    """How many of a multiport match's places these take."""
    return sum(1 if one.first == one.last else 2 for one in ranges)


def multiport(ranges: tuple[PortRange, ...], negated: bool) -> Match:
    """At most MULTIPORT_SLOTS slots."""
    ports: list[int] = []
    begins: list[int] = []
    for one in ranges:
        ends = [one.first] if one.first == one.last else [one.first, one.last]
        ports += ends
        begins += [1, 0][: len(ends)] if len(ends) == 2 else [0]
    empty = MULTIPORT_SLOTS - len(ports)
    data = struct.pack("=2B15H15BB", 1, len(ports), *ports, *[0] * empty, *begins, *[0] * empty, int(negated))
    listed = ",".join(_span(one.first, one.last, ":") for one in ranges)
    return _fixed("multiport", 1, f"-m multiport {_not(negated)}--dports {listed}", data)


def in_set(name: str, negated: bool, side: str = "dst") -> Match:
    """side: `dst` or `src`, the address or port that is looked up."""

    def data(_family: int, sets: Lookup) -> bytes:
        flags = (0x01 if negated else 0) | (0x02 if side == "src" else 0)
        # The rest compares counters, which our sets don't have. Older revisions would do, but iptables-save can only
        # write the newest that the kernel has.
        return struct.pack("=HBB", sets(name), 1, flags) + b"\0" * 44

    return Match("set", 4, f"-m set {_not(negated)}--match-set {name} {side}", data)


def dst_local(negated: bool) -> Match:
    text = f"-m addrtype {_not(negated)}--dst-type LOCAL"
    return _fixed("addrtype", 1, text, struct.pack("=HHI", 0, 1 << 2, 0x02 if negated else 0))


def owner(kind: str, one: IdRange, negated: bool) -> Match:
    """kind: `uid` or `gid`."""
    ends = (one.first, one.last)
    both = (*ends, 0, 0) if kind == "uid" else (0, 0, *ends)
    flag = 1 if kind == "uid" else 2
    text = f"-m owner {_not(negated)}--{kind}-owner {_span(one.first, one.last, '-')}"
    return _fixed("owner", 1, text, struct.pack("=4I2B2x", *both, flag, flag if negated else 0))


def mark(value: int, negated: bool) -> Match:
    text = f"-m mark {_not(negated)}--mark {value:#x}"
    return _fixed("mark", 1, text, struct.pack("=2IB3x", value, 2**32 - 1, int(negated)))


def cgroup(path: str) -> Match:
    """Layout of revision 2 (short paths) or 1; positive only: a packet without a socket belongs to no folder."""
    raw = path.encode()
    room, revision = (512, 2) if len(raw) < 512 else (4096, 1)
    layout = f"=4B{room}s"
    body = struct.pack(layout, 1, 0, 0, 0, raw) + (b"\0" * 4 if revision == 1 else b"")
    # A pointer of the kernel's own follows, aligned to 8.
    return _fixed("cgroup", revision, f'-m cgroup --path "{path}"', body + b"\0" * (-len(body) % 8) + b"\0" * 8)


def ct_state(name: str) -> Match:
    """name: INVALID, or DNAT (the destination was rewritten)."""
    bit = {"INVALID": 1 << 0, "DNAT": 1 << 7}[name]
    data = b"\0" * 146 + struct.pack("=4H", 1, 0, bit, 0) + b"\0" * 10
    return _fixed("conntrack", 3, f"-m conntrack --ctstate {name}", data)


def comment(text: str) -> Match:
    return _fixed("comment", 0, f'-m comment --comment "{text}"', text.encode().ljust(256, b"\0"))


class Target(Value):
    """name as libiptc wants it: a chain of ours, a standard verdict, or the name of a target module."""

    name: str
    text: str
    data: Callable[[int], bytes] = lambda _family: b"\0" * 4
    revision: int = 0
    goto: bool = False
    module: bool = False
    """An extension that the kernel may lack."""


RETURN = Target("RETURN", "-j RETURN")
DROP = Target("DROP", "-j DROP")


def lead_to(chain: str, *, goto: bool) -> Target:
    return Target(chain, f"-{'g' if goto else 'j'} {chain}", goto=goto)


def redirect(port: int) -> Target:
    def data(family: int) -> bytes:
        raw = struct.pack(">H", port)
        if family == 4:
            return struct.pack("=II", 1, 0x02) + b"\0" * 8 + raw * 2
        return struct.pack("=I", 0x02) + b"\0" * 32 + raw * 2

    return Target("REDIRECT", f"-j REDIRECT --to-ports {port}", data, module=True)


def reject(*, reset: bool) -> Target:
    def data(family: int) -> bytes:
        code = (7 if reset else 3) if family == 4 else (6 if reset else 4)
        return struct.pack("=I", code)

    # Each family has its own word for it; iptables takes `tcp-reset` in both.
    return Target("REJECT", "-j REJECT" + (" --reject-with tcp-reset" if reset else ""), data, module=True)


def zone(number: int) -> Target:
    data = struct.pack("=HH", 0, number) + b"\0" * 68
    return Target("CT", f"-j CT --zone {number}", lambda _family: data, revision=2, module=True)
