"""What a TrafficPolicy asks of choosing an endpoint: method, consistent hash, localities, slow start, subsets."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, field

from mesh.kinds.meta import Own
from mesh.yaml.names import CookieName, CookiePath, HeaderName, LabelName, LocalityPattern, is_locality
from mesh.yaml.texts import Duration, DurationOrNone

Balancer = Literal["EWMA", "LEAST_REQUEST", "ROUND_ROBIN", "RANDOM", "PASSTHROUGH", "LEAST_CONN", "UNSPECIFIED"]
Percent = Annotated[int, Meta(ge=0, le=100)]
LARGEST_TABLE = 5_000_011
"""Envoy's largest Maglev table."""


class HashCookie(Own, frozen=True, kw_only=True):
    """Without a ttl no client is given the cookie; with `0s` it lives for the client's own session."""

    name: CookieName
    path: CookiePath = ""
    ttl: DurationOrNone | None = None


class RingHash(Own, frozen=True, kw_only=True):
    minimum_ring_size: Annotated[int, Meta(ge=1, le=8 * 1024 * 1024)] = 1024


class Maglev(Own, frozen=True, kw_only=True):
    table_size: Annotated[int, Meta(ge=2, le=LARGEST_TABLE)] = 65537

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if not _prime(self.table_size):
            yield self.line, f"tableSize: {self.table_size} is not valid: a prime such as 65537"


class ConsistentHash(Own, frozen=True, kw_only=True):
    http_header_name: HeaderName | None = None
    http_cookie: HashCookie | None = None
    http_query_parameter_name: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    use_source_ip: bool | None = None
    ring_hash: RingHash | None = None
    maglev: Maglev | None = None

    def mistakes(self) -> Iterator[tuple[int, str]]:
        names = "httpHeaderName, httpCookie, httpQueryParameterName and useSourceIp"
        if self.use_source_ip is False:
            yield self.line, "useSourceIp: false is not valid: true, or leave it out"
            return
        given = (self.http_header_name, self.http_cookie, self.http_query_parameter_name, self.use_source_ip)
        if sum(one is not None for one in given) != 1:
            yield self.line, f"{names}: exactly one of them must be given"
        if self.ring_hash is not None and self.maglev is not None:
            yield self.line, "ringHash and maglev: only one of them may be given"


class Distribute(Own, frozen=True, kw_only=True):
    from_: LocalityPattern = field(name="from")
    to: dict[str, Percent]

    def mistakes(self) -> Iterator[tuple[int, str]]:
        for place in self.to:
            if not is_locality(place):
                yield self.line, f"to: {place!r} is not valid: a locality such as europe/west/*"
        if (total := sum(self.to.values())) != 100:
            yield self.line, f"to: {total} % is not valid: the percentages add up to 100"


class Failover(Own, frozen=True, kw_only=True):
    from_: Annotated[str, Meta(min_length=1, max_length=253)] = field(name="from")
    to: Annotated[str, Meta(min_length=1, max_length=253)]

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.from_ == self.to:
            yield self.line, f"to: {self.to!r} is not valid: another region than from"


class LocalityLbSetting(Own, frozen=True, kw_only=True):
    enabled: bool = True
    distribute: Annotated[tuple[Distribute, ...], Meta(max_length=256)] = ()
    failover: Annotated[tuple[Failover, ...], Meta(max_length=256)] = ()
    failover_priority: Annotated[tuple[str, ...], Meta(max_length=32)] = ()

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.distribute and (self.failover or self.failover_priority):
            yield self.line, "distribute: excludes failover and failoverPriority"
        origins = [one.from_ for one in self.distribute] + [one.from_ for one in self.failover]
        for twice in sorted({one for one in origins if origins.count(one) > 1}):
            yield self.line, f"from: {twice!r} is here twice"


class Warmup(Own, frozen=True, kw_only=True):
    duration: Duration
    minimum_percent: Annotated[float, Meta(ge=0, le=100)] = 10.0
    aggression: Annotated[float, Meta(ge=1, le=100)] = 1.0


class LoadBalancer(Own, frozen=True, kw_only=True):
    simple: Balancer | None = None
    consistent_hash: ConsistentHash | None = None
    locality_lb_setting: LocalityLbSetting | None = None
    warmup: Warmup | None = None

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.simple is not None and self.consistent_hash is not None:
            yield self.line, "simple and consistentHash: only one of them may be given"
        if self.simple == "PASSTHROUGH" and (self.locality_lb_setting or self.warmup):
            yield self.line, "simple: PASSTHROUGH chooses no endpoint, so localityLbSetting and warmup exclude it"
        if self.consistent_hash is not None and self.warmup is not None:
            yield self.line, "warmup: is not valid with consistentHash, whose shares do not change with time"


class Subset(Own, frozen=True, kw_only=True):
    """The endpoints that have all of these labels."""

    name: LabelName
    labels: dict[str, str]

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if not self.labels:
            yield self.line, "labels: at least one must be given: without any, the subset is the whole Service"


def _prime(number: int) -> bool:
    return all(number % divisor for divisor in range(2, int(number**0.5) + 1))
