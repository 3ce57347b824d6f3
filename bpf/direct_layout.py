"""Keys and values of the direct lane's maps, as `direct_wire.h` declares them. Pure; tests/unit/bpf compares them."""

import socket
import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from math import gcd
from typing import NamedTuple

ENDPOINTS = 128
BANKS = 64
TOTAL_WEIGHT = 2**32 - 1
"""Of one service's endpoints, when their common divisor is taken out."""


class ServiceFlag:
    """enum tg_service_flag."""

    DENIED = 1 << 0
    ROUND_ROBIN = 1 << 1
    LIMITED = 1 << 2
    AFFINE = 1 << 3


HOST_PORT_SIZE = 20
INBOUND_SERVICE = 0xFFFFFFFF
"""In the service's place: what arrives for the workload itself, at a port (and no address)."""
MEMBER_SIZE = 4 + HOST_PORT_SIZE
STATE_SIZE = 56
NO_LIMIT = 2**64 - 1
_FIXED = struct.Struct("=3Q6I")
_ENDS_AT = _FIXED.size
_HOPS_AT = _ENDS_AT + 4 * ENDPOINTS
SERVICE_SIZE = _HOPS_AT + HOST_PORT_SIZE * ENDPOINTS
_NONE = b"\xff\xff\xff\xff" * ENDPOINTS
_MAPPED = bytes(10) + b"\xff\xff"
_COUNTS = struct.Struct("=8Q")
COUNTS_SIZE = _COUNTS.size
_STATE = struct.Struct("=2I6Q")
_GOLDEN = 0.618034


class Ending:
    """enum tg_direct_ending."""

    FINISHED = 0
    RESET = 1
    FAILED = 2


_END = struct.Struct("=4Q")
_END_TAIL = struct.Struct("=16sHHIII")
END_SIZE = _END.size + MEMBER_SIZE + _END_TAIL.size


_BALANCED_TAIL = struct.Struct("=I3QI4B")


class Service(NamedTuple):
    """struct tg_service, without what follows from the weights."""

    id: int
    flags: int
    interval_ns: int
    credit_ns: int
    affinity_ns: int
    endpoints: Sequence[bytes]
    weights: Sequence[int]


class Counts(NamedTuple):
    """struct tg_member_counts."""

    begun: int
    opened: int
    closed: int
    failed: int
    sent: int
    received: int
    retransmits: int
    srtt_us: int


class End(NamedTuple):
    """struct tg_direct_end."""

    begun_ns: int
    ended_ns: int
    sent: int
    received: int
    service: int
    endpoint: tuple[str, int]
    client: tuple[str, int]
    ending: int
    retransmits: int
    srtt_us: int

    @property
    def inbound(self) -> bool:
        """From a client to the workload, whose own address the endpoint is then."""
        return self.service == INBOUND_SERVICE


class Balanced(NamedTuple):
    """struct tg_balanced, what of it is told."""

    service: int
    endpoint: tuple[str, int]
    begun_ns: int
    syn: int
    begun: bool
    established: bool


class State(NamedTuple):
    """What struct tg_service_state counts."""

    denied: int
    limited: int
    unserved: int


@lru_cache(maxsize=1 << 15)
def host_port(ip: str, port: int) -> bytes:
    """struct tg_host_port. Raises OSError for what is no address."""
    packed = socket.inet_pton(socket.AF_INET6, ip) if ":" in ip else _MAPPED + socket.inet_pton(socket.AF_INET, ip)
    return packed + struct.pack("=HH", port, 0)


def host_and_port(key: bytes) -> tuple[str, int]:
    (port,) = struct.unpack_from("=H", key, 16)
    if key.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, key[12:16]), port
    return socket.inet_ntop(socket.AF_INET6, key[:16]), port


def bank_number(key: bytes) -> int:
    """Which of the BANKS the service with that struct tg_host_port is in: balance.h's bank_number."""
    one, two, three, four, port, _ = struct.unpack("=4I2H", key)
    mixed: int = one ^ two ^ three ^ four ^ port
    return (mixed * 2654435761 & 0xFFFFFFFF) // (0x80000000 // (BANKS // 2))


def compact(packed: bytes) -> bytes:
    """A packed service without the room that its endpoints leave."""
    (count,) = struct.unpack_from("=I", packed, 32)
    return packed[: _ENDS_AT + 4 * count] + packed[_HOPS_AT : _HOPS_AT + HOST_PORT_SIZE * count]


def expanded(compacted: bytes) -> bytes:
    """The opposite of `compact`."""
    (count,) = struct.unpack_from("=I", compacted, 32)
    split = _ENDS_AT + 4 * count
    ends = compacted[:split] + _NONE[4 * count :]
    return (ends + compacted[split:]).ljust(SERVICE_SIZE, b"\0")


def host_port_is_v4(key: bytes) -> bool:
    return key.startswith(_MAPPED)


def stride(total: int) -> int:
    """The golden section's next number with no divisor in common with `total`: steps of it visit all of 0..total-1
    before any again, and those of one endpoint far apart."""
    step = max(1, round(total * _GOLDEN))
    while gcd(step, total) != 1:
        step += 1
    return step


def reduced(weights: Iterable[int]) -> list[int]:
    """The same proportions in the smallest numbers: a round of equals is one turn each."""
    weights = list(weights)
    divisor = gcd(*weights)
    return [each // divisor for each in weights] if divisor > 1 else weights


def pack_service(service: Service) -> bytes:
    """weights: positive, together at most TOTAL_WEIGHT once they are reduced."""
    count = len(service.endpoints)
    ends = list(accumulate(reduced(service.weights)))
    total = ends[-1] if ends else 0
    fixed = _FIXED.pack(
        service.interval_ns,
        service.credit_ns,
        service.affinity_ns,
        service.id,
        service.flags,
        count,
        total,
        stride(total) if total else 0,
        0,
    )
    return (fixed + struct.pack(f"={count}I", *ends) + _NONE[4 * count :] + b"".join(service.endpoints)).ljust(
        SERVICE_SIZE, b"\0"
    )


def members(packed: bytes) -> Iterable[bytes]:
    """The keys (struct tg_member) of a packed service's endpoints."""
    number = packed[24:28]
    (count,) = struct.unpack_from("=I", packed, 32)
    for at in range(_HOPS_AT, _HOPS_AT + HOST_PORT_SIZE * count, HOST_PORT_SIZE):
        yield number + packed[at : at + HOST_PORT_SIZE]


def service_id(packed: bytes) -> bytes:
    """The key of its state."""
    return packed[24:28]


def service_flags(packed: bytes) -> int:
    """Of a packed service: ServiceFlag."""
    (flags,) = struct.unpack_from("=I", packed, 28)
    return int(flags)


def member(key: bytes) -> tuple[int, str, int]:
    """(service id, address, port) of struct tg_member."""
    (number,) = struct.unpack_from("=I", key)
    return number, *host_and_port(key[4:])


def inbound_member(port: int) -> bytes:
    return struct.pack("=I16xHH", INBOUND_SERVICE, port, 0)


def is_inbound(key: bytes) -> bool:
    return key.startswith(b"\xff\xff\xff\xff")


def counts(value: bytes) -> Counts:
    return Counts(*_COUNTS.unpack(value))


def end(value: bytes) -> End:
    begun_ns, ended_ns, sent, received = _END.unpack_from(value)
    number, ip, port = member(value[_END.size : _END.size + MEMBER_SIZE])
    client, client_port, ending, retransmits, srtt_us, _ = _END_TAIL.unpack_from(value, _END.size + MEMBER_SIZE)
    address, _ = host_and_port(client + bytes(4))
    return End(
        begun_ns, ended_ns, sent, received, number, (ip, port), (address, client_port), ending, retransmits, srtt_us
    )


def balanced(value: bytes) -> Balanced:
    number, ip, port = member(value)
    _, _, _, begun_ns, syn, begun, established, _, _ = _BALANCED_TAIL.unpack_from(value, MEMBER_SIZE + HOST_PORT_SIZE)
    return Balanced(number, (ip, port), begun_ns, syn, begun != 0, established != 0)


def state(value: bytes) -> State:
    return State(*_STATE.unpack(value)[5:])
