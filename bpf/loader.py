"""Loads the compiled objects; all of them share one set of maps. Nothing is attached here."""

import errno
import os
import struct
from binascii import crc32
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from bpf.attach import Hook
from bpf.layout import KIND_V4, NET_KEY_SIZE, NET_VALUE_SIZE, POLICY_SIZE, ZERO, Feature, Image
from cext.libbpf import libbpf
from cext.libbpf.kinds import AttachType, Helper, MapType, ProgramType

OBJECTS = Path(__file__).resolve().parent / "objects"
_INGRESS_IFINDEX = 64  # offset in struct bpf_sk_lookup
_NO_PREALLOC = 1
_MOST_NETS = 1 << 20


class Loaded:
    """Descriptors by name. They belong to this object; `close` closes those that were not taken out."""

    def __init__(self, maps: dict[str, int]) -> None:
        self.maps = maps
        self.programs: dict[str, int] = {}
        """By hook name."""

    def close(self) -> None:
        for fd in (*self.maps.values(), *self.programs.values()):
            os.close(fd)
        self.maps.clear()
        self.programs.clear()


def build_id() -> str:
    """Of the compiled programs: changes when any of them does."""
    # A checksum, not a digest: it tells versions apart, it guards nothing, and hashlib takes 5 ms to import.
    total = 0
    for path in sorted(OBJECTS.glob("*.bpf.o")):
        total = crc32(path.read_bytes(), total)
    return f"{total:08x}"


def features() -> int:
    """What this kernel has beyond what we need. Raises BpfError where no program can be loaded at all."""
    found = 0
    if libbpf.helper_supported(ProgramType.SOCK_OPS, AttachType.SOCK_OPS, Helper.GET_NETNS_COOKIE):
        found |= Feature.SOCKOPS_NETNS
    if libbpf.helper_supported(ProgramType.CGROUP_SOCKOPT, AttachType.GETSOCKOPT, Helper.SET_RETVAL):
        found |= Feature.SET_RETVAL
    if libbpf.context_readable(ProgramType.SK_LOOKUP, AttachType.SK_LOOKUP, _INGRESS_IFINDEX):
        found |= Feature.INGRESS_IFINDEX
    return found


def load(hooks: Iterable[Hook], reuse: Mapping[str, int], found: int) -> Loaded:
    """Programs of these hooks, and every map they use: those in `reuse` (duplicated), else new ones.

    Raises BpfError with the verifier's log, and nothing is left loaded.
    """
    loaded = Loaded({name: os.dup(fd) for name, fd in reuse.items()})
    hooks = tuple(hooks)
    try:
        for name in dict.fromkeys(hook.object for hook in hooks):
            with libbpf.Object(OBJECTS / f"{name}.bpf.o") as program:
                _load_one(program, [hook for hook in hooks if hook.object == name], loaded, found)
    except BaseException:
        loaded.close()
        raise
    return loaded


def _load_one(program: libbpf.Object, hooks: list[Hook], loaded: Loaded, found: int) -> None:
    declared = program.maps()
    for name in declared:
        if name in loaded.maps:
            program.reuse_map(name, loaded.maps[name])
    program.set_rodata(struct.pack("=I", found))
    program.load()
    for name in declared:
        if name not in loaded.maps:
            loaded.maps[name] = program.map_fd(name)
    for hook in hooks:
        loaded.programs[hook.name] = program.program_fd(hook.program)


def fill_bank(maps: Mapping[str, int], bank: int, image: Image) -> None:
    """Puts `image` into bank 1 or 2, which must not be the active one."""
    index = struct.pack("=I", bank - 1)
    nets = libbpf.map_create(
        MapType.LPM_TRIE, "tg_net", sizes=(NET_KEY_SIZE, NET_VALUE_SIZE), max_entries=_MOST_NETS, flags=_NO_PREALLOC
    )
    try:
        libbpf.map_update_many(nets, list(image.nets.items()))
        # The kernel waits here until no program runs that began before: so none still reads this bank's old policy,
        # which may be overwritten in place after that.
        libbpf.map_update(maps["tg_nets"], index, struct.pack("=I", nets))
    finally:
        os.close(nets)
    libbpf.map_update(maps["tg_policies"], index, image.policy)


def read_bank(maps: Mapping[str, int], bank: int) -> Image | None:
    """None: the bank is empty."""
    index = struct.pack("=I", bank - 1)
    policy = libbpf.map_lookup(maps["tg_policies"], index, POLICY_SIZE)
    number = libbpf.map_lookup(maps["tg_nets"], index, 4)
    if policy is None or number is None:
        return None
    nets = libbpf.map_fd_by_id(struct.unpack("=I", number)[0])
    try:
        keys = libbpf.map_keys(nets, NET_KEY_SIZE)
        return Image(policy, {key: libbpf.map_lookup(nets, key, NET_VALUE_SIZE) or b"" for key in keys})
    finally:
        os.close(nets)


def active(maps: Mapping[str, int]) -> int:
    """The bank that counts, 0 for none."""
    found = libbpf.map_lookup(maps["tg_active"], ZERO, 4)
    bank: int = struct.unpack("=I", found or ZERO)[0]
    return bank


def activate(maps: Mapping[str, int], bank: int) -> None:
    """The one write that puts a bank in force in every hook; 0 takes all out."""
    libbpf.map_update(maps["tg_active"], ZERO, struct.pack("=I", bank))


def other_bank(maps: Mapping[str, int]) -> int:
    return 2 if active(maps) == 1 else 1


def inbound_port(maps: Mapping[str, int], bank: int) -> int | None:
    """The inbound listener's port in a bank's policy."""
    raw = libbpf.map_lookup(maps["tg_policies"], struct.pack("=I", bank - 1), POLICY_SIZE)
    return None if raw is None else int(struct.unpack_from("=H", raw, 18)[0])


def replace_kind(maps: Mapping[str, int], bank: int, kind: int, entries: Mapping[bytes, bytes]) -> bool:
    """Makes `entries` the bank's entries of one kind, in place: first those that are new. False: they were."""
    number = libbpf.map_lookup(maps["tg_nets"], struct.pack("=I", bank - 1), 4)
    if number is None:
        return False
    nets = libbpf.map_fd_by_id(struct.unpack("=I", number)[0])
    try:
        kinds = {struct.pack(">I", kind), struct.pack(">I", kind + KIND_V4)}
        there = {key for key in libbpf.map_keys(nets, NET_KEY_SIZE) if key[4:8] in kinds}
        new = [(key, value) for key, value in entries.items() if key not in there]
        libbpf.map_update_many(nets, new)
        gone = there - set(entries)
        for key in gone:
            libbpf.map_delete(nets, key)
    finally:
        os.close(nets)
    return bool(new or gone)


def learn_netns_cookie(cgroup: int) -> int:
    """This network namespace's cookie, told by a program; `cgroup`: an open folder that we are in or below.

    For kernels before 5.14, which tell it to programs only. Raises BpfError.
    """
    import secrets
    import socket

    sign = bytes([127]) + secrets.token_bytes(3)
    with libbpf.Object(OBJECTS / "learn.bpf.o") as program, ExitStack() as opened:
        program.set_rodata(sign)
        program.load()
        fds = [program.program_fd("learn"), program.map_fd("tg_learnt")]
        fds.append(libbpf.link_create(fds[0], cgroup, AttachType.CONNECT4, "connect4"))
        for fd in fds:
            opened.callback(os.close, fd)
        # UDP: connecting sends nothing.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.connect((socket.inet_ntoa(sign), 9))
        told = libbpf.map_lookup(fds[1], ZERO, 8) or bytes(8)
    cookie: int = struct.unpack("=Q", told)[0]
    if cookie == 0:
        raise libbpf.BpfError(errno.EINVAL, "learn the network namespace's cookie: this process is outside the cgroup")
    return cookie
