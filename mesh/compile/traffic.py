"""Which TrafficPolicy holds for which port of which Service."""

from collections.abc import Iterator

from mesh.documents import Document, Documents
from mesh.kinds.traffic_policy import TrafficPolicy, TrafficPolicySpec
from mesh.yaml.problems import Problems
from mesh.yaml.texts import network, seconds
from proxy.core.lanes import LaneChoice
from proxy.core.networks import NetworkSet
from proxy.core.policy.policy import Balancing, RateLimit, ServiceName, Timeouts

_BALANCING = {
    "UNSPECIFIED": Balancing.RANDOM,
    "RANDOM": Balancing.RANDOM,
    "ROUND_ROBIN": Balancing.ROUND_ROBIN,
    "LEAST_REQUEST": Balancing.LEAST_REQUEST,
    "LEAST_CONN": Balancing.LEAST_REQUEST,
    "PASSTHROUGH": Balancing.PASSTHROUGH,
}


class Traffic:
    """One TrafficPolicy's wishes in the terms of proxy.core; without one, the defaults."""

    def __init__(self, document: Document | None = None, spec: TrafficPolicySpec | None = None) -> None:
        self.lane = LaneChoice.AUTO
        self.lane_policy = ""
        self.balancing = Balancing.RANDOM
        self.timeouts = Timeouts()
        self.max_connections: int | None = None
        self.denied = NetworkSet()
        self.rate_limit: RateLimit | None = None
        if document is None or spec is None:
            return
        pool = spec.connection_pool.tcp
        self.lane = LaneChoice(spec.lane)
        self.lane_policy = f"{document.namespace}/{document.name}"
        self.balancing = _BALANCING[spec.load_balancer.simple]
        self.timeouts = Timeouts(
            connect_s=_seconds(pool.connect_timeout),
            idle_s=_seconds(pool.idle_timeout),
            lifetime_s=_seconds(pool.max_connection_duration),
        )
        self.max_connections = pool.max_connections
        self.denied = NetworkSet.of(network(one) for one in spec.denied_sources)
        rate = spec.connection_rate_limit
        if rate is not None:
            self.rate_limit = RateLimit(rate.connections / seconds(rate.interval), rate.burst or rate.connections)


class Attached:
    """TrafficPolicies by what they are attached to. One that names a port's section wins over one for the whole
    Service; of several for the same, the oldest, then the first by name."""

    def __init__(self, documents: Documents, ports: dict[ServiceName, set[str]], problems: Problems) -> None:
        """ports: the names of every Service's ports."""
        self._traffic: dict[tuple[ServiceName, str | None], Traffic] = {}
        winners: dict[tuple[ServiceName, str | None], Document] = {}
        policies = sorted(documents.of(TrafficPolicy), key=lambda pair: age(pair[0]))
        for document, policy in policies:
            spec = policy.spec
            made = Traffic(document, spec)
            for line, what in _not_obeyed(spec):
                problems.warning(document.at(line), f"{document}: {what} is not obeyed in this version")
            for target in spec.target_refs:
                service = ServiceName(document.namespace, target.name)
                place = document.at(target.line)
                if service not in ports:
                    problems.warning(place, f"{document}: targetRefs: Service {service} is not here: no effect")
                    continue
                if target.section_name is not None and target.section_name not in ports[service]:
                    known = ", ".join(sorted(ports[service])) or "none"
                    problems.warning(
                        place,
                        f"{document}: targetRefs: Service {service} has no port named {target.section_name!r} "
                        f"(there are: {known}): no effect",
                    )
                    continue
                key = (service, target.section_name)
                first = winners.setdefault(key, document)
                if first is document:
                    self._traffic[key] = made
                else:
                    problems.warning(
                        place,
                        f"{document}: {first} ({first.place}), which is older, is attached to the same: no effect",
                    )

    def to(self, service: ServiceName, port_name: str) -> Traffic:
        exact = self._traffic.get((service, port_name)) if port_name else None
        return exact or self._traffic.get((service, None)) or _DEFAULT


def age(document: Document) -> tuple[str, str, str]:
    """Gateway API's precedence: the oldest first, then by namespace and name."""
    return str(document.object.metadata.creation_timestamp), document.namespace, document.name


def _not_obeyed(spec: TrafficPolicySpec) -> Iterator[tuple[int, str]]:
    if spec.outlier_detection is not None:
        yield spec.outlier_detection.line, "outlierDetection"
    if spec.connection_pool.http is not None:
        yield spec.connection_pool.http.line, "connectionPool.http"


def _seconds(text: str | None) -> float | None:
    return None if text is None else seconds(text)


_DEFAULT = Traffic()
