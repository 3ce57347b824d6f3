"""Which requests and connections a viewer wants to see: the filters of `tap`."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from proxy.core.report.record import ConnectionRecord
from proxy.core.report.request import RequestRecord
from proxy.core.report.statement import StatementRecord

KEYS = ("service", "route", "status", "path", "source")


@dataclass(frozen=True, slots=True)
class Wanted:
    """All that is given must hold; nothing given: everything is wanted. A filter that only requests can pass is passed
    by no connection."""

    service: str = ""
    """`NAME` or `NAMESPACE/NAME`; so is `route`."""
    route: str = ""
    statuses: frozenset[int] = frozenset()
    """Below 10: hundreds, any status of that class."""
    path: str = ""
    """What the path begins with."""
    source: str = ""
    """An IP address."""

    @property
    def everything(self) -> bool:
        return self == _EVERYTHING

    def takes_status(self, status: int) -> bool:
        return not self.statuses or status in self.statuses or status // 100 in self.statuses

    def takes(self, request: RequestRecord) -> bool:
        return (
            self.takes_status(request.status)
            and is_named(self.service, request.service)
            and is_named(self.route, request.route)
            and request.path.startswith(self.path)
            and self.source in ("", request.source.ip)
        )

    def takes_connection(self, connection: ConnectionRecord) -> bool:
        if self.route or self.statuses or self.path:
            return False
        service = connection.verdict.service
        return is_named(self.service, "" if service is None else str(service)) and (
            self.source in ("", connection.peer.ip)
        )

    def takes_statement(self, statement: StatementRecord) -> bool:
        """Of requests to databases, which have neither a path nor a status of HTTP; their route is `redis GET`."""
        if self.statuses or self.path:
            return False
        return (
            self.route in ("", f"{statement.database} {statement.kind}")
            and is_named(self.service, statement.service)
            and self.source in ("", statement.source.ip)
        )


_EVERYTHING = Wanted()


def wanted(given: Mapping[str, str]) -> Wanted:
    """From the parameters of a query. Raises ValueError, naming the key, the value and what is allowed."""
    for key in given:
        if key not in KEYS:
            raise ValueError(f"{key!r} is no filter; there are: {', '.join(KEYS)}")
    return Wanted(
        service=given.get("service", ""),
        route=given.get("route", ""),
        statuses=frozenset(_status(one.strip()) for one in given.get("status", "").split(",") if one.strip()),
        path=given.get("path", ""),
        source=_source(given.get("source", "")),
    )


def _status(text: str) -> int:
    if len(text) == 3 and text.isascii():
        if text[0].isdigit() and text[1:].lower() == "xx":
            return int(text[0])
        if text.isdigit():
            return int(text)
    raise ValueError(f"status {text!r}: expected a status such as 503, or a class such as 5xx")


def _source(text: str) -> str:
    if not text:
        return ""
    try:
        return str(ip_address(text.strip("[]")))
    except ValueError:
        raise ValueError(f"source {text!r}: expected an IP address") from None


def is_named(asked: str, name: str) -> bool:
    """Whether `NAMESPACE/NAME` (with a rule's name behind it, perhaps) is what `asked` means."""
    return not asked or asked == name or ("/" not in asked and asked in name.split("/")[1:])
