"""What TrafficPolicies and routes say of Services, put together: made anew when one of them or a Service changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mesh.compile.catalogue import Catalogue
from mesh.compile.l4_routes import Routing, routing
from mesh.compile.traffic import Attached
from mesh.documents import Documents
from mesh.yaml.problems import Problem, Problems
from proxy.core.policy.policy import ServiceName

K = TypeVar("K", bound=tuple[ServiceName, Any])


@dataclass(frozen=True, slots=True)
class Tables:
    traffic: Attached = field(default_factory=Attached)
    routes: Routing = field(default_factory=Routing)
    warnings: tuple[Problem, ...] = ()
    dependents: dict[ServiceName, set[ServiceName]] = field(default_factory=dict)
    """Of a Service: the other Services whose connections routes send to it."""


def tables(documents: Documents, catalogue: Catalogue, namespace: str | None) -> Tables:
    """documents: policies, routes and grants. namespace: the workload's own; None: not known."""
    problems = Problems()
    traffic = Attached()
    traffic.attach(documents, catalogue, problems)
    routes = routing(documents, catalogue, namespace, problems)
    dependents: dict[ServiceName, set[ServiceName]] = {}
    for (service, _), split in routes.splits.items():
        for share in split.shares:
            if share.port is not None:
                dependents.setdefault(share.port[0], set()).add(service)
    return Tables(traffic, routes, tuple(problems), dependents)


def differing(before: Tables, after: Tables) -> set[ServiceName]:
    """The Services of which the two say different things."""
    keys = [
        *_differing(before.traffic.by_port, after.traffic.by_port),
        *_differing(before.routes.splits, after.routes.splits),
        *_differing(before.routes.l7, after.routes.l7),
    ]
    return {service for service, _ in keys}


def _differing(some: Mapping[K, object], others: Mapping[K, object]) -> list[K]:
    return [key for key in some.keys() | others.keys() if some.get(key) != others.get(key)]
