"""The BPF hooks tried one by one, and the programs of others that hang where ours would. Nothing stays.

A program of ours without a policy lets everything pass as it was, so attaching it for an instant disturbs nobody.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from bpf import attach, bpffs, loader
from bpf.attach import Hook, Where
from bpf.layout import Feature
from cext.libbpf import libbpf
from cext.libbpf.libbpf import BpfError
from intercept.backends.ebpf.anchors import Anchors, open_anchors
from intercept.backends.ebpf.errors import translated
from intercept.errors import CaptureError, Unsupported
from intercept.host import cgroups

_SO_NETNS_COOKIE = 71

FEATURES = (
    (Feature.SOCKOPS_NETNS, "bpf_get_netns_cookie in sockops", "5.15",
     "proxies that start after init have to register their inbound listener (ours does; others: tidegate adopt)"),
    (Feature.INGRESS_IFINDEX, "ingress_ifindex in sk_lookup", "5.17",
     "local calls are told from arriving ones by their address alone"),
    (Feature.SET_RETVAL, "bpf_set_retval", "5.18",
     "a refused connect() fails with EPERM instead of ECONNREFUSED"),
)  # fmt: skip
COOKIE = (
    "SO_NETNS_COOKIE",
    "5.14",
    "a program has to tell which network namespace this is, for an instant at each command",
)


def try_hooks() -> list[dict[str, Any]]:
    """Each hook of `bpf.attach.ALL`: hook, works, since, does, reason (None when it works)."""
    with _anchors() as anchors:
        try:
            with translated():
                found = loader.features()
        except CaptureError as error:
            return [_told(hook, str(error)) for hook in attach.ALL]
        told: list[dict[str, Any]] = []
        for _, group in groupby(attach.ALL, key=lambda hook: hook.object):
            told += _try_object(list(group), anchors, found)
    return told


def _try_object(group: list[Hook], anchors: Anchors, found: int) -> Iterator[dict[str, Any]]:
    try:
        with translated():
            loaded = loader.load(group, {}, found)
    except CaptureError as error:
        yield from (_told(hook, str(error)) for hook in group)
        return
    try:
        for hook in group:
            yield _told(hook, _attach(hook, loaded.programs[hook.name], anchors))
    finally:
        loaded.close()


def _attach(hook: Hook, program: int, anchors: Anchors) -> str | None:
    target = {Where.WORKLOAD: anchors.workload, Where.TOP: anchors.top, Where.NETNS: anchors.netns}[hook.where]
    if target < 0:
        return "cgroup v2 is not mounted here"
    try:
        with translated():
            os.close(libbpf.link_create(program, target, hook.attach, f"hook {hook.name}"))
    except CaptureError as error:
        return str(error)
    return None


def _told(hook: Hook, reason: str | None) -> dict[str, Any]:
    return {"hook": hook.name, "works": reason is None, "since": hook.kernel, "does": hook.does, "reason": reason}


@contextmanager
def _anchors() -> Iterator[Anchors]:
    """As `open_anchors`, and also where ebpf mode is impossible: what is missing then is -1 (or cookie 0)."""
    with ExitStack() as opened:
        try:
            anchors = opened.enter_context(open_anchors(None))
        except Unsupported:
            anchors = _what_there_is(opened)
        yield anchors


def _what_there_is(opened: ExitStack) -> Anchors:
    def open_kept(path: str | Path) -> int:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        opened.callback(os.close, fd)
        return fd

    mounted = cgroups.find_mount_point()
    top = open_kept(mounted) if mounted is not None else -1
    return Anchors(open_kept("/proc/thread-self/ns/net"), 0, top, top)


def try_features() -> list[dict[str, Any]]:
    """What newer kernels add: name, works, since, without (what is different where it is missing)."""
    name, since, without = COOKIE
    told = [{"name": name, "works": _kernel_tells_cookie(), "since": since, "without": without}]
    try:
        found = loader.features()
    except BpfError:
        return told  # no program can be loaded at all, as the hooks tell
    return [
        *told,
        *({"name": name, "works": bool(found & bit), "since": since, "without": without}
          for bit, name, since, without in FEATURES),
    ]  # fmt: skip


def _kernel_tells_cookie() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
        except OSError:
            return False
    return True


def bpffs_mounted() -> str | None:
    found = bpffs.find()
    return str(found) if found is not None else None
