"""Every kind of token: what is meant, what is refused and how that is said."""

from __future__ import annotations

import time
from contextlib import suppress
from ipaddress import ip_network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intercept.errors import BadInput
from intercept.intent import parsing
from intercept.intent.intent import IdRange, PortRange
from tests.unit.intercept import strategies


def members(ranges: tuple[PortRange, ...] | tuple[IdRange, ...]) -> set[int]:
    return {number for one in ranges for number in range(one.first, one.last + 1)}


@given(strategies.ports)
def test_ports_mean_what_is_written(text: str) -> None:
    meant: set[int] = set()
    for item in filter(None, (part.strip() for part in text.split(","))):
        first, _, last = item.partition("-")
        meant |= set(range(int(first), int(last or first) + 1))
    found = parsing.ports("--x", text)
    assert members(found) == meant
    gaps = [later.first - earlier.last for earlier, later in pairwise(found)]
    assert all(gap > 1 for gap in gaps), "sorted, merged, nothing twice"


@pytest.mark.parametrize(
    "token",
    [
        "0",
        "65536",
        "70000",
        "27-25",
        "8000:8100",
        "8000 - 8100",
        "-5",
        "5-",
        "ssh",
        "notanumber",
        "+80",
        "8_0",
        "٨٠",
        "1e3",
        "0x50",
        "*",
        "80-90-100",
        "9" * 5000,
    ],
)
def test_a_bad_port_is_named(token: str) -> None:
    with pytest.raises(BadInput) as caught:
        parsing.ports("--exclude-outbound-ports", f"22, {token} ,33")
    assert caught.value.where == "--exclude-outbound-ports"
    assert caught.value.token == token
    assert "8000-8100" in caught.value.allowed


def test_blanks_and_empty_items_are_nothing() -> None:
    assert parsing.ports("--x", " 6000 ,7000,") == (PortRange(6000, 6000), PortRange(7000, 7000))
    assert parsing.ports("--x", "") == parsing.ports("--x", " , ,") == ()


def test_everything_stands_alone() -> None:
    assert parsing.ports_or_all("--x", " * ") is None
    assert parsing.ports_or_all("--x", "") == ()
    with pytest.raises(BadInput):
        parsing.ports_or_all("--x", "*,80")


@given(strategies.networks)
def test_networks_mean_what_is_written(text: str) -> None:
    meant = {ip_network(item) for item in filter(None, (part.strip() for part in text.split(",")))}
    found = parsing.networks("--x", text)
    assert set(found) == meant
    assert len(found) == len(meant)


@pytest.mark.parametrize(
    "token",
    [
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/255.0.0.0",
        "10.0.0",
        "010.0.0.1",
        "fe80::1%eth0",
        "fd00::1/64",
        "::ffff:10.0.0.1",
        "::/129",
        "host",
        "*",
        "10.0.0.0/",
        "/8",
        "10.0.0.0/8/8",
        "1.2.3.4 5",
    ],
)
def test_a_bad_network_is_named(token: str) -> None:
    with pytest.raises(BadInput) as caught:
        parsing.networks("--include-outbound-cidrs", f"192.0.2.0/24,{token}")
    assert caught.value.token == token


def test_host_bits_are_refused_with_what_was_meant() -> None:
    with pytest.raises(BadInput, match=r"did you mean 10\.0\.0\.0/8"):
        parsing.networks("--x", "10.1.2.3/8")


def test_a_mask_of_zero_is_everything_of_a_family() -> None:
    assert parsing.networks("--x", "0.0.0.0/0,::/0") == (ip_network("0.0.0.0/0"), ip_network("::/0"))


def test_ten_thousand_entries_are_quick() -> None:
    text = ",".join(f"10.{n >> 8 & 255}.{n & 255}.0/24" for n in range(10_000))
    started = time.process_time()
    assert len(parsing.networks("--x", text)) == 10_000
    assert len(parsing.ports("--x", ",".join(str(n) for n in range(1, 60_000, 2)))) == 30_000
    assert time.process_time() - started < 2


@pytest.mark.parametrize("token", ["root", "-1", "4294967295", "1.5", "5-3", "\uff11"])
def test_a_bad_id_is_named(token: str) -> None:
    with pytest.raises(BadInput) as caught:
        parsing.id_ranges("--include-outbound-gids", token)
    assert caught.value.token == token
    assert "not looked up" in caught.value.allowed


@pytest.mark.parametrize(
    "token",
    [
        "eth 0",
        "a" * 16,
        "eth/0",
        'eth"0',
        "eth'0",
        "eth+",
        "eth*",
        "$x",
        "`x`",
        "a;b",
        "{a}",
        "-eth",
        ".",
        "..",
        "é",
        "a\nb",
        "a#b",
    ],
)
def test_an_interface_name_is_a_plain_word(token: str) -> None:
    with pytest.raises(BadInput):
        parsing.interfaces("--exclude-interfaces", token)


@pytest.mark.parametrize("name", ["eth0", "eth0.100", "br-1f2e3d", "wg_home", "a" * 15, "0tun"])
def test_ordinary_interface_names(name: str) -> None:
    assert parsing.interfaces("--x", f"lo, {name},") == tuple(sorted(("lo", name)))


@pytest.mark.parametrize(
    ("text", "protocols", "ports", "uids"),
    [
        ("123", {"tcp", "udp"}, {1, 65535}, {123}),
        ("tcp:3000-3001:1", {"tcp"}, {3000, 3001}, {1}),
        ("udp:53:1,2-3", {"udp"}, {53}, {1, 2, 3}),
        ("*:*:7", {"tcp", "udp"}, {1, 65535}, {7}),
        ("80:7", {"tcp", "udp"}, {80}, {7}),
    ],
)
def test_user_port_exclusions(text: str, protocols: set[str], ports: set[int], uids: set[int]) -> None:
    found = parsing.user_port_exclusion("--exclude-outbound-for", text)
    assert found.protocols == protocols
    assert ports <= members(found.ports)
    assert members(found.uids) == uids


@pytest.mark.parametrize(
    "text",
    [
        "3000-5000:1:*",
        "3000-5000:1:1,2,3",
        "http:1:1",
        "a3000-5000:1",
        "tcp:80:*",
        "tcp::1",
        "tcp:80:",
        "",
        "a:b:c:d",
        "tcp:80:root",
    ],
)
def test_bad_user_port_exclusions(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parsing.user_port_exclusion("--exclude-outbound-for", text)
    assert caught.value.where == "--exclude-outbound-for"


def test_cgroup_paths() -> None:
    mount = "/sys/fs/cgroup/unified"
    for text in ("a/b", "/a/b", "/a//b/", "a/./b", f"{mount}/a/b", f"{mount}//a/b/"):
        assert parsing.cgroup("--cgroup", text, mount) == "a/b", text
    assert parsing.cgroup("--cgroup", "/", mount) is None
    assert parsing.cgroup("--cgroup", mount, mount) is None
    assert parsing.cgroup("--cgroup", f"{mount}x/a", mount) == "sys/fs/cgroup/unifiedx/a"


@pytest.mark.parametrize("text", ["", " ", "../x", "a/../b", 'a"b', "a\nb", "a\x00b", "a*", "x" * 4001])
def test_bad_cgroup_paths(text: str) -> None:
    with pytest.raises(BadInput):
        parsing.cgroup("--cgroup", text, None)


@given(st.text(max_size=40))
def test_whatever_is_written_is_understood_or_refused(text: str) -> None:
    for parse in (
        parsing.ports, parsing.ports_or_all, parsing.networks, parsing.networks_or_all, parsing.id_ranges, parsing.ids,
        parsing.interfaces, parsing.mark, parsing.user_port_exclusion, parsing.port, parsing.seconds, parsing.endpoint,
        parsing.address, parsing.table,
    ):  # fmt: skip
        with suppress(BadInput):
            parse("--flag", text)
    with suppress(BadInput):
        parsing.cgroup("--cgroup", text, "/sys/fs/cgroup")


def test_endpoints() -> None:
    assert [str(part) for part in parsing.endpoint("--dst", "[fd00::1]:80")] == ["fd00::1", "80"]
    for text in (
        "10.0.0.1",
        "10.0.0.1:0",
        "10.0.0.1:65536",
        "fd00::1:80",
        "[10.0.0.1]:80",
        "host:80",
        ":80",
        "[fd00::1]",
    ):
        with pytest.raises(BadInput):
            parsing.endpoint("--dst", text)
