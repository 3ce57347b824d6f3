"""One capture in the kernel: maps, links and, when it is to outlive us, their pins.

Order is everything. Links are attached while no bank is active, so they do nothing; then one write to `tg_active` puts
all hooks in force at once. A replacement fills the idle bank and flips; connections keep their state, for the maps that
hold it stay.
"""

import json
import os
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from bpf import attach, layout, loader
from bpf.attach import Hook, Where
from bpf.layout import Image
from cext.libbpf import libbpf
from cext.libbpf.kinds import MapType
from cext.libbpf.libbpf import BpfError
from intercept.backends.ebpf.anchors import Anchors

MAPS = (
    "tg_active",
    "tg_policies",
    "tg_nets",
    "tg_counters",
    "tg_asked_by",
    "tg_accepted_for",
    "tg_inbound_of",
    "tg_pending",
    "tg_calls_for",
    "tg_called_by",
    "tg_calling",
    "tg_sources",
    "tg_inbound",
    "tg_workload",
    "tg_workload_ports",
    "tg_workload_crowd",
    "tg_services",
    "tg_service_states",
    "tg_members",
    "tg_affinity",
    "tg_balanced_as",
    "tg_direct_ends",
    "tg_straight_ports",
)
_DOCUMENT = "document-{}"
_WHOLE = 1
"""The id of the top of the whole hierarchy."""
_LENGTH = struct.Struct("=I")
_Key = TypeVar("_Key", str, int)


class Record(NamedTuple):
    """What is stored beside a bank: the intent's canonical text, and which programs are ours (hook -> kernel id)."""

    document: str
    programs: Mapping[str, int]
    build: str
    """Of the programs: see `loader.build_id`."""
    version: int = layout.VERSION

    def pack(self) -> bytes:
        text = {
            "document": self.document,
            "programs": dict(self.programs),
            "build": self.build,
            "version": self.version,
        }
        return json.dumps(text, sort_keys=True, separators=(",", ":")).encode()


class Instance:
    """Descriptors of what is there. folder None: nothing is pinned, all of it dies with us."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.maps: dict[str, int] = {}
        self.links: dict[str, int] = {}
        self.documents: dict[int, int] = {}
        """Bank -> map with its Record."""
        self.retired: list[int] = []
        """Links that a replacement has made superfluous; they go when it is in force."""

    def close(self) -> None:
        for fd in (*self.retired, *self.links.values(), *self.maps.values(), *self.documents.values()):
            os.close(fd)
        self.retired.clear()
        self.links.clear()
        self.maps.clear()
        self.documents.clear()

    def bank(self) -> int:
        """0: nothing is in force."""
        return loader.active(self.maps) if "tg_active" in self.maps else 0

    def record(self) -> Record | None:
        """Of the active bank; None when there is none or it can't be read."""
        fd = self.documents.get(self.bank())
        return None if fd is None else _read_record(fd)


def open_pinned(folder: Path) -> Instance:
    """Whatever is there, damaged or not."""
    found = Instance(folder)
    try:
        for name in MAPS:
            _open_into(found.maps, name, folder / "maps" / name)
        for hook in attach.ALL:
            _open_into(found.links, hook.name, folder / "links" / hook.name)
        for bank in (1, 2):
            _open_into(found.documents, bank, folder / "maps" / _DOCUMENT.format(bank))
    except BaseException:
        found.close()
        raise
    return found


def _open_into(where: dict[_Key, int], key: _Key, path: Path) -> None:
    if path.exists():
        where[key] = libbpf.get_pinned(path)


def _read_record(fd: int) -> Record | None:
    raw = libbpf.map_lookup(fd, layout.ZERO, libbpf.map_info(fd).value_size)
    if raw is None:
        return None
    (length,) = _LENGTH.unpack_from(raw)
    try:
        told = json.loads(raw[_LENGTH.size : _LENGTH.size + length])
        return Record(told["document"], told["programs"], told["build"], told["version"])
    except (ValueError, KeyError, TypeError):
        return None


def broken_hooks(instance: Instance, wanted: Iterable[Hook], anchors: Anchors) -> list[str]:
    """What is wrong with the links, one sentence each."""
    record = instance.record()
    wrong = []
    for hook in wanted:
        link = instance.links.get(hook.name)
        if link is None:
            wrong.append(f"hook {hook.name} is gone")
            continue
        info = libbpf.link_info(link)
        if info.target == 0:
            wrong.append(f"hook {hook.name} is detached: what it was attached to no longer exists")
        elif info.target not in _allowed(hook, anchors):
            wrong.append(f"hook {hook.name} is attached elsewhere")
        if record is not None and info.program_id != record.programs.get(hook.name):
            wrong.append(f"the program of hook {hook.name} was replaced by another")
    return wrong


def _target(hook: Hook, anchors: Anchors) -> int:
    return {Where.WORKLOAD: anchors.workload, Where.TOP: anchors.top, Where.NETNS: anchors.netns}[hook.where]


def _target_id(hook: Hook, anchors: Anchors) -> int:
    # A cgroup's id is its folder's inode on 64-bit hosts, a namespace's is its file's.
    return os.fstat(_target(hook, anchors)).st_ino


def _allowed(hook: Hook, anchors: Anchors) -> set[int]:
    """What it may be attached to. The top of the whole hierarchy covers all, reachable from here or not."""
    whole = hook.where == Where.TOP or (hook.where == Where.WORKLOAD and not anchors.limited)
    return {_target_id(hook, anchors), *([_WHOLE] if whole else [])}


def establish(instance: Instance, wanted: tuple[Hook, ...], anchors: Anchors, *, reload: bool) -> None:
    """Make every wanted hook run our programs on the instance's maps, pinning what is new. Changes no policy.

    reload: also where a link is there already; its program is replaced without a gap.
    """
    missing = [hook for hook in wanted if reload or hook.name not in instance.links]
    if not missing:
        return
    loaded = loader.load(missing, instance.maps, loader.features())
    try:
        for name in [name for name in loaded.maps if name not in instance.maps]:
            fd = loaded.maps.pop(name)
            instance.maps[name] = fd
            _pin(instance, fd, "maps", name)
        for hook in missing:
            program = loaded.programs[hook.name]
            if hook.name in instance.links and _move(instance, hook, program, anchors):
                continue
            link = libbpf.link_create(program, _target(hook, anchors), hook.attach, hook.name)
            instance.links[hook.name] = link
            _pin(instance, link, "links", hook.name)
    finally:
        loaded.close()


def _move(instance: Instance, hook: Hook, program: int, anchors: Anchors) -> bool:
    """Gives an existing link the new program. False: it hangs elsewhere or nowhere, so there has to be another."""
    link = instance.links[hook.name]
    if libbpf.link_info(link).target == _target_id(hook, anchors):
        libbpf.link_update(link, program)
        return True
    instance.retired.append(instance.links.pop(hook.name))
    return False


def drop_link(instance: Instance, name: str) -> None:
    """Takes a hook away. Detached first: what is only closed and unpinned the kernel frees some time later."""
    if instance.folder is not None:
        (instance.folder / "links" / name).unlink(missing_ok=True)
    _detach(instance.links.pop(name))


def _detach(link: int) -> None:
    with suppress(BpfError):  # its cgroup or namespace may be gone, and it with that
        libbpf.link_detach(link)
    os.close(link)


def drop_retired(instance: Instance) -> None:
    while instance.retired:
        _detach(instance.retired.pop())


def disarm(instance: Instance) -> None:
    """Out of force in one instant, in every hook."""
    if "tg_active" in instance.maps:
        loader.activate(instance.maps, 0)


def dismantle(instance: Instance) -> None:
    """Out of force, then every hook away. Pins are left for the caller to remove."""
    disarm(instance)
    drop_retired(instance)
    for name in list(instance.links):
        _detach(instance.links.pop(name))


def prepare(instance: Instance, image: Image, document: str) -> int:
    """Fill the idle bank and store its record; returns the bank, for `loader.activate` to put in force."""
    bank = loader.other_bank(instance.maps)
    loader.fill_bank(instance.maps, bank, image)
    programs = {name: libbpf.link_info(link).program_id for name, link in instance.links.items()}
    _store(instance, bank, Record(document, programs, loader.build_id()))
    return bank


def _store(instance: Instance, bank: int, record: Record) -> None:
    raw = record.pack()
    raw = _LENGTH.pack(len(raw)) + raw
    raw += bytes(-len(raw) % 8)
    fd = libbpf.map_create(MapType.ARRAY, "tg_document", sizes=(4, len(raw)), max_entries=1)
    try:
        libbpf.map_update(fd, layout.ZERO, raw)
        _pin(instance, fd, "maps", _DOCUMENT.format(bank))
    except BaseException:
        os.close(fd)
        raise
    if bank in instance.documents:
        os.close(instance.documents[bank])
    instance.documents[bank] = fd


def _pin(instance: Instance, fd: int, kind: str, name: str) -> None:
    if instance.folder is None:
        return
    path = instance.folder / kind / name
    path.unlink(missing_ok=True)
    libbpf.pin(fd, path)


def forget_foreign_maps(instance: Instance) -> None:
    """Of maps made by a version with another layout only the pins are of use: to be replaced."""
    record = instance.record()
    if record is None or record.version == layout.VERSION:
        return
    for fd in (*instance.maps.values(), *instance.documents.values()):
        os.close(fd)
    instance.maps.clear()
    instance.documents.clear()
