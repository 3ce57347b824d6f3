"""What is spoken on a port: its appProtocol, else the prefix of its name; else it is detected."""

from mesh.kinds.core import ServicePort
from proxy.core.policy.policy import Protocol

_BY_NAME = {
    "http": Protocol.HTTP,
    "http2": Protocol.HTTP2,
    "grpc": Protocol.GRPC,
    "tls": Protocol.TLS,
    "https": Protocol.TLS,
    "tcp": Protocol.TCP,
    "mongo": Protocol.TCP,
    "mysql": Protocol.TCP,
    "redis": Protocol.TCP,
}
_BY_APP_PROTOCOL = {
    **_BY_NAME,
    "kubernetes.io/h2c": Protocol.HTTP2,
    "kubernetes.io/ws": Protocol.HTTP,
    "kubernetes.io/wss": Protocol.TLS,
}


def protocol_of(port: ServicePort) -> tuple[Protocol, str]:
    """The protocol, and what says so. An appProtocol that is not in the table leaves it to detection, as it does in
    Istio: the name then has no say."""
    if port.app_protocol:
        found = _BY_APP_PROTOCOL.get(port.app_protocol.lower(), Protocol.DETECT)
        return found, f"appProtocol {port.app_protocol}"
    prefix = port.name.partition("-")[0]
    found = _BY_NAME.get(prefix, Protocol.DETECT)
    return found, f"port name {port.name}" if found is not Protocol.DETECT else "nothing"
