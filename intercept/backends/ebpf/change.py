"""The steps that put a capture in force, replace one, and tell whether one is as it should be."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bpf import attach, bpffs, layout, loader
from bpf.attach import Hook
from bpf.layout import Image
from intercept.backends.ebpf import instance, listeners, pins, workload
from intercept.backends.ebpf.anchors import Anchors, open_anchors
from intercept.backends.ebpf.errors import translated
from intercept.backends.ebpf.instance import Instance
from intercept.backends.ebpf.policy import captures_dns, image_of
from intercept.backends.persistence import persistently
from intercept.errors import CaptureError
from intercept.host.cgroups import folder_of
from intercept.host.facts import read_host
from intercept.plan.rules import Plan


class Goal(NamedTuple):
    """What is to be in force."""

    plan: Plan
    document: str
    image: Image
    hooks: tuple[Hook, ...]


def goal(plan: Plan, document: str, anchors: Anchors) -> Goal:
    return Goal(plan, document, image_of(plan, read_host().own, anchors.cookie), wanted(plan))


def wanted(plan: Plan) -> tuple[Hook, ...]:
    return attach.wanted(dns=captures_dns(plan), scoped=plan.intent.cgroup is not None)


def begin(folder: Path, goal: Goal, anchors: Anchors) -> None:
    """Everything under a name that nobody takes for ours, then one rename, then the one write that makes it act."""
    preparing = folder.with_name(f"{pins.PREPARING}{folder.name}-{os.getpid()}")
    capture = Instance(preparing)
    try:
        for each in (preparing, preparing / "maps", preparing / "links"):
            each.mkdir(mode=0o700)
        instance.establish(capture, goal.hooks, anchors, reload=False)
        bank = instance.prepare(capture, goal.image, goal.document)
        _register(capture, goal.plan)
        preparing.rename(folder)
        capture.folder = folder
        loader.activate(capture.maps, bank)
    except BaseException:
        instance.dismantle(capture)
        for each in (preparing, folder):
            if each.is_dir():
                bpffs.remove_tree(each)
        raise
    finally:
        capture.close()


def replace(capture: Instance, goal: Goal, anchors: Anchors) -> None:
    """The old policy stays in force until the last write; live connections keep their entries."""
    record = capture.record()
    instance.forget_foreign_maps(capture)
    whole = all(name in capture.maps for name in instance.MAPS)
    sound = record is not None and record.build == loader.build_id() and whole
    there = [hook for hook in goal.hooks if hook.name in capture.links]
    broken = instance.broken_hooks(capture, there, anchors)
    instance.establish(capture, goal.hooks, anchors, reload=not sound or bool(broken))
    act(capture, goal)
    instance.drop_retired(capture)
    for name in set(capture.links) - {hook.name for hook in goal.hooks}:
        persistently_translated(partial(_drop, capture, name))


def persistently_translated(action: Callable[[], None]) -> None:
    def tried() -> None:
        with translated():
            action()

    persistently(tried)


def _drop(capture: Instance, name: str) -> None:
    if name in capture.links:
        instance.drop_link(capture, name)


def act(capture: Instance, goal: Goal) -> None:
    bank = instance.prepare(capture, goal.image, goal.document)
    _register(capture, goal.plan)
    loader.activate(capture.maps, bank)


def _register(capture: Instance, plan: Plan) -> None:
    """Before the policy acts: proxies and, where scoped, workloads that listen already, and what routing says."""
    from intercept.backends.ebpf import sources

    sources.mirror(capture.maps)
    listeners.register_existing(capture.maps, plan.intent.listeners.inbound)
    if plan.intent.cgroup is not None:
        workload.register_workload(capture.maps, folder_of(plan.intent.cgroup))


def is_so_already(capture: Instance, goal: Goal, anchors: Anchors) -> bool:
    record = capture.record()
    if record is None or record.document != goal.document or record.build != loader.build_id():
        return False
    if set(capture.links) != {hook.name for hook in goal.hooks} or set(capture.maps) != set(instance.MAPS):
        return False
    if instance.broken_hooks(capture, goal.hooks, anchors):
        return False
    return loader.read_bank(capture.maps, capture.bank()) == goal.image


def drift(capture: Instance, plan: Plan) -> Iterator[str]:
    try:
        with open_anchors(plan.intent.cgroup) as anchors:
            yield from instance.broken_hooks(capture, wanted(plan), anchors)
            now = image_of(plan, read_host().own, anchors.cookie)
    except CaptureError as error:
        yield str(error)
        return
    there = loader.read_bank(capture.maps, capture.bank())
    if there is None or there.policy != now.policy:
        yield "the policy map was changed"
    if there is not None and there.nets != now.nets:
        changed = {key for key, _ in there.nets.items() ^ now.nets.items()}
        if all(layout.kind_of(key) == layout.Kind.OWN for key in changed):
            yield "this namespace's addresses have changed since: run init again"
        else:
            yield "the map of networks and identities was changed"
