"""The eBPF backend: steers at connect(), gives arriving connections to a listening socket. No NAT, no conntrack.

Beyond what every backend offers (`intercept.backends.contract`): `adopt` and `register_listener` for proxies whose
sockets have to be known, and `refresh_addresses`.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bpf import attach as hooks
from bpf import bpffs, layout, loader
from bpf.attach import Hook
from bpf.layout import Image
from cext.libbpf import libbpf
from intercept.backends.contract import Held, InForce
from intercept.backends.ebpf import instance as ebpf_instance
from intercept.backends.ebpf import listeners as ebpf_listeners
from intercept.backends.ebpf.direct.lane import held
from intercept.backends.ebpf.errors import require_capabilities, translated
from intercept.backends.ebpf.instance import Instance
from intercept.backends.ebpf.places import Places, netns_cookie, open_places
from intercept.backends.ebpf.policy import captures_dns, image_of
from intercept.backends.ebpf.render import render
from intercept.backends.persistence import persistently
from intercept.errors import CaptureError
from intercept.host.cgroups import folder_of
from intercept.host.facts import read_host
from intercept.intent.listeners import EVERY_LISTENER, Sign
from intercept.plan.rules import Plan

if TYPE_CHECKING:
    import socket

__all__ = [
    "adopt",
    "apply",
    "available",
    "bind",
    "existing_folder",
    "inspect",
    "names",
    "opened",
    "refresh_addresses",
    "refresh_alive",
    "register_listener",
    "remove",
    "render",
]

# bpffs takes no dots in names.
_PREPARING = "preparing-"


def available() -> str | None:
    """Loads every program and attaches it where it would act, with no policy: it then does nothing. Takes it away."""
    try:
        require_capabilities()
        with translated(), open_places(None) as places, _unpinned() as instance:
            ebpf_instance.establish(instance, hooks.ALL, places, reload=False)
            bpffs.find_or_mount()
    except CaptureError as error:
        return str(error)
    return None


class _Goal(NamedTuple):
    """What is to be in force."""

    plan: Plan
    document: str
    image: Image
    hooks: tuple[Hook, ...]


def _goal(plan: Plan, document: str, places: Places) -> _Goal:
    return _Goal(plan, document, image_of(plan, read_host().own, places.cookie), _wanted(plan))


def apply(plan: Plan, document: str, *, name: str, wait_s: float) -> bool:
    require_capabilities()
    with translated(), open_places(plan.intent.cgroup) as places, _our_folder(wait_s) as ours:
        _sweep(ours)
        goal = _goal(plan, document, places)
        folder = ours / name
        if not folder.exists():
            _begin(folder, goal, places)
            return True
        with opened(folder) as instance:
            if _is_so_already(instance, goal, places):
                return False
            _replace(instance, goal, places)
    return True


def bind(plan: Plan, document: str, *, name: str, wait_s: float) -> Held:  # noqa: ARG001 # a backend's signature
    """Nothing is pinned: links and maps are this process' descriptors, and the kernel removes them with it."""
    require_capabilities()
    instance = Instance(None)
    try:
        with translated(), open_places(plan.intent.cgroup) as places:
            goal = _goal(plan, document, places)
            ebpf_instance.establish(instance, goal.hooks, places, reload=False)
            _act(instance, goal)
    except BaseException:
        ebpf_instance.dismantle(instance)
        instance.close()
        raise

    def close() -> None:
        ebpf_instance.dismantle(instance)
        instance.close()

    return Held(kernel_held=True, close=close, refresh=lambda: None, direct=held(instance.maps))


def names() -> list[str]:
    folder = existing_folder()
    return sorted(path.name for path in folder.iterdir()) if folder is not None else []


def inspect(name: str, expected: Callable[[str], Plan | None]) -> InForce | None:
    folder = existing_folder()
    if folder is None or not (folder / name).is_dir():
        return None
    with translated(), opened(folder / name) as instance:
        record = instance.record()
        if record is None:
            told = "its policy is not in force: it was begun and never finished, or was damaged"
            return InForce(None, (told,), active=False)
        plan = expected(record.document)
        drift = [f"map {one} is gone" for one in ebpf_instance.MAPS if one not in instance.maps]
        if plan is not None:
            drift += _drift(instance, plan)
        return InForce(record.document, tuple(drift), _counters(instance))


def remove(name: str, *, wait_s: float) -> list[str]:
    folder = existing_folder()
    if folder is None or not (folder / name).is_dir():
        return []
    with translated(), bpffs.locked(folder, wait_s):
        if not (folder / name).is_dir():
            return []
        with opened(folder / name) as instance:
            ebpf_instance.disarm(instance)
            # From here on there is no way back: what fails is tried again.
            _persistently(partial(ebpf_instance.dismantle, instance))
        removed = bpffs.contents(folder / name)
        _persistently(partial(bpffs.remove_tree, folder / name))
        bpffs.prune(folder)
    return [f"ebpf {one.removesuffix('s')} {two}" for one, _, two in (each.partition("/") for each in removed)]


def refresh_alive(name: str, listening: Iterable[Sign] = EVERY_LISTENER) -> None:
    """Nothing to do: the programs look at each connection whether the proxy listens."""


def register_listener(listener: "socket.socket", *, name: str = "tidegate") -> bool:
    """For a proxy that registers its own inbound listener. False: no capture of that name, or not its inbound port.

    Only needed before Linux 5.15; later kernels do it at listen(). Needs CAP_BPF and CAP_NET_ADMIN.
    """
    folder = existing_folder()
    if folder is None or not (folder / name).is_dir():
        return False
    with translated(), opened(folder / name) as instance:
        port = _inbound_port(instance)
        return port is not None and ebpf_listeners.register(instance.maps, listener, port)


def adopt(pid: int, *, name: str = "tidegate") -> list[str]:
    """Register the inbound listeners of a process, for as long as they live. Returns which; empty: it has none.

    Raises CaptureError where ebpf capture of that name is not in force.
    """
    folder = existing_folder()
    if folder is None or not (folder / name).is_dir():
        raise CaptureError("adopt: ebpf capture is not in force in this network namespace")
    with translated(), opened(folder / name) as instance:
        port = _inbound_port(instance)
        if port is None:
            raise CaptureError("adopt: ebpf capture is not in force in this network namespace")
        return ebpf_listeners.register_of(instance.maps, pid, port)


def refresh_addresses(*, name: str = "tidegate") -> bool:
    """Tell the programs which addresses this namespace has now. False: they knew."""
    folder = existing_folder()
    if folder is None or not (folder / name).is_dir():
        return False
    with translated(), opened(folder / name) as instance:
        bank = instance.bank()
        image = loader.read_bank(instance.maps, bank) if bank else None
        if image is None:
            return False
        own = {layout.net_key(layout.Kind.OWN, one): layout.ONE for one in read_host().own}
        return loader.replace_kind(instance.maps, bank, layout.Kind.OWN, own)


# ---- the steps


def _wanted(plan: Plan) -> tuple[Hook, ...]:
    return hooks.wanted(dns=captures_dns(plan), scoped=plan.intent.cgroup is not None)


def _begin(folder: Path, goal: _Goal, places: Places) -> None:
    """Everything under a name that nobody takes for ours, then one rename, then the one write that makes it act."""
    preparing = folder.with_name(f"{_PREPARING}{folder.name}-{os.getpid()}")
    instance = Instance(preparing)
    try:
        for each in (preparing, preparing / "maps", preparing / "links"):
            each.mkdir(mode=0o700)
        ebpf_instance.establish(instance, goal.hooks, places, reload=False)
        bank = ebpf_instance.prepare(instance, goal.image, goal.document)
        _register(instance, goal.plan)
        preparing.rename(folder)
        instance.folder = folder
        loader.activate(instance.maps, bank)
    except BaseException:
        ebpf_instance.dismantle(instance)
        for each in (preparing, folder):
            if each.is_dir():
                bpffs.remove_tree(each)
        raise
    finally:
        instance.close()


def _replace(instance: Instance, goal: _Goal, places: Places) -> None:
    """The old policy stays in force until the last write; live connections keep their entries."""
    record = instance.record()
    ebpf_instance.forget_foreign_maps(instance)
    whole = all(name in instance.maps for name in ebpf_instance.MAPS)
    sound = record is not None and record.build == loader.build_id() and whole
    there = [hook for hook in goal.hooks if hook.name in instance.links]
    broken = ebpf_instance.broken_hooks(instance, there, places)
    ebpf_instance.establish(instance, goal.hooks, places, reload=not sound or bool(broken))
    _act(instance, goal)
    ebpf_instance.drop_retired(instance)
    for name in set(instance.links) - {hook.name for hook in goal.hooks}:
        _persistently(partial(_drop, instance, name))


def _persistently(action: Callable[[], None]) -> None:
    def tried() -> None:
        with translated():
            action()

    persistently(tried)


def _drop(instance: Instance, name: str) -> None:
    if name in instance.links:
        ebpf_instance.drop_link(instance, name)


def _act(instance: Instance, goal: _Goal) -> None:
    bank = ebpf_instance.prepare(instance, goal.image, goal.document)
    _register(instance, goal.plan)
    loader.activate(instance.maps, bank)


def _register(instance: Instance, plan: Plan) -> None:
    """Before the policy acts: proxies and, where scoped, workloads that listen already."""
    ebpf_listeners.register_existing(instance.maps, plan.intent.listeners.inbound)
    if plan.intent.cgroup is not None:
        ebpf_listeners.register_workload(instance.maps, folder_of(plan.intent.cgroup))


def _is_so_already(instance: Instance, goal: _Goal, places: Places) -> bool:
    record = instance.record()
    if record is None or record.document != goal.document or record.build != loader.build_id():
        return False
    if set(instance.links) != {hook.name for hook in goal.hooks} or set(instance.maps) != set(ebpf_instance.MAPS):
        return False
    if ebpf_instance.broken_hooks(instance, goal.hooks, places):
        return False
    return loader.read_bank(instance.maps, instance.bank()) == goal.image


def _drift(instance: Instance, plan: Plan) -> Iterator[str]:
    try:
        with open_places(plan.intent.cgroup) as places:
            yield from ebpf_instance.broken_hooks(instance, _wanted(plan), places)
            now = image_of(plan, read_host().own, places.cookie)
    except CaptureError as error:
        yield str(error)
        return
    there = loader.read_bank(instance.maps, instance.bank())
    if there is None or there.policy != now.policy:
        yield "the policy map was changed"
    if there is not None and there.nets != now.nets:
        changed = {key for key, _ in there.nets.items() ^ now.nets.items()}
        if all(layout.kind_of(key) == layout.Kind.OWN for key in changed):
            yield "this namespace's addresses have changed since: run init again"
        else:
            yield "the map of networks and identities was changed"


def _counters(instance: Instance) -> dict[str, int]:
    if "tg_counters" not in instance.maps:
        return {}
    return {rule: libbpf.map_sum_u64(instance.maps["tg_counters"], index) for index, rule in enumerate(layout.RULES)}


def _inbound_port(instance: Instance) -> int | None:
    bank = instance.bank()
    return loader.inbound_port(instance.maps, bank) if bank else None


# ---- folders


@contextmanager
def _our_folder(wait_s: float) -> Iterator[Path]:
    """This namespace's folder, locked."""
    with bpffs.own_folder(bpffs.find_or_mount(), str(netns_cookie()), wait_s) as folder:
        yield folder


def existing_folder() -> Path | None:
    """This namespace's folder; None: nothing is in force here."""
    root = bpffs.find()
    folder = bpffs.folder_of(root, str(netns_cookie())) if root is not None else None
    return folder if folder is not None and folder.is_dir() else None


@contextmanager
def opened(folder: Path) -> Iterator[Instance]:
    """What is pinned in it, for the length of a `with` block."""
    instance = ebpf_instance.open_pinned(folder)
    try:
        yield instance
    finally:
        instance.close()


@contextmanager
def _unpinned() -> Iterator[Instance]:
    instance = Instance(None)
    try:
        yield instance
    finally:
        ebpf_instance.dismantle(instance)
        instance.close()


def _sweep(ours: Path) -> None:
    """Half-made folders of an init that was killed (we hold the lock, so nobody is at it), and dead namespaces'."""
    for path in ours.iterdir():
        if path.name.startswith(_PREPARING):
            with opened(path) as instance:
                ebpf_instance.dismantle(instance)
            bpffs.remove_tree(path)
    for other in bpffs.namespaces(ours.parent.parent):
        if other != ours:
            _sweep_dead(other)


def _sweep_dead(other: Path) -> None:
    """A link to a network namespace that is gone tells so; the other hooks then match nobody's sockets."""
    with suppress(OSError, bpffs.Busy), ExitStack() as stack:
        stack.enter_context(bpffs.locked(other, 0))
        for path in list(other.iterdir()):
            link = libbpf.get_pinned(path / "links" / hooks.INBOUND.name)
            stack.callback(os.close, link)
            if libbpf.link_info(link).target == 0:
                bpffs.remove_tree(path)
        bpffs.prune(other)
