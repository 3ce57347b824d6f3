"""The few ipset commands that capture needs, straight to the kernel: 10,000 networks take twenty messages."""

import os
import struct
from _socket import AF_INET, AF_INET6, AF_NETLINK, SOCK_RAW, socket
from collections.abc import Iterable, Iterator
from types import TracebackType

from intercept.errors import CaptureError, PrivilegeMissing, Unsupported
from intercept.intent.intent import Network, PortRange

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 6 << 8
_CREATE, _DESTROY, _SWAP, _LIST, _ADD, _TEST = 2, 3, 6, 7, 9, 11
_REQUEST, _ACK, _EXCL, _DUMP = 0x1, 0x4, 0x200, 0x300
_NESTED, _NET_ORDER = 0x8000, 0x4000
_ERROR, _DONE = 2, 3
_PROTOCOL = 6
_IN_USE, _NOT_IN_SET = 4098, 4103
_ENTRIES_A_MESSAGE = 500
_MOST_ENTRIES = 65536
_DEFAULT_FAMILY = {4: AF_INET, 6: AF_INET6}


class Refused(CaptureError):
    def __init__(self, what: str, code: int) -> None:
        reason = os.strerror(code) if code < 4096 else f"ipset error {code}"
        super().__init__(f"{what}: {reason}")
        self.code = code


class Ipset:
    """One netlink socket, of the network namespace that the thread is in when it is made. Close it."""

    def __init__(self) -> None:
        try:
            self._socket = socket(AF_NETLINK, SOCK_RAW, _NETLINK_NETFILTER)
        except OSError as error:
            raise CaptureError(f"cannot open a netlink socket for ipset: {error.strerror}") from None
        self._number = 0

    def __enter__(self) -> "Ipset":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None
    ) -> None:
        self._socket.close()

    def create_ports(self, name: str, ranges: Iterable[PortRange]) -> None:
        """A bitmap of ports, all 65536 of them possible."""
        data = _port(4, 0) + _port(5, 65535)
        self._create(name, "bitmap:port", 0, data)
        self._add(name, [_port(4, one.first) + _port(5, one.last) for one in ranges])

    def create_networks(
        self, name: str, family: int, networks: Iterable[Network], timeout_s: int | None = None
    ) -> None:
        """Networks of one family, none of them /0 (the kernel's hash:net has no such entry)."""
        entries = [_network(one) for one in networks]
        data = _number(19, max(_MOST_ENTRIES, len(entries)))
        if timeout_s is not None:
            data += _number(6, timeout_s)
        self._create(name, "hash:net", family, data)
        self._add(name, entries)

    def renew(self, name: str, networks: Iterable[Network], timeout_s: int) -> None:
        """Add with a time to live, or set that anew."""
        self._add(name, [_network(one) + _number(6, timeout_s) for one in networks])

    def has_port(self, name: str, port: int) -> bool:
        body = _named(name) + _attribute(7 | _NESTED, _port(4, port))
        try:
            self._ask(_TEST, _ACK, body, f"test ipset {name}")
        except Refused as refused:
            if refused.code == _NOT_IN_SET:
                return False
            raise
        return True

    def swap(self, one: str, other: str) -> None:
        """Both change their content at the same instant, for every rule that names them."""
        self._ask(_SWAP, _ACK, _named(one) + _attribute(3, other.encode() + b"\0"), f"swap ipsets {one} and {other}")

    def destroy(self, name: str) -> None:
        self._ask(_DESTROY, _ACK, _named(name), f"remove ipset {name}")

    def names(self) -> list[str]:
        """Of every set in this namespace. Empty where the kernel has no ipset."""
        flags = _number(6, 2)  # names only
        try:
            answers = self._ask(_LIST, _DUMP, _attribute(1, bytes([_PROTOCOL])) + flags, "list ipsets")
        except (Refused, Unsupported):
            return []
        return [_attributes(answer[4:])[2].rstrip(b"\0").decode() for answer in answers]

    def content(self, name: str) -> bytes:
        """The entries in the kernel's own form, in its order, without the header: for comparing, not for reading."""
        answers = self._ask(_LIST, _DUMP, _named(name), f"list ipset {name}")
        return b"".join(sorted(_attributes(answer[4:]).get(8, b"") for answer in answers))

    def _create(self, name: str, kind: str, family: int, data: bytes) -> None:
        body = _named(name) + _attribute(3, kind.encode() + b"\0") + _attribute(4, b"\0")
        body += _attribute(5, bytes([_DEFAULT_FAMILY.get(family, 0)])) + _attribute(7 | _NESTED, data)
        self._ask(_CREATE, _ACK | _EXCL, body, f"make ipset {name} ({kind})")

    def _add(self, name: str, entries: list[bytes]) -> None:
        for start in range(0, len(entries), _ENTRIES_A_MESSAGE):
            part = b"".join(_attribute(7 | _NESTED, entry) for entry in entries[start : start + _ENTRIES_A_MESSAGE])
            # A line number in the error, which the kernel insists on where there are several entries.
            body = _named(name) + _number(9, 0) + _attribute(8 | _NESTED, part)
            self._ask(_ADD, _ACK, body, f"fill ipset {name}")

    def _ask(self, command: int, flags: int, body: bytes, what: str) -> list[bytes]:
        self._number += 1
        payload = struct.pack(">BBH", AF_INET, 0, 0) + body
        head = struct.pack("=IHHII", 16 + len(payload), _SUBSYSTEM | command, _REQUEST | flags, self._number, 0)
        try:
            self._socket.send(head + payload)
            return self._answers(what)
        except OSError as error:
            raise CaptureError(f"{what}: {error.strerror}") from None

    def _answers(self, what: str) -> list[bytes]:
        answers: list[bytes] = []
        while True:
            for kind, number, content in _messages(self._socket.recv(1 << 18)):
                if number != self._number:
                    continue
                if kind == _DONE:
                    return answers
                if kind == _ERROR:
                    _judge(what, -struct.unpack_from("=i", content)[0])
                    return answers
                answers.append(content)


def _judge(what: str, code: int) -> None:
    import errno

    if code == 0:
        return
    if code in (errno.EPERM, errno.EACCES):
        raise PrivilegeMissing("CAP_NET_ADMIN", what)
    if code in (errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT) or code == 4097:
        raise Unsupported(f"{what}: the kernel lacks ip_set, xt_set or that type of set")
    raise Refused(what, code)


def _messages(answer: bytes) -> Iterator[tuple[int, int, bytes]]:
    offset = 0
    while offset + 16 <= len(answer):
        length, kind, _flags, number, _port_id = struct.unpack_from("=IHHII", answer, offset)
        yield kind, number, answer[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def _attributes(body: bytes) -> dict[int, bytes]:
    found = {}
    offset = 0
    while offset + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, offset)
        found[kind & 0x3FFF] = body[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def _named(name: str) -> bytes:
    return _attribute(1, bytes([_PROTOCOL])) + _attribute(2, name.encode() + b"\0")


def _network(network: Network) -> bytes:
    kind = 1 if network.version == 4 else 2
    address = _attribute(kind | _NET_ORDER, network.network_address.packed)
    return _attribute(1 | _NESTED, address) + _attribute(3, bytes([network.prefixlen]))


def _port(kind: int, port: int) -> bytes:
    return _attribute(kind | _NET_ORDER, struct.pack(">H", port))


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind | _NET_ORDER, struct.pack(">I", value))


def _attribute(kind: int, body: bytes) -> bytes:
    length = 4 + len(body)
    return struct.pack("=HH", length, kind) + body + b"\0" * (-length % 4)
