"""One pure function for each kind of flag token. Each returns canonical values (sorted, merged, without duplicates) or
raises BadInput(flag, token, what is allowed). Nothing unparsed leaves this module."""

import re
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network

from intercept.errors import BadInput
from intercept.intent.intent import IdRange, Network, PortRange, UserPortExclusion

EVERYTHING = "*"
MAX_ID = 2**32 - 2
"""-1 (2**32-1) means "unchanged" to the kernel and is nobody's id."""

_PORTS_ALLOWED = "ports 1 to 65535 or ranges FIRST-LAST such as 8000-8100, comma separated"
_IDS_ALLOWED = f"numeric ids 0 to {MAX_ID} or ranges FIRST-LAST, comma separated; names are not looked up"
_CIDR_ALLOWED = "IPv4 or IPv6 addresses or networks ADDRESS/PREFIX-LENGTH without host bits, comma separated"
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}", re.ASCII)
_LONGEST_CGROUP_PATH = 4000
_RESERVED_TABLES = {0, 253, 254, 255}


def items(text: str) -> list[str]:
    """Comma-separated items without the blanks around them; empty items (a trailing comma) are left out."""
    return [item for item in (part.strip(" \t") for part in text.split(",")) if item]


def _number(text: str, highest: int) -> int | None:
    """ASCII decimal digits only: no sign, no blank, no underscore, no other script's digits."""
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        return None
    value = int(text)
    return value if value <= highest else None


def _span(token: str, highest: int) -> tuple[int, int] | None:
    first_text, dash, last_text = token.partition("-")
    first = _number(first_text, highest)
    last = _number(last_text, highest) if dash else first
    if first is None or last is None or first > last:
        return None
    return first, last


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def ports(flag: str, text: str) -> tuple[PortRange, ...]:
    spans = []
    for token in items(text):
        span = _span(token, 65535)
        if span is None or span[0] == 0:
            raise BadInput(flag, token, _PORTS_ALLOWED)
        spans.append(span)
    return tuple(PortRange(first, last) for first, last in _merged(spans))


def ports_or_all(flag: str, text: str) -> tuple[PortRange, ...] | None:
    """None for '*'. '*' stands alone: beside other items it is an error."""
    if text.strip(" \t") == EVERYTHING:
        return None
    return ports(flag, text)


def port(flag: str, text: str) -> int:
    """Exactly one port."""
    value = _number(text.strip(" \t"), 65535)
    if not value:
        raise BadInput(flag, text, "one port, 1 to 65535")
    return value


def id_ranges(flag: str, text: str) -> tuple[IdRange, ...]:
    spans = []
    for token in items(text):
        span = _span(token, MAX_ID)
        if span is None:
            raise BadInput(flag, token, _IDS_ALLOWED)
        spans.append(span)
    return tuple(IdRange(first, last) for first, last in _merged(spans))


def id_ranges_or_all(flag: str, text: str) -> tuple[IdRange, ...] | None:
    """None for '*'."""
    if text.strip(" \t") == EVERYTHING:
        return None
    return id_ranges(flag, text)


def ids(flag: str, text: str) -> tuple[int, ...]:
    """Single numeric ids; ranges are not meant where a proxy's own identity is named."""
    found = set()
    for token in items(text):
        value = _number(token, MAX_ID)
        if value is None:
            raise BadInput(flag, token, f"numeric ids 0 to {MAX_ID}, comma separated; names are not looked up")
        found.add(value)
    return tuple(sorted(found))


def _prefix_length(flag: str, token: str, text: str, bits: int) -> int:
    value = _number(text, bits)
    if value is None:
        raise BadInput(flag, token, f"the part after '/' is a prefix length, 0 to {bits}; {_CIDR_ALLOWED}")
    return value


def network(flag: str, token: str) -> Network:
    """One address (a host) or one network. Zones, dotted netmasks, host bits and v4-mapped addresses are refused."""
    address_text, slash, length_text = token.partition("/")
    if "%" in token:
        raise BadInput(flag, token, f"an address without a zone ('%…'); {_CIDR_ALLOWED}")
    try:
        if ":" in address_text:
            six = IPv6Address(address_text)
            if six.ipv4_mapped is not None:
                raise BadInput(flag, token, f"packets carry plain IPv4 here: write {six.ipv4_mapped}; {_CIDR_ALLOWED}")
            length = _prefix_length(flag, token, length_text, 128) if slash else 128
            value = int(six)
            kept = value >> (128 - length) << (128 - length)
            if kept != value:
                meant = IPv6Network((kept, length))
                raise BadInput(flag, token, f"host bits stand below the mask (did you mean {meant}?); {_CIDR_ALLOWED}")
            return IPv6Network((value, length))
        value = int(IPv4Address(address_text))
    except AddressValueError:
        raise BadInput(flag, token, _CIDR_ALLOWED) from None
    length = _prefix_length(flag, token, length_text, 32) if slash else 32
    kept = value >> (32 - length) << (32 - length)
    if kept != value:
        meant4 = IPv4Network((kept, length))
        raise BadInput(flag, token, f"host bits stand below the mask (did you mean {meant4}?); {_CIDR_ALLOWED}")
    return IPv4Network((value, length))


def _canonical(networks: Iterable[Network]) -> tuple[Network, ...]:
    return tuple(sorted(set(networks), key=lambda n: (n.version, int(n.network_address), n.prefixlen)))


def networks(flag: str, text: str) -> tuple[Network, ...]:
    return _canonical(network(flag, token) for token in items(text))


def networks_or_all(flag: str, text: str) -> tuple[Network, ...] | None:
    """None for '*'."""
    if text.strip(" \t") == EVERYTHING:
        return None
    return networks(flag, text)


def interfaces(flag: str, text: str) -> tuple[str, ...]:
    """Literal names; no wildcards, and nothing that means something in a rule language."""
    found = set()
    for token in items(text):
        if not _INTERFACE.fullmatch(token):
            raise BadInput(
                flag, token, "interface names of 1 to 15 letters, digits, '_', '.', '-' (no wildcards), comma separated"
            )
        found.add(token)
    return tuple(sorted(found))


def mark(flag: str, text: str) -> int:
    """A packet mark, decimal or 0x-hexadecimal, 1 to 2**32-1 (0 is what unmarked packets carry)."""
    token = text.strip(" \t")
    try:
        value = int(token, 16) if re.fullmatch(r"0[xX][0-9a-fA-F]{1,8}", token) else _number(token, 2**32 - 1)
    except ValueError:
        value = None
    if not value:
        raise BadInput(flag, text, "a mark from 1 to 4294967295, decimal or 0x…; 0 is what unmarked packets carry")
    return value


def table(flag: str, text: str) -> int:
    """A routing table's number; the kernel's own tables are not for us."""
    value = _number(text.strip(" \t"), 2**32 - 1)
    if value is None or value in _RESERVED_TABLES:
        raise BadInput(flag, text, "a routing table number, 1 to 4294967295 except 253, 254, 255")
    return value


def user_port_exclusion(flag: str, text: str) -> UserPortExclusion:
    """`[[PROTO:]PORTS:]UIDS`: `tcp:3000-5000:1000`, `*:*:7`; a lone `123` is all ports, both protocols, uid 123."""
    parts = [part.strip(" \t") for part in text.split(":")]
    if len(parts) > 3:
        raise BadInput(flag, text, "PROTO:PORTS:UIDS, for example tcp:5432:1000-1010")
    protocol_text, ports_text, uids_text = ["*"] * (3 - len(parts)) + parts
    both = frozenset({"tcp", "udp"})
    protocols = both if protocol_text == EVERYTHING else frozenset(items(protocol_text))
    if not protocols or not protocols <= both:
        raise BadInput(flag, text, f"the protocol {protocol_text!r} is none of tcp, udp, '*'")
    every_port = (PortRange(1, 65535),)
    chosen = every_port if ports_text == EVERYTHING else ports(flag, ports_text)
    if not chosen:
        raise BadInput(flag, text, f"no ports are named; allowed are '*' or {_PORTS_ALLOWED}")
    if uids_text == EVERYTHING:
        raise BadInput(flag, text, "users are numeric ids; for everybody use --exclude-outbound-ports")
    uids = id_ranges(flag, uids_text)
    if not uids:
        raise BadInput(flag, text, f"no users are named; allowed are {_IDS_ALLOWED}")
    return UserPortExclusion(protocols, chosen, uids)


def cgroup(flag: str, text: str, mount: str | None) -> str | None:
    """Path below the cgroup v2 mount, normalised; None when it is the mount itself (every process).

    `mount` is where cgroup v2 is mounted (None: unknown): a path that begins with it is taken as a folder's full path.
    """
    allowed = "a cgroup v2 folder: its full path, or its path below the cgroup v2 mount; no '..', quotes or controls"
    path = text.strip(" \t")
    if not path or len(path.encode("utf-8", "surrogateescape")) > _LONGEST_CGROUP_PATH:
        raise BadInput(flag, text, allowed)
    # Not printable are also the separators that some readers of a listing take for a line's end.
    if any(not c.isprintable() or c in '"*' for c in path):
        raise BadInput(flag, text, allowed)
    root = (mount or "").rstrip("/")
    if root and (path == root or path.startswith(root + "/")):
        path = path[len(root) :]
    names = [name for name in path.split("/") if name not in ("", ".")]
    if ".." in names:
        raise BadInput(flag, text, allowed)
    return "/".join(names) or None


def seconds(flag: str, text: str) -> float:
    """A waiting time, 0 to 86400."""
    if re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,6})?", text.strip(" \t"), re.ASCII):
        value = float(text)
        if value <= 86400:
            return value
    raise BadInput(flag, text, "seconds, 0 to 86400")


def choice(flag: str, text: str, allowed: Iterable[str]) -> str:
    known = tuple(allowed)
    if text not in known:
        raise BadInput(flag, text, "one of " + ", ".join(known))
    return text


def address(flag: str, text: str) -> IPv4Address | IPv6Address:
    """One plain address without mask or zone."""
    token = text.strip(" \t")
    try:
        return IPv6Address(token) if ":" in token and "%" not in token else IPv4Address(token)
    except AddressValueError:
        raise BadInput(flag, text, "one IPv4 or IPv6 address without mask or zone") from None


def endpoint(flag: str, text: str) -> tuple[IPv4Address | IPv6Address, int]:
    """`IP:PORT`; an IPv6 address in brackets."""
    token = text.strip(" \t")
    host, colon, port_text = token.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    value = _number(port_text, 65535)
    if not colon or not value or (":" in host and not bracketed) or (bracketed and ":" not in host):
        raise BadInput(flag, text, "IP:PORT, an IPv6 address in brackets: 10.0.0.1:80 or [fd00::1]:80")
    return address(flag, host[1:-1] if bracketed else host), value


def one_id(flag: str, text: str) -> int:
    value = _number(text.strip(" \t"), MAX_ID)
    if value is None:
        raise BadInput(flag, text, f"one numeric id, 0 to {MAX_ID}; names are not looked up")
    return value


def one_interface(flag: str, text: str) -> str:
    found = interfaces(flag, text)
    if len(found) != 1:
        raise BadInput(flag, text, "one interface name")
    return found[0]
