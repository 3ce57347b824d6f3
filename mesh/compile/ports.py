"""A TCP port of a Service: its endpoints, and the clusters that they make."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mesh.compile.traffic import Traffic
from mesh.documents import Document
from mesh.kinds.core import ServicePort
from proxy.core.addresses import Address, UpstreamAddress
from proxy.core.policy.cluster import SOMEWHERE, Cluster, Locality, ServiceName


@dataclass(slots=True)
class Port:
    """New connections may go to `usable` endpoints; `known` are all of them."""

    document: Document
    service: ServiceName
    spec: ServicePort
    traffic: Traffic
    affinity_s: float | None
    usable: list[UpstreamAddress] = field(default_factory=list)
    known: list[UpstreamAddress] = field(default_factory=list)
    localities: dict[UpstreamAddress, Locality] = field(default_factory=dict)
    """Filled only if the TrafficPolicy asks for them."""
    labels: dict[UpstreamAddress, Mapping[str, str]] = field(default_factory=dict)
    """Filled only if the TrafficPolicy has subsets."""
    sliced: bool = False
    """Whether the Service has any EndpointSlice. Without one its endpoints are not known."""
    before: "Port | None" = None
    """The same port when it was compiled the last time: a cluster that is as it was stays the same object."""
    _clusters: dict[tuple[int, str], Cluster] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self._name("")

    def cluster(self, family: int, subset: str = "") -> Cluster:
        """For connections of a family: its own endpoints, as a node's proxy would choose; else those of the other."""
        key = (family, subset)
        found = self._clusters.get(key)
        if found is None:
            usable = self._of(subset) if self.sliced else self._virtual()
            same = tuple(sorted({one for one in usable if family_of(one.ip) == family}))
            found = self.clustered(same or tuple(sorted(set(usable))), subset)
            for other in (*self._clusters.values(), *(() if self.before is None else self.before._clusters.values())):
                if other == found:
                    found = other
                    break
            self._clusters[key] = found
        return found

    def clusters(self) -> tuple[Cluster, ...]:
        """Each once: of both families, whole and by subset."""
        names = ("", *(one.name for one in self.traffic.subsets))
        found = (self.cluster(family, name) for name in names for family in (4, 6))
        return tuple({id(one): one for one in found}.values())

    def clustered(self, endpoints: tuple[UpstreamAddress, ...], subset: str = "") -> Cluster:
        localities = tuple(self.localities.get(one, SOMEWHERE) for one in endpoints) if self.localities else ()
        return Cluster(
            name=self._name(subset),
            service=self.service,
            port=self.spec.port,
            endpoints=endpoints,
            balancing=self.traffic.balancing,
            timeouts=self.traffic.timeouts,
            max_connections=self.traffic.max_connections,
            affinity_s=self.affinity_s,
            localities=localities,
            settings=self.traffic.upstream,
        )

    def _name(self, subset: str) -> str:
        return f"outbound|{self.spec.port}|{subset}|{self.service.host}"

    def _of(self, subset: str) -> list[UpstreamAddress]:
        if not subset:
            return self.usable
        wanted = next((one.labels for one in self.traffic.subsets if one.name == subset), None)
        if wanted is None:
            return []
        return [one for one in self.usable if has_labels(self.labels.get(one, {}), wanted)]

    def _virtual(self) -> list[UpstreamAddress]:
        """The Service's own address: whatever balances there chooses the endpoint."""
        addresses = self.document.object.spec.virtual_addresses()
        return [UpstreamAddress(Address(ip, self.spec.port)) for ip in addresses]


def family_of(ip: str) -> int:
    return 6 if ":" in ip else 4


def has_labels(labels: Mapping[str, str], wanted: tuple[tuple[str, str], ...]) -> bool:
    return all(labels.get(key) == value for key, value in wanted)
