"""What the lab's programs say to each other: addresses as text, banners, original destinations.

Standard library only, and no relative of the code under test: agents and the recorder import it in processes of
their own, and the proof that capture works must not lean on tidegate's own codecs.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import struct
from typing import Any

SO_ORIGINAL_DST = 80  # also IP6T_SO_ORIGINAL_DST: same number, other level


def is_v6(host: str) -> bool:
    return ":" in host


def unmap(host: str) -> str:
    """`::ffff:10.0.0.1` is the host 10.0.0.1; a zone (`%eth0`) is not part of the address."""
    host = host.partition("%")[0]
    if not is_v6(host):
        return host
    address = ipaddress.IPv6Address(host)
    return str(address.ipv4_mapped) if address.ipv4_mapped else str(address)


def show(host: str, port: int) -> str:
    return f"[{host}]:{port}" if is_v6(host) else f"{host}:{port}"


def shown(address: tuple[Any, ...]) -> str:
    """A socket address as `host:port`, v4-mapped ones as plain IPv4."""
    return show(unmap(address[0]), address[1])


def original_destination(connection: socket.socket) -> dict[str, str]:
    """What getsockopt answers at each level; an error is the errno's text.

    `v4` is level SOL_IP, `v6` level SOL_IPV6. Which of the two is the truth depends on the family of the connection,
    so both are told.
    """
    answers = {}
    for name, level, size in (("v4", socket.SOL_IP, 16), ("v6", socket.IPPROTO_IPV6, 28)):
        try:
            raw = connection.getsockopt(level, SO_ORIGINAL_DST, size)
        except OSError as error:
            answers[name] = f"error: {error.strerror}"
            continue
        answers[name] = decode_sockaddr(raw)
    return answers


def decode_sockaddr(raw: bytes) -> str:
    family = struct.unpack_from("=H", raw)[0] if len(raw) >= 2 else -1
    if family == socket.AF_INET and len(raw) >= 8:
        return show(socket.inet_ntop(socket.AF_INET, raw[4:8]), struct.unpack_from("!H", raw, 2)[0])
    if family == socket.AF_INET6 and len(raw) >= 24:
        return show(socket.inet_ntop(socket.AF_INET6, raw[8:24]), struct.unpack_from("!H", raw, 2)[0])
    return f"error: {len(raw)} bytes of family {family}: {raw.hex()}"


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"
