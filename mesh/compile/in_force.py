"""What documents may ask for and no lane obeys yet. It is compiled all the same; `config check` and the proxy name it.

A lane that has come to obey something deletes its line here, and `docs/configuration.md` says so."""

from collections.abc import Iterator
from functools import cache

import msgspec

from mesh.kinds.traffic_policy import TrafficPolicySpec
from mesh.yaml.shapes import Shape

ROUTES_NOT_IN_FORCE = frozenset(
    {
        "GRPCRoute",
        "BackendTLSPolicy",
        "TLSRoute.hostnames",
    }
)
"""Kinds, and fields of routes. As long as a kind is here, nothing of its documents is in force."""

FILTERS_NOT_IN_FORCE = frozenset(
    {
        "ExternalAuth",
        "ExtensionRef",
    }
)
"""Requests for a rule with such a filter are answered 500."""

FIELDS_NOT_IN_FORCE = (
    "timeouts.headers",
    "timeouts.idle",
    "retries.bufferBytes",
    "fault.tcp",
    # Without HTTP/2 these have no meaning:
    "connectionPool.http.maxConcurrentStreams",
    "connectionPool.http.h2UpgradePolicy",
    "connectionPool.http.useClientProtocol",
    "loadBalancer.localityLbSetting.failoverPriority",
)
"""Of TrafficPolicy, by their path in the spec."""


def not_in_force(spec: TrafficPolicySpec) -> Iterator[tuple[int, str]]:
    """Line and path of what the policy asks for in vain. What stands inside a field that is named is not named too."""
    told: list[str] = []
    for path in FIELDS_NOT_IN_FORCE:
        line = _line_of(spec, path)
        if line is not None and not any(path.startswith(f"{one}.") for one in told):
            told.append(path)
            yield line, path


def _line_of(spec: TrafficPolicySpec, path: str) -> int | None:
    """Where the field stands, or the mapping that holds it; None: it is not given."""
    here: object = spec
    line = spec.line
    for name in path.split("."):
        if not isinstance(here, Shape):
            return None
        attribute, default = _attributes(type(here))[name]
        here = getattr(here, attribute)
        if here is None or here == default:
            return None
        first = here[0] if isinstance(here, tuple) else here
        line = first.line if isinstance(first, Shape) else line
    return line


@cache
def _attributes(shape: type[Shape]) -> dict[str, tuple[str, object]]:
    """Attribute and default, by the field's name in documents."""
    return {
        one.encode_name: (one.name, one.default_factory() if callable(one.default_factory) else one.default)
        for one in msgspec.structs.fields(shape)
    }
