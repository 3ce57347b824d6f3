"""Random command lines and random connections, as hypothesis strategies. Small pools, so that they meet each other."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.lab import wire
from tests.lab.actor import Identity
from tests.lab.lab import APP_PORTS, PEER_PORTS
from tests.netns.cases.model import HOSTS, address, user

NETWORK_POOL = (
    "10.0.0.0/24",
    "10.0.0.0/8",
    "10.0.0.1",
    "10.0.1.0/24",
    "192.0.2.0/24",
    "192.0.2.1",
    "198.51.100.0/25",
    "127.0.0.0/8",
    "127.0.0.1",
    "0.0.0.0/0",
    "128.0.0.0/1",
    "fd00::/64",
    "fd00::/8",
    "fd00::1",
    "fd00::2",
    "2001:db8::/32",
    "2001:db8:2::/48",
    "::1",
    "::/0",
)
SOURCE_POOL = ("10.0.0.1", "10.0.0.0/24", "10.0.2.0/24", "fd00::1", "fd02::/64", "0.0.0.0/0", "::/0")
PORT_POOL = ("22", "53", "80", "443", "5432", "8080", "9090", "8000-8100", "1-1023", "1024-65535", "443-443")
GROUP_POOL = ("1000", "888", "5", "800-900", "0")
USER_POOL = (user(), user(1000, 888), user(5, 5), user(1337, 1337), user(1337, 1000), user(1000, 1337))
FAR = ("peer", "far", "far2", "peer-net1", "public-dns")
OWN = ("self", "self-net1", "self-vnet0", "loopback", "other-loopback")
FAR_PORTS = (22, 53, 80, 443, 5432, 8000, 8080, 9090, 15001, 15006)
OWN_PORTS = (22, 80, 5432, 8080, 9090, 15001, 15006)


def some(pool: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(pool), max_size=3).map(",".join)


@st.composite
def command_lines(draw: st.DrawFn) -> tuple[str, ...]:
    """`init`'s flags; each present about half of the time."""
    candidates = {
        "--include-outbound-cidrs": st.one_of(st.just("*"), some(NETWORK_POOL)),
        "--exclude-outbound-cidrs": some(NETWORK_POOL),
        "--include-outbound-ports": some(PORT_POOL),
        "--exclude-outbound-ports": some(PORT_POOL),
        "--include-inbound-ports": st.one_of(st.just("*"), some(PORT_POOL)),
        "--exclude-inbound-ports": some(PORT_POOL),
        "--exclude-inbound-cidrs": some(SOURCE_POOL),
        "--include-outbound-gids": st.one_of(st.just("*"), some(GROUP_POOL)),
        "--exclude-outbound-gids": some(GROUP_POOL),
        "--exclude-outbound-for": st.sampled_from(
            ("tcp:80:1000", "udp:53:5", "*:1-1023:1000-1001", "5", "tcp:*:5,1337")
        ),
        "--proxy-uid": st.sampled_from(("1337", "5,1337", "")),
        "--proxy-gid": st.sampled_from(("1337", "888", "")),
        "--self-calls": st.sampled_from(("proxy", "bypass", "hairpin")),
        "--dns": st.sampled_from(("off", "all", "resolvers")),
        "--ipv6": st.sampled_from(("auto", "off")),
    }
    flags = [f"{flag}={draw(values)}" for flag, values in candidates.items() if draw(st.booleans())]
    return (*flags, *(("--drop-invalid",) if draw(st.booleans()) else ()))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One connection: who opens it where, and whether somebody serves the target should it go direct."""

    where: str
    to: str
    port: int
    family: int
    who: Identity = field(default_factory=user)
    udp: bool = False

    @property
    def target(self) -> str:
        return wire.show(address(self.to, self.family), self.port)

    @property
    def served(self) -> bool:
        return self.port in (PEER_PORTS if self.to in FAR else APP_PORTS)

    def request(self) -> dict[str, object]:
        kind = "udp" if self.udp else "tcp"
        return {"op": kind, "host": address(self.to, self.family), "port": self.port, "timeout": 2.0}

    def explain(self) -> list[str]:
        if self.where == "app":
            identity = ["--uid", str(self.who.uid), "--gid", str(self.who.gid)]
            protocol = "udp" if self.udp else "tcp"
            return ["explain", "outbound", "--dst", self.target, "--protocol", protocol, *identity, "--json"]
        source = "peer-net1" if self.to == "self-net1" else self.where
        return ["explain", "inbound", "--dst", self.target, "--src", address(source, self.family), "--json"]


families = st.sampled_from((4, 6))
outbound = st.builds(
    Attempt, st.just("app"), st.sampled_from(FAR), st.sampled_from(FAR_PORTS), families, st.sampled_from(USER_POOL)
)
own = st.builds(
    Attempt, st.just("app"), st.sampled_from(OWN), st.sampled_from(OWN_PORTS), families, st.sampled_from(USER_POOL)
)
datagrams = st.builds(
    Attempt,
    st.just("app"),
    st.sampled_from(FAR),
    st.sampled_from((53, 443)),
    families,
    st.sampled_from(USER_POOL),
    st.just(True),
)
from_peer = st.builds(
    Attempt,
    st.just("peer"),
    st.sampled_from(("self", "self-net1")),
    st.sampled_from(OWN_PORTS),
    families,
    st.just(user(0, 0)),
)
from_guest = st.builds(
    Attempt, st.just("guest"), st.just("self-vnet0"), st.sampled_from(OWN_PORTS), families, st.just(user(0, 0))
)
attempts = st.lists(st.one_of(outbound, outbound, own, datagrams, from_peer, from_guest), min_size=10, max_size=16)

assert set(FAR) | set(OWN) <= set(HOSTS)
