"""Coming and going without a trace: foreign rules, drift, other backends' leftovers, crashes, two at once."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.lab import Lab, bpf_links, foreign
from tests.lab.command_line import start_binary
from tests.lab.patience import patient
from tests.lab.snapshot import Snapshot

pytestmark = pytest.mark.kernel

RICH = (
    "--dns=all",
    "--drop-invalid",
    "--self-calls=hairpin",
    "--exclude-outbound-cidrs=172.16.0.0/12,2001:db8:9::/48",
    "--include-outbound-ports=1,2,3,100-200",
    "--exclude-inbound-ports=22,8000-8100",
    "--exclude-inbound-cidrs=10.7.0.0/16,fd07::/16",
    "--exclude-outbound-for=tcp:5432:7",
    "--exclude-outbound-gids=888",
    "--proxy-mark=0x99",
    "--when-down=open",
)


@pytest.fixture(scope="module")
def theirs(lab: Lab) -> Snapshot:
    """The namespace with other tools' rules in it, as it has to be after every test here."""
    foreign.install(lab.app)
    return lab.snapshot()


@pytest.fixture(autouse=True)
def _clean(lab: Lab, theirs: Snapshot) -> Iterator[None]:
    yield
    lab.tidegate("cleanup").ok()
    assert lab.changes_since(theirs) == "", "something is left, or something foreign is gone"


def kept_in_order(before: Snapshot, now: Snapshot) -> list[str]:
    """Foreign lines that are no longer there in their old order, in sections where ours come beside them."""
    lost = []
    for name, text in before.sections.items():
        rest = iter(now.sections[name].splitlines())
        lost += [f"{name}: {line}" for line in text.splitlines() if line not in rest]
    return lost


@pytest.mark.parametrize("flags", [(), RICH], ids=["plain", "rich"])
def test_install_and_uninstall_leave_everything_as_it_was(
    lab: Lab, theirs: Snapshot, backend: str, flags: tuple[str, ...]
) -> None:
    """Case cleanup-exact."""
    lab.tidegate("init", "--mode", backend, *flags).ok()
    assert theirs.diff(lab.snapshot()) != "", "nothing was put in force"
    assert kept_in_order(theirs, lab.snapshot()) == []
    removed = lab.tidegate("cleanup").ok()
    assert removed.out.strip()
    assert lab.changes_since(theirs) == ""
    lab.tidegate("cleanup").ok()


FOREIGN_RULES = {
    "legacy": (
        "iptables-legacy -t nat -A OUTPUT -p tcp --dport 4100 -j RETURN",
        "iptables-legacy -t nat -D OUTPUT -p tcp --dport 4100 -j RETURN",
    ),
    "legacy-first": (
        "ip6tables-legacy -t nat -I OUTPUT 1 -p tcp --dport 4100 -j RETURN",
        "ip6tables-legacy -t nat -D OUTPUT -p tcp --dport 4100 -j RETURN",
    ),
    "nft": (
        "nft add rule ip theirs_nat out tcp dport 4100 return comment mine",
        "nft -a list chain ip theirs_nat out | sed -n 's/.*mine.*handle //p' "
        "| xargs nft delete rule ip theirs_nat out handle",
    ),
    "route": ("ip route add 172.30.0.0/16 via 10.0.0.1", "ip route del 172.30.0.0/16"),
}


@pytest.mark.parametrize("rule", FOREIGN_RULES.values(), ids=list(FOREIGN_RULES))
def test_a_foreign_rule_is_not_drift_and_stays(lab: Lab, backend: str, rule: tuple[str, str]) -> None:
    """Case foreign-rule-not-drift."""
    add, delete = rule
    lab.tidegate("init", "--mode", backend).ok()
    lab.app.run(["sh", "-e", "-c", add])
    try:
        with_it = lab.snapshot(handles=True)
        status = lab.tidegate("status", "--json").ok().json
        assert status["drift"] == []
        lab.tidegate("init", "--mode", backend).ok()
        assert lab.changes_since(with_it, handles=True) == ""
        lab.tidegate("init", "--mode", backend, "--exclude-outbound-ports", "22").ok()
        lab.tidegate("cleanup").ok()
    finally:
        lab.app.run(["sh", "-e", "-c", delete])


DAMAGE = {
    "nftables": (
        "nft -a list table inet tidegate | sed -n 's/.*redirect to :15001.*handle //p' | head -n1 "
        "| xargs nft delete rule inet tidegate nat_output handle",
        "nft insert rule inet tidegate nat_output accept",
        "nft flush table inet tidegate",
        "nft delete table inet tidegate",
    ),
    "iptables": (
        "iptables-legacy -t nat -S OUTPUT | grep TIDEGATE | sed 's/^-A/iptables-legacy -t nat -D/' | sh -e",
        "ip6tables-legacy -t nat -S | grep 'A TIDEGATE.*15001' | sed 's/^-A/ip6tables-legacy -t nat -D/' | sh -e",
        "iptables-legacy -t nat -S | sed -n 's/^-N \\(TIDEGATE.*\\)/iptables-legacy -t nat -F \\1/p' | sh -e",
    ),
    "tproxy": ("ip rule del fwmark 1337 lookup 133", "ip -6 route flush table 133", "nft delete table inet tidegate"),
    "ebpf": ("bpftool link detach id {netns_link}",),
}


def test_drift_is_told_and_mended(lab: Lab, backend: str) -> None:
    """Ours changed or gone: status says what and exits 1; init puts it right; cleanup works from any such state."""
    for command in DAMAGE[backend]:
        lab.tidegate("init", "--mode", backend).ok()
        intact = lab.snapshot()
        lab.app.run(["sh", "-e", "-c", command.replace("{netns_link}", netns_link(lab))])
        assert intact.diff(lab.snapshot()), f"the damage did nothing: {command}"
        ran = lab.tidegate("status", "--json")
        told = ran.json
        if told["active"]:
            assert ran.code == 1, f"{command}: not noticed: {ran}"
            assert told["drift"], ran
        lab.tidegate("init", "--mode", backend).ok()
        status = lab.tidegate("status", "--json").ok().json
        assert (status["active"], status["drift"]) == (True, []), f"{command}: not mended"
        assert essence(lab.snapshot()) == essence(intact), f"{command}: not mended"
        lab.app.run(["sh", "-e", "-c", command.replace("{netns_link}", netns_link(lab))])
        lab.tidegate("cleanup").ok()


def netns_link(lab: Lab) -> str:
    """The id of the BPF link that hangs on the namespace; "none" when there is none."""
    return str(next((link["id"] for link in bpf_links.of_namespace(lab.app.inode)), "none"))


def essence(snapshot: Snapshot) -> dict[str, list[str]]:
    """What is in force, apart from what may differ between two times that the same was put in force.

    That is the order of nft's chains, the seal under them (it names the place), and which of iptables mode's two
    generations or eBPF's two banks is the armed one.
    """
    place = re.compile(r'accept comment "[0-9a-f]{8}-\d+"|add TIDEGATE_GEN|.*/document-\d$')
    essential = {}
    for name, text in snapshot.sections.items():
        masked = re.sub(r"TIDEGATE_[AB](?=_)", "TIDEGATE_generation", text).replace("! --match-set", "--match-set")
        essential[name] = sorted(line for line in map(str.strip, masked.splitlines()) if not place.match(line))
    return essential


def test_never_two_backends_in_force(lab: Lab, theirs: Snapshot, backend: str, pytestconfig: pytest.Config) -> None:
    """Field note 7: what any other backend has of ours goes when this one comes."""
    lab.tidegate("init", "--mode", backend).ok()
    alone = essence(lab.snapshot())
    lab.tidegate("cleanup").ok()
    for other in pytestconfig.getoption("--backends").split(","):
        lab.tidegate("init", "--mode", other).ok()
        lab.tidegate("init", "--mode", backend).ok()
        assert essence(lab.snapshot()) == alone, f"something of {other} is left beside {backend}"
        assert lab.tidegate("status", "--json").ok().json["mode"] == backend
        lab.tidegate("cleanup").ok()
        assert lab.changes_since(theirs) == ""


@pytest.mark.parametrize(
    "other", [(), ("--exclude-outbound-ports", "22,23", "--dns", "all")], ids=["same", "different"]
)
def test_two_at_once(lab: Lab, backend: str, other: tuple[str, ...]) -> None:
    """Both end well, one after the other; what is in force is one of the two, whole."""
    one: tuple[str, ...] = ("init", "--mode", backend)
    both = [one, (*one, *other)]
    wholes = []
    for argv in both:
        lab.tidegate(*argv).ok()
        wholes.append(lab.snapshot())
        lab.tidegate("cleanup").ok()
    for _ in range(3):
        finish([start_binary(lab.app, argv) for argv in both])
        now = lab.snapshot()
        assert essence(now) in [essence(whole) for whole in wholes], wholes[0].diff(now)
        assert lab.tidegate("status", "--json").ok().json["drift"] == []
        lab.tidegate("cleanup").ok()


def test_init_and_cleanup_at_once(lab: Lab, theirs: Snapshot, backend: str) -> None:
    lab.tidegate("init", "--mode", backend).ok()
    whole = lab.snapshot()
    for _ in range(3):
        finish([start_binary(lab.app, argv) for argv in (("init", "--mode", backend), ("cleanup",))])
        now = lab.snapshot()
        assert essence(now) in (essence(whole), essence(theirs)), theirs.diff(now)


def finish(processes: list[subprocess.Popen[str]]) -> None:
    """All of them end with 0. AssertionError with what they said, after all of them have ended."""
    ends = []
    for process in processes:
        try:
            out, err = process.communicate(timeout=patient(30))
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        ends.append(f"{process.returncode}: {out}{err}")
    assert all(process.returncode == 0 for process in processes), ends


READ_ONLY = 'mount --make-rprivate / && mount -o remount,ro / && {extra} exec "$@"'


@pytest.mark.parametrize("flags", [(), ("--dns=all", "--when-down=open")], ids=["plain", "more"])
def test_on_a_read_only_root(lab: Lab, backend: str, flags: tuple[str, ...]) -> None:
    """Everything but /proc, /sys and an empty /run is read-only, as in a hardened container."""
    script = READ_ONLY.format(extra="mount -t tmpfs -o ro none /run && mount -o remount,ro,bind /tmp 2>/dev/null;")
    prefix = ("unshare", "-m", "sh", "-e", "-c", script, "sh")
    lab.tidegate_binary("init", "--mode", backend, *flags, prefix=prefix).ok()
    assert lab.tidegate("status", "--json").ok().json["mode"] == backend
    lab.tidegate_binary("cleanup", prefix=prefix).ok()


CAPABILITIES = {
    "nftables": "net_admin",
    "iptables": "net_admin,net_raw",
    "tproxy": "net_admin",
    "ebpf": "net_admin,bpf,perfmon,sys_admin",
}


def test_with_exactly_the_documented_capabilities(lab: Lab, backend: str) -> None:
    """Field note 16. And one less: exit 4 and the name of what is missing."""
    names = CAPABILITIES[backend].split(",")
    lab.tidegate_binary("init", "--mode", backend, prefix=holding(names)).ok()
    lab.tidegate_binary("status", "--json", prefix=holding(names)).ok()
    lab.tidegate_binary("cleanup", prefix=holding(names)).ok()
    before = lab.snapshot()
    ran = lab.tidegate_binary("init", "--mode", backend, prefix=holding([n for n in names if n != "net_admin"])).ended(
        4
    )
    assert "CAP_NET_ADMIN" in ran.err
    assert lab.changes_since(before) == ""


def holding(names: list[str]) -> tuple[str, ...]:
    """A prefix under which root has these capabilities and no other."""
    every = "".join(f",+{name}" for name in names)
    return ("setpriv", f"--bounding-set=-all{every}", f"--inh-caps=-all{every}", "--")
