"""The direct lane's messages: what the proxy and the process that may write to the kernel's maps tell each other.

Down: a change is told in several messages, each bounded; it holds when the last one has come, and is answered by the
version that is in the kernel. Up: counts, connections that have ended, and those that are open. Both sides write and
read by this file; a reader refuses what is not exactly what it expects (MessageError) and changes nothing then."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

FOLLOW = "direct-follow"
CHANGE = "direct-change"
PUSHED = "direct-pushed"
COUNTED = "direct-counted"

MOST_ENDPOINTS = 128
"""Of one service: bpf/include/direct/values.h."""
MOST_DENIED = 1024
"""Networks of one service."""
MOST_SERVICES = 1 << 15
"""In the kernel at once."""
SERVICES_AT_ONCE = 256
KEYS_AT_ONCE = 1024
ROOM = 1024
"""Endpoints and networks in one message; one service alone may have more."""
LONGEST_LINE = 1 << 19
_NUMBERS = 1 << 31
_LONGEST_S = 10 * 365 * 86400.0
_PORTS = 1 << 16
_MAPPED = "::ffff:"

Key = tuple[str, int]


class MessageError(ValueError):
    """A message is not what is expected; it names the key, its value and what is allowed."""


class ToldService(NamedTuple):
    """A service of the kernel as it is told. `endpoints`: (ip, port, weight)."""

    id: int
    ip: str
    port: int
    round_robin: bool
    endpoints: tuple[tuple[str, int, int], ...]
    affinity_s: float
    denied: tuple[str, ...]
    rate_per_s: float
    burst: int


@dataclass(frozen=True, slots=True)
class Change:
    """A part of a change. version: grows with each change. begin: what was told before is void, and what is in the
    kernel and not told anew goes. last: the change is complete. straight: None where the ports stay."""

    version: int
    begin: bool
    last: bool
    services: tuple[ToldService, ...]
    gone: tuple[Key, ...]
    straight: frozenset[int] | None


def changes(
    version: int, services: Iterable[ToldService], gone: Sequence[Key], straight: Iterable[int] | None, *, begin: bool
) -> Iterator[dict[str, Any]]:
    """The messages of one change, at least one."""
    head = {"version": version, "begin": begin, "last": False}
    for chunk in _in_chunks(services):
        yield head | {"services": chunk}
        head = {"version": version, "begin": False, "last": False}
    for first in range(0, len(gone), KEYS_AT_ONCE):
        yield head | {"gone": [list(key) for key in gone[first : first + KEYS_AT_ONCE]]}
        head = {"version": version, "begin": False, "last": False}
    yield head | {"last": True} | ({} if straight is None else {"straight": sorted(straight)})


def _in_chunks(services: Iterable[ToldService]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    room = ROOM
    for one in services:
        needs = len(one.endpoints) + len(one.denied)
        if chunk and (needs > room or len(chunk) == SERVICES_AT_ONCE):
            yield chunk
            chunk, room = [], ROOM
        chunk.append(one._asdict())
        room -= needs
    if chunk:
        yield chunk


def read_change(message: Mapping[str, Any]) -> Change:
    fields = _Fields(message, {"event", "version", "begin", "last", "services", "gone", "straight"})
    ports = fields.list("straight", _PORTS) if "straight" in message else None
    return Change(
        version=fields.whole("version", 1, 1 << 53),
        begin=fields.flag("begin"),
        last=fields.flag("last"),
        services=tuple(_service(one) for one in fields.list("services", SERVICES_AT_ONCE)),
        gone=tuple(_key("gone", one) for one in fields.list("gone", KEYS_AT_ONCE)),
        straight=None if ports is None else frozenset(_whole("straight", one, 1, _PORTS - 1) for one in ports),
    )


def _service(told: Any) -> ToldService:
    if not isinstance(told, dict):
        raise MessageError(f"services: {_shown(told)} is not an object")
    fields = _Fields(told, set(ToldService._fields))
    ip = _ip("ip", told.get("ip"))
    return ToldService(
        id=fields.whole("id", 1, _NUMBERS),
        ip=ip,
        port=fields.whole("port", 1, _PORTS - 1),
        round_robin=fields.flag("round_robin"),
        endpoints=tuple(_endpoint(one, ":" in ip) for one in fields.list("endpoints", MOST_ENDPOINTS)),
        affinity_s=fields.number("affinity_s", 0, _LONGEST_S),
        denied=tuple(_network(one) for one in fields.list("denied", MOST_DENIED)),
        rate_per_s=fields.number("rate_per_s", 0, 1e9),
        burst=fields.whole("burst", 1, 1 << 53),
    )


def _endpoint(told: Any, is_ipv6: bool) -> tuple[str, int, int]:
    if not isinstance(told, list) or len(told) != 3:
        raise MessageError(f"endpoints: {_shown(told)} is not an address, a port and a weight")
    ip = _ip("endpoints", told[0])
    if (":" in ip) is not is_ipv6:
        raise MessageError(f"endpoints: {ip} is of another address family than the service")
    return ip, _whole("endpoints", told[1], 1, _PORTS - 1), _whole("endpoints", told[2], 1, (1 << 32) - 1)


# ---- values of JSON, checked


class _Fields:
    """The values of an object that has no other keys than these."""

    def __init__(self, values: Mapping[str, Any], known: set[str]) -> None:
        unknown = sorted(values.keys() - known)
        if unknown:
            raise MessageError(f"{_shown(unknown[0])} is not expected; known: {', '.join(sorted(known))}")
        self._values = values

    def flag(self, key: str) -> bool:
        value = self._values.get(key)
        if not isinstance(value, bool):
            raise MessageError(f"{key}: {_shown(value)} is not true or false")
        return value

    def whole(self, key: str, least: int, most: int) -> int:
        return _whole(key, self._values.get(key), least, most)

    def number(self, key: str, least: float, most: float) -> float:
        value = self._values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise MessageError(f"{key}: {_shown(value)} is not a number from {least:g} to {most:g}")
        return value

    def list(self, key: str, most: int) -> list[Any]:
        value = self._values.get(key, [])
        if not isinstance(value, list) or len(value) > most:
            raise MessageError(f"{key}: not a list of at most {most}")
        return value


def _whole(key: str, value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise MessageError(f"{key}: {_shown(value)} is not a whole number from {least} to {most}")
    return value


def _ip(key: str, value: Any) -> str:
    """Canonical text, IPv4 as IPv4: a name is never looked up."""
    try:
        if isinstance(value, str) and str(ip_address(value)) == value and "%" not in value and value[:7] != _MAPPED:
            return value
    except ValueError:
        pass
    raise MessageError(f"{key}: {_shown(value)} is not an IP address")


def _key(key: str, value: Any) -> Key:
    if not isinstance(value, list) or len(value) != 2:
        raise MessageError(f"{key}: {_shown(value)} is not an address and a port")
    return _ip(key, value[0]), _whole(key, value[1], 1, _PORTS - 1)


def _network(value: Any) -> str:
    try:
        if isinstance(value, str) and str(ip_network(value)) == value:
            return value
    except ValueError:
        pass
    raise MessageError(f"denied: {_shown(value)} is not a network")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
