"""libbpf for Python: objects, maps, links, pins. File descriptors are plain ints that belong to the caller.

Everything raises BpfError (an OSError) whose text names what was tried; a refused program's verifier log is in `log`.
"""

import errno
import os
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from cext.libbpf._libbpf import ffi, lib

from cext.libbpf.kinds import LinkInfo, MapInfo, ProgramInfo

ANY = 0
NOEXIST = 1
_ITEMS_ROOM = 1 << 19
"""Bytes of values that are read at once."""
_LOG_SIZE = 65536

lib.tg_quiet()


class BpfError(OSError):
    """errno as the kernel gave it. log: what libbpf and the verifier said, often empty."""

    def __init__(self, number: int, what: str, log: str = "") -> None:
        super().__init__(number, f"{what}: {os.strerror(number)}")
        self.log = log


def _checked(result: int, what: str) -> int:
    if result < 0:
        raise BpfError(-result, what, take_log())
    return result


def take_log() -> str:
    """libbpf's diagnostics of this thread since the last call."""
    buffer = ffi.new("char[]", _LOG_SIZE)
    lib.tg_take_log(buffer, _LOG_SIZE)
    text: str = ffi.string(buffer).decode("utf-8", "replace")
    return text


class Object:
    """One compiled object file. Close it when its programs' and maps' descriptors have been taken."""

    def __init__(self, path: Path) -> None:
        self.name = path.name.removesuffix(".bpf.o")
        out = ffi.new("struct bpf_object **")
        take_log()
        _checked(lib.tg_object_open(os.fsencode(path), out), f"open BPF object {path}")
        self._object = out[0]

    def __enter__(self) -> "Object":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._object != ffi.NULL:
            lib.tg_object_close(self._object)
            self._object = ffi.NULL

    def maps(self) -> list[str]:
        """Names of the maps that the source declares; the compiler's own data sections are left out."""
        return [name for name in self._names(lib.tg_object_map_name) if "." not in name]

    def programs(self) -> list[str]:
        return list(self._names(lib.tg_object_program_name))

    def _names(self, get: object) -> Iterator[str]:
        index = 0
        while (name := get(self._object, index)) != ffi.NULL:  # type: ignore[operator] # a cffi function
            yield ffi.string(name).decode()
            index += 1

    def reuse_map(self, name: str, fd: int) -> None:
        _checked(lib.tg_object_reuse_map(self._object, name.encode(), fd), f"{self.name}: reuse map {name}")

    def set_rodata(self, data: bytes) -> bool:
        """Before load. False: the object has no read-only data."""
        result = lib.tg_object_set_rodata(self._object, data, len(data))
        if result == -errno.ENOENT:
            return False
        _checked(result, f"{self.name}: set read-only data")
        return True

    def load(self) -> None:
        """Makes the maps and has the kernel verify the programs."""
        take_log()
        _checked(lib.tg_object_load(self._object), f"load BPF object {self.name}")

    def map_fd(self, name: str) -> int:
        return _checked(lib.tg_object_map_fd(self._object, name.encode()), f"{self.name}: map {name}")

    def program_fd(self, name: str) -> int:
        return _checked(lib.tg_object_program_fd(self._object, name.encode()), f"{self.name}: program {name}")


def map_create(kind: int, name: str, *, sizes: tuple[int, int], max_entries: int, flags: int = 0) -> int:
    """sizes: of a key and of a value, in bytes."""
    fd = lib.tg_map_create(kind, name.encode(), *sizes, max_entries, flags)
    return _checked(fd, f"create map {name}")


def map_update(fd: int, key: bytes, value: bytes, flags: int = ANY) -> None:
    _checked(lib.tg_map_update(fd, key, value, flags), "update a BPF map")


def map_update_many(fd: int, entries: list[tuple[bytes, bytes]]) -> None:
    """All keys of one length, all values of one length."""
    if not entries:
        return
    keys = b"".join(key for key, _ in entries)
    values = b"".join(value for _, value in entries)
    done = ffi.new("uint32_t *")
    count = len(entries)
    result = lib.tg_map_update_many(fd, keys, len(keys) // count, values, len(values) // count, count, done)
    _checked(result, f"update a BPF map (entry {done[0]} of {count})")


def map_lookup(fd: int, key: bytes, value_size: int) -> bytes | None:
    """value_size: for per-CPU maps, that of all CPUs together (see `possible_cpus`)."""
    buffer = ffi.new("char[]", value_size)
    result = lib.tg_map_lookup(fd, key, buffer)
    if result == -errno.ENOENT:
        return None
    _checked(result, "look up in a BPF map")
    found: bytes = ffi.buffer(buffer, value_size)[:]
    return found


def map_update_together(fd: int, entries: list[tuple[bytes, bytes]]) -> None:
    """One system call where the kernel has it: for a map of maps, the kernel waits for its programs (some 16 ms) at
    each, not at each entry."""
    keys, values = (b"".join(parts) for parts in zip(*entries, strict=True))
    result = lib.tg_map_update_batch(fd, keys, values, len(entries))
    if result in (-errno.EOPNOTSUPP, -errno.EINVAL):
        map_update_many(fd, entries)
    else:
        _checked(result, "update a BPF map")


def map_items(fd: int, key_size: int, value_size: int) -> Iterator[tuple[bytes, bytes]]:
    """Every entry of a hash."""
    for keys, values in map_chunks(fd, key_size, value_size):
        yield from cut(keys, values, key_size, value_size)


def cut(keys: bytes, values: bytes, key_size: int, value_size: int) -> Iterator[tuple[bytes, bytes]]:
    for at in range(len(keys) // key_size):
        yield keys[at * key_size : (at + 1) * key_size], values[at * value_size : (at + 1) * value_size]


def map_chunks(fd: int, key_size: int, value_size: int) -> Iterator[tuple[bytes, bytes]]:
    """Every entry of a hash in few system calls: keys one after the other, and values. A map that changes meanwhile may
    show a key twice or not at all, as the kernel's iteration does."""
    room = max(64, _ITEMS_ROOM // value_size)
    keys, values = ffi.new("char[]", room * key_size), ffi.new("char[]", room * value_size)
    position, count = ffi.new("uint32_t *"), ffi.new("uint32_t *")
    first, more = 1, 1
    while more:
        count[0] = room
        more = _checked(lib.tg_map_lookup_batch(fd, position, first, keys, values, count), "read a BPF map")
        first = 0
        yield ffi.buffer(keys)[: count[0] * key_size], ffi.buffer(values)[: count[0] * value_size]


def map_pop(fd: int, value_size: int, limit: int) -> list[bytes]:
    """At most `limit` values, the first ones first, taken out of a queue."""
    buffer = ffi.new("char[]", value_size)
    found: list[bytes] = []
    while len(found) < limit:
        result = lib.tg_map_pop(fd, buffer)
        if result == -errno.ENOENT:
            break
        _checked(result, "take from a BPF queue")
        found.append(ffi.buffer(buffer, value_size)[:])
    return found


def map_delete(fd: int, key: bytes) -> bool:
    """False: it wasn't there."""
    result = lib.tg_map_delete(fd, key)
    if result in (-errno.ENOENT, -errno.EINVAL):
        return False
    _checked(result, "delete from a BPF map")
    return True


def map_keys(fd: int, key_size: int) -> list[bytes]:
    """A map that changes meanwhile may show a key twice or not at all, as the kernel's iteration does."""
    keys: list[bytes] = []
    last = ffi.NULL
    while True:
        following = ffi.new("char[]", key_size)
        result = lib.tg_map_next_key(fd, last, following)
        if result == -errno.ENOENT:
            return keys
        _checked(result, "list the keys of a BPF map")
        keys.append(ffi.buffer(following, key_size)[:])
        last = following


def map_fd_by_id(number: int) -> int:
    """Needs CAP_SYS_ADMIN. A map of maps tells its inner maps by id."""
    return _checked(lib.tg_map_fd_by_id(number), f"open BPF map {number}")


def pin(fd: int, path: Path) -> None:
    _checked(lib.tg_pin(fd, os.fsencode(path)), f"pin {path}")


def get_pinned(path: Path) -> int:
    return _checked(lib.tg_get_pinned(os.fsencode(path)), f"open pinned {path}")


def link_create(program: int, target: int, attach_type: int, what: str) -> int:
    """what: for the error's text."""
    return _checked(lib.tg_link_create(program, target, attach_type), f"attach {what}")


def link_update(link: int, program: int) -> None:
    """Replaces a link's program; at no instant is there none or are there two."""
    _checked(lib.tg_link_update(link, program), "replace the program of a BPF link")


def link_detach(link: int) -> None:
    """At once, also when another process holds the link: the kernel only frees it some time after its last user."""
    _checked(lib.tg_link_detach(link), "detach a BPF link")


def map_info(fd: int) -> MapInfo:
    out = ffi.new("struct tg_map_info *")
    _checked(lib.tg_map_info(fd, out), "read a BPF map's description")
    return MapInfo(out.type, out.id, out.key_size, out.value_size, out.max_entries, out.flags)


def program_info(fd: int) -> ProgramInfo:
    out = ffi.new("struct tg_program_info *")
    _checked(lib.tg_program_info(fd, out), "read a BPF program's description")
    return ProgramInfo(out.type, out.id, bytes(out.tag).hex())


def link_info(fd: int) -> LinkInfo:
    out = ffi.new("struct tg_link_info *")
    _checked(lib.tg_link_info(fd, out), "read a BPF link's description")
    return LinkInfo(out.type, out.id, out.program_id, out.attach_type, out.target)


def helper_supported(program: int, attach: int, helper: int) -> bool:
    """Tried by loading a program of a few instructions. Raises where none can be loaded at all (privilege, memory)."""
    result = lib.tg_helper_supported(program, attach, helper)
    return _checked(result, "load a BPF program") == 1


def context_readable(program: int, attach: int, offset: int) -> bool:
    """Whether programs of that kind may read 32 bits of their context there. Raises as above."""
    result = lib.tg_context_readable(program, attach, offset)
    return _checked(result, "load a BPF program") == 1


@cache
def possible_cpus() -> int:
    """How many values a per-CPU map has for a key."""
    total = 0
    for part in Path("/sys/devices/system/cpu/possible").read_text(encoding="ascii").strip().split(","):
        first, _, last = part.partition("-")
        total += int(last or first) - int(first) + 1
    return total


def map_sum_u64(fd: int, index: int) -> int:
    """One number of a per-CPU array of 64-bit counters, all CPUs together."""
    cpus = possible_cpus()
    found = map_lookup(fd, struct.pack("=I", index), 8 * cpus)
    return sum(struct.unpack(f"={cpus}Q", found)) if found else 0
