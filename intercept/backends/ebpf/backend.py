"""The eBPF backend: steers at connect(), gives arriving connections to a listening socket. No NAT, no conntrack.

Beyond what every backend offers (`intercept.backends.contract`): `adopt` and `register_listener` for proxies whose
sockets have to be known, and `refresh_addresses`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from bpf import attach, bpffs, layout, loader
from cext.libbpf import libbpf
from intercept.backends.contract import Held, InForce
from intercept.backends.ebpf import change, instance, listeners, pins, workload
from intercept.backends.ebpf.anchors import open_anchors
from intercept.backends.ebpf.coverage import require_coverage
from intercept.backends.ebpf.errors import require_capabilities, translated
from intercept.backends.ebpf.instance import Instance
from intercept.backends.ebpf.render import render
from intercept.errors import CaptureError
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
    "inspect",
    "names",
    "refresh_addresses",
    "refresh_alive",
    "register_listener",
    "remove",
    "render",
]


def available(*, lasting: bool = True) -> str | None:
    """Loads every program and attaches it where it would act, with no policy: it then does nothing. Takes it away."""
    try:
        require_capabilities()
        with translated(), open_anchors(None) as anchors, pins.unpinned() as capture:
            if lasting:
                require_coverage(anchors)
                pins.require_lasting()
            instance.establish(capture, attach.ALL, anchors, reload=False)
    except CaptureError as error:
        return str(error)
    return None


def apply(plan: Plan, document: str, *, name: str, wait_s: float) -> bool:
    require_capabilities()
    with translated(), open_anchors(plan.intent.cgroup) as anchors, pins.our_folder(wait_s) as ours:
        require_coverage(anchors)
        pins.sweep(ours)
        goal = change.goal(plan, document, anchors)
        folder = ours / name
        if not folder.exists():
            change.begin(folder, goal, anchors)
            return True
        with pins.opened(folder) as capture:
            if change.is_so_already(capture, goal, anchors):
                return False
            change.replace(capture, goal, anchors)
    return True


def bind(plan: Plan, document: str, *, name: str, wait_s: float) -> Held:  # noqa: ARG001 # a backend's signature
    """Nothing is pinned: links and maps are this process' descriptors, and the kernel removes them with it."""
    from intercept.backends.ebpf.direct.lane import held

    require_capabilities()
    capture = Instance(None)
    try:
        with translated(), open_anchors(plan.intent.cgroup) as anchors:
            goal = change.goal(plan, document, anchors)
            instance.establish(capture, goal.hooks, anchors, reload=False)
            change.act(capture, goal)
    except BaseException:
        instance.dismantle(capture)
        capture.close()
        raise

    def close() -> None:
        instance.dismantle(capture)
        capture.close()

    return Held(kernel_held=True, close=close, refresh=lambda: None, direct=held(capture.maps))


def names() -> list[str]:
    folder = pins.existing_folder()
    return sorted(path.name for path in folder.iterdir()) if folder is not None else []


def inspect(name: str, expected: Callable[[str], Plan | None]) -> InForce | None:
    folder = pins.existing_folder()
    if folder is None or not (folder / name).is_dir():
        return None
    with translated(), pins.opened(folder / name) as capture:
        record = capture.record()
        if record is None:
            told = "its policy is not in force: it was begun and never finished, or was damaged"
            return InForce(None, (told,), active=False)
        plan = expected(record.document)
        gone = [f"map {one} is gone" for one in instance.MAPS if one not in capture.maps]
        drift = [*gone, *(change.drift(capture, plan) if plan is not None else ())]
        counters = _counters(capture)
        if plan is None or gone:
            return InForce(record.document, tuple(drift), counters)
        unregistered = listeners.unregistered(capture.maps, plan.intent.listeners.inbound) if plan.inbound else ()
        return InForce(
            record.document,
            tuple(drift),
            counters,
            out_of_reach=tuple(Sign("inbound", family) for family in unregistered),
            not_captured=tuple(_not_captured(plan, unregistered, counters)),
        )


def _not_captured(plan: Plan, unregistered: tuple[int, ...], counters: Mapping[str, int]) -> Iterator[str]:
    from intercept.backends.ebpf import sources

    port = plan.intent.listeners.inbound
    if unregistered:
        yield (
            f"inbound: a listener on port {port} to which nothing can be steered: an MPTCP "
            "socket (start that proxy without MPTCP), or one that the kernel was not shown (tidegate adopt)"
        )
    if sources.decided_elsewhere():
        yield (
            "getsockname() of captured connections: routing rules or VRFs have a say in local addresses here; it shows "
            "what a plain socket would have"
        )
    if lost := counters.get("lost-listener"):
        yield (
            f"inbound: for {lost} listeners of the cgroup no place was left in the maps: while they listen, another's "
            "listener at the same port is captured as well"
        )


def remove(name: str, *, wait_s: float) -> list[str]:
    folder = pins.existing_folder()
    if folder is None or not (folder / name).is_dir():
        return []
    with translated(), bpffs.locked(folder, wait_s):
        if not (folder / name).is_dir():
            return []
        with pins.opened(folder / name) as capture:
            instance.disarm(capture)
            # From here on there is no way back: what fails is tried again.
            change.persistently_translated(partial(instance.dismantle, capture))
        removed = bpffs.contents(folder / name)
        change.persistently_translated(partial(bpffs.remove_tree, folder / name))
        bpffs.prune(folder)
    return [f"ebpf {one.removesuffix('s')} {two}" for one, _, two in (each.partition("/") for each in removed)]


def refresh_alive(name: str, listening: Iterable[Sign] = EVERY_LISTENER) -> None:
    """Nothing to do: the programs look at each connection whether the proxy listens."""


def register_listener(listener: "socket.socket", *, name: str = "tidegate") -> bool:
    """For a proxy that registers its own inbound listener. False: no capture of that name, or not its inbound port.

    Only needed before Linux 5.15; later kernels do it at listen(). Needs CAP_BPF and CAP_NET_ADMIN.
    """
    folder = pins.existing_folder()
    if folder is None or not (folder / name).is_dir():
        return False
    with translated(), pins.opened(folder / name) as capture:
        port = _inbound_port(capture)
        return port is not None and listeners.register(capture.maps, listener, port)


def adopt(pid: int, *, name: str = "tidegate") -> list[str]:
    """Register the inbound listeners of a process, for as long as they live. Returns which; empty: it has none.

    Raises CaptureError where ebpf capture of that name is not in force.
    """
    folder = pins.existing_folder()
    if folder is None or not (folder / name).is_dir():
        raise CaptureError("adopt: ebpf capture is not in force in this network namespace")
    with translated(), pins.opened(folder / name) as capture:
        port = _inbound_port(capture)
        if port is None:
            raise CaptureError("adopt: ebpf capture is not in force in this network namespace")
        return listeners.register_of(capture.maps, pid, port)


def refresh_addresses(*, name: str = "tidegate") -> bool:
    """Tell the programs what this namespace's addresses and routes are now, and which listeners have gone.

    False: they knew the addresses.
    """
    from intercept.backends.ebpf import sources

    folder = pins.existing_folder()
    if folder is None or not (folder / name).is_dir():
        return False
    with translated(), pins.opened(folder / name) as capture:
        bank = capture.bank()
        image = loader.read_bank(capture.maps, bank) if bank else None
        if image is None:
            return False
        workload.forget_gone(capture.maps)
        sources.mirror(capture.maps)
        own = {layout.net_key(layout.Kind.OWN, one): layout.ONE for one in read_host().own}
        return loader.replace_kind(capture.maps, bank, layout.Kind.OWN, own)


def _counters(capture: Instance) -> dict[str, int]:
    if "tg_counters" not in capture.maps:
        return {}
    return {rule: libbpf.map_sum_u64(capture.maps["tg_counters"], index) for index, rule in enumerate(layout.RULES)}


def _inbound_port(capture: Instance) -> int | None:
    bank = capture.bank()
    return loader.inbound_port(capture.maps, bank) if bank else None
