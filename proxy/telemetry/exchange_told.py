"""The engine's record of a request as what is told about it."""

from cext.engine.exchange_records import ExchangeRecord
from cext.engine.values import SocketAddress
from proxy.core.addresses import Address, ClientAddress, OriginalDestination, UpstreamAddress
from proxy.core.lanes import Direction
from proxy.core.report.flags import shown_flags
from proxy.core.report.request import UNKNOWN, RequestRecord, shown, shown_protocol

_NONE = bytes(16)
_NOWHERE = UpstreamAddress(Address("", 0))


def told(one: ExchangeRecord) -> RequestRecord:
    return RequestRecord(
        id=one.id,
        direction=Direction.INBOUND if one.inbound else Direction.OUTBOUND,
        started_at=one.started_us / 1e6,
        method=shown(one.method),
        authority=shown(one.authority),
        path=shown(one.target),
        protocol=shown_protocol(one.major, one.minor),
        status=one.status,
        flags=shown_flags(one.flags),
        duration_us=one.duration_us,
        upstream_us=one.upstream_us,
        proxy_us=one.proxy_us,
        upstream=_NOWHERE if one.upstream is None else UpstreamAddress(_address(one.upstream)),
        attempts=one.attempts,
        route=shown(one.route),
        service=shown(one.service),
        source=ClientAddress(_address(one.peer)),
        request_bytes=one.request_bytes,
        response_bytes=one.response_bytes,
        trace_id=UNKNOWN if one.trace_id == _NONE else one.trace_id.hex(),
        original_destination=None if one.original is None else OriginalDestination(_address(one.original)),
        connection=one.connection,
    )


def _address(place: SocketAddress) -> Address:
    return Address(place.ip, place.port, place.zone)
