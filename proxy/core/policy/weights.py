"""Other weights for a Service's backends than its routes say: `tidegate route set-weight`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from proxy.core.near import meant
from proxy.core.policy.cluster import ServiceName
from proxy.core.policy.http import HttpRule, HttpTarget
from proxy.core.policy.policy import Claims, Destination, Policy, Rule, Target, frozen

MOST_WEIGHT = 1_000_000
"""As in Gateway API."""


class Unknown(ValueError):
    """The policy has no such Service or backend; the message names what there is."""


@dataclass(frozen=True, slots=True)
class Weights:
    """For every rule of the Service's routes that has a backend of the name."""

    service: ServiceName
    by_name: Mapping[str, int]

    def __str__(self) -> str:
        return f"{self.service} " + " ".join(f"{name}={weight}" for name, weight in self.by_name.items())


def service_named(policy: Policy, text: str) -> ServiceName:
    """NAME or NAMESPACE/NAME. Raises Unknown, also where several namespaces have the name."""
    known = {destination.service for destination in policy.outbound.values()}
    namespace, slash, name = text.rpartition("/")
    found = sorted(one for one in known if one.name == name and (not slash or one.namespace == namespace))
    if len(found) == 1:
        return found[0]
    if found:
        raise Unknown(f"{text!r} is in several namespaces: one of {', '.join(map(str, found))}")
    some = ", ".join(map(str, sorted(known)[:20])) or "none"
    near = meant(text, [name for one in known for name in ((str(one),) if slash else (one.name,))])
    raise Unknown(f"no Service {text!r} is configured: one of {some}{near}")


def with_weights(policy: Policy, weights: Weights) -> Policy:
    """What has not changed is shared with `policy`. Raises Unknown where the Service or a name is not there."""
    destinations = [one for one in policy.outbound.values() if one.service == weights.service]
    if not destinations:
        raise Unknown(f"no Service {str(weights.service)!r} is configured")
    names = {name for one in destinations for name in _names(one)}
    missing = [name for name in weights.by_name if name not in names]
    if missing:
        there = ", ".join(sorted(names)) or "none: no route is attached"
        near = meant(missing[0], names)
        raise Unknown(f"{weights.service}: no backendRef is named {missing[0]!r}: one of {there}{near}")
    outbound = _changed(policy.outbound, weights)
    return replace(policy, outbound=outbound, digest=f"{policy.digest}+{weights}")


def _changed(claims: Claims, weights: Weights) -> Claims:
    made: dict[int, Destination] = {}
    """Addresses of a Service share one destination, and go on to do so."""

    def of(destination: Destination) -> Destination:
        if destination.service != weights.service:
            return destination
        return made.setdefault(id(destination), _weighted(destination, weights.by_name))

    return frozen((key, of(destination)) for key, destination in claims.items())


def _weighted(destination: Destination, by_name: Mapping[str, int]) -> Destination:
    def of_http(target: HttpTarget) -> HttpTarget:
        return replace(target, weight=by_name.get(target.name, target.weight))

    def of_l4(target: Target) -> Target:
        return replace(target, weight=by_name.get(_l4_name(target), target.weight))

    def http_rule(rule: HttpRule) -> HttpRule:
        return replace(rule, targets=tuple(map(of_http, rule.targets)))

    def l4_rule(rule: Rule) -> Rule:
        return replace(rule, targets=tuple(map(of_l4, rule.targets))) if rule.route else rule

    return replace(
        destination,
        http_rules=tuple(map(http_rule, destination.http_rules)),
        rules=tuple(map(l4_rule, destination.rules)),
    )


def _names(destination: Destination) -> Iterator[str]:
    yield from (target.name for rule in destination.http_rules for target in rule.targets if target.name)
    for rule in destination.rules:
        if rule.route:
            yield from filter(None, map(_l4_name, rule.targets))


def _l4_name(target: Target) -> str:
    """Of a backend that is not there, the policy has no name."""
    return "" if target.cluster is None else target.cluster.service.name
