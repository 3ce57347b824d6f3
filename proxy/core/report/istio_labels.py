"""The labels of Istio's standard metrics, so that existing dashboards find what they look for. Every value comes from a
small fixed set, from configuration or from the proxy's own environment: addresses and bytes of requests never become
labels, or a port scan would fill the memory of the one that scrapes us."""

from proxy.core.lanes import Direction
from proxy.core.policy.policy import ServiceName
from proxy.core.report.identity import NOBODY, UNKNOWN, Identity

_PEER = ("workload", "workload_namespace", "principal", "app", "version", "cluster")
_CANONICAL = ("canonical_service", "canonical_revision")
LABELS = (
    "reporter",
    *(f"source_{name}" for name in (*_PEER, *_CANONICAL)),
    *(f"destination_{name}" for name in _PEER),
    "destination_service",
    "destination_service_name",
    "destination_service_namespace",
    *(f"destination_{name}" for name in _CANONICAL),
    "request_protocol",
    "response_flags",
    "connection_security_policy",
)
"""Of connections."""
REQUEST_LABELS = (*LABELS[:-2], "response_code", "grpc_response_status", *LABELS[-2:])
_REVISIONS = ("source_canonical_revision", "destination_canonical_revision")


def tcp_labels(
    direction: Direction,
    cluster: str,
    protocol: str,
    response_flags: str,
    service: ServiceName | None = None,
    *,
    own: Identity = NOBODY,
) -> dict[str, str]:
    """Of a connection of a cluster. service: whose it is, if a Service claims the destination; own: the workload that
    this proxy serves."""
    outbound = direction is Direction.OUTBOUND
    named = {"destination_service_name": cluster}
    if service is not None:
        named = {
            "destination_service": service.host,
            "destination_service_name": service.name,
            "destination_service_namespace": service.namespace,
        }
        if outbound:
            # A Service's endpoints are of its own namespace. More is not known of them without asking them.
            named["destination_workload_namespace"] = service.namespace
    return {
        **dict.fromkeys(LABELS, UNKNOWN),
        **dict.fromkeys(_REVISIONS, "latest"),
        "reporter": "source" if outbound else "destination",
        **named,
        **_own("source" if outbound else "destination", own),
        "request_protocol": protocol,
        "response_flags": response_flags,
        # The client's proxy can't know what the server's requires; the server's knows that plain TCP has no mTLS.
        "connection_security_policy": UNKNOWN if outbound else "none",
    }


def http_labels(
    direction: Direction,
    cluster: str,
    *,
    status: int,
    response_flags: str,
    grpc: int | None,
    service: ServiceName | None = None,
    own: Identity = NOBODY,
) -> dict[str, str]:
    """Of requests. grpc: their grpc-status; None: they are no gRPC."""
    found = tcp_labels(direction, cluster, "http" if grpc is None else "grpc", response_flags, service, own=own)
    return found | {
        "response_code": shown_status(status),
        "grpc_response_status": "" if grpc is None else str(grpc),
    }


def shown_status(status: int) -> str:
    """Below 10: the hundreds of a status (cext/engine/tell/series.h)."""
    return f"{status}xx" if 0 < status < 10 else str(status)


def _own(side: str, own: Identity) -> dict[str, str]:
    return {
        f"{side}_workload": own.workload,
        f"{side}_workload_namespace": own.namespace,
        f"{side}_app": own.app,
        f"{side}_version": own.version,
        f"{side}_cluster": own.cluster,
        f"{side}_canonical_service": own.canonical_service,
        f"{side}_canonical_revision": own.canonical_revision,
    }
