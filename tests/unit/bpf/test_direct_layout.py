"""The direct lane's codecs: against direct_wire.h, and the shares that a service's packed weights come to."""

from __future__ import annotations

import re
import struct
from collections import Counter
from itertools import islice
from math import gcd
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf import direct_layout
from bpf.direct_layout import Service, ServiceFlag
from intercept.backends.ebpf.direct.values import packed
from intercept.backends.kernel_lane import KernelEndpoint, KernelService
from intercept.errors import CaptureError

WIRE = (Path(direct_layout.__file__).parent / "include" / "direct" / "values.h").read_text()

weights = st.lists(st.integers(1, 1000), min_size=1, max_size=direct_layout.ENDPOINTS)


def test_flags_are_those_of_the_header() -> None:
    found = dict(re.findall(r"TG_SERVICE_(\w+) = 1 << (\d+)", WIRE))
    ours = {name: value for name, value in vars(ServiceFlag).items() if name.isupper()}
    assert {name: 1 << int(bit) for name, bit in found.items()} == ours


def test_the_most_endpoints_are_those_of_the_header() -> None:
    found = re.search(r"#define TG_ENDPOINTS (\d+)", WIRE)
    assert found is not None
    assert int(found[1]) == direct_layout.ENDPOINTS


def test_counts_are_in_the_headers_order() -> None:
    body = re.search(r"struct tg_member_counts {(.*?)};", WIRE, re.DOTALL)
    assert body is not None
    assert tuple(re.findall(r"__u64 (\w+);", body[1])) == direct_layout.Counts._fields


def test_an_ended_connection_is_read_as_the_header_has_it() -> None:
    body = re.search(r"struct tg_direct_end {(.*?)};", WIRE, re.DOTALL)
    assert body is not None
    names = re.findall(r"(\w+)(?:\[4\])?;", body[1])
    assert names == ["begun_ns", "ended_ns", "sent", "received", "member", "client", "client_port", "ending",
                     "retransmits", "srtt_us", "unused"]  # fmt: skip
    member = struct.pack("=I", 7) + direct_layout.host_port("10.0.0.9", 80)
    value = struct.pack("=4Q", 1, 2, 3, 4) + member + direct_layout.host_port("fd00::1", 0)[:16]
    value += struct.pack("=HHIII", 40000, 1, 5, 6, 0)
    assert len(value) == direct_layout.END_SIZE
    found = direct_layout.end(value)
    assert found == (1, 2, 3, 4, 7, ("10.0.0.9", 80), ("fd00::1", 40000), direct_layout.Ending.RESET, 5, 6)


def pack(of: list[int]) -> bytes:
    endpoints = [direct_layout.host_port("10.0.0.1", 1 + i) for i in range(len(of))]
    value = direct_layout.pack_service(Service(7, 2, 3, 4, 5, endpoints, of))
    assert len(value) == direct_layout.SERVICE_SIZE
    return value


class Read:
    """A packed service as balance.h reads it."""

    def __init__(self, value: bytes) -> None:
        header = struct.unpack_from("=3Q6I", value)
        self.interval, self.credit, self.affinity, self.id, self.flags, self.count, self.total, self.stride = header[:8]
        self.ends = struct.unpack_from(f"={direct_layout.ENDPOINTS}I", value, 48)

    def endpoint_at(self, position: int) -> int:
        index, step = 0, direct_layout.ENDPOINTS // 2
        while step:
            index += step * (position >= self.ends[index + step - 1])
            step //= 2
        return index

    def turn(self, ticket: int) -> int:
        return self.endpoint_at(ticket % self.total * self.stride % self.total)


@given(weights)
def test_each_position_belongs_to_the_endpoint_of_its_weight(of: list[int]) -> None:
    read = Read(pack(of))
    assert (read.interval, read.credit, read.affinity, read.id, read.flags, read.count) == (3, 4, 5, 7, 2, len(of))
    divisor = gcd(*of)
    assert read.total == sum(of) // divisor
    first = 0
    for index, weight in enumerate(of):
        following = first + weight // divisor
        assert read.endpoint_at(first) == read.endpoint_at(following - 1) == index
        first = following


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(0, 2**62))
def test_a_round_gives_each_endpoint_its_weight_wherever_it_begins(of: list[int], begin: int) -> None:
    read = Read(pack(of))
    turns = Counter(islice((read.turn(begin + i) for i in range(read.total)), read.total))
    assert turns == {index: weight // gcd(*of) for index, weight in enumerate(of)}


@given(st.integers(2, direct_layout.ENDPOINTS))
def test_equals_take_turns(count: int) -> None:
    read = Read(pack([9] * count))
    order = [read.turn(i) for i in range(2 * count)]
    assert order[:count] == order[count:]
    assert len(set(order[:count])) == count


@given(weights)
def test_members_are_the_endpoints_of_that_service(of: list[int]) -> None:
    keys = [direct_layout.member(key) for key in direct_layout.members(pack(of))]
    assert keys == [(7, "10.0.0.1", 1 + i) for i in range(len(of))]


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.integers(1, 65535))
def test_a_hop_is_its_address_and_port(address: object, port: int) -> None:
    key = direct_layout.host_port(str(address), port)
    assert len(key) == direct_layout.HOST_PORT_SIZE
    ip, back = direct_layout.host_and_port(key)
    assert back == port
    assert direct_layout.host_port(ip, port) == key


GOOD = KernelService(1, "10.96.0.1", 80, "random", (KernelEndpoint("10.0.0.1", 80, 1),))


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ([GOOD._replace(ip="nobody")], "nobody:80 is not an address"),
        ([GOOD._replace(port=0)], "10.96.0.1:0 is not an address and a port"),
        ([GOOD._replace(port=65536)], "10.96.0.1:65536 is not an address and a port"),
        ([GOOD._replace(endpoints=(KernelEndpoint("fd00::1", 80, 1),))], "fd00::1 is of the other address family"),
        ([GOOD._replace(endpoints=(KernelEndpoint("10.0.0.1", 80, 0),))], "10.0.0.1:80 has weight 0"),
        ([GOOD._replace(endpoints=GOOD.endpoints * 129)], "129 endpoints; the direct lane takes at most 128"),
        ([GOOD._replace(endpoints=(GOOD.endpoints[0], KernelEndpoint("10.0.0.2", 80, 2**32)))], "add up to more"),
        ([GOOD, GOOD._replace(id=2)], r"service 2 \(10.96.0.1:80\): another service has that address"),
        ([GOOD, GOOD._replace(ip="10.96.0.2")], "another service has that id"),
        ([GOOD._replace(id=2**32)], "not a number of 32 bits"),
        ([GOOD._replace(rate_per_s=-1.0)], "a rate of -1.0"),
        ([GOOD._replace(rate_per_s=1.0, burst=0)], "a burst of 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_connect_cannot_balance_is_refused_by_name(bad: list[KernelService], told: str) -> None:
    with pytest.raises(CaptureError, match=told):
        packed(bad)


@given(weights)
def test_a_compacted_service_is_expanded_to_what_it_was(of: list[int]) -> None:
    hosts = [direct_layout.host_port("10.0.0.1", 1 + number) for number in range(len(of))]
    packed_ = direct_layout.pack_service(direct_layout.Service(7, 1, 2, 3, 4, hosts, of))
    compacted = direct_layout.compact(packed_)
    assert direct_layout.expanded(compacted) == packed_
    assert len(compacted) == len(packed_) - (direct_layout.ENDPOINTS - len(of)) * 24
    assert direct_layout.service_id(compacted) == direct_layout.service_id(packed_)


def test_services_are_spread_over_all_banks() -> None:
    keys = [direct_layout.host_port(f"10.96.{n >> 8}.{n & 255}", 80) for n in range(1 << 14)]
    sizes = Counter(map(direct_layout.bank_number, keys))
    assert set(sizes) == set(range(direct_layout.BANKS))
    assert max(sizes.values()) < 2 * len(keys) / direct_layout.BANKS

    assert f"#define TG_BANKS {direct_layout.BANKS}\n" in WIRE
