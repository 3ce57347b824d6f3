"""Makes the probes of a check: what each is aimed at, who it is, and who testifies."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address

from intercept import capture
from intercept.check.neighbour import Neighbour
from intercept.check.probe import PORTS, Endpoint, Outcome, Target, connect, outbound_targets
from intercept.check.testbed import holding, listening_in, own_listener
from intercept.check.witness import ForeignProxy, OurProxy, OwnListener, Testimony, Witness, listens
from intercept.host import cgroups
from intercept.host.facts import HostFacts
from intercept.intent.intent import Dns, Intent, Mode, SelfCalls, WhenDown
from intercept.plan.explain import Connection, explain
from intercept.plan.rules import INBOUND, Plan

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


class Checker:
    """Probes that need nobody outside this namespace. What it puts in place goes with `stack`.

    `stand_in`: listen ourselves where nobody does. `ours`: a channel to our proxy, which stays its owner's; without
    one, a proxy is looked for by its socket's name.
    """

    def __init__(
        self, plan: Plan, host: HostFacts, stack: ExitStack, *, stand_in: bool, ours: OurProxy | None = None
    ) -> None:
        self._plan = plan
        self._stand_in = stand_in
        self._intent: Intent = plan.intent
        self._host = host
        self._stack = stack
        self._rng = random.SystemRandom()
        self._ours = ours
        if ours is None:
            self._ours = OurProxy.find(plan.intent.listeners.outbound, plan.intent.exempt.uids)
            if self._ours is not None:
                stack.callback(self._ours.close)
        self._witnesses: dict[int, Witness] = {}

    def outbound(self, version: int) -> Probe | None:
        """None: the plan captures nothing outbound of this IP version, or nothing that has a route."""
        for identity in self._identities():
            for target in self._outbound_targets(version, identity):
                name = f"outbound/ipv{version}/tcp"
                found = self._probe(name, target, self._as_workload(identity), self._at_outbound())
                if found is not None:
                    return found
        return None

    def _identities(self) -> list[tuple[int, int]]:
        groups = [(65534, one.first) for one in self._intent.outbound.include_gids or ()]
        return [(os.getuid(), os.getgid()), *IDENTITIES, *groups]

    def _outbound_targets(self, version: int, identity: tuple[int, int]) -> Iterator[Target]:
        caller = Connection.outbound(uid=identity[0], gid=identity[1])
        yield from outbound_targets(self._plan, version, self._host, caller, self._rng)

    def _captured(self, connection: Connection, listener: int) -> bool:
        decision = explain(self._plan, connection)
        return decision.decision == "capture" and decision.listener == listener

    def _probe(
        self, name: str, target: Target, prepare: Callable[[], None], witness: Witness | int, source_port: int = 0
    ) -> Probe | None:
        """None: the target has no route. `witness` is a port where nobody listens."""
        if isinstance(witness, int):
            return Probe(name, False, self._nobody_listens(witness))
        destination: Endpoint = (target.address, target.port)
        if self._intent.when_down is WhenDown.OPEN and isinstance(witness, OwnListener):
            capture.refresh_alive()
        witness.expect(destination)
        result = connect(target, prepare, TIMEOUT_S, witness, source_port)
        if result.outcome is Outcome.NO_ROUTE:
            return None
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

    def _nobody_listens(self, port: int) -> str:
        fate = "go direct (--when-down open)" if self._intent.when_down is WhenDown.OPEN else "are refused"
        return f"nobody listens on port {port}, so new connections {fate}; --stand-in checks the capture all the same"

    def _at_outbound(self) -> Witness | int:
        return self._witness(self._intent.listeners.outbound, steered=False)

    def _at_inbound(self) -> Witness | int:
        return self._witness(self._intent.listeners.inbound, steered=self._plan.mode in STEERING)

    def _witness(self, port: int, *, steered: bool) -> Witness | int:
        """Our proxy if there is one, else whatever process listens on the port, else ourselves (`stand_in`) or nobody,
        which the port stands for."""
        if self._ours is not None:
            return self._ours
        if port not in self._witnesses:
            if listens(port):
                self._witnesses[port] = ForeignProxy(port, steered=steered)
            elif self._stand_in:
                self._witnesses[port] = own_listener(port, self._plan.mode, steered=steered)
                self._stack.callback(self._witnesses[port].close)
            else:
                return port
        return self._witnesses[port]


class ThoroughChecker(Checker):
    """With a neighbour: everything that the plan captures of one IP version."""

    def __init__(self, plan: Plan, host: HostFacts, stack: ExitStack, beside: Neighbour, *, stand_in: bool) -> None:
        super().__init__(plan, host, stack, stand_in=stand_in)
        self._beside = beside

    def probes(self, version: int) -> Iterator[Probe]:
        family = f"ipv{version}"
        outbound = self.outbound(version)
        if outbound is not None:
            yield outbound
        ports = self._inbound_ports(version)
        if ports:
            yield self._inbound(f"inbound/{family}/tcp", version, ports[0])
            if self._intent.self_calls is SelfCalls.HAIRPIN and (self._intent.exempt.uids or self._intent.exempt.gids):
                yield self._hairpin(f"hairpin/{family}/tcp", version, ports[0])
        if len(ports) > 1 and self._intent.cgroup is None and not isinstance(self._at_inbound(), int):
            yield self._collision(f"collision/{family}/tcp", version, ports)
        if self._intent.dns is not Dns.OFF:
            yield from self._dns(family, version)

    def _outbound_targets(self, version: int, identity: tuple[int, int]) -> Iterator[Target]:
        far = self._beside.far[version]
        caller = Connection.outbound(uid=identity[0], gid=identity[1])
        for port in (self._rng.choice(PORTS), *(one.first for one in self._intent.outbound.include_ports)):
            if self._captured(caller.to(far, port, local=False), self._intent.listeners.outbound):
                yield Target(far, port, local=False)
                return
        for target in super()._outbound_targets(version, identity):
            yield target
            # It had no route, and what routing refuses is never captured: give the probe a way.
            if not target.local:
                self._beside.route_to(target.address)
                yield target

    def _inbound_ports(self, version: int) -> list[int]:
        """Up to two that are captured."""
        near, far = self._beside.near[version], self._beside.far[version]
        listed = self._intent.inbound.include_ports
        tried = self._rng.sample(PORTS, 8) if listed is None else [one.first for one in listed]

        def is_captured(port: int) -> bool:
            arrival = Connection(INBOUND, near, port, source=far, interface=self._beside.interface, local=True)
            return self._captured(arrival, self._intent.listeners.inbound)

        return [port for port in tried if is_captured(port)][:2]

    def _inbound(self, name: str, version: int, port: int) -> Probe:
        if self._intent.cgroup is None:
            return self._from_neighbour(name, version, port)
        # Capture asks for whom the connection is: somebody in the folder has to listen on the port.
        with listening_in(self._folder(), version, port):
            return self._from_neighbour(name, version, port)

    def _from_neighbour(self, name: str, version: int, port: int, source_port: int = 0) -> Probe:
        target = Target(self._beside.near[version], port, local=True)
        found = self._probe(name, target, self._beside.enter, self._at_inbound(), source_port)
        return found or Probe(name, False, f"{target} cannot be reached from a neighbour")

    def _collision(self, name: str, version: int, ports: list[int]) -> Probe:
        """One client, one source port, two ports of the workload at once: plain REDIRECT is reported to stall here."""
        source_port = self._rng.choice(range(40_000, 60_000))
        first = Target(self._beside.near[version], ports[0], local=True)
        with holding(self._beside, first, source_port, TIMEOUT_S) as failure:
            if failure is not None:
                return Probe(name, False, f"the first connection failed: {failure}")
            second = self._from_neighbour(name, version, ports[1], source_port)
        return second if not second.ok else Probe(name, True, "one source port reached two ports at once")

    def _hairpin(self, name: str, version: int, port: int) -> Probe:
        exempt = self._intent.exempt
        identity = (exempt.uids[0] if exempt.uids else 65534, exempt.gids[0] if exempt.gids else 65534)
        target = Target(self._beside.near[version], port, local=True)
        found = self._probe(name, target, self._as_workload(identity), self._at_inbound())
        return found or Probe(name, False, f"{target} cannot be dialled")

    def _dns(self, family: str, version: int) -> Iterator[Probe]:
        from intercept.check.dns_probe import ask

        servers = [str(self._beside.far[version])]
        if self._intent.dns is Dns.RESOLVERS:
            servers = [one for one in self._plan.resolvers if (":" in one) == (version == 6)]
        if not servers:
            return
        server = servers[0]
        question = self._captured_question(server)
        if question is None:
            return
        port = self._intent.listeners.dns
        answered = ask(server, port, self._as_workload(question), TIMEOUT_S, stand_in=self._stand_in)
        yield Probe(f"dns/{family}/udp", *(answered or (False, self._nobody_listens(port))))
        over_tcp = Target(ip_address(server), 53, local=False)
        witness = self._witness(self._intent.listeners.dns, steered=False)
        found = self._probe(f"dns/{family}/tcp", over_tcp, self._as_workload(question), witness)
        if found is not None:
            yield found

    def _captured_question(self, server: str) -> tuple[int, int] | None:
        """Who may ask so that the question is captured."""
        for uid, gid in self._identities():
            asker = Connection.outbound(uid=uid, gid=gid, protocol="udp").to(ip_address(server), 53, local=False)
            if self._captured(asker, self._intent.listeners.dns):
                return uid, gid
        return None
