"""Intents at random, as flags: what a user could write, in canonical form or not."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

PORT = st.integers(1, 65535)
ID = st.integers(0, 2**32 - 2)


def listed(item: st.SearchStrategy[str], most: int = 5) -> st.SearchStrategy[str]:
    """Comma separated, with the blanks and the trailing comma that are allowed."""
    gap = st.sampled_from(["", " ", "  "])
    padded = st.builds(lambda before, text, after: before + text + after, gap, item, gap)
    return st.builds(
        lambda items, end: ",".join(items) + end, st.lists(padded, max_size=most), st.sampled_from(["", ","])
    )


def span(number: st.SearchStrategy[int]) -> st.SearchStrategy[str]:
    one = number.map(str)
    two = st.tuples(number, number).map(lambda ends: f"{min(ends)}-{max(ends)}")
    return one | two


ports = listed(span(PORT))
ids = listed(span(ID))


@st.composite
def network(draw: st.DrawFn) -> str:
    if draw(st.booleans()):
        length = draw(st.integers(0, 32))
        value = draw(st.integers(0, 2**32 - 1)) >> (32 - length) << (32 - length)
        text = ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))
        return f"{text}/{length}" if length < 32 or draw(st.booleans()) else text
    length = draw(st.integers(0, 80))  # shorter than ::ffff:0:0/96, which is refused
    value = draw(st.integers(0, 2**128 - 1)) >> (128 - length) << (128 - length)
    groups = ":".join(f"{value >> shift & 0xFFFF:x}" for shift in range(112, -1, -16))
    return f"{groups}/{length}"


networks = listed(network())
interfaces = listed(st.from_regex(r"[a-z][a-z0-9._-]{0,14}", fullmatch=True), 3)
everything = st.just("*")


@st.composite
def exclusion(draw: st.DrawFn) -> str:
    protocol = draw(st.sampled_from(["tcp", "udp", "*", "tcp,udp"]))
    some_ports = draw(st.just("*") | st.lists(span(PORT), min_size=1, max_size=3).map(",".join))
    return f"{protocol}:{some_ports}:{','.join(draw(st.lists(span(ID), min_size=1, max_size=3)))}"


@st.composite
def flags(draw: st.DrawFn) -> dict[str, Any]:
    """Flags that are valid together; each may be missing."""
    choices: dict[str, st.SearchStrategy[Any]] = {
        "include-outbound-cidrs": everything | networks,
        "exclude-outbound-cidrs": networks,
        "include-outbound-ports": ports,
        "exclude-outbound-ports": ports,
        "include-inbound-ports": everything | ports,
        "exclude-inbound-ports": ports,
        "exclude-inbound-cidrs": networks,
        "include-outbound-gids": everything | ids,
        "exclude-outbound-gids": ids,
        "exclude-outbound-for": st.lists(exclusion(), max_size=3),
        "exclude-interfaces": interfaces,
        "virtual-interfaces": interfaces,
        "proxy-uid": listed(ID.map(str)),
        "proxy-gid": listed(ID.map(str)),
        "proxy-mark": st.integers(1, 2**32 - 1).map(str),
        "cgroup": st.sampled_from(["a", "/a/b", "system.slice/x\\x2dy.service"]),
        "self-calls": st.sampled_from(["proxy", "bypass", "hairpin"]),
        "dns": st.sampled_from(["off", "resolvers", "all"]),
        "ipv6": st.sampled_from(["auto", "off"]),
        "drop-invalid": st.booleans(),
        "when-down": st.sampled_from(["closed", "open"]),
    }
    return draw(st.fixed_dictionaries({}, optional=choices))
