"""Annotations of a workload -> `init`'s flags. Ours, and the traffic annotations of Istio and Linkerd.

An annotation's text is judged by the parser of the flag that it stands for, and only what the parser made of it is
written into the file: no annotation reaches a command line as its author wrote it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from intercept.errors import BadInput
from intercept.intent.from_flags import FLAGS, Raw, intent_from_flags
from intercept.intent.intent import Intent
from onboard.text.nodes import Source, scalar

PREFIX = "tidegate.dev/"
INJECTED = PREFIX + "injected"
"""By this `uninject` knows what is tidegate's own."""
INJECT = PREFIX + "inject"
_NOT_FOR_PODS = ("cgroup", "telemetry-port")
_REPEATED = "exclude-outbound-for"
_SWITCH = "drop-invalid"
OURS = {PREFIX + flag: flag for flag in FLAGS if flag not in _NOT_FOR_PODS}
_ISTIO = "traffic.sidecar.istio.io/"
_LINKERD = "config.linkerd.io/"
PEERS = {
    _ISTIO + "includeOutboundIPRanges": "include-outbound-cidrs",
    _ISTIO + "excludeOutboundIPRanges": "exclude-outbound-cidrs",
    _ISTIO + "includeInboundPorts": "include-inbound-ports",
    _ISTIO + "excludeInboundPorts": "exclude-inbound-ports",
    _ISTIO + "includeOutboundPorts": "include-outbound-ports",
    _ISTIO + "excludeOutboundPorts": "exclude-outbound-ports",
    _ISTIO + "excludeInterfaces": "exclude-interfaces",
    _LINKERD + "skip-inbound-ports": "exclude-inbound-ports",
    _LINKERD + "skip-outbound-ports": "exclude-outbound-ports",
    _LINKERD + "skip-subnets": "exclude-inbound-cidrs",
    _LINKERD + "proxy-uid": "proxy-uid",
}
_SWITCHES = {
    INJECT: {"true": True, "enabled": True, "false": False, "disabled": False},
    "sidecar.istio.io/inject": {"true": True, "false": False},
    "linkerd.io/inject": {"enabled": True, "ingress": True, "disabled": False},
}
"""Each mesh's own switch; another mesh's "yes" is no request to us, its "no" is a reason to leave the pod alone."""


Given = Mapping[str, Any]
"""Annotations of one workload, or its labels where it has no annotations: name -> node of the value."""


class _Asked(NamedTuple):
    annotation: str
    node: Any
    text: str


def concerns_us(name: str) -> bool:
    """Whether an annotation of this name is read here at all."""
    return name.startswith(PREFIX) or name in PEERS or name in _SWITCHES


def refusal(source: Source, given: Given) -> str | None:
    """The annotation that asks to leave the workload alone; None: there is none. Ours wins over the others'."""
    if INJECT in given and _switch(source, INJECT, given[INJECT]):
        return None
    return next((name for name in _SWITCHES if name in given and not _switch(source, name, given[name])), None)


def _switch(source: Source, name: str, node: Any) -> bool:
    allowed, text = _SWITCHES[name], scalar(node) or ""
    if text.lower() not in allowed:
        raise source.refuse(node, f"{name}: {text!r} is not valid: allowed are {', '.join(allowed)}")
    return allowed[text.lower()]


def intent_of(source: Source, given: Given, flags: Mapping[str, Raw]) -> Intent:
    """What to capture of the workload. flags: of the command line (`--name`), which win. Raises ManifestError where an
    annotation is wrong, BadInput where a flag is."""
    asked = _asked(source, given)
    ours = {name.removeprefix("--"): value for name, value in flags.items()}
    intent_from_flags(ours)  # what is wrong here is no annotation's fault
    values = {flag: _value(source, flag, one) for flag, one in asked.items() if flag not in ours}
    try:
        return intent_from_flags({**values, **ours})
    except BadInput as wrong:
        flag = wrong.where.removeprefix("--")
        if flag not in values:
            raise
        one = asked[flag]
        raise source.refuse(one.node, f"{one.annotation}: {wrong.token!r} is not valid: {wrong.allowed}") from None


def _asked(source: Source, given: Given) -> dict[str, _Asked]:
    found: dict[str, _Asked] = {}
    peers: dict[str, _Asked] = {}
    for name, node in given.items():
        if name.startswith(PREFIX) and name not in OURS and name not in (INJECT, INJECTED):
            allowed = ", ".join(sorted(name.removeprefix(PREFIX) for name in OURS))
            raise source.refuse(node, f"{name} is no annotation of tidegate: {PREFIX} is followed by {allowed}")
        flag, into = (OURS[name], found) if name in OURS else (PEERS.get(name), peers)
        if flag is None:
            continue
        text = "" if node.value == "" else scalar(node)
        if text is None:
            raise source.refuse(node, f"{name}: the value of an annotation is a string: put it in quotes")
        earlier = into.get(flag)
        if earlier is not None and earlier.text != text:
            raise source.refuse(node, f"{name} and {earlier.annotation} contradict each other: leave one out")
        into[flag] = _Asked(name, node, text)
    return {**peers, **found}


def _value(source: Source, flag: str, asked: _Asked) -> Raw:
    if flag == _REPEATED:
        return [item.strip() for item in asked.text.split(";") if item.strip()]
    if flag == _SWITCH:
        if asked.text not in ("true", "false"):
            allowed = "allowed are true and false"
            raise source.refuse(asked.node, f"{asked.annotation}: {asked.text!r} is not valid: {allowed}")
        return asked.text == "true"
    return asked.text
