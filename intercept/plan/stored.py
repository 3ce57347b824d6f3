"""Intent <-> canonical text, and the document that the kernel keeps with the rules. Equal intents give equal text.

An intent is written as the flags that make it, so a person can read it, and reading it back is parsing them again:
what somebody put into the kernel by hand is judged like any other input.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import NamedTuple
from zlib import compress, decompress

from intercept.errors import CaptureError
from intercept.intent.from_flags import Raw, intent_from_flags
from intercept.intent.intent import Exempt, IdRange, Intent, Mode, Network, PortRange, UserPortExclusion
from intercept.plan.rules import Plan

VERSION = 1
_MOST_BYTES = 64 * 1024 * 1024


class Unreadable(CaptureError):
    """What is stored with the rules isn't what this version (or any) wrote."""


class Document(NamedTuple):
    """What was put in force. mode is the resolved one; resolvers are what `--dns resolvers` stood for at that time.

    cgroup_id: of the folder of `--cgroup` at that time; None: no folder, or written by a version that didn't keep it.
    """

    mode: Mode
    intent: Intent
    resolvers: tuple[str, ...]
    families: tuple[int, ...]
    cgroup_id: int | None = None


def document_of(plan: Plan) -> str:
    return json.dumps(
        {
            "version": VERSION,
            "mode": str(plan.mode),
            "intent": as_flags(plan.intent),
            "sources": list(plan.intent.exempt.sources),
            "inbound-explicit": plan.intent.inbound_explicit,
            "resolvers": list(plan.resolvers),
            "families": list(plan.families),
            **({} if plan.cgroup_id is None else {"cgroup-id": plan.cgroup_id}),
        },
        sort_keys=True,
        separators=(",", ":"),
    )


def read_document(text: str) -> Document:
    """Raises Unreadable."""
    try:
        raw = json.loads(text)
        if raw["version"] != VERSION:
            raise Unreadable(f"the stored intent has version {raw['version']!r}; this tidegate reads {VERSION}")
        intent = intent_from_flags(raw["intent"])
        exempt: Exempt = intent.exempt._replace(sources=tuple(map(str, raw["sources"])))
        return Document(
            mode=Mode(raw["mode"]),
            intent=intent._replace(exempt=exempt, inbound_explicit=bool(raw["inbound-explicit"])),
            resolvers=tuple(map(str, raw["resolvers"])),
            families=tuple(map(int, raw["families"])),
            cgroup_id=int(raw["cgroup-id"]) if "cgroup-id" in raw else None,
        )
    except (ValueError, KeyError, TypeError, CaptureError) as error:
        raise Unreadable(f"the intent stored with the rules can't be read: {error}") from error


def pack(document: str) -> str:
    """As characters that may stand in a rule's comment ([A-Za-z0-9+/=])."""
    return b64encode(compress(document.encode(), 6)).decode("ascii")


def unpack(text: str) -> str | None:
    """None: damaged."""
    import zlib

    try:
        packed = b64decode(text, validate=True)
        if len(packed) > _MOST_BYTES:
            return None
        return decompress(packed).decode()
    except (ValueError, zlib.error):
        return None


def as_flags(intent: Intent) -> dict[str, Raw]:
    """The flags that make this intent, each with its value, defaults too."""
    outbound, inbound, exempt, listeners = intent.outbound, intent.inbound, intent.exempt, intent.listeners
    flags: dict[str, Raw] = {
        "mode": str(intent.mode),
        "outbound-port": str(listeners.outbound),
        "inbound-port": str(listeners.inbound),
        "dns-port": str(listeners.dns),
        "telemetry-port": str(listeners.telemetry),
        "include-outbound-cidrs": _networks(outbound.include_cidrs),
        "exclude-outbound-cidrs": _networks(outbound.exclude_cidrs),
        "include-outbound-ports": _ranges(outbound.include_ports),
        "exclude-outbound-ports": _ranges(outbound.exclude_ports),
        "include-inbound-ports": _ranges(inbound.include_ports),
        "exclude-inbound-ports": _ranges(inbound.exclude_ports),
        "exclude-inbound-cidrs": _networks(inbound.exclude_cidrs),
        "include-outbound-gids": _ranges(outbound.include_gids),
        "exclude-outbound-gids": _ranges(outbound.exclude_gids),
        "exclude-outbound-for": [_exclusion(exclusion) for exclusion in outbound.exclude_for],
        "exclude-interfaces": ",".join(intent.exclude_interfaces),
        "virtual-interfaces": ",".join(intent.virtual_interfaces),
        "proxy-uid": ",".join(map(str, exempt.uids)),
        "proxy-gid": ",".join(map(str, exempt.gids)),
        "self-calls": str(intent.self_calls),
        "dns": str(intent.dns),
        "ipv6": str(intent.ipv6),
        "drop-invalid": intent.drop_invalid,
        "when-down": str(intent.when_down),
        "tproxy-mark": str(intent.tproxy_mark),
        "tproxy-table": str(intent.tproxy_table),
    }
    if exempt.mark is not None:
        flags["proxy-mark"] = str(exempt.mark)
    if intent.cgroup is not None:
        flags["cgroup"] = intent.cgroup
    return flags


def _networks(networks: Iterable[Network] | None) -> str:
    return "*" if networks is None else ",".join(map(str, networks))


def _ranges(ranges: Iterable[PortRange] | Iterable[IdRange] | None) -> str:
    if ranges is None:
        return "*"
    return ",".join(str(one.first) if one.first == one.last else f"{one.first}-{one.last}" for one in ranges)


def _exclusion(exclusion: UserPortExclusion) -> str:
    return f"{','.join(sorted(exclusion.protocols))}:{_ranges(exclusion.ports)}:{_ranges(exclusion.uids)}"
