"""`explain` and the kernel agree in the netfilter modes: random intents, random connections, the rules' counters."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import pytest

from intercept import capture
from intercept.intent.from_flags import intent_from_flags
from intercept.plan.explain import Connection, Decision, explain
from intercept.plan.rules import Plan
from intercept.status import status
from tests.lab import Lab
from tests.lab.actor import Identity, Reply
from tests.lab.lab import ROOT_USER
from tests.lab.third_party_proxy import ProxyOptions, ThirdPartyProxy

pytestmark = pytest.mark.kernel

NETFILTER = ("nftables", "iptables", "tproxy")
SEEDS = range(6)
CALLS = 14
PORTS = (
    "53",
    "80",
    "443",
    "5000-9000",
    "8080",
    "15001",
    "15006",
    "1-65535",
    "22,80,443,3306,7000,8000,8081,8100,9000,9090,31000",
)
NETWORKS = (
    "10.0.0.0/8",
    "192.0.2.0/24",
    "127.0.0.1",
    "127.0.0.0/8",
    "10.0.0.2",
    "fd00::/64",
    "2001:db8::/32",
    "::1",
    "0.0.0.0/0",
)
IDS = ("1000", "1-999", "1337", "3,1000", "0-4294967294")
OUTBOUND = (
    "10.0.0.1",
    "192.0.2.1",
    "198.51.100.1",
    "127.0.0.1",
    "10.0.0.2",
    "fd00::1",
    "2001:db8::1",
    "::1",
    "fd00::2",
)
TARGET_PORTS = (53, 80, 443, 8080, 9090, 15001, 15006, 15020, 15053)
WHO = (Identity(1000, 1000), Identity(1337, 1337), Identity(3, 1000), Identity(1000, 500))


def some(rng: random.Random, pool: tuple[str, ...], most: int = 2) -> str:
    return ",".join(rng.sample(pool, rng.randint(0, most)))


def intent_at_random(rng: random.Random) -> dict[str, Any]:
    """Each flag is left out as often as not."""
    flags: dict[str, Any] = {
        "include-outbound-cidrs": rng.choice(["*", "", some(rng, NETWORKS, 5)]),
        "exclude-outbound-cidrs": some(rng, NETWORKS[:-1]),
        "include-outbound-ports": some(rng, PORTS),
        "exclude-outbound-ports": some(rng, PORTS[:6]),
        "include-inbound-ports": rng.choice(["*", some(rng, PORTS)]),
        "exclude-inbound-ports": some(rng, PORTS[:6]),
        "exclude-inbound-cidrs": rng.choice(["10.0.0.1", "fd00::/64", "172.16.0.0/12"]),
        "include-outbound-gids": rng.choice(["*", some(rng, IDS)]),
        "exclude-outbound-gids": some(rng, IDS[:4], 1),
        "exclude-outbound-for": [f"{rng.choice(['tcp', '*'])}:{rng.choice(PORTS)}:{rng.choice(IDS[:4])}"],
        "proxy-uid": rng.choice(["1337", "3,1337", ""]),
        "proxy-gid": rng.choice(["1337", ""]),
        "self-calls": rng.choice(["proxy", "bypass", "hairpin"]),
        "dns": rng.choice(["off", "all"]),
        "ipv6": rng.choice(["auto", "off"]),
        "drop-invalid": True,
        "exclude-interfaces": "net1",
    }
    return {name: value for name, value in flags.items() if rng.random() < 0.5}


@dataclass(frozen=True, slots=True)
class Call:
    """One connection to try."""

    who: Identity
    direction: str
    host: str
    port: int
    udp: bool = False

    def connection(self) -> Connection:
        address = ip_address(self.host)
        if self.direction == "inbound":
            source = ip_address("10.0.0.1" if address.version == 4 else "fd00::1")
            return Connection("inbound", address, self.port, source=source, interface="eth0", local=True)
        local = address.is_loopback or self.host in ("10.0.0.2", "fd00::2")
        caller = Connection.outbound(uid=self.who.uid, gid=self.who.gid, protocol="udp" if self.udp else "tcp")
        return caller.to(address, self.port, local=local)


def call_at_random(rng: random.Random) -> Call:
    if rng.random() < 0.25:
        return Call(
            ROOT_USER, "inbound", rng.choice(["10.0.0.2", "fd00::2"]), rng.choice((80, 8080, 9090, 15001, 15006, 15020))
        )
    if rng.random() < 0.15:
        return Call(rng.choice(WHO), "outbound", rng.choice(OUTBOUND), 53, udp=True)
    return Call(rng.choice(WHO), "outbound", rng.choice(OUTBOUND), rng.choice(TARGET_PORTS))


@pytest.fixture(scope="module")
def proxy(backend: str, lab: Lab) -> Iterator[ThirdPartyProxy]:
    if backend not in NETFILTER:
        pytest.skip(f"cannot express: {backend} has a property test of its own")
    lab.serve_app()
    with lab.proxy(ProxyOptions(transparent=backend == "tproxy")) as made:
        yield made


@pytest.mark.parametrize("seed", SEEDS)
def test_the_kernel_does_what_explain_says(lab: Lab, backend: str, proxy: ThirdPartyProxy, seed: int) -> None:
    rng = random.Random(f"{backend} {seed}")
    flags = intent_at_random(rng)
    try:
        with lab.app.entered():
            plan = capture.apply(intent_from_flags({"mode": backend, **flags})).plan
        wrong = [told for _ in range(CALLS) if (told := disagreement(lab, proxy, plan, call_at_random(rng)))]
    finally:
        with lab.app.entered():
            capture.remove()
    assert not wrong, f"seed {seed}, {flags}:\n" + "\n".join(wrong)


def disagreement(lab: Lab, proxy: ThirdPartyProxy, plan: Plan, call: Call) -> str:
    """'' when the kernel did what explain says, by the rule that it names."""
    wanted = explain(plan, call.connection())
    with lab.app.entered():
        before = status().counters
    proxy.forget()
    actor = lab.actor(call.who, lab.peer if call.direction == "inbound" else lab.app)
    dial = actor.udp if call.udp else actor.tcp
    reply = dial(call.host, call.port, timeout=0.5)
    with lab.app.entered():
        after = status().counters
    moved = {name for name, count in after.items() if count > before.get(name, 0)}
    # A rule after which nothing has an effect isn't put into the kernel, and so has no counter.
    if wanted.rule in after and wanted.rule not in moved:
        return f"{call}: explain names {wanted.rule}, but only {sorted(moved)} counted ({reply})"
    return judged(call, wanted, reply, proxy)


def judged(call: Call, wanted: Decision, reply: Reply, proxy: ThirdPartyProxy) -> str:
    match wanted.decision:
        case "capture":
            good = reply.who == "proxy" and (call.udp or proxy.wait_for_record(listener=wanted.listener) is not None)
        case "drop":
            good = reply.status in ("refused", "reset")
        case _:
            # Nobody may serve there, but then the proxy isn't who answered; what goes straight to a listener of the
            # proxy's on an own address reaches it, and that is direct too.
            straight = call.port in (15001, 15006, 15020, 15053)
            good = reply.who != "proxy" or straight
    return "" if good else f"{call}: explain says {wanted}; the client saw {reply}, the proxy {proxy.records()}"
