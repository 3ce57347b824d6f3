"""Who may open what capture has pinned: root, and nobody else, whatever the file system is mounted with."""

from __future__ import annotations

import os
import stat
import sys

import pytest

from bpf import bpffs
from tests.lab import Lab
from tests.netns.ebpf.ebpf_support import folder

pytestmark = pytest.mark.kernel

TRY = """
import os, sys
from cext.libbpf import libbpf
os.setgroups([]); os.setresgid({uid}, {uid}, {uid}); os.setresuid({uid}, {uid}, {uid})
for path in sys.argv[1:]:
    for name, attempt in (
        ("get", lambda: libbpf.get_pinned(path)),
        ("list", lambda: os.listdir(os.path.dirname(path))),
        ("unlink", lambda: os.unlink(path)),
        ("create", lambda: os.mkdir(os.path.dirname(path) + "/new")),
    ):
        try:
            attempt()
            print("could", name, path)
        except OSError as refused:
            assert refused.errno in (1, 13), (name, path, refused)
print("done")
"""


@pytest.mark.parametrize("uid", [1000, 1337], ids=["workload", "proxy"])
def test_nobody_but_root_reaches_maps_and_links(lab: Lab, uid: int) -> None:
    lab.tidegate("init", "--mode", "ebpf").ok()
    try:
        there = folder(lab.app)
        paths = [str(there / one) for one in bpffs.contents(there)]
        assert len(paths) > 20
        for path in (there.parent.parent, there.parent, there, there / "maps", there / "links"):
            info = os.stat(path)
            assert (info.st_uid, stat.S_IMODE(info.st_mode)) == (0, 0o700), path
        for path in paths:
            info = os.stat(path)
            assert (info.st_uid, stat.S_IMODE(info.st_mode)) == (0, 0o600), path
        ran = lab.app.run([sys.executable, "-c", TRY.replace("{uid}", str(uid)), *paths])
        assert ran.stdout == "done\n"
    finally:
        lab.tidegate("cleanup").ok()
