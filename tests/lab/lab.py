"""One lab: three namespaces, the actors in them, and everything that has to be gone afterwards."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.lab import leftovers, namespaces, snapshot, topology
from tests.lab.actor import Actor, Identity
from tests.lab.cgroup_folder import CgroupFolder
from tests.lab.command_line import Ran, Zygote, run_binary
from tests.lab.namespaces import Namespace
from tests.lab.patience import patient
from tests.lab.snapshot import Snapshot
from tests.lab.third_party_proxy import ProxyOptions, ThirdPartyProxy

OUR_PORTS = (15001, 15006, 15020, 15053)
PEER_PORTS = (22, 53, 80, 443, 853, 3306, 5432, 7000, 8000, 8080, 8081, 8100, 9000, 9090, 31000, 32000, *OUR_PORTS)
PEER_UDP_PORTS = (53, 80, 443, 5353, 5432)
APP_PORTS = (22, 80, 5432, 7070, 8080, 9090)
WORKLOAD = Identity(1000, 1000)
ROOT_USER = Identity(0, 0)


@cache
def zygote() -> Zygote:
    """One for the session; `end_session` closes it."""
    return Zygote()


def end_session() -> None:
    if zygote.cache_info().currsize:
        zygote().close()
        zygote.cache_clear()


class Lab:
    """Owns its namespaces, processes, cgroups and scratch folder; `close` removes them all.

    One lab may serve many cases, one after the other, with `tidegate cleanup` between them.
    """

    def __init__(self) -> None:
        self.name = leftovers.fresh_name()
        self._undo = contextlib.ExitStack()
        self._actors: dict[tuple[str, Identity], Actor] = {}
        self._cgroup: CgroupFolder | None = None
        self.resolv_conf: str | None = None
        try:
            self.app = self._namespace("app")
            self.peer = self._namespace("peer")
            self.guest = self._namespace("guest")
            topology.build(self.app, self.peer, self.guest)
            self.actor(ROOT_USER, self.peer).serve("peer", PEER_PORTS, PEER_UDP_PORTS)
        except BaseException:
            self._undo.close()
            raise

    def _namespace(self, role: str) -> Namespace:
        namespace = namespaces.create(f"{self.name}-{role}")
        self._undo.callback(namespace.delete)
        return namespace

    @property
    def folder(self) -> Path:
        """A scratch folder of this lab's own, that every user may read."""
        folder = Path("/tmp") / self.name
        if not folder.exists():
            folder.mkdir(mode=0o755)
            self._undo.callback(shutil.rmtree, folder)
        return folder

    @property
    def cgroup(self) -> CgroupFolder:
        """A cgroup v2 folder of this lab's own; make children of it for the parties of a case."""
        if self._cgroup is None:
            self._cgroup = CgroupFolder.create(self.name)
            self._undo.callback(self._cgroup.delete)
        return self._cgroup

    def actor(self, identity: Identity = WORKLOAD, namespace: Namespace | None = None) -> Actor:
        """Somebody who acts in a namespace (default APP), started on first use and kept until `close` or `dismiss`."""
        where = namespace or self.app
        key = (where.name, identity)
        if key not in self._actors:
            self._actors[key] = Actor(where, identity)
        return self._actors[key]

    def dismiss(self, actor: Actor) -> None:
        actor.close()
        self._actors = {key: kept for key, kept in self._actors.items() if kept is not actor}

    def serve(
        self, who: str, ports: Sequence[int], namespace: Namespace | None = None, udp_ports: Sequence[int] = ()
    ) -> None:
        """Servers that answer with `who`, run by the workload's user; kept until `close`, the same ones only once."""
        where = namespace or self.app
        key = (f"{where.name} {who} {ports} {udp_ports}", WORKLOAD)
        if key not in self._actors:
            self._actors[key] = Actor(where, WORKLOAD)
            self._actors[key].serve(who, ports, udp_ports)

    def serve_app(self) -> None:
        """The workload's own servers, on APP_PORTS."""
        self.serve("app", APP_PORTS, udp_ports=(5353,))

    @contextlib.contextmanager
    def proxy(self, options: ProxyOptions | None = None) -> Iterator[ThirdPartyProxy]:
        """A recording proxy in APP for the length of a `with` block."""
        proxy = ThirdPartyProxy(self.app, options or ProxyOptions())
        try:
            yield proxy
        finally:
            proxy.close()

    def tidegate(self, *argv: str, **options: Any) -> Ran:
        """tidegate's command line in APP, as root, with this lab's resolv.conf. Options as for `Zygote.run`."""
        options.setdefault("resolv_conf", self.resolv_conf)
        return zygote().run(self.app, argv, **options)

    def tidegate_all(self, argvs: Sequence[Sequence[str]], **options: Any) -> list[Ran]:
        """Several commands that change nothing (`explain`), in one process."""
        options.setdefault("resolv_conf", self.resolv_conf)
        return zygote().run_all(self.app, argvs, **options)

    def tidegate_binary(
        self, *argv: str, prefix: Sequence[str] = (), env: Mapping[str, str] | None = None, timeout: float = 30
    ) -> Ran:
        """The same through the installed command."""
        return run_binary(self.app, argv, prefix=prefix, env=env, timeout=timeout)

    def adopt(self, backend: str, proxy: ThirdPartyProxy) -> None:
        """Make a third-party proxy known where the backend steers to sockets; elsewhere its ports are enough."""
        if backend == "ebpf":
            self.tidegate("adopt", "--pid", str(proxy.pid)).ok()

    def snapshot(self, *, handles: bool = False) -> Snapshot:
        return snapshot.take(self.app, handles=handles)

    def changes_since(self, before: Snapshot, *, handles: bool = False, within_s: float = 1.0) -> str:
        """The difference to `before`, empty when there is none.

        Waits a moment for it to go: the kernel finishes some removals (BPF links above all) behind the call's back.
        """
        deadline = time.monotonic() + patient(within_s)
        while (difference := before.diff(self.snapshot(handles=handles))) and time.monotonic() < deadline:
            time.sleep(0.02)
        return difference

    def hint(self) -> str:
        """For a person who wants to look at what a failed test left (while it is paused, `--pdb`)."""
        return "\n".join(f"nsenter --net={space.path}   # {space.name}" for space in (self.app, self.peer, self.guest))

    def close(self) -> None:
        """Ends the actors, then removes namespaces and folders. AssertionError names strays in APP."""
        for actor in self._actors.values():
            with contextlib.suppress(AssertionError, OSError):
                actor.close()
        self._actors.clear()
        strangers = [f"{pid} {Path(f'/proc/{pid}/cmdline').read_bytes()!r}" for pid in self.app.processes()]
        self._undo.close()
        assert not strangers, f"processes were left in {self.app.name}: {strangers}"
