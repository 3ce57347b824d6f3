"""Looking for as long as a `with` block lasts, by the best source that there is; what capture makes of what is seen."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from intercept.choose_mode import presume_mode
from intercept.discover.gathered import Gathered, Row
from intercept.discover.names import Names, read_hosts
from intercept.discover.polled import Polled
from intercept.discover.scope import Scope, Whose
from intercept.discover.seen import Address, Endpoint, Source
from intercept.errors import CaptureError, PrivilegeMissing, Unsupported
from intercept.host.facts import HostFacts, read_host
from intercept.in_force import plan_in_force
from intercept.intent.intent import Intent
from intercept.plan.explain import Connection, Decision
from intercept.plan.explain import explain as judge
from intercept.plan.rules import INBOUND, Plan


class Found(NamedTuple):
    """A row with a name and a verdict. in_force: decided by the capture in force, not by init's defaults."""

    row: Row
    name: str
    """Of the destination, or of the client that calls; empty: not known."""
    decision: Decision
    in_force: bool

    def as_dict(self) -> dict[str, Any]:
        row, key = self.row, self.row.key
        median_s = row.median_s
        return {
            "direction": "outbound" if key.outbound else "inbound",
            "pid": min(row.pids, default=0),
            "pids": sorted(row.pids),
            "name": key.name,
            "uid": key.uid,
            "protocol": key.protocol,
            "destination": text(key.destination),
            "peer": None if key.peer is None else str(key.peer),
            "destination_name": self.name or None,
            "calls": row.calls,
            "open": row.open,
            "failed": row.failed,
            "bytes_sent": row.sent,
            "bytes_received": row.received,
            "duration_ms": None if median_s is None else round(median_s * 1000, 3),
            "longest_ms": None if row.longest_s is None else round(row.longest_s * 1000, 3),
            "long_lived": row.long_lived,
            "guess": row.guess or None,
            "self": row.is_self,
            "decision": self.decision.decision,
            "rule": self.decision.rule,
            "in_force": self.in_force,
        }


def text(endpoint: Endpoint) -> str:
    address, port = endpoint
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


class Looking:
    """losses: what the source can't see, in words."""

    def __init__(self, source: Source, how: str) -> None:
        self.how = how
        self.losses = source.losses
        self._source = source
        self._host = read_host()
        self._names = Names(read_hosts())
        self._gathered = Gathered(self._own)

    def look(self) -> None:
        """Call it a few times a second."""
        self._gathered.add(self._source.look())
        for answer in self._source.answers():
            self._names.learn(answer)

    def found(self) -> list[Found]:
        """What was seen so far, without the proxy's own connections; the most calls first."""
        host = read_host()
        try:
            plan = plan_in_force(host)
        except CaptureError:
            plan = None
        defaults = presume_mode(Intent(), host)[0]
        own = set(plan.intent.exempt.uids) if plan is not None else set()
        return [
            self._judged(row, plan or defaults, in_force=plan is not None)
            for row in self._gathered.rows()
            if row.key.uid not in own or not row.key.outbound
        ]

    @property
    def lost(self) -> int:
        """Calls that found no room to be counted."""
        return self._source.lost() + self._gathered.left_out

    def _judged(self, row: Row, plan: Plan, *, in_force: bool) -> Found:
        key = row.key
        address, port = key.destination
        name = self._names.of(address if key.peer is None else key.peer)
        if key.outbound:
            caller = Connection.outbound(uid=key.uid, gid=row.gid, protocol=key.protocol)
            decision = judge(plan, caller.to(address, port, local=self._own(address)))
        else:
            interface = "lo" if row.is_self else None
            arrival = Connection(INBOUND, address, port, key.protocol, source=key.peer, interface=interface, local=True)
            decision = judge(plan, arrival)
        return Found(row, name, decision, in_force)

    def _own(self, address: Address) -> bool:
        return address.is_loopback or _is_own(address, self._host)


@contextmanager
def looking(scope: Scope) -> Iterator[Looking]:
    """Traces where bcc and the privileges are there, else polls. Raises Unsupported, PrivilegeMissing for what polling
    can't do either: other namespaces."""
    whose = Whose(scope)
    try:
        with _traced(scope, whose) as source:
            yield Looking(source, "traced by bcc")
            return
    except _NotTraced as missing:
        if scope.everywhere:
            raise missing.why from None
        why = str(missing.why)
    yield Looking(Polled(whose), f"polled, for it can't be traced: {why}")


class _NotTraced(Exception):
    def __init__(self, why: CaptureError) -> None:
        super().__init__(str(why))
        self.why = why


@contextmanager
def _traced(scope: Scope, whose: Whose) -> Iterator[Source]:
    from bpf.trace import discover
    from cext.libbpf.libbpf import BpfError
    from intercept.backends.ebpf.anchors import netns_cookie, open_anchors
    from intercept.backends.ebpf.errors import require_capabilities, translated
    from intercept.discover.traced import Traced
    from intercept.host.cgroups import path_of

    try:
        require_capabilities()
        folder = None if scope.folder is None else path_of(scope.folder)
        with translated(), open_anchors(folder) as anchors, _asked_map() as asked:
            try:
                netns = None if scope.everywhere else netns_cookie()
                discovery = discover.Discovery(anchors.workload, netns=netns, asked=asked)
            except (discover.Unavailable, BpfError) as unavailable:
                raise Unsupported(str(unavailable)) from None
    except (Unsupported, PrivilegeMissing) as missing:
        raise _NotTraced(missing) from None
    try:
        yield Traced(discovery, whose)
    finally:
        discovery.close()


@contextmanager
def _asked_map() -> Iterator[int | None]:
    """Where ebpf capture is in force: its map of what steered sockets asked for, whose hooks ran before ours."""
    from intercept.backends.ebpf import pins

    folder = pins.existing_folder()
    path = None if folder is None else folder / "tidegate"
    if path is None or not path.is_dir():
        yield None
        return
    with pins.opened(path) as instance:
        yield instance.maps.get("tg_asked_by")


def _is_own(address: Address, host: HostFacts) -> bool:
    return any(address in one for one in host.own if one.version == address.version)
