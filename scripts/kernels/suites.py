"""Which kernels there are to boot, and what is run in each. Values only."""

from typing import NamedTuple


class Boot(NamedTuple):
    """suite: the Debian suite whose linux-image metapackage leads to the kernel. arguments: of its command line."""

    suite: str
    arguments: tuple[str, ...] = ()


BOOTS = {
    "5.10": Boot("bullseye"),
    "6.1": Boot("bookworm"),
    "6.12": Boot("trixie"),
    "newest": Boot("sid"),
    "6.1-no-ipv6": Boot("bookworm", ("ipv6.disable=1",)),
    "6.1-lockdown": Boot("bookworm", ("lockdown=confidentiality",)),
}
"""By name: kernel series, and one of them as a host's administrator may have restricted it."""


class Step(NamedTuple):
    """One thing that is run in a guest.

    name: `doctor`, or what its tests are about. tests: pytest's arguments; empty for a step of its own kind.
    limit_s: after which it is ended; a guest without KVM is some ten times slower than the machine it runs on.
    """

    name: str
    tests: tuple[str, ...] = ()
    limit_s: int = 120


_TIMED = "not within and not budget and not second and not ten_thousand and not slow_reader"
"""Left out in guests: what depends on how long something takes, which says nothing of an emulated CPU. The slow reader
there is so slow that it makes no progress within the second that the engine gives it."""

_ENGINE = ("tests/unit/cext/test_engine_relay.py", "tests/unit/cext/test_engine_limits.py")

BACKENDS = ("nftables", "iptables", "tproxy", "ebpf")


def steps(boot: Boot) -> tuple[Step, ...]:
    """In order of worth: when a guest's time is up, what comes last is what is missing."""
    if boot.arguments:
        return (Step("restricted", ("tests/vm",), 300), Step("doctor", limit_s=200))
    return (
        Step("capture", ("tests/netns/intercept/test_hosts_capture.py", "--backends", ",".join(BACKENDS)), 900),
        # After capture, which has made the kernel load its modules.
        Step("doctor", limit_s=200),
        Step("direct", ("tests/netns/direct/test_hosts_direct.py",), 400),
        Step("workload", ("tests/netns/ebpf/test_ebpf_client_address.py",), 400),
        Step("engine", (*_ENGINE, "-k", _TIMED), 150),
        Step(
            "splice",
            (
                "tests/netns/proxy/test_proxy_relay.py",
                "tests/netns/proxy/test_proxy_loops.py",
                "-k",
                _TIMED,
                "-m",
                "not soak",
            ),
            450,
        ),
        Step("parsed", ("tests/netns/parsed/test_rules.py", "tests/netns/parsed/test_bytes.py", "-k", _TIMED), 450),
        Step("bpf", ("tests/unit/bpf",), 120),
    )
