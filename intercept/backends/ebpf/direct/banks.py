"""The services in the kernel, spread over banks. A bank is written before it can be seen and never changed after that:
a change of a service writes its bank anew, and the kernel frees the one before when no program reads it.

What a bank holds is remembered by the kernel's id of it, so that a change need not read what it does not touch."""

import contextlib
import os
import struct
from collections.abc import Iterable, Iterator, Mapping

from bpf import direct_layout
from cext.libbpf import libbpf
from cext.libbpf.kinds import MapType

Services = dict[bytes, bytes]
"""By the address and port that clients ask for (struct tg_host_port); compacted."""

_EMPTY = 0


class Content:
    """What the banks hold. Changed by `exchange` alone."""

    def __init__(self, ids: list[int], banks: list[Services]) -> None:
        self.ids = ids
        self._banks = banks
        self.members = {key for bank in banks for value in bank.values() for key in members(value)}
        self.states = {direct_layout.service_id(value) for bank in banks for value in bank.values()}

    def __iter__(self) -> Iterator[bytes]:
        for bank in self._banks:
            yield from bank

    def get(self, key: bytes) -> bytes | None:
        return self._banks[direct_layout.bank_number(key)].get(key)

    def exchange(self, outer: int, put: Mapping[bytes, bytes], gone: Iterable[bytes]) -> None:
        """put: compacted services that are new or differ."""
        changed: dict[int, Services] = {}
        for key, value in put.items():
            _bank(changed, self._banks, key)[key] = value
        for key in gone:
            _bank(changed, self._banks, key).pop(key, None)
        changed = {number: bank for number, bank in changed.items() if bank != self._banks[number]}
        for number, id_ in _write(outer, changed).items():
            before, after = self._banks[number], changed[number]
            self.ids[number], self._banks[number] = id_, after
            old = [value for key, value in before.items() if after.get(key) != value]
            new = [value for key, value in after.items() if before.get(key) != value]
            self.members -= {key for value in old for key in members(value)}
            self.members |= {key for value in new for key in members(value)}
            self.states -= set(map(direct_layout.service_id, old))
            self.states |= set(map(direct_layout.service_id, new))


_last: list[Content] = []
"""As it was read last: there is one capture in a network namespace, and most processes look at one."""


def content(outer: int) -> Content:
    """outer: tg_services. The caller sees to it that it is not changed meanwhile."""
    ids = [_id(outer, number) for number in range(direct_layout.BANKS)]
    if not _last or _last[0].ids != ids:
        _last[:] = [Content(ids, [_read(one) if one else {} for one in ids])]
    return _last[0]


def _bank(changed: dict[int, Services], banks: list[Services], key: bytes) -> Services:
    number = direct_layout.bank_number(key)
    if number not in changed:
        changed[number] = dict(banks[number])
    return changed[number]


def members(value: bytes) -> Iterator[bytes]:
    """The keys that a compacted service's endpoints are counted by."""
    return iter(direct_layout.members(direct_layout.expanded(value)))


def _id(outer: int, number: int) -> int:
    found = libbpf.map_lookup(outer, struct.pack("=I", number), 4)
    return _EMPTY if found is None else int(struct.unpack("=I", found)[0])


def _read(id_: int) -> Services:
    fd = libbpf.map_fd_by_id(id_)
    try:
        items = libbpf.map_items(fd, direct_layout.HOST_PORT_SIZE, direct_layout.SERVICE_SIZE)
        return {key: direct_layout.compact(value) for key, value in items}
    finally:
        os.close(fd)


def _write(outer: int, banks: Mapping[int, Services]) -> dict[int, int]:
    """Returns the kernel's ids of the new banks by their numbers."""
    with contextlib.ExitStack() as stack:
        fds = {number: _new(services, stack) for number, services in banks.items() if services}
        if fds:
            libbpf.map_update_together(
                outer, [(struct.pack("=I", number), struct.pack("=I", fd)) for number, fd in fds.items()]
            )
        for number in banks.keys() - fds.keys():
            libbpf.map_delete(outer, struct.pack("=I", number))
        return dict.fromkeys(banks, _EMPTY) | {number: libbpf.map_info(fd).id for number, fd in fds.items()}


def _new(services: Services, stack: contextlib.ExitStack) -> int:
    fd = libbpf.map_create(
        MapType.HASH,
        "tg_service_bank",
        sizes=(direct_layout.HOST_PORT_SIZE, direct_layout.SERVICE_SIZE),
        max_entries=len(services),
    )
    stack.callback(os.close, fd)
    libbpf.map_update_many(fd, [(key, direct_layout.expanded(value)) for key, value in services.items()])
    return fd
