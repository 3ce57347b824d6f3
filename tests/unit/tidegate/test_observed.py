"""What a run says of what it did not capture: the plan's own reasons, and nothing about what it captured."""

from ipaddress import ip_address

from bpf.seen import BOUND, TCP, UDP, Seen
from intercept.host.facts import HostFacts
from intercept.intent.from_flags import intent_from_flags
from intercept.intent.intent import Mode
from intercept.plan.build import build
from tidegate.supervise.observed import Observed, judge


def seen(address: str, port: int, protocol: int = TCP, *, uid: int = 0, times: int = 1, name: str = "curl") -> Seen:
    return Seen(ip_address(address), port, protocol, uid, 0, name if protocol != UDP else "", times)


def judged(*found: Seen, flags: dict[str, str] | None = None) -> Observed:
    plan = build(intent_from_flags(flags or {}), HostFacts(), Mode.NFTABLES)
    return judge(found, 0, plan, HostFacts())


def test_what_is_captured_is_not_told() -> None:
    found = judged(seen("10.0.0.1", 80))
    assert found.not_captured == ()
    assert found.callers == {"10.0.0.1:80": ("curl",)}


def test_each_kind_of_left_out_has_its_reason() -> None:
    found = judged(
        seen("127.0.0.1", 6379, times=3, name="redis-cli"),
        seen("10.0.0.1", 443, UDP, times=2),
        seen("10.0.0.2", 80, uid=1337, name="envoy"),
        seen("fd00::9", 25),
        flags={"--exclude-outbound-ports": "25"},
    )
    assert {(one.protocol, one.destination): (one.times, one.processes) for one in found.not_captured} == {
        ("tcp", "127.0.0.1:6379"): (3, ("redis-cli",)),
        ("udp", "10.0.0.1:443"): (2, ()),
        ("tcp", "10.0.0.2:80"): (1, ("envoy",)),
        ("tcp", "[fd00::9]:25"): (1, ("curl",)),
    }
    reasons = {one.destination: one.reason for one in found.not_captured}
    assert "loopback" in reasons["127.0.0.1:6379"]
    assert "--exclude-outbound-ports" in reasons["[fd00::9]:25"]


def test_a_captured_question_is_not_told_as_left_out() -> None:
    found = judged(seen("127.0.0.1", 15053, UDP), seen("10.0.0.53", 53, UDP), flags={"--dns": "all"})
    assert found.not_captured == ()


def test_who_listens_is_known_by_the_port() -> None:
    found = judged(seen("::", 8080, BOUND, name="python3"))
    assert found.listeners == {8080: ("python3",)}
    assert found.not_captured == ()
