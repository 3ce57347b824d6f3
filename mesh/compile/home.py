"""Where the workload itself is, as its environment tells: routes, hints and localities depend on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mesh.kinds.core import Hints
from proxy.core.policy.cluster import SOMEWHERE, Locality

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Home:
    namespace: str | None = None
    """None: not known. Routes of consumers need it."""
    node: str = ""
    locality: Locality = SOMEWHERE

    @staticmethod
    def of(environment: Mapping[str, str]) -> "Home":
        """POD_NAMESPACE and NODE_NAME as the downward API gives them; TIDEGATE_LOCALITY is REGION/ZONE/SUBZONE."""
        parts = [*environment.get("TIDEGATE_LOCALITY", "").split("/"), "", ""]
        return Home(
            namespace=environment.get("POD_NAMESPACE") or None,
            node=environment.get("NODE_NAME", ""),
            locality=Locality(*parts[:3]),
        )

    def near(self, hinted: Sequence[tuple[T, Hints]]) -> list[T]:
        """The endpoints that are meant for this node, else for this zone. If some endpoint has no hint of a kind, or
        none is for us, hints of that kind have no say: Kubernetes' own rule for kube-proxy."""
        for own, kind in ((self.node, "for_nodes"), (self.locality.zone, "for_zones")):
            places = [(one, [place.name for place in getattr(hints, kind)]) for one, hints in hinted] if own else []
            ours = [one for one, names in places if own in names]
            if ours and all(names for _, names in places):
                return ours
        return [one for one, _ in hinted]
