"""The Services that are here, by name, and what others may ask of them."""

from mesh.documents import Document
from mesh.kinds.core import Service, ServicePort
from proxy.core.policy.policy import ServiceName


class Catalogue:
    def __init__(self) -> None:
        self.documents: dict[ServiceName, Document] = {}

    def __contains__(self, name: ServiceName) -> bool:
        return name in self.documents

    def service(self, name: ServiceName) -> Service:
        found: Service = self.documents[name].object
        return found

    def ports(self, name: ServiceName) -> list[ServicePort]:
        """Those that are proxied."""
        return tcp_ports(self.service(name))

    def port_names(self, name: ServiceName) -> set[str]:
        """Of all protocols."""
        return {port.name for port in self.service(name).spec.ports if port.name}


def name_of(document: Document) -> ServiceName:
    return ServiceName(document.namespace, document.name)


def tcp_ports(service: Service) -> list[ServicePort]:
    return [port for port in service.spec.ports if port.protocol == "TCP"]
