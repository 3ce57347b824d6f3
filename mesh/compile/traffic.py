"""Which TrafficPolicy holds for which port of which Service."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from mesh.compile.catalogue import Catalogue
from mesh.compile.in_force import not_in_force
from mesh.compile.patches import Patch, Patches, patched, unpatched
from mesh.compile.settings import http_settings
from mesh.compile.upstream import keepalive, upstream_settings
from mesh.documents import Document, Documents
from mesh.kinds.traffic_policy import TrafficPolicy, TrafficPolicySpec
from mesh.yaml.problems import Place, Problems
from mesh.yaml.texts import network, seconds
from proxy.core.lanes import Direction, LaneChoice
from proxy.core.networks import NetworkSet
from proxy.core.policy.policy import Balancing, RateLimit, ServiceName, Timeouts
from proxy.core.policy.settings import DEFAULT_SETTINGS, HttpSettings
from proxy.core.policy.upstream import DEFAULT_UPSTREAM, UpstreamSettings

_BALANCING = {
    # Connections have no time to first byte that could be compared:
    "EWMA": Balancing.RANDOM,
    "UNSPECIFIED": Balancing.RANDOM,
    "RANDOM": Balancing.RANDOM,
    "ROUND_ROBIN": Balancing.ROUND_ROBIN,
    "LEAST_REQUEST": Balancing.LEAST_REQUEST,
    "LEAST_CONN": Balancing.LEAST_REQUEST,
    "PASSTHROUGH": Balancing.PASSTHROUGH,
}


class Subset(NamedTuple):
    """The endpoints that have all of these labels."""

    name: str
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one TrafficPolicy asks for, in the terms of proxy.core; without one, the defaults."""

    lane: LaneChoice = LaneChoice.AUTO
    lane_policy: str = ""
    balancing: Balancing = Balancing.RANDOM
    timeouts: Timeouts = field(default_factory=Timeouts)
    max_connections: int | None = None
    denied: NetworkSet = field(default_factory=NetworkSet)
    rate_limit: RateLimit | None = None
    http: HttpSettings = DEFAULT_SETTINGS
    """Of requests where they leave."""
    http_inbound: HttpSettings = DEFAULT_SETTINGS
    """Of requests where they arrive."""
    upstream: UpstreamSettings = DEFAULT_UPSTREAM
    subsets: tuple[Subset, ...] = ()


DEFAULT = Traffic()


def traffic_of(policy: str, spec: TrafficPolicySpec) -> Traffic:
    """policy: its name, for people."""
    pool = spec.connection_pool.tcp
    rate = spec.connection_rate_limit
    return Traffic(
        lane=LaneChoice(spec.lane),
        lane_policy=policy,
        balancing=_BALANCING[spec.load_balancer.simple or "UNSPECIFIED"],
        timeouts=Timeouts(
            connect_s=_seconds(pool.connect_timeout),
            idle_s=_seconds(pool.idle_timeout),
            lifetime_s=_seconds(pool.max_connection_duration),
            keepalive=keepalive(pool.tcp_keepalive),
        ),
        max_connections=pool.max_connections,
        denied=NetworkSet.of(network(one) for one in spec.denied_sources),
        rate_limit=None
        if rate is None
        else RateLimit(rate.connections / seconds(rate.interval), rate.burst or rate.connections),
        http=http_settings(spec, Direction.OUTBOUND),
        http_inbound=http_settings(spec, Direction.INBOUND),
        upstream=upstream_settings(spec),
        subsets=tuple(Subset(one.name, tuple(sorted(one.labels.items()))) for one in spec.subsets),
    )


class Attached:
    """TrafficPolicies by what they are attached to. One that names a port's section wins over one for the whole
    Service; of several for the same, the oldest, then the first by name."""

    def __init__(self) -> None:
        self.by_port: dict[tuple[ServiceName, str | None], Traffic] = {}
        """A section of a Service, None the whole Service -> what holds for it."""

    def attach(self, documents: Documents, services: Catalogue, patches: Patches, problems: Problems) -> None:
        winners: dict[tuple[ServiceName, str | None], Document] = {}
        policies = sorted(documents.of(TrafficPolicy), key=lambda pair: age(pair[0]))
        for document, policy in policies:
            made = traffic_of(f"{document.namespace}/{document.name}", policy.spec)
            for line, what in not_in_force(policy.spec):
                problems.warning(document.at(line), f"{document}: {what} is not obeyed in this version")
            for line, what in _without_effect(policy.spec):
                problems.warning(document.at(line), f"{document}: {what}")
            for target in policy.spec.target_refs:
                service = ServiceName(document.namespace, target.name)
                place = document.at(target.line)
                if service not in services:
                    problems.warning(place, f"{document}: targetRefs: Service {service} is not here: no effect")
                    continue
                if target.section_name is not None and target.section_name not in services.port_names(service):
                    known = ", ".join(sorted(services.port_names(service))) or "none"
                    problems.warning(
                        place,
                        f"{document}: targetRefs: Service {service} has no port named {target.section_name!r} "
                        f"(there are: {known}): no effect",
                    )
                    continue
                key = (service, target.section_name)
                first = winners.setdefault(key, document)
                if first is document:
                    self.by_port[key] = made
                else:
                    problems.warning(
                        place,
                        f"{document}: {first} ({first.place}), which is older, is attached to the same: no effect",
                    )

        for service, patch in patches.items():
            self._patch(service, patch, winners, problems)

    def _patch(
        self,
        service: ServiceName,
        patch: Patch,
        winners: dict[tuple[ServiceName, str | None], Document],
        problems: Problems,
    ) -> None:
        """A patch changes the policy of the Service, which it need not have, and the policies of its ports."""
        place = Place(f"patch of {service}", 1)
        bases = {key: document.object.spec for key, document in winners.items() if key[0] == service}
        for key, base in {(service, None): unpatched(service), **bases}.items():
            spec = patched(base, patch)
            for _, what in spec.mistakes():
                problems.error(place, what)
            for _, what in not_in_force(spec):
                if what.partition(".")[0] in patch.names:
                    problems.warning(place, f"{what} is not obeyed in this version")
            named = f"{winners[key].namespace}/{winners[key].name}" if key in winners else "patch"
            self.by_port[key] = traffic_of(named, spec)

    def to(self, service: ServiceName, port_name: str) -> Traffic:
        exact = self.by_port.get((service, port_name)) if port_name else None
        return exact or self.by_port.get((service, None)) or DEFAULT


def age(document: Document) -> tuple[str, str, str]:
    """Gateway API's precedence: the oldest first, then by namespace and name."""
    return str(document.object.metadata.creation_timestamp), document.namespace, document.name


def _without_effect(spec: TrafficPolicySpec) -> Iterator[tuple[int, str]]:
    for name in ("delay", "abort"):
        fault = getattr(spec.fault, name, None)
        if fault is not None and not fault.percentage.value:
            yield fault.line, f"fault.{name}: its percentage is 0, which it also is when left out: no effect"
    for one in spec.fault.headers if spec.fault is not None else ():
        if one.type != "Exact":
            yield (
                one.line,
                f"fault.headers: type {one.type} is not obeyed in this version: no request gets the fault",
            )


def _seconds(text: str | None) -> float | None:
    return None if text is None else seconds(text)
