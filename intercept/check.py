"""Does the capture that is in force really work? Probes through it, each with somebody to testify that it arrived.

A neighbour namespace is made for the time of the check: outbound probes are meant for it, inbound ones come from it,
so that no probe can reach anybody else's host, also where capture is broken.
"""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from intercept import capture, cgroups, probing
from intercept.explain import Connection, explain
from intercept.host import HostFacts, read_host
from intercept.intent import Dns, Intent, Ipv6, Mode, SelfCalls, WhenDown
from intercept.neighbour import Neighbour, neighbour
from intercept.probing import Endpoint, Outcome, Target
from intercept.rules import INBOUND, Plan
from intercept.testbeds import listening_in, own_listener
from intercept.witness import ForeignProxy, OurProxy, Testimony, Witness, listens

TIMEOUT_S = 2.0
# Who a probe may be when the caller itself is exempt from capture: nobody, then the first users that people have.
IDENTITIES = ((65534, 65534), (1000, 1000), (1, 1))
STEERING = {Mode.TPROXY, Mode.EBPF}


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe's outcome. `name` is direction/family/protocol."""

    name: str
    ok: bool
    detail: str

    def as_dict(self) -> dict[str, object]:
        return {"name": self.name, "ok": self.ok, "detail": self.detail}


def check() -> list[Probe]:
    """Probe what is in force in this namespace. Nothing in force: one failed probe that says so.

    Call it from a process with one thread. Raises PrivilegeMissing (CAP_SYS_ADMIN, CAP_NET_ADMIN) and CaptureError.
    """
    host = read_host()
    plan = capture.plan_in_force(host)
    if plan is None:
        return [Probe("capture", False, "no capture is in force in this network namespace")]
    versions = (4,) if plan.intent.ipv6 is Ipv6.OFF or host.ipv6_missing else (4, 6)
    with ExitStack() as stack:
        beside = stack.enter_context(neighbour(versions))
        checker = _Checker(plan, read_host(), beside, stack)
        return [probe for version in versions for probe in checker.probes(version)]


class _Checker:
    def __init__(self, plan: Plan, host: HostFacts, beside: Neighbour, stack: ExitStack) -> None:
        self._plan = plan
        self._intent: Intent = plan.intent
        self._host = host
        self._beside = beside
        self._stack = stack
        self._rng = random.SystemRandom()
        listeners = plan.intent.listeners
        self._ours = OurProxy.find(listeners.outbound)
        if self._ours is not None:
            stack.callback(self._ours.close)
        self._witnesses: dict[int, Witness] = {}

    def probes(self, version: int) -> Iterator[Probe]:
        """Those of one IP version that the plan captures anything of."""
        family = f"ipv{version}"
        outbound = self._outbound_target(version)
        if outbound is not None:
            target, identity = outbound
            yield self._probe(f"outbound/{family}/tcp", target, self._as_workload(identity), self._at_outbound())
        port = self._inbound_port(version)
        if port is not None:
            yield self._inbound(f"inbound/{family}/tcp", version, port)
            if self._intent.self_calls is SelfCalls.HAIRPIN and (self._intent.exempt.uids or self._intent.exempt.gids):
                yield self._hairpin(f"hairpin/{family}/tcp", version, port)
        if self._intent.dns is not Dns.OFF:
            yield from self._dns(family, version)

    def _outbound_target(self, version: int) -> tuple[Target, tuple[int, int]] | None:
        far = self._beside.far[version]
        wanted = self._intent.outbound.include_gids or ()
        groups = [(65534, one.first) for one in wanted]
        for identity in ((os.getuid(), os.getgid()), *IDENTITIES, *groups):
            caller = Connection.outbound(uid=identity[0], gid=identity[1])
            ports = [self._rng.choice(probing.PORTS), *(one.first for one in self._intent.outbound.include_ports)]
            for port in ports:
                if self._captured(caller.to(far, port, local=False), self._intent.listeners.outbound):
                    return Target(far, port, local=False), identity
            for target in probing.outbound_targets(self._plan, version, self._host, caller, self._rng):
                return target, identity
        return None

    def _inbound_port(self, version: int) -> int | None:
        near, far = self._beside.near[version], self._beside.far[version]
        listed = self._intent.inbound.include_ports
        ports = [self._rng.choice(probing.PORTS) for _ in range(8)] if listed is None else [one.first for one in listed]
        for port in ports:
            arrival = Connection(INBOUND, near, port, source=far, interface=self._beside.interface, local=True)
            if self._captured(arrival, self._intent.listeners.inbound):
                return port
        return None

    def _captured(self, connection: Connection, listener: int) -> bool:
        decision = explain(self._plan, connection)
        return decision.decision == "capture" and decision.listener == listener

    def _inbound(self, name: str, version: int, port: int) -> Probe:
        target = Target(self._beside.near[version], port, local=True)
        if self._intent.cgroup is None:
            return self._probe(name, target, self._beside.enter, self._at_inbound())
        # Capture asks for whom the connection is: somebody in the folder has to listen on the port.
        with listening_in(self._folder(), version, port):
            return self._probe(name, target, self._beside.enter, self._at_inbound())

    def _hairpin(self, name: str, version: int, port: int) -> Probe:
        exempt = self._intent.exempt
        identity = (exempt.uids[0] if exempt.uids else 65534, exempt.gids[0] if exempt.gids else 65534)
        target = Target(self._beside.near[version], port, local=True)
        return self._probe(name, target, self._as_workload(identity), self._at_inbound())

    def _dns(self, family: str, version: int) -> Iterator[Probe]:
        from intercept.dns_probe import ask

        resolvers = [one for one in self._plan.resolvers if (":" in one) == (version == 6)]
        server = resolvers[0] if self._intent.dns is Dns.RESOLVERS else str(self._beside.far[version])
        if self._intent.dns is Dns.RESOLVERS and not resolvers:
            return
        outbound = self._outbound_target(version)
        identity = outbound[1] if outbound else IDENTITIES[0]
        for protocol in ("udp", "tcp"):
            ok, detail = ask(server, protocol, self._intent.listeners.dns, self._as_workload(identity), TIMEOUT_S)
            yield Probe(f"dns/{family}/{protocol}", ok, detail)

    def _probe(self, name: str, target: Target, prepare: Callable[[], None], witness: Witness) -> Probe:
        destination: Endpoint = (target.address, target.port)
        if self._intent.when_down is WhenDown.OPEN and witness is not self._ours:
            capture.refresh_alive()
        witness.expect(destination)
        result = probing.connect(target, prepare, TIMEOUT_S, witness)
        if result.outcome is Outcome.NO_ROUTE:
            # Nothing is captured that routing refuses; give the probe a way, and what is captured never takes it.
            self._beside.route_to(target.address)
            result = probing.connect(target, prepare, TIMEOUT_S, witness)
        if result.outcome is Outcome.NO_ROUTE:
            return Probe(name, False, f"{target} cannot be dialled from here: {result.detail}")
        said: Testimony = witness.testify(destination, result)
        return Probe(name, said.ok, said.detail if said.ok else f"a probe to {target} was not captured: {said.detail}")

    def _as_workload(self, identity: tuple[int, int]) -> Callable[[], None]:
        folder = self._folder() if self._intent.cgroup is not None else None
        uid, gid = identity

        def prepare() -> None:
            if folder is not None:
                cgroups.join(folder)
            if (uid, gid) != (os.getuid(), os.getgid()):
                os.setgroups([])
                os.setresgid(gid, gid, gid)
                os.setresuid(uid, uid, uid)

        return prepare

    def _folder(self) -> str:
        return str(cgroups.folder_of(self._intent.cgroup or ""))

    def _at_outbound(self) -> Witness:
        return self._witness(self._intent.listeners.outbound, steered=False)

    def _at_inbound(self) -> Witness:
        return self._witness(self._intent.listeners.inbound, steered=self._plan.mode in STEERING)

    def _witness(self, port: int, *, steered: bool) -> Witness:
        """Our proxy if there is one, else whoever listens on the port, else ourselves."""
        if self._ours is not None:
            return self._ours
        if port not in self._witnesses:
            if listens(port):
                self._witnesses[port] = ForeignProxy(port, steered=steered)
            else:
                self._witnesses[port] = own_listener(port, self._plan.mode, steered=steered)
                self._stack.callback(self._witnesses[port].close)
        return self._witnesses[port]
