"""The folders in bpffs that hold this network namespace's captures: found, made, opened, swept."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bpf import attach, bpffs, lasting
from cext.libbpf import libbpf
from intercept.backends.ebpf import instance
from intercept.backends.ebpf.anchors import netns_cookie
from intercept.backends.ebpf.instance import Instance

PREPARING = "preparing-"
"""What the name of a folder that is not in force yet begins with. bpffs takes no dots in names."""


@contextmanager
def our_folder(wait_s: float) -> Iterator[Path]:
    """This namespace's folder, locked."""
    with bpffs.own_folder(lasting.find_or_mount(), str(netns_cookie()), wait_s) as folder:
        yield folder


def require_lasting() -> None:
    """Raises where no BPF file system can be had that outlives us."""
    lasting.find_or_mount()


def existing_folder() -> Path | None:
    """This namespace's folder; None: nothing is in force here."""
    root = bpffs.find()
    folder = bpffs.folder_of(root, str(netns_cookie())) if root is not None else None
    return folder if folder is not None and folder.is_dir() else None


@contextmanager
def opened(folder: Path) -> Iterator[Instance]:
    """What is pinned in it, for the length of a `with` block."""
    found = instance.open_pinned(folder)
    try:
        yield found
    finally:
        found.close()


@contextmanager
def unpinned() -> Iterator[Instance]:
    made = Instance(None)
    try:
        yield made
    finally:
        instance.dismantle(made)
        made.close()


def sweep(ours: Path) -> None:
    """Half-made folders of an init that was killed (we hold the lock, so nobody is at it), and dead namespaces'."""
    for path in ours.iterdir():
        if path.name.startswith(PREPARING):
            with opened(path) as abandoned:
                instance.dismantle(abandoned)
            bpffs.remove_tree(path)
    for other in bpffs.namespaces(ours.parent.parent):
        if other != ours:
            _sweep_dead(other)


def _sweep_dead(other: Path) -> None:
    """A link to a network namespace that is gone tells so; the other hooks then match nobody's sockets."""
    with suppress(OSError, bpffs.Busy), ExitStack() as stack:
        stack.enter_context(bpffs.locked(other, 0))
        for path in list(other.iterdir()):
            link = libbpf.get_pinned(path / "links" / attach.INBOUND.name)
            stack.callback(os.close, link)
            if libbpf.link_info(link).target == 0:
                bpffs.remove_tree(path)
        bpffs.prune(other)
