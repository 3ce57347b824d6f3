"""What TrafficPolicies and routes say of Services, put together: made anew when one of them or a Service changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mesh.compile.attachment import Attachment
from mesh.compile.catalogue import Catalogue
from mesh.compile.http_routes import Names, Rules, drafts
from mesh.compile.l4_routes import Splits, backend_tls, splits
from mesh.compile.patches import Patches
from mesh.compile.traffic import Attached
from mesh.documents import Documents
from mesh.yaml.problems import Problem, Problems
from proxy.core.policy.policy import ServiceName

K = TypeVar("K", bound=tuple[ServiceName, Any])


@dataclass(frozen=True, slots=True)
class Routing:
    splits: Splits = field(default_factory=dict)
    """Of connections."""
    rules: Rules = field(default_factory=dict)
    """Of requests."""
    l7: Names = field(default_factory=dict)
    """The routes that the rules come from."""


@dataclass(frozen=True, slots=True)
class Tables:
    traffic: Attached = field(default_factory=Attached)
    routes: Routing = field(default_factory=Routing)
    problems: tuple[Problem, ...] = ()
    dependents: dict[ServiceName, set[ServiceName]] = field(default_factory=dict)
    """Of a Service: the other Services whose connections or requests routes send to it."""

    def with_subsets(self, namespaces: set[str]) -> set[ServiceName]:
        """Services whose endpoints are told apart by their Pods' labels."""
        return {
            service
            for (service, _), traffic in self.traffic.by_port.items()
            if traffic.subsets and service.namespace in namespaces
        }


def tables(documents: Documents, catalogue: Catalogue, patches: Patches, namespace: str | None) -> Tables:
    """documents: policies, routes and grants. namespace: the workload's own; None: not known."""
    problems = Problems()
    traffic = Attached()
    traffic.attach(documents, catalogue, patches, problems)
    attach = Attachment(documents, catalogue, traffic, namespace, problems)
    rules, names = drafts(documents, attach, problems)
    routes = Routing(splits(documents, attach, problems), rules, names)
    backend_tls(documents, catalogue, problems)
    return Tables(traffic, routes, tuple(problems), _dependents(routes))


def _dependents(routes: Routing) -> dict[ServiceName, set[ServiceName]]:
    found: dict[ServiceName, set[ServiceName]] = {}
    for (service, _), some in routes.splits.items():
        for split in some:
            for share in split.shares:
                if share.port is not None:
                    found.setdefault(share.port[0], set()).add(service)
    for (service, _), asked in routes.rules.items():
        for draft in {id(one.draft): one.draft for one in asked}.values():
            for share in draft.shares():
                if share.port is not None:
                    found.setdefault(share.port[0], set()).add(service)
    return found


def differing(before: Tables, after: Tables) -> set[ServiceName]:
    """The Services of which the two say different things."""
    keys = [
        *_differing(before.traffic.by_port, after.traffic.by_port),
        *_differing(before.routes.splits, after.routes.splits),
        *_differing(before.routes.rules, after.routes.rules),
        *_differing(before.routes.l7, after.routes.l7),
    ]
    return {service for service, _ in keys}


def _differing(some: Mapping[K, object], others: Mapping[K, object]) -> list[K]:
    return [key for key in some.keys() | others.keys() if some.get(key) != others.get(key)]
