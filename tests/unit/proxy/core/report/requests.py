"""A request record for tests."""

from typing import Any

from proxy.core.addresses import Address, ClientAddress, UpstreamAddress
from proxy.core.lanes import Direction
from proxy.core.report.request import RequestRecord


def request(**given: Any) -> RequestRecord:
    usual: dict[str, Any] = {
        "id": 1, "direction": Direction.OUTBOUND, "started_at": 1_700_000_000.0078, "method": "GET",
        "authority": "shop", "path": "/cart?user=1", "protocol": "HTTP/1.1", "status": 200, "flags": "-",
        "duration_us": 2500, "upstream_us": 2000, "proxy_us": 100,
        "upstream": UpstreamAddress(Address("10.0.0.9", 8080)), "attempts": 1, "route": "ns/canary",
        "service": "ns/shop", "source": ClientAddress(Address("10.0.0.1", 40000)), "request_bytes": 10,
        "response_bytes": 20, "trace_id": "-",
    }  # fmt: skip
    return RequestRecord(**(usual | given))
