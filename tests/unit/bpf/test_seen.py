"""The codec of what a run counts: one layout in C and in Python."""

import re
import socket
from ipaddress import ip_address
from pathlib import Path

import pytest

from bpf import seen

HEADER = (Path(seen.__file__).parent / "include" / "seen.h").read_text()
MAPPED = bytes(10) + b"\xff\xff\x0a\x00\x00\x01"


@pytest.mark.parametrize(
    ("raw", "address"), [(MAPPED, "10.0.0.1"), (socket.inet_pton(socket.AF_INET6, "fd00::1"), "fd00::1")]
)
def test_a_key_comes_back_as_what_it_says(raw: bytes, address: str) -> None:
    key = seen.KEY.pack(raw, 1000, 100, 443, seen.TCP, b"curl\0rest")
    assert seen.decode(key, 7) == (ip_address(address), 443, seen.TCP, 1000, 100, "curl", 7)


def test_the_header_has_the_same_layout() -> None:
    body = re.search(r"struct tg_seen_key {(.*?)};", HEADER, re.S)
    assert body is not None
    fields = re.findall(r"(__u32|__u16|char) (\w+)(?:\[(\d+)\])?;", body[1])
    assert [name for _, name, _ in fields] == ["address", "uid", "gid", "port", "protocol", "name"]
    widths = {"__u32": 4, "__u16": 2, "char": 1}
    assert sum(widths[kind] * int(count or 1) for kind, _, count in fields) == seen.KEY.size
    assert f"#define TG_SEEN_BOUND {seen.BOUND} " in HEADER
