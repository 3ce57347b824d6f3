"""The label set of Istio's standard TCP metrics, so that existing dashboards find what they look for."""

from proxy.core.lanes import Direction
from proxy.core.policy.policy import ServiceName

LABELS = (
    "reporter",
    "source_workload",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
    "source_canonical_service",
    "source_canonical_revision",
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_cluster",
    "destination_service",
    "destination_service_name",
    "destination_service_namespace",
    "destination_canonical_service",
    "destination_canonical_revision",
    "request_protocol",
    "response_flags",
    "connection_security_policy",
)
_REVISIONS = ("source_canonical_revision", "destination_canonical_revision")


def tcp_labels(
    direction: Direction, cluster: str, protocol: str, response_flags: str, service: ServiceName | None = None
) -> dict[str, str]:
    """Labels of a connection of a cluster; service: whose it is, if a Service claims the destination. Every value
    comes from a small fixed set or from configuration: addresses never become labels, or a port scan would fill the
    memory of whoever scrapes us."""
    outbound = direction is Direction.OUTBOUND
    named = {"destination_service_name": cluster}
    if service is not None:
        named = {
            "destination_service": service.host,
            "destination_service_name": service.name,
            "destination_service_namespace": service.namespace,
        }
    return {
        **dict.fromkeys(LABELS, "unknown"),
        **dict.fromkeys(_REVISIONS, "latest"),
        "reporter": "source" if outbound else "destination",
        **named,
        "request_protocol": protocol,
        "response_flags": response_flags,
        # The client's proxy can't know what the server's requires; the server's knows that plain TCP has no mTLS.
        "connection_security_policy": "unknown" if outbound else "none",
    }
