"""What was seen as documents to begin with: a Capture, a Service and an EndpointSlice for each destination, with
comments that say why. Pure text; `tidegate config check` takes it."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from proxy.core.report.printable import printable
from tidegate.supervise.columns import duration, plural, size

if TYPE_CHECKING:
    from intercept.discover.looking import Found

MOST_SERVICES = 200
_NAME = re.compile(r"[^a-z0-9]+")
_PORT_NAMES = {"http": "http", "http/2": "http2", "grpc": "grpc", "tls": "tls"}
"""Prefixes by which a port's protocol is known; any other is tcp."""


def capture(found: "Sequence[Found]", cgroup: str | None) -> str:
    """`cgroup`: as an Intent names it, where only its processes were looked at."""
    outbound = [one for one in found if one.row.key.outbound and one.row.key.protocol == "tcp"]
    ports = sorted({one.row.key.destination[1] for one in found if not one.row.key.outbound and not one.row.is_self})
    lines = [
        "# What `tidegate init --config FILE` captures; each field is a flag of `init`.",
        f"# Seen: {plural(sum(one.row.calls for one in outbound), 'outbound connection')} to "
        f"{plural(len({one.row.key.destination for one in outbound}), 'destination')}.",
        "apiVersion: tidegate.dev/v1alpha1",
        "kind: Capture",
        "metadata: {name: discovered}",
        "spec:",
        "  mode: auto",
    ]
    if cgroup is not None:
        lines += ["  # Only the processes that were looked at.", f"  cgroup: {json.dumps(cgroup)}"]
    lines += ["  # All but loopback, as by default: connections that no Service claims pass unchanged."]
    lines += ['  includeOutboundCidrs: "*"']
    if ports:
        lines += ["  # The ports at which calls from other hosts arrived."]
        lines += [f'  includeInboundPorts: "{",".join(map(str, ports))}"']
    else:
        lines += ["  # No call from another host arrived while we looked: inbound stays as it is."]
        lines += ['  includeInboundPorts: ""']
    lines += _about_dns(found) + _about_self(found) + _about_old(found)
    return "\n".join(lines) + "\n"


def services(found: "Sequence[Found]") -> str:
    """Empty where nothing outbound was seen that can be claimed. Rows of one destination become one Service."""
    by_destination: dict[tuple[str, int], list[Found]] = {}
    for one in found:
        key = one.row.key
        port, address = key.destination[1], key.destination[0]
        wanted = key.outbound and key.protocol == "tcp" and not one.row.is_self and port
        if wanted and not address.is_multicast and not address.is_link_local and one.row.calls > one.row.failed:
            by_destination.setdefault((str(address), port), []).append(one)
    taken: set[str] = set()
    documents: list[str] = []
    for (ip, port), rows in list(by_destination.items())[:MOST_SERVICES]:
        documents += _service(_unique(_name(rows[0].name, ip, port), taken), ip, port, rows)
    if len(by_destination) > MOST_SERVICES:
        documents.append(f"# {len(by_destination) - MOST_SERVICES} more destinations are left out.\n")
    return "---\n".join(documents)


def _service(name: str, address: str, port: int, rows: "list[Found]") -> Iterator[str]:
    guess = next((one.row.guess for one in rows if one.row.guess), "")
    certain = bool(guess) and not guess.endswith("?")
    prefix = _PORT_NAMES.get(guess.removesuffix("?"), "tcp") if certain else "tcp"
    port_name = f"{prefix}-{port}"
    why = _why_protocol(guess, certain=certain, port_name=port_name)
    family = "IPv6" if ":" in address else "IPv4"
    yield "\n".join(
        [
            *(f"# {printable(line)}" for line in _seen(rows)),
            "apiVersion: v1",
            "kind: Service",
            f"metadata: {{name: {name}, namespace: default}}",
            "spec:",
            f"  # Where clients dial{_known_as(rows)}; the Service claims this address.",
            f"  clusterIP: {json.dumps(address)}",
            "  ports:",
            f"  # {why}",
            f"  - {{name: {port_name}, port: {port}, targetPort: {port}}}",
            "",
        ]
    )
    yield "\n".join(
        [
            "# The one endpoint is the address itself: nothing changes until another one is added.",
            "apiVersion: discovery.k8s.io/v1",
            "kind: EndpointSlice",
            "metadata:",
            f"  name: {name}-1",
            "  namespace: default",
            f"  labels: {{kubernetes.io/service-name: {name}}}",
            f"addressType: {family}",
            f"ports: [{{name: {port_name}, port: {port}}}]",
            f"endpoints: [{{addresses: [{json.dumps(address)}]}}]",
            "",
        ]
    )


def _seen(rows: "list[Found]") -> Iterator[str]:
    for one in rows[:10]:
        row = one.row
        failed = f", {row.failed} failed" if row.failed else ""
        lasts = "" if row.median_s is None else f", half of them shorter than {duration(row.median_s * 1000)}"
        old = ", some long-lived" if row.long_lived else ""
        moved = "" if row.sent is None else f", {size(row.sent)} sent, {size(row.received or 0)} received"
        yield f"{plural(row.calls, 'connection')} by {row.key.name} (uid {row.key.uid}){failed}{moved}{lasts}{old}."
    if len(rows) > 10:
        yield f"And {len(rows) - 10} more callers."


def _known_as(rows: "list[Found]") -> str:
    name = next((printable(one.name) for one in rows if one.name), "")
    return f", known as {name}" if name else ""


def _why_protocol(guess: str, *, certain: bool, port_name: str) -> str:
    if certain and port_name.startswith("tcp-"):
        return f"The first bytes were those of {guess}: opaque to the proxy, so tcp."
    if certain:
        return f"The first bytes were those of {guess}."
    likely = f"by its port it may be {guess.removesuffix('?')}; " if guess else ""
    return f"No first bytes were seen; {likely}without a prefix (any other name) it is detected, as tcp it is opaque."


def _about_dns(found: "Sequence[Found]") -> list[str]:
    asked = sum(one.row.calls for one in found if one.row.key.protocol == "udp" and one.row.key.destination[1] == 53)
    if not asked:
        return []
    return [
        f"  # {plural(asked, 'question')} to name servers went out; `dns: resolvers` captures these, too.",
        "  dns: off",
    ]


def _about_self(found: "Sequence[Found]") -> list[str]:
    calls = sum(one.row.calls for one in found if one.row.is_self and one.row.key.outbound)
    if not calls:
        return []
    return [
        f"  # {plural(calls, 'call')} went to this host itself; those to loopback are never captured.",
        "  selfCalls: proxy",
    ]


def _about_old(found: "Sequence[Found]") -> list[str]:
    old = sum(one.row.open for one in found if one.row.long_lived)
    if not old:
        return []
    return [
        f"  # {plural(old, 'connection')} had been open for long: capture takes new ones only (`status --existing`)."
    ]


def _name(known_as: str, address: str, port: int) -> str:
    """As RFC 1035 has labels: Services are named so."""
    text = _NAME.sub("-", f"{known_as or 'to-' + address}-{port}".lower()).strip("-")[:50].strip("-")
    return text if text[:1].isalpha() else f"to-{text}"


def _unique(name: str, taken: set[str]) -> str:
    number, found = 2, name
    while found in taken:
        found, number = f"{name}-{number}", number + 1
    taken.add(found)
    return found
