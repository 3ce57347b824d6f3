"""Small policies for the tests of core."""

from __future__ import annotations

from proxy.core.addresses import Address, ClientAddress, OriginalDestination, UpstreamAddress
from proxy.core.policy.policy import (
    Balancing,
    Cluster,
    Destination,
    Policy,
    Protocol,
    Rule,
    ServiceName,
    Target,
    frozen,
)

WEB = ServiceName("shop", "web")
VIP = OriginalDestination(Address("10.0.0.1", 80))
CLIENT = ClientAddress(Address("10.2.0.1", 40000))


def endpoint(number: int) -> UpstreamAddress:
    return UpstreamAddress(Address(f"10.1.{number // 256}.{number % 256}", 8080))


def cluster(count: int = 3, first: int = 1, *, name: str = "web", balancing: Balancing = Balancing.RANDOM) -> Cluster:
    return Cluster(name, WEB, 80, tuple(endpoint(first + n) for n in range(count)), balancing)


def destination(*targets: Target) -> Destination:
    given_targets = targets or (Target(1, cluster()),)
    return Destination("to-web", WEB, 80, Protocol.TCP, "port name tcp", (Rule(given_targets),))


def policy(one: Destination) -> Policy:
    clusters = tuple(target.cluster for target in one.targets if target.cluster is not None)
    return Policy(frozen([((VIP.ip, VIP.port), one)]), clusters=clusters)


def client(number: int) -> ClientAddress:
    return ClientAddress(Address(f"10.2.{number // 256}.{number % 256}", 40000))
